"""Applies the inputs of a batch to a shard's state, and makes the records of what became of them."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from headrace.config.tables import RunSettings
from headrace.errors import HeadraceError, InputFailed
from headrace.journal.batches import Batch
from headrace.journal.passed_headers import PassedHeaders, with_headers
from headrace.journal.records import (
    COMMAND,
    CUT,
    HEADERS,
    OVERDUE,
    RETRIED,
    SKIPPED,
    UNREADABLE,
    Kind,
    RecordFields,
)
from headrace.operators.events.decode import unexpected
from headrace.operators.events.oversized import CutLine, whole_of
from headrace.operators.events.unreadable import Unreadable
from headrace.shard.apply_record import PASSED_OVER, retried
from headrace.shard.attempts import Attempt
from headrace.shard.commands import Erase
from headrace.shard.machine import Machine, Position
from headrace.shard.waiting import by_waiting

__all__ = ["Applied", "BatchApplier", "add_output"]

_OVERDUE_EVERY_INPUTS: Final = 16  # so often the clock is read, when there is a limit on waiting
_CAREFUL_BATCHES: Final = 2  # more than a shard has in hand when its process dies
_DECIDED: Final = int(Kind.DECIDED)
_DEAD: Final = int(Kind.DEAD)


@dataclass(slots=True)
class Applied:
    """What a shard gives out for its part of a batch: lines with the ordinal of the input they answer."""

    decisions: list[tuple[int, bytes]] = field(default_factory=list)
    dead_letters: list[tuple[int, bytes]] = field(default_factory=list)


class BatchApplier:
    """Applies batches: as fast as it can, or one by one where care is due.

    Parameters
    ----------
    state
        The state machine.
    settings
        The configuration to go on with.
    shard
        Number of the shard.
    attempt
        Where the run notes which input it is at, if the one before has died.
    on_erase
        Is called with a command to erase, and its ordinal, before it is applied.

    Attributes
    ----------
    skips
        Inputs to be passed over, by number of their source and offset there, and how often that was done.
    """

    def __init__(
        self,
        state: Machine,
        settings: RunSettings,
        *,
        shard: int,
        attempt: Attempt | None,
        on_erase: Callable[[Erase, int], None],
    ) -> None:
        self._state, self._shard, self._attempt, self._on_erase = state, shard, attempt, on_erase
        self._overdue_ns = _overdue_ns(settings)
        self.skips: dict[tuple[int, int], int] = {}
        self._careful_left = 0
        if attempt is not None and attempt.careful:
            self._careful_left = _CAREFUL_BATCHES * settings.input.batch_lines_max
            attempt.takes_care(shard)

    def apply(
        self, batch: Batch, events: Sequence[Any], lines: Sequence[int], applied: Applied
    ) -> list[RecordFields]:
        """Apply lines, and give their records.

        Raises
        ------
        InputFailed
            If one makes the program itself fail: the state is then no longer that of any order of inputs.
        """
        one_by_one = batch.flags or self._careful_left or self._skips_any(batch, lines)
        records: list[RecordFields] = []
        try:
            apply = self._apply_one_by_one if one_by_one else self._apply_lines
            apply(batch, events, lines, applied, records)
        # These are about the machine or the state, and not about the input that was in hand.
        except (HeadraceError, OSError, MemoryError):
            raise
        except Exception as error:
            raise self._failed(batch, lines[len(records)], error) from error
        if batch.headers:
            _add_headers(records, lines, batch.headers)
        return records

    def _apply_lines(
        self,
        batch: Batch,
        events: Sequence[Any],
        lines: Sequence[int],
        applied: Applied,
        records: list[RecordFields],
    ) -> None:
        apply = self._state.apply
        decide, keep = applied.decisions.append, records.append
        # This loop is the hot path. It knows nothing of commands, skips and care: a batch with any of them
        # takes the other one.
        for some, overdue in self._waited(batch, lines):
            flags = OVERDUE if overdue else 0
            for ordinal, payload, event, position in _inputs(batch, events, some):
                kind, out, detail = apply(event, payload, position, overdue=overdue)
                source, offset, line = position
                if kind == _DECIDED:
                    decide((ordinal, out))
                elif kind == _DEAD:
                    applied.dead_letters.append((ordinal, out))
                    marked, detail = _marked(payload, flags, detail)
                    keep((kind, marked, source, ordinal, offset, line, payload, out, detail))
                    continue
                keep((kind, flags, source, ordinal, offset, line, payload, out, detail))

    def _waited(self, batch: Batch, lines: Sequence[int]) -> Iterator[tuple[Sequence[int], bool]]:
        """Lines, in portions if there is a limit on waiting, and whether they have waited for longer."""
        limit_ns = self._overdue_ns
        if limit_ns is None:
            yield lines, False
            return
        for at in range(0, len(lines), _OVERDUE_EVERY_INPUTS):
            some = lines[at : at + _OVERDUE_EVERY_INPUTS]
            waited_ns = time.perf_counter_ns() - batch.accepted_ns
            if not batch.since_ms:
                yield some, waited_ns > limit_ns
                continue
            # The longer of both counts, as the wall clock may be set back.
            waited_ms = 0 if waited_ns > limit_ns else limit_ns // 1_000_000
            yield from by_waiting(some, batch.since_ms, time.time_ns() // 1_000_000 - waited_ms)

    def _apply_one_by_one(
        self,
        batch: Batch,
        events: Sequence[Any],
        lines: Sequence[int],
        applied: Applied,
        records: list[RecordFields],
    ) -> None:
        """Apply commands, the inputs of dead letters, what is to be passed over; all, where care is due."""
        for some, overdue in [(lines, False)] if batch.flags else self._waited(batch, lines):
            for index in some:
                event, ordinal, payload = events[index], batch.ordinal + index, batch.payloads[index]
                position = (batch.sources[index], batch.offsets[index], batch.lines[index])
                flags = batch.flags[index] if batch.flags else OVERDUE if overdue else 0
                if self._careful_left and self._attempt is not None:
                    self._attempt.at(self._named(position))
                if self.skips and self._passes_over(position):
                    event, flags = PASSED_OVER, flags | SKIPPED
                if flags & COMMAND and not flags & SKIPPED:
                    if isinstance(event, Erase):
                        self._on_erase(event, ordinal)
                    kind, out, detail = self._state.command(event, payload, position)
                else:
                    kind, out, detail = self._state.apply(event, payload, position, overdue=overdue)
                    if flags & RETRIED:
                        kind, out, detail = retried((kind, out, detail))
                add_output(applied, ordinal, kind, out)
                if kind == _DEAD:
                    flags, detail = _marked(payload, flags, detail)
                records.append((kind, flags, position[0], ordinal, *position[1:], payload, out, detail))

    def _named(self, position: Position) -> str:
        """Return an input's place as `--skip` takes it."""
        source, offset, _ = position
        return f"{self._state.source_names.get(source, source)}:{offset}"

    def _failed(self, batch: Batch, index: int, error: Exception) -> InputFailed:
        position = (batch.sources[index], batch.offsets[index], batch.lines[index])
        named, raised = self._named(position), traceback.extract_tb(error.__traceback__)[-1]
        if self._attempt is not None:
            self._attempt.failed(named)
        why = f"{unexpected(error).message} ({Path(raised.filename).name}, line {raised.lineno})"
        return InputFailed(named, batch.ordinal + index, f"made the program fail: {why}")

    def _skips_any(self, batch: Batch, lines: Sequence[int]) -> bool:
        skips, sources, offsets = self.skips, batch.sources, batch.offsets
        return bool(skips) and any((sources[index], offsets[index]) in skips for index in lines)

    def _passes_over(self, position: Position) -> bool:
        wanted = position[:2] in self.skips
        if wanted:
            self.skips[position[:2]] += 1
        return wanted

    def journalled(self, inputs: int) -> None:
        """Take note that inputs are journalled.

        After a run that died, inputs are applied one by one up to behind those that it had in hand.
        """
        if not self._careful_left:
            return
        self._careful_left = max(0, self._careful_left - inputs)
        if self._attempt is not None:
            self._attempt.got_on(self._shard, done=not self._careful_left)
            # Care ends for all shards together, also for one that hasn't had so many inputs.
            self._careful_left *= self._attempt.careful


def _add_headers(
    records: list[RecordFields], lines: Sequence[int], headers: Mapping[int, PassedHeaders]
) -> None:
    """Let records keep the headers that go on to what goes out, as it may have to be sent again."""
    for at, index in enumerate(lines):
        if index in headers and records[at][0] in (_DECIDED, _DEAD):
            kind, flags, *fields, detail = records[at]
            records[at] = (kind, flags | HEADERS, *fields, with_headers(detail, headers[index]))  # type: ignore[assignment]


def _overdue_ns(settings: RunSettings) -> int | None:
    wait_ms_max = settings.wait_ms_max
    return None if wait_ms_max is None else wait_ms_max * 1_000_000


def _inputs(
    batch: Batch, events: Sequence[Any], indices: Sequence[int]
) -> Iterable[tuple[int, bytes, Any, Position]]:
    """Ordinal, bytes, event and position of lines of a batch."""
    first, payloads = batch.ordinal, batch.payloads
    sources, offsets, lines = batch.sources, batch.offsets, batch.lines
    if len(indices) == len(payloads):  # all of them, as with a single shard
        positions = zip(sources, offsets, lines, strict=True)
        return zip(range(first, first + len(payloads)), payloads, events, positions, strict=True)
    return [
        (first + index, payloads[index], events[index], (sources[index], offsets[index], lines[index]))
        for index in indices
    ]


def _marked(payload: bytes, flags: int, detail: bytes) -> tuple[int, bytes]:
    """Return flags and detail of a dead letter's record, which also say whether its input is cut."""
    if isinstance(payload, CutLine):
        return flags | CUT, whole_of(payload)
    if isinstance(payload, Unreadable):
        return flags | UNREADABLE, detail
    return flags, detail


def add_output(applied: Applied, ordinal: int, kind: int, line: bytes) -> None:
    """Add what goes out for an input."""
    if kind == _DECIDED:
        applied.decisions.append((ordinal, line))
    elif kind == _DEAD:
        applied.dead_letters.append((ordinal, line))
