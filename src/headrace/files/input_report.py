"""Looks at files before a flow does: what in them is an event, and whether they are in time order.

Each question is an `Examination`; a further one is a further class, and an entry in `EXAMINATIONS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from headrace.config.tables import RunSettings
from headrace.files.contract_report import Decoded, Fields
from headrace.files.line_reader import LineReader
from headrace.files.lines import Examination, Lines
from headrace.files.time_order import Disorder
from headrace.operators.events.declared import contract_of
from headrace.operators.events.decode import Undecodable
from headrace.operators.events.event_times import AT_ONCE, times_of
from headrace.operators.events.timestamps import time_text
from headrace.shard.kinds import kind_of

__all__ = ["EXAMINATIONS", "Report", "examine"]

_LINES_AT_ONCE: Final = 1024
_DAY_MS: Final = 86_400_000
_EXAMPLES_MAX: Final = 3
_EXCERPT_BYTES: Final = 60


class Report(NamedTuple):
    """What a file is like.

    Attributes
    ----------
    lines, usable
        Lines that aren't blank, and how many of them are events that the flow takes.
    said
        What the examinations tell.
    """

    lines: int
    usable: int
    said: list[tuple[str, str]]


class _Events:
    """Which events there are, and of which time."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first, self._last = 0, 0

    def take(self, lines: Lines) -> None:
        for event in lines.events:
            if event.__class__ is not Undecodable:
                self._counts[str(event.__struct_config__.tag)] += 1
                self._first = min(self._first or event.event_time, event.event_time)
                self._last = max(self._last, event.event_time)

    def told(self) -> Iterator[tuple[str, str]]:
        if self._counts:
            yield "events", ", ".join(f"{count:,} {kind}" for kind, count in self._counts.most_common())
            times = (time_text(each).decode() for each in (self._first, self._last))
            yield "event time", " to ".join(times)


class _TimeOrder:
    """Whether the lines are in the order of event time."""

    def __init__(self, settings: RunSettings) -> None:
        self._late_days = settings.time.allowed_lateness_days
        self._found, self._highest, self._timed = Disorder(), AT_ONCE, 0
        self._first: tuple[int, int] | None = None

    def take(self, lines: Lines) -> None:
        for time_ms, number, offset in zip(lines.times, lines.numbers, lines.offsets, strict=True):
            if time_ms == AT_ONCE:
                continue
            self._timed += 1
            if time_ms < self._highest:
                self._found = self._found.after(time_ms, self._highest, self._late_days * _DAY_MS)
                self._first = self._first or (number, offset)
            else:
                self._highest = time_ms

    def told(self) -> Iterator[tuple[str, str]]:
        if self._first is None:
            yield "time order", "all in order" if self._timed else "no line has an event time"
            return
        yield "time order", self._found.told(self._timed, self._late_days)
        yield (
            "",
            f"the first is line {self._first[0]:,}, byte {self._first[1]:,}; run --sort puts them in order",
        )


class _NoEvents:
    """Which lines are no events of the flow, by reason, with the first of each."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = {}

    def take(self, lines: Lines) -> None:
        for place, event in enumerate(lines.events):
            if event.__class__ is not Undecodable:
                continue
            self._counts[event.reason] += 1
            if self._counts[event.reason] <= _EXAMPLES_MAX:
                at = f"line {lines.numbers[place]:,}, byte {lines.offsets[place]:,}"
                excerpt = ascii(lines.payloads[place][:_EXCERPT_BYTES])[1:]
                self._examples.setdefault(event.reason, []).append(f"{at}: {event.message}: {excerpt}")

    def told(self) -> Iterator[tuple[str, str]]:
        for reason, count in self._counts.most_common():
            yield "no event", f"{count:,} {reason}"
            for example in self._examples[reason]:
                yield "", example


EXAMINATIONS: Final[tuple[Callable[[RunSettings], Examination], ...]] = (
    lambda _: _Events(),
    _TimeOrder,
    lambda _: _NoEvents(),
    Fields,
    Decoded,
)


def examine(reader: LineReader, settings: RunSettings) -> Report:
    """Put all questions to the lines of a file, in one pass and bounded memory.

    Parameters
    ----------
    reader
        Of the file; it is read to its end and closed.
    settings
        Of the flow that is to read it.
    """
    examinations = [each(settings) for each in EXAMINATIONS]
    total = usable = 0
    while (taken := reader.take(_LINES_AT_ONCE)) is not None or not reader.ended:
        if taken is None:
            continue
        events = _decoded(taken[0], settings)
        total += len(events)
        usable += sum(event.__class__ is not Undecodable for event in events)
        lines = Lines(*taken, events, times_of(taken[0]))
        for each in examinations:
            each.take(lines)
    reader.close()
    return Report(total, usable, [words for each in examinations for words in each.told()])


def _decoded(payloads: Sequence[bytes], settings: RunSettings) -> list[Any]:
    """Events, as the flow would take them."""
    events = contract_of(settings.events).decode(payloads, settings.input.line_bytes_max)
    refusal = kind_of(settings).refusals(settings)
    return [event if isinstance(event, Undecodable) else refusal(event) or event for event in events]
