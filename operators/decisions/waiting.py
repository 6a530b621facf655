"""Decisions that wait for the event which tells how they turned out, found by what it is joined on."""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from .pending import ASSUMED, UNLABELLED, Pending

__all__ = ["TOLD", "Waiting", "WaitingRow"]

TOLD: Final = 1
"""State of a decision whose target has come; `UNLABELLED` before, `ASSUMED` where none came in time."""


class WaitingRow(NamedTuple):
    """What a decision leaves for the event that tells.

    Attributes
    ----------
    time_ms, number
        Event time of the asking event, and its number in the shard.
    told_ms
        Event time of the first event that told; 0 before.
    score
        What the model said before calibration; 0 where it gives no score.
    flags
        Conditions of the features that targets feed; the lowest bit says that the action censors.
    state
        `UNLABELLED`, `TOLD` or `ASSUMED`.
    rows, inputs
        Rows of the entities, and what the model read.
    served
        The numbers that went out: the score, or the quantiles.
    value
        What was told last; NaN before.
    """

    time_ms: int
    number: int
    told_ms: int
    score: float
    flags: int
    state: int
    rows: tuple[int, ...]
    inputs: tuple[float, ...]
    served: tuple[float, ...]
    value: float


class Waiting(Pending):
    """Decisions by event id, and by the key that their target is joined on.

    Parameters
    ----------
    entities, width, typecode
        As `Pending` has them.
    served
        Numbers that go out with each decision.
    keyed
        Whether the key is another than the event's id; then several may wait under one.
    rows_max, age_ms_max
        As `Pending` has them.

    Attributes
    ----------
    inputs_at, value_at
        Where in a row what the model read begins, and where what is told stands, bytes.
    typecode
        Of what the model read.
    """

    def __init__(
        self,
        entities: int,
        width: int,
        typecode: str,
        served: int,
        *,
        keyed: bool,
        rows_max: int = 1,
        age_ms_max: int = 0,
    ) -> None:
        self._layout = f"<qqqdIB{entities}I{width}{typecode}{served + 1}d"
        super().__init__(entities, width, typecode, rows_max, age_ms_max)
        self.typecode = typecode
        width_bytes = struct.calcsize(f"<{width}{typecode}")
        self._packed_row = struct.Struct(f"<qqqdIB{entities}I{width_bytes}s{served + 1}d")
        self._served_row = struct.Struct(f"<{served}d")
        self._row = struct.Struct(self._layout)
        self._row_bytes = self._row.size
        self._blocks.clear()
        self._blocks.append(self._new_block())
        self._served_from = self.features_from + width
        self.value_at = self._row_bytes - _VALUE.size
        self.inputs_at = self.layout["rows"] + _ROW_BYTES * entities
        self._served_at = self.inputs_at + width_bytes
        self._keyed = keyed
        self._keys: dict[int, str] = {}
        self._by_key: dict[str, list[int]] = {}

    def wait(
        self,
        event_id: str,
        key: str,
        time_ms: int,
        number: int,
        rows: Sequence[int],
        flags: int,
        inputs: Sequence[float] | bytes,
        score: float,
        served: Sequence[float],
        *,
        censored: bool,
    ) -> None:
        """Keep a decision; the oldest one goes when there are too many.

        What the model read may come as bytes, packed as `typecode` says.
        """
        place = self.reserve(event_id)
        block, at = self._at(place)
        row, read = (self._packed_row, (inputs,)) if isinstance(inputs, bytes) else (self._row, inputs)
        row.pack_into(
            block.rows,
            at * self._row_bytes,
            time_ms,
            number,
            0,
            score,
            flags << 1 | censored,
            UNLABELLED,
            *rows,
            *read,
            *served,
            _NAN,
        )
        if self._keyed:
            self._keys[place] = key
            self._by_key.setdefault(key, []).append(place)

    def served_at(self, place: int) -> tuple[float, ...]:
        """Return the numbers that went out with the decision at a place."""
        block, at = self._at(place)
        return self._served_row.unpack_from(block.rows, at * self._row_bytes + self._served_at)

    def places_of(self, key: str) -> Sequence[int]:
        """Places of the decisions that wait under a key, the oldest first."""
        if self._keyed:
            return self._by_key.get(key, ())
        place = self.index.get(key)
        return () if place is None else (place,)

    def at(self, place: int) -> WaitingRow:
        """Return the decision at a place."""
        fields = self.fields(place)
        time_ms, number, told_ms, score, flags, state = fields[: self.rows_from]
        return WaitingRow(
            time_ms,
            number,
            told_ms,
            score,
            flags,
            state,
            fields[self.rows_from : self.features_from],
            fields[self.features_from : self._served_from],
            fields[self._served_from : -1],
            fields[-1],
        )

    def id_at(self, place: int) -> str:
        """Return the id of the event that asked for the decision at a place."""
        block, at = self._at(place)
        return block.ids[at]

    def tell(self, place: int, value: float, told_ms: int, *, assumed: bool = False) -> None:
        """Write down what was told of a decision; the time of the first that told stays."""
        self.label_at(place, ASSUMED if assumed else TOLD, told_ms)
        block, at = self._at(place)
        _VALUE.pack_into(block.rows, at * self._row_bytes + self.value_at, value)

    def move_flags(self, moved: Mapping[int, int]) -> None:
        """Give conditions other bits: those of rows that wait were noted by the numbers of then.

        Parameters
        ----------
        moved
            The new number of a condition by its old one; what isn't among them is dropped.
        """
        for place in self.index.values():
            block, at = self._at(place)
            start = at * self._row_bytes + self.layout["flags"]
            (flags,) = _FLAGS.unpack_from(block.rows, start)
            kept = flags & 1
            for old, new in moved.items():
                kept |= (flags >> old + 1 & 1) << new + 1
            _FLAGS.pack_into(block.rows, start, kept)

    def take_due_places(self, now_ms: int, after_ms: int) -> list[int]:
        """Places of decisions that have waited for so long and were told nothing; see `take_due`."""
        return [
            place
            for event_id in self.take_due(now_ms, after_ms)
            if (place := self.index.get(event_id)) is not None
        ]

    def forget(self, event_ids: Collection[str]) -> None:
        """See `Pending.forget`; their keys go as well."""
        for event_id in event_ids:
            place = self.index.get(event_id)
            if place is not None:
                self._forget_key(place)
        super().forget(event_ids)

    def _forget_key(self, place: int) -> None:
        key = self._keys.pop(place, None)
        if key is None:
            return
        places = self._by_key[key]
        places.remove(place)
        if not places:
            del self._by_key[key]

    def _drop_oldest(self) -> bool:
        self._forget_key(self.oldest)
        return super()._drop_oldest()

    def save(self) -> dict[str, bytes]:
        """Return the state as named blobs."""
        blobs = super().save()
        if self._keyed:
            blobs["keys"] = msgspec.msgpack.encode(list(self._keys.items()))
        return blobs

    def load(
        self, blobs: Mapping[str, bytes], entities: Sequence[int | None] | None = None, saved: int = 0
    ) -> None:
        """Take over a saved state.

        Parameters
        ----------
        blobs
            As `save` gave them.
        entities
            For each entity now, its number among those of then; None for one that wasn't there. Not given:
            they are the same.
        saved
            How many there were then.

        Raises
        ------
        ValueError
            If it is of rows of another size.
        """
        if entities is not None:
            blobs = {**blobs, "rows": self._laid_anew(blobs["rows"], entities, saved)}
        if len(blobs["rows"]) % self._row_bytes:
            raise ValueError(_OTHER_SIZE.format(self._row_bytes))
        super().load(blobs)
        keys: list[tuple[int, str]] = (
            msgspec.msgpack.decode(blobs["keys"], type=list[tuple[int, str]]) if self._keyed else []
        )
        self._keys = dict(keys)
        self._by_key = {}
        for place, key in keys:
            self._by_key.setdefault(key, []).append(place)

    def _laid_anew(self, rows: bytes, entities: Sequence[int | None], saved: int) -> bytes:
        """Return rows with the entities of now; one that wasn't there then has the row of nobody, 0."""
        size = self._row_bytes + _ROW_BYTES * (saved - len(entities))
        if len(rows) % size:
            raise ValueError(_OTHER_SIZE.format(size))
        before = np.frombuffer(rows, np.uint8).reshape(-1, size)
        laid = np.zeros((len(before), self._row_bytes), np.uint8)
        first = self.layout["rows"]
        laid[:, :first] = before[:, :first]
        for number, of in enumerate(entities):
            if of is not None:
                to, at = first + _ROW_BYTES * number, first + _ROW_BYTES * of
                laid[:, to : to + _ROW_BYTES] = before[:, at : at + _ROW_BYTES]
        laid[:, first + _ROW_BYTES * len(entities) :] = before[:, first + _ROW_BYTES * saved :]
        return laid.tobytes()


_OTHER_SIZE: Final = "decisions that wait were saved in rows of another size than {} bytes"
_ROW_BYTES: Final = 4
_VALUE: Final = struct.Struct("<d")
_FLAGS: Final = struct.Struct("<I")
_NAN: Final = float("nan")
