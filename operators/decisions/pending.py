"""What decisions leave behind until their outcomes come: the pending store, and outcomes that came too early.

A decision's row holds its features as they were at decision time. Rows are packed into blocks, in the order
of the decisions; the oldest block is dropped whole when all its rows are too old, so that nothing is ever
moved.
"""

from __future__ import annotations

import heapq
import struct
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from ctypes import addressof, c_char
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

__all__ = ["Early", "EarlyOutcomes", "Held", "Pending", "Row"]

_PLACE_BITS: Final = 12
BLOCK_ROWS: Final = 1 << _PLACE_BITS
_PLACE_MASK: Final = BLOCK_ROWS - 1
_ROWS_PER_STEP_MAX: Final = 64
_HEAD: Final = struct.Struct("<qqqdIB")  # time, number, time of the first outcome, score, flags, label
_TIME: Final = struct.Struct("<q")
_ROW: Final = struct.Struct("<I")
_NUMBER_AT: Final = 8
_LABELLED_AT: Final = 16
_SCORE_AT: Final = 24
_FLAGS_AT: Final = 32
_LABEL_AT: Final = 36
UNLABELLED, LEGITIMATE, FRAUD, ASSUMED = 0, 1, 2, 3  # ASSUMED: legitimate because no outcome came in time


class Row(NamedTuple):
    """What a decision leaves for its outcome.

    Attributes
    ----------
    time_ms
        Event time of the payment.
    number
        Number of the input in its shard.
    rows
        The entities' rows at decision time.
    flags
        Conditions on the payment's own features that were met.
    features
        What the model read: active slots, or values.
    score
        What the model said.
    blocked
        Whether the payment was blocked.
    label
        Its label so far: `UNLABELLED`, `LEGITIMATE`, `FRAUD` or `ASSUMED`.
    labelled_ms
        Event time of the first outcome.
    """

    time_ms: int
    number: int
    rows: tuple[int, ...]
    flags: int
    features: tuple[float, ...]
    score: float
    blocked: bool
    label: int
    labelled_ms: int


class _Block:
    """Rows of one block, packed side by side, and their ids."""

    __slots__ = ("address", "ids", "rows")

    def __init__(self, row_bytes: int) -> None:
        self.ids: list[str] = []
        self.rows = bytearray(BLOCK_ROWS * row_bytes)
        # Rows never move, so it is looked up once for thousands of them.
        self.address = addressof(c_char.from_buffer(self.rows))


class Pending:
    """Decisions by event id, limited in age and in number.

    Parameters
    ----------
    entities
        Entities for each row.
    width
        Features for each row.
    typecode
        Of the features: `H` or `I` for slots, `d` for values.
    rows_max
        Rows at most; at the limit the oldest goes.
    age_ms_max
        Event time after which a row is given up, milliseconds.
    """

    rows_from: Final = 6
    layout: Final[Mapping[str, int]] = {
        "time": 0,
        "number": _NUMBER_AT,
        "labelled": _LABELLED_AT,
        "score": _SCORE_AT,
        "flags": _FLAGS_AT,
        "label": _LABEL_AT,
        "rows": _HEAD.size,
    }
    """Where in a row its parts begin, in bytes: rows are words, features follow on them."""

    def __init__(self, entities: int, width: int, typecode: str, rows_max: int, age_ms_max: int) -> None:
        self._row = struct.Struct(f"<qqqdIB{entities}I{width}{typecode}")
        self._row_bytes = self._row.size
        self.features_from = self.rows_from + entities
        self.rows_max, self.age_ms_max = rows_max, age_ms_max
        self.index: dict[str, int] = {}
        self._blocks: deque[_Block] = deque([self._new_block()])
        self._base = 0  # place of the first row of the first block
        self.oldest = 0  # place of the oldest row kept
        self.next = 0  # place of the next row
        self.due = 0  # place of the first row not looked at by `take_due`
        self.expired_unlabelled = 0
        self.dropped_by_limit = 0

    def __len__(self) -> int:
        return len(self.index)

    def _new_block(self) -> _Block:
        return _Block(self._row.size)

    def _at(self, place: int) -> tuple[_Block, int]:
        number, at = divmod(place - self._base, BLOCK_ROWS)
        return self._blocks[number], at

    def add(
        self,
        event_id: str,
        time_ms: int,
        number: int,
        rows: tuple[int, ...],
        flags: int,
        features: Sequence[float],
        score: float,
        blocked: bool,
    ) -> None:
        """Keep a decision; the oldest row goes when there are too many."""
        block, at = self._at(self.reserve(event_id))
        self._row.pack_into(
            block.rows,
            at * self._row_bytes,
            time_ms,
            number,
            0,
            score,
            flags << 1 | blocked,
            UNLABELLED,
            *rows,
            *features,
        )

    def reserve(self, event_id: str) -> int:
        """Make room for a decision's row, all zeros, and return its place.

        It is to be filled before anything else is asked; see `address` and `layout`.
        """
        place, index = self.next, self.index
        at = place & _PLACE_MASK
        if not at and place > self._base:
            self._blocks.append(self._new_block())
        block = self._blocks[-1]
        block.ids.append(event_id)
        index[event_id] = place
        self.next = place + 1
        while len(index) > self.rows_max:  # a forgotten row leaves an empty place, which makes no room
            self.dropped_by_limit += self._drop_oldest()
        return place

    def fields(self, place: int) -> tuple[Any, ...]:
        """Return a row as it is packed.

        Time, number, time of the first outcome, score, flags, label, then the rest.

        The lowest bit of the flags says whether the payment was blocked; `rows_from` and `features_from` say
        where the entities' rows and the features begin.
        """
        block = self._blocks[(place - self._base) >> _PLACE_BITS]
        return self._row.unpack_from(block.rows, (place & _PLACE_MASK) * self._row_bytes)

    def head(self, place: int) -> tuple[Any, ...]:
        """Return the first six of a row's `fields`."""
        block = self._blocks[(place - self._base) >> _PLACE_BITS]
        return _HEAD.unpack_from(block.rows, (place & _PLACE_MASK) * self._row_bytes)

    def address(self, place: int) -> int:
        """Where in memory the row at a place of the index lies."""
        block = self._blocks[(place - self._base) >> _PLACE_BITS]
        return block.address + (place & _PLACE_MASK) * self._row_bytes

    def row(self, event_id: str) -> Row | None:
        """Return the decision's row, or None when it isn't known (any more)."""
        place = self.index.get(event_id)
        if place is None:
            return None
        fields = self.fields(place)
        time_ms, number, labelled_ms, score, flags, label = fields[: self.rows_from]
        split = self.features_from
        return Row(
            time_ms,
            number,
            fields[self.rows_from : split],
            flags >> 1,
            fields[split:],
            score,
            bool(flags & 1),
            label,
            labelled_ms,
        )

    def _head(self, place: int) -> tuple[str, int, bool, int]:
        """Id, time, whether blocked, and label of a row."""
        block, at = self._at(place)
        time_ms, _, _, _, flags, label = _HEAD.unpack_from(block.rows, at * self._row.size)
        return block.ids[at], time_ms, bool(flags & 1), label

    def label(self, event_id: str, label: int, labelled_ms: int) -> None:
        """Write down a row's label; the time of the first outcome stays."""
        self.label_at(self.index[event_id], label, labelled_ms)

    def label_at(self, place: int, label: int, labelled_ms: int) -> None:
        """Write down the label of the row at a place of the index."""
        rows = self._blocks[(place - self._base) >> _PLACE_BITS].rows
        start = (place & _PLACE_MASK) * self._row_bytes
        rows[start + _LABEL_AT] = label
        if not _TIME.unpack_from(rows, start + _LABELLED_AT)[0] or label == ASSUMED:
            _TIME.pack_into(rows, start + _LABELLED_AT, labelled_ms)

    def _drop_oldest(self) -> bool:
        """Give up the oldest row; say whether it was still waiting for an outcome."""
        event_id, _, _, label = self._head(self.oldest)
        # An id may be known under a later place, where its payment came again after the first was forgotten.
        kept = self.index.get(event_id) == self.oldest
        if kept:
            del self.index[event_id]
        self.oldest += 1
        self.due = max(self.due, self.oldest)
        # Rows lie in blocks that are freed whole, and places only ever grow: a place stays valid for as long
        # as its row, without moving any, and a forked child's copy of the memory is hardly written to.
        if self.oldest - self._base == BLOCK_ROWS and len(self._blocks) > 1:
            self._blocks.popleft()
            self._base += BLOCK_ROWS
        return kept and label == UNLABELLED

    def expire(self, now_ms: int, future_skew_ms_max: int) -> None:
        """Give up rows that are too old, at most 64 at a time.

        A row from further ahead than a clock may run was never credible, and must not hold back the others.
        """
        oldest_ms, newest_ms = now_ms - self.age_ms_max, now_ms + future_skew_ms_max
        # Bounded for each input: after a silence of weeks a million rows expire, and no decision may wait for
        # it.
        for _ in range(_ROWS_PER_STEP_MAX):
            if self.oldest == self.next:
                return
            if oldest_ms <= self._head(self.oldest)[1] <= newest_ms:
                return
            self.expired_unlabelled += self._drop_oldest()

    def take_due(self, now_ms: int, after_ms: int) -> list[str]:
        """Ids of at most 64 further decisions, older than `after_ms`, not blocked and without an outcome."""
        due: list[str] = []
        for _ in range(_ROWS_PER_STEP_MAX):
            if self.due >= self.next:
                break
            event_id, time_ms, blocked, label = self._head(self.due)
            if time_ms > now_ms - after_ms:
                break
            self.due += 1
            if label == UNLABELLED and not blocked and event_id:
                due.append(event_id)
        return due

    def ids_of(self, entity: int, row: int, created: int) -> list[str]:
        """Ids of the decisions about an entity.

        Parameters
        ----------
        entity
            Which of a decision's entities, by its place among them.
        row
            The entity's row.
        created
            The input with which it came to this row; decisions of earlier inputs are about another one.
        """
        # A format that skips all but two fields: thousands of rows are searched without unpacking any of
        # them.
        before = _NUMBER_AT + _TIME.size
        row_at = _HEAD.size + _ROW.size * entity
        fields = f"<{_NUMBER_AT}xq{row_at - before}xI{self._row_bytes - row_at - _ROW.size}x"
        found: list[str] = []
        for block in self._blocks:
            places = enumerate(struct.iter_unpack(fields, block.rows))
            of_it = [at for at, (number, of) in places if of == row and number >= created]
            found += [block.ids[at] for at in of_it if block.ids[at]]
        return found

    def put_back(self, to_ms: int) -> None:
        """Give decisions from after a time that time, so that they wait no longer than others."""
        for block in self._blocks:
            rows = len(block.rows) // self._row_bytes
            # A view of the first field of every row, so that the whole block is corrected in place.
            times = np.ndarray(rows, "<i8", block.rows, strides=(self._row_bytes,))
            times[times > to_ms] = to_ms

    def forget(self, event_ids: Collection[str]) -> None:
        """Overwrite decisions with zeros; their places stay, empty, until they are the oldest."""
        gone = frozenset(event_ids)
        for block in self._blocks:
            # Most blocks hold none of them: nothing is written there, and a forked child's copy of the memory
            # stays shared.
            if gone.isdisjoint(block.ids):
                continue
            for at, event_id in enumerate(block.ids):
                if event_id in gone:
                    block.ids[at] = ""
                    start = at * self._row_bytes
                    block.rows[start : start + self._row_bytes] = bytes(self._row_bytes)
        for event_id in event_ids:
            self.index.pop(event_id, None)

    def save(self) -> dict[str, bytes]:
        """Return the state as named blobs."""
        head = (self._base, self.oldest, self.next, self.due, self.expired_unlabelled, self.dropped_by_limit)
        return {
            "head": msgspec.msgpack.encode(head),
            "ids": msgspec.msgpack.encode([event_id for block in self._blocks for event_id in block.ids]),
            "rows": b"".join(block.rows for block in self._blocks),
        }

    def load(self, blobs: Mapping[str, bytes]) -> None:
        """Take over a saved state."""
        head = msgspec.msgpack.decode(blobs["head"], type=tuple[int, int, int, int, int, int])
        self._base, self.oldest, self.next, self.due, self.expired_unlabelled, self.dropped_by_limit = head
        ids = msgspec.msgpack.decode(blobs["ids"], type=list[str])
        count = max(1, -(-(self.next - self._base) // BLOCK_ROWS))
        self._blocks = deque(self._new_block() for _ in range(count))
        for number, block in enumerate(self._blocks):
            block.ids = ids[number * BLOCK_ROWS : (number + 1) * BLOCK_ROWS]
            block.rows[:] = blobs["rows"][number * len(block.rows) : (number + 1) * len(block.rows)]
        first = self.oldest - self._base
        self.index = {
            event_id: self._base + at for at, event_id in enumerate(ids) if at >= first and event_id
        }


class Early(NamedTuple):
    """An outcome that came before its payment; of a number it is the value that was told."""

    label: Any
    event_time: int


class Held(NamedTuple):
    """An outcome whose time the shard's clock has not reached."""

    event_time: int
    number: int
    about: str
    label: Any


class EarlyOutcomes:
    """Outcomes that can't be applied yet: their payment isn't known, or their time hasn't come.

    Parameters
    ----------
    outcomes_max
        Outcomes of either sort at most; at the limit the oldest, or the furthest ahead, goes.
    age_ms_max
        How long an outcome waits for its payment, milliseconds of event time.
    """

    def __init__(self, outcomes_max: int, age_ms_max: int) -> None:
        self.outcomes_max, self.age_ms_max = outcomes_max, age_ms_max
        self.waiting: dict[str, Early] = {}
        self._order: deque[tuple[int, str]] = deque()
        self.ahead: list[Held] = []
        self.unmatched = 0

    def __len__(self) -> int:
        return len(self.waiting) + len(self.ahead)

    def about(self) -> list[str]:
        """Return what those that are kept are about."""
        return list(dict.fromkeys((*self.waiting, *(held.about for held in self.ahead))))

    def wait(self, about: str, outcome: Early, now_ms: int) -> None:
        """Keep an outcome until its payment comes."""
        # A second outcome about it replaces the first, but doesn't wait any longer than that.
        if about not in self.waiting:
            self._order.append((now_ms, about))
        self.waiting[about] = outcome
        while len(self.waiting) > self.outcomes_max:
            self._give_up()

    def _give_up(self) -> None:
        _, about = self._order.popleft()
        self.unmatched += self.waiting.pop(about, None) is not None

    def expire(self, now_ms: int) -> None:
        """Give up outcomes that waited for too long, at most 64 at a time."""
        for _ in range(_ROWS_PER_STEP_MAX):
            if not self._order or self._order[0][0] >= now_ms - self.age_ms_max:
                return
            self._give_up()

    def take(self, about: str) -> Early | None:
        """Return the outcome that waited for this payment, if any."""
        return self.waiting.pop(about, None)

    def hold(self, held: Held) -> None:
        """Keep an outcome until the clock reaches its time."""
        heapq.heappush(self.ahead, held)
        if len(self.ahead) > self.outcomes_max:
            # The one furthest ahead goes: it is the least probable to be true, and would wait the longest.
            self.ahead.remove(max(self.ahead))
            heapq.heapify(self.ahead)
            self.unmatched += 1

    def reached(self, now_ms: int) -> Held | None:
        """Return the next outcome whose time has come, if any."""
        if self.ahead and self.ahead[0].event_time <= now_ms:
            return heapq.heappop(self.ahead)
        return None

    def put_back(self, to_ms: int) -> None:
        """Let outcomes that wait for their payments since after a time wait since then."""
        self._order = deque((min(since_ms, to_ms), about) for since_ms, about in self._order)

    def forget(self, about: Collection[str]) -> None:
        """Forget outcomes about some payments."""
        for event_id in about:
            self.waiting.pop(event_id, None)
        self._order = deque(entry for entry in self._order if entry[1] not in about)
        self.ahead = sorted(held for held in self.ahead if held.about not in about)  # sorted, it is a heap

    def save(self) -> bytes:
        """Return the state as bytes."""
        order = [(time, about) for time, about in self._order if about in self.waiting]
        waiting = [(about, *self.waiting[about]) for _, about in order]
        return msgspec.msgpack.encode((order, waiting, sorted(self.ahead), self.unmatched))

    def load(self, saved: bytes) -> None:
        """Take over a saved state."""
        order, waiting, ahead, self.unmatched = msgspec.msgpack.decode(
            saved,
            type=tuple[
                list[tuple[int, str]], list[tuple[str, Any, int]], list[tuple[int, int, str, Any]], int
            ],
        )
        self._order = deque(order)
        self.waiting = {about: Early(label, time) for about, label, time in waiting}
        self.ahead = [Held(*entry) for entry in ahead]
