"""Reads a decision from the ledger: what came in, what was decided, why, and what came of it.

Nothing here writes to the journal or takes the state's lock, so that it works beside a running flow.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial, reduce
from pathlib import Path
from typing import Any, Final

import orjson

from headrace.config.canonical import digest, restore
from headrace.config.flow_kinds import kind_names
from headrace.config.tables import RunSettings
from headrace.control.dead_letters import letter_retried, payload_shown
from headrace.errors import CheckpointDamaged, JournalDamaged, StateError, UnknownDecision
from headrace.journal.checkpoint import checkpoint_numbers, checkpoint_path, read_checkpoint
from headrace.journal.frame_reader import read_frame
from headrace.journal.frames import Frame
from headrace.journal.records import CONTROL_SOURCE, NO_SOURCE, Kind, Record
from headrace.journal.segments import segment_path
from headrace.ledger.explained import (
    Asked,
    Config,
    Explained,
    ExplainedLetter,
    ExplainedOutcome,
    Position,
)
from headrace.ledger.followed import delivered_otherwise, records_behind
from headrace.ledger.index import LedgerIndex, Place, Progress
from headrace.ledger.keys import CONFIG_KEY, about_key, decision_key, source_key
from headrace.operators.events.contract import Outcome
from headrace.operators.events.decode import decode_one
from headrace.shard.decision_line import decision_id, line_of, lines_of
from headrace.shard.kinds import kind_of

__all__ = ["Ledger", "shard_directories"]

_OUTCOMES_MAX: Final = 100
_WRAPPED_IN: Final = 8  # more than what is told of a decision is nested in


def shard_directories(state: Path) -> list[Path]:
    """Return the shards of a state, in their order.

    Raises
    ------
    StateError
        If there are none.
    """
    found = sorted(path for path in state.glob("shard-*") if path.is_dir())
    if not found:
        raise StateError(f"{state}: no state here (there is no shard-00)")
    return found


class _Shard:
    """A shard's journal with its index."""

    def __init__(self, directory: Path, progress: Progress | None) -> None:
        self.directory = directory
        self.index = LedgerIndex(directory, progress)
        self._sources: dict[int, str] = {CONTROL_SOURCE: "control"}
        self._frame: tuple[tuple[int, int], Frame] | None = None

    def frame(self, place: Place) -> Frame:
        """Return the frame of a place; the last one is kept at hand."""
        at = (place.segment, place.position)
        if self._frame is None or self._frame[0] != at:
            self._frame = at, read_frame(self.directory, *at)
        return self._frame[1]

    def record(self, place: Place) -> Record:
        """Return the record of a place.

        Raises
        ------
        JournalDamaged
            If there is none.
        """
        records = self.frame(place).records
        if place.record >= len(records):
            path = segment_path(self.directory, place.segment)
            raise JournalDamaged(path, place.position, f"the frame has no record {place.record}")
        return records[place.record]

    def decided(self, decision_id: str) -> list[Place]:
        """Where an id was decided; records that were erased since are among them."""
        places = self.index.find(decision_key(decision_id))
        # Digests of eight bytes may meet, and an index is never trusted: what stands there is read and
        # compared.
        return [place for place in places if self._is_of(decision_id, self.record(place))]

    @staticmethod
    def _is_of(decision_id: str, record: Record) -> bool:
        if record.kind != Kind.DECIDED:
            return False
        return record.erased or line_of(record.output, decision_id) is not None

    def last(self, key: int, until: Place, note: str) -> tuple[Place, dict[str, Any]] | None:
        """Return the last control record of a key before a place."""
        for place in reversed(self.index.find(key)):
            record = self.record(place) if place < until else None
            if record is not None and record.kind == Kind.CONTROL and not record.erased:
                said = orjson.loads(record.input)
                if said.get("control") == note:
                    return place, said
        return None

    def source(self, number: int, until: Place) -> str | None:
        """Return the name of a source."""
        if number == NO_SOURCE:
            return None
        if number not in self._sources:
            found = self.last(source_key(number), until, "source")
            self._sources[number] = str(found[1]["name"]) if found else self._older_source(number, until)
        return self._sources[number]

    def position(self, place: Place) -> Position:
        """Return a place in full."""
        head, record = self.frame(place).head, self.record(place)
        source = self.source(record.source, place)
        return Position(
            shard=self.directory.name,
            segment=place.segment,
            file=str(segment_path(self.directory, place.segment)),
            byte=place.position,
            record=place.record,
            sequence=head.seq + place.record,
            ordinal=record.ordinal,
            source=source,
            offset=None if source is None else record.offset,
            line=None if source is None else record.line,
        )

    def configuration(self, until: Place) -> tuple[Config, RunSettings]:
        """Return the configuration in force at a place.

        Raises
        ------
        StateError
            If it is not kept, or this program can't read it, or damage may hide it.
        """
        found = self.last(CONFIG_KEY, until, "config")
        for segment, damage in self.index.damage.items():
            if (found[0].segment if found else 0) <= segment <= until.segment:
                raise damage  # it may hide a configuration that came later
        place, said = found or (None, self._from_checkpoint(until.segment))
        if said is None:
            raise StateError(
                f"{self.directory}: neither journal nor checkpoint says which configuration it had"
            )
        try:
            settings = restore(said["settings"].encode())
        except ValueError as error:
            raise StateError(
                f"{self.directory}: the configuration of that time, written by version {said['code']},"
                f" can't be read by this one: {error}"
            ) from error
        at = place or (None, None, None)
        return Config(digest(settings), said["code"], said.get("kernel"), said["learn"], *at), settings

    def names(self) -> Iterator[str]:
        """Yield what the ids of decisions begin with, under any configuration that is known."""
        # All of them, not the last one only: a decision that was taken out since still has its past.
        written = [self._from_checkpoint(sys.maxsize)]
        for place in self.index.find(CONFIG_KEY):
            record = self.record(place)
            written += [] if record.erased else [orjson.loads(record.input)]
        for said in written:
            if said is not None and "settings" in said:
                with suppress(ValueError):  # of a version, or a kind, that this program doesn't know
                    settings = restore(said["settings"].encode())
                    yield from kind_of(settings).names(settings)

    def _older_source(self, number: int, until: Place) -> str:
        header = self._from_checkpoint(until.segment)
        return str((header or {}).get("sources", {}).get(str(number), f"source {number}"))

    def _from_checkpoint(self, segment: int) -> dict[str, Any] | None:
        """Return what a checkpoint says of its time, where the journal's beginning is no longer kept."""
        # Oldest first: the journal that is kept names none before the place, so what held at its beginning
        # still holds.
        for number in reversed(checkpoint_numbers(self.directory)):
            if number <= segment:
                try:
                    return dict(read_checkpoint(checkpoint_path(self.directory, number)).header)
                except CheckpointDamaged:
                    continue
        return None

    def outcomes(self, event_id: str) -> Iterable[ExplainedOutcome]:
        """Yield what the journal holds about an event."""
        for place in self.index.find(about_key(event_id))[:_OUTCOMES_MAX]:
            record, head = self.record(place), self.frame(place).head
            event = None if record.erased else decode_one(record.input, len(record.input))
            if isinstance(event, Outcome) and event.about == event_id:
                yield ExplainedOutcome(
                    event.event_id, event.label, event.event_time, head.accepted_ms, self.position(place)
                )


class Ledger:
    """The journals of all shards of a state, to be asked for decisions.

    Parameters
    ----------
    state
        The state's directory.
    progress
        Told of what is read to complete the index.

    Raises
    ------
    StateError
        If there is no state.
    """

    def __init__(self, state: Path, progress: Progress | None = None) -> None:
        self.state = state
        self._shards = [_Shard(directory, progress) for directory in shard_directories(state)]

    @property
    def damage(self) -> list[JournalDamaged]:
        """Segments that could not be read, so that nothing is found in them."""
        return [damage for shard in self._shards for damage in shard.index.damage.values()]

    @property
    def unkept(self) -> OSError | None:
        """Why an index could not be kept; None if all are."""
        return next((shard.index.unkept for shard in self._shards if shard.index.unkept), None)

    @property
    def decisions(self) -> int:
        """How many decisions can be asked for."""
        return sum(shard.index.decisions for shard in self._shards)

    @property
    def erased(self) -> int:
        """How many erased records the index has no id of."""
        return sum(shard.index.erased for shard in self._shards)

    @property
    def segments(self) -> int:
        """How many segments were searched."""
        return sum(shard.index.segments for shard in self._shards)

    @property
    def accepted_ms(self) -> tuple[int, int] | None:
        """When the first and the last batch were accepted; None without any."""
        times = [
            time for shard in self._shards if shard.index.accepted_ms for time in shard.index.accepted_ms
        ]
        return (min(times), max(times)) if times else None

    @property
    def shards(self) -> tuple[str, ...]:
        """Names of the shards that were searched."""
        return tuple(shard.directory.name for shard in self._shards)

    @property
    def searched(self) -> str:
        """What was searched, for a person."""
        times = self.accepted_ms
        span = f", accepted from {_utc(times[0])} to {_utc(times[1])}" if times else ""
        erased = f"; {self.erased:,} erased records have no id any more" if self.erased else ""
        counted = f"{self.segments:,} segments, {self.decisions:,} decisions"
        return f"{', '.join(self.shards)}: {counted}{span}{erased}{self._gone}"

    @property
    def _gone(self) -> str:
        """Which shards' beginnings are no longer kept, for a person."""
        firsts = {shard.directory.name: shard.index.first_segment for shard in self._shards}
        gone = [f"{name} before segment {first}" for name, first in firsts.items() if first > 1]
        return f"; no longer kept: {', '.join(gone)}" if gone else ""

    def explain(self, decision_id: str) -> Explained:
        """Tell all that is known of a decision.

        Parameters
        ----------
        decision_id
            Its id; or that of its event, if no decision has such an id.

        Raises
        ------
        UnknownDecision
            If there is none.
        JournalDamaged
            If its frame is not what was written, or there is none in what of the ledger can be read.
        """
        for wanted in (decision_id, *self._ids_of(decision_id)):
            found = [(shard, place) for shard in self._shards for place in shard.decided(wanted)]
            if found:
                # An input that was given once more is decided under the same id: the last decision is the one
                # that holds.
                shard, place = found[-1]
                others = tuple(shard.position(place) for shard, place in found[:-1])
                erased = _erased(shard, place, wanted, others)
                return erased or _explained(shard, place, wanted, others, self._letter(shard.record(place)))
        if self.damage:
            raise self.damage[0]
        raise UnknownDecision(f"{self.state}: no decision {decision_id}; searched {self.searched}")

    def _ids_of(self, event_id: str) -> Iterator[str]:
        """Yield the ids that decisions on an event may have, under any configuration that is known."""
        known = [name for shard in self._shards for name in shard.names()]
        # Where no configuration is kept, what most kinds call their decisions: by the kind's own name.
        names = dict.fromkeys([*known, *kind_names()])
        return (f"{name}:{event_id}" for name in names)

    def _letter(self, record: Record) -> ExplainedLetter | None:
        """Return the dead letter that a retried input was."""
        if not record.retried:
            return None
        found = letter_retried([shard.directory for shard in self._shards], record)
        if found is None:
            return None
        letter, payload = found.letter, found.payload
        return ExplainedLetter(
            letter.reason, letter.message, found.number, payload != record.input, payload_shown(payload)
        )


def _utc(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _erased(shard: _Shard, place: Place, decision_id: str, others: tuple[Position, ...]) -> Explained | None:
    """Return what is left of an erased record; None if it isn't one."""
    if not shard.record(place).erased:
        return None
    head = shard.frame(place).head
    return Explained(
        decision_id=decision_id,
        erased=True,
        retried=shard.record(place).retried,
        overdue=shard.record(place).overdue,
        letter=None,
        decision=None,
        input=None,
        config=None,
        position=shard.position(place),
        accepted_ms=head.accepted_ms,
        committed_ms=head.committed_ms,
        outcomes=(),
        others=others,
    )


def _explained(
    shard: _Shard, place: Place, wanted: str, others: tuple[Position, ...], letter: ExplainedLetter | None
) -> Explained:
    record, head = shard.record(place), shard.frame(place).head
    config, settings = shard.configuration(place)
    kind, lines = kind_of(settings), lines_of(record.output)
    found = line_of(record.output, wanted)
    assert found is not None, "the record was found by this id"
    number, line = found
    decision = orjson.loads(line)
    outcomes = tuple(shard.outcomes(decision["event_id"]))
    behind = partial(records_behind, shard.directory, place)
    asked = Asked(settings, decision, number, record, outcomes, behind)
    try:
        why = kind.explain(asked)
    except ValueError as error:
        raise StateError(
            f"{shard.directory}: segment {place.segment}, byte {place.position}: {error}"
        ) from error
    tones = {action.name: action.tone for action in kind.actions(settings)}
    return Explained(
        decision_id=wanted,
        erased=False,
        retried=record.retried,
        overdue=record.overdue,
        letter=letter,
        decision=decision,
        input=_json_or_text(record.input),
        config=config,
        position=shard.position(place),
        accepted_ms=head.accepted_ms,
        committed_ms=head.committed_ms,
        outcomes=outcomes,
        others=others,
        beside=tuple(decision_id(each) for at, each in enumerate(lines) if at != number),
        why=why,
        tone=tones.get(decision["action"], ""),
        delivered=delivered_otherwise(shard.directory, place, wanted),
    )


def _json_or_text(line: bytes) -> Any:
    try:
        found = orjson.loads(line)
        # What can be read may be nested too deep to be written within an explanation: tried here, and not in
        # the middle of it.
        orjson.dumps(reduce(lambda inner, _: [inner], range(_WRAPPED_IN), found))
    except (ValueError, TypeError):  # no JSON, or nested too deep to be written again
        return line.decode(errors="replace")
    return found
