"""A durable shard that reads topics: its place is told by an offset for each partition.

Batches of several sources come in an order that no later run can repeat, so ordinals are the shard's own
count. What stands before the shard's own mark of its source was applied by an earlier run and is passed over.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec.structs import replace

from headrace.journal.batches import Batch, Mark
from headrace.journal.passed_headers import PassedHeaders
from headrace.journal.records import CONTROL_SOURCE, SKIPPED
from headrace.shard.batch_applier import Applied
from headrace.shard.durable import DurableShard
from headrace.shard.kinds import kind_of
from headrace.shard.outgoing import Outgoing, dead_letter_id
from headrace.shard.waiting import sample

__all__ = ["MARKS_MESSAGES_MAX", "MARKS_SECONDS_MAX", "Taken", "TopicShard"]

# A shard that gets no inputs notes so often how far the others have come, so that it doesn't hold back where
# the next run begins to read.
MARKS_MESSAGES_MAX: Final = 65_536
MARKS_SECONDS_MAX: Final = 10.0
_CONTROL_NAME: Final = "control"


@dataclass(slots=True)
class Taken:
    """What a shard gives out for its part of a batch.

    Attributes
    ----------
    ordinal, ordinal_next
        Of its first input and behind its last one, in the shard's own count.
    inputs
        How many were applied.
    decisions, dead_letters
        In the order of their inputs.
    applied
        The same as plain lines.
    since_ms
        Since when some of what was decided waited, evenly chosen; empty if that isn't known.
    """

    ordinal: int
    ordinal_next: int
    inputs: int = 0
    decisions: list[Outgoing] = field(default_factory=list)
    dead_letters: list[Outgoing] = field(default_factory=list)
    applied: Applied = field(default_factory=Applied)
    since_ms: Sequence[int] = ()


class TopicShard:
    """Lets a shard apply what it has not applied before.

    Parameters
    ----------
    durable
        The shard; it keeps its state.

    Attributes
    ----------
    passed_over : int
        Messages that came again, and that the shard had applied.
    """

    def __init__(self, durable: DurableShard) -> None:
        self.durable = durable
        self._message_of = kind_of(durable.settings).message(durable.settings)
        self.passed_over = 0
        self._ahead = {source: mark.offset for source, mark in durable.marks.items()}
        self._unnoted: dict[int, Mark] = {}
        self._passed = 0
        self._noted_at = time.monotonic()

    def process(self, batch: Batch, events: Sequence[Any], indices: Sequence[int] | None) -> Taken:
        """Apply a shard's part of a batch and journal it; then give out what came of it.

        Parameters
        ----------
        batch
            Messages; offsets ascend within a source. Of the control channel, one file.
        events
            What each of them decodes to.
        indices
            Which are this shard's; None for all.
        """
        lines: Sequence[int] = range(len(batch.payloads)) if indices is None else indices
        if batch.flags:
            if self._ahead.get(CONTROL_SOURCE, 0) >= batch.marks[0].offset:
                return self.nothing()
        elif self._ahead:
            lines = self._new(batch, lines)
        for mark in batch.marks:
            if mark.offset > self._ahead.get(mark.source, -1):
                self._unnoted[mark.source] = mark
                # Once the source is past the mark there is nothing left to compare; with all of them gone,
                # batches aren't searched.
                self._ahead.pop(mark.source, None)
        if not lines:
            # Commands are noted at once, as their file stays in the folder until every shard has it.
            self._pass(len(batch.payloads), at_once=bool(batch.flags))
            return self.nothing()
        return self._apply(batch, events, lines)

    def nothing(self) -> Taken:
        """Return what is given out when no input is applied."""
        position = self.durable.position
        return Taken(position, position)

    def _new(self, batch: Batch, lines: Sequence[int]) -> Sequence[int]:
        """Lines that stand behind the shard's marks."""
        ahead, sources, offsets = self._ahead, batch.sources, batch.offsets
        new = [line for line in lines if offsets[line] >= ahead.get(sources[line], 0)]
        self.passed_over += len(lines) - len(new)
        return new

    def _apply(self, batch: Batch, events: Sequence[Any], lines: Sequence[int]) -> Taken:
        durable = self.durable
        first = durable.position
        part, chosen = _part(batch, events, lines, first, tuple(self._unnoted.values()))
        applied = durable.process(part, chosen, None)
        self._noted()
        taken = Taken(first, durable.position, len(lines), applied=applied)
        message_of = self._message_of  # the kind was asked when the shard was opened, not for each decision
        taken.decisions = [message_of(chosen[ordinal - first], line) for ordinal, line in applied.decisions]
        if part.since_ms:
            since_ms = part.since_ms
            taken.since_ms = [since_ms[ordinal - first] for ordinal, _ in sample(applied.decisions)]
        if part.headers:
            taken.decisions = _with_headers(taken.decisions, applied.decisions, first, part.headers)
        if applied.dead_letters:
            names = {**durable.sources.names, CONTROL_SOURCE: _CONTROL_NAME}
            taken.dead_letters = [self._dead(part, names, *each) for each in applied.dead_letters]
            if part.headers:
                letters = taken.dead_letters, applied.dead_letters
                taken.dead_letters = _with_headers(*letters, first, part.headers)
        return taken

    def _dead(self, part: Batch, names: Mapping[int, str], ordinal: int, line: bytes) -> Outgoing:
        place = ordinal - part.ordinal
        flags = part.flags[place] if part.flags else 0
        if (part.sources[place], part.offsets[place]) in self.durable.skips:
            flags |= SKIPPED
        name = names.get(part.sources[place], "")
        known = dead_letter_id(name, part.offsets[place], flags, (self.durable.shard, ordinal))
        return Outgoing(None, known, line)

    # -- marks

    def reached(self, source: int) -> int:
        """How far a partition was read, by its number; noted or not."""
        mark = self._unnoted.get(source) or self.durable.marks.get(source)
        return 0 if mark is None else mark.offset

    def _pass(self, messages: int, *, at_once: bool) -> None:
        self._passed += messages
        if at_once or self._passed >= MARKS_MESSAGES_MAX:
            self.note_marks()

    def note_marks(self) -> None:
        """Journal how far the sources were read, where that isn't yet."""
        if self._unnoted:
            self.durable.note_marks(tuple(self._unnoted.values()))
            self._noted()

    def tick(self, now_s: float) -> None:
        """Journal how far the sources were read, if that was last done long ago; `now_s` is monotonic."""
        if now_s - self._noted_at >= MARKS_SECONDS_MAX:
            self.note_marks()
            self._noted_at = now_s

    def _noted(self) -> None:
        self._unnoted.clear()
        self._passed = 0
        self._noted_at = time.monotonic()


def _part(
    batch: Batch, events: Sequence[Any], lines: Sequence[int], ordinal: int, marks: tuple[Mark, ...]
) -> tuple[Batch, Sequence[Any]]:
    """Lines of a batch as a batch of their own."""
    payloads, sources, offsets, numbers, flags, since_ms = (
        batch.payloads,
        batch.sources,
        batch.offsets,
        batch.lines,
        batch.flags,
        batch.since_ms,
    )
    # With one shard the lists are passed on as they are, and nothing is copied.
    if len(lines) < len(payloads):
        events = [events[line] for line in lines]
        payloads = [payloads[line] for line in lines]
        sources = [sources[line] for line in lines]
        offsets = [offsets[line] for line in lines]
        numbers = [numbers[line] for line in lines]
        flags = [flags[line] for line in lines] if flags else ()
        since_ms = [since_ms[line] for line in lines] if since_ms else ()
    accepted = batch.accepted_ms, batch.accepted_ns
    part = Batch(*accepted, ordinal, payloads, sources, offsets, numbers, marks, flags, since_ms)
    if headers := batch.headers:
        part.headers = {at: headers[line] for at, line in enumerate(lines) if line in headers}
    return part, events


def _with_headers(
    messages: Sequence[Outgoing],
    outputs: Sequence[tuple[int, bytes]],
    first: int,
    headers: Mapping[int, PassedHeaders],
) -> list[Outgoing]:
    """Messages with the headers of the inputs that they answer."""
    return [
        message if (some := headers.get(ordinal - first)) is None else replace(message, headers=some)
        for message, (ordinal, _) in zip(messages, outputs, strict=True)
    ]
