"""What is said of any replay under another configuration, in words that terminal and page share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from headrace.replay.intervals import Interval
from headrace.replay.walk import Walked

__all__ = [
    "BOUNDS_HEAD",
    "LIMITS",
    "NOT_COMPARABLE",
    "ORIGIN",
    "Part",
    "began",
    "day",
    "figure",
    "not_comparable",
    "origin",
    "spread",
]

BOUNDS_HEAD: Final = ("", "old", "new", "new - old")
NOT_COMPARABLE: Final = "Not comparable"
LIMITS: Final = "What this can't tell"
ORIGIN: Final = "Where it comes from"
_WHOLE_FROM: Final = 1000.0  # hundredths of such a cost say nothing


class Part(NamedTuple):
    """A section of the report.

    Attributes
    ----------
    title
        Its heading.
    sentences
        What is said first.
    head, rows
        A table behind it; with an empty head, pairs of a name and what is said of it.
    points
        A slate of sentences behind that; None for none, empty for a slate in which there is nothing.
    """

    title: str
    sentences: Sequence[str] = ()
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    points: Sequence[str] | None = None


def day(time_ms: int) -> str:
    """Return a day, UTC."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d}"


def _minute(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def figure(name: str, value: float | None, *, signed: bool = False) -> str:
    """Return a measure's figure; a dash where it isn't defined."""
    if value is None:
        return "-"
    sign = "+" if signed else ""
    if name == "cost":
        return f"{value:{sign},.0f}" if abs(value) >= _WHOLE_FROM else f"{value:{sign},.2f}"
    return f"{value:{sign}.4f}"


def spread(name: str, interval: Interval, *, signed: bool = False, between: str = " ") -> str:
    """Return a figure with its interval, and what stands between them."""
    value = figure(name, interval.value, signed=signed)
    if interval.low is None or interval.high is None:
        return value
    low, high = (figure(name, each, signed=signed) for each in (interval.low, interval.high))
    return f"{value}{between}[{low}, {high}]"


def began(warm_up_days: int) -> str:
    """Return what the new configuration began with, and what is left out therefore."""
    days = "The first day is" if warm_up_days == 1 else f"The first {warm_up_days} days are"
    warm_up = f"{days} not compared" if warm_up_days else ""
    return f"The new configuration began with nothing. {warm_up or 'Nothing is left out as warm-up'}."


def not_comparable(replayed: Walked, what: str) -> Iterator[str]:
    """Yield what has no counterpart."""
    if replayed.erased:
        yield (
            f"{replayed.erased:,} records were erased, {replayed.erased_decisions:,} of them decisions; the"
            " new configuration saw nothing of them."
        )
    for reason, count in replayed.old_only.items():
        yield f"{count:,} {what} were decided then, but are {_otherwise(reason)} now."
    if replayed.new_only:
        yield f"{replayed.new_only:,} {what} are decided now, but were not then."
    if replayed.commands_refused:
        yield f"{replayed.commands_refused:,} commands are refused by the new configuration."
    if replayed.ordinal_first:
        yield (
            f"The first {replayed.ordinal_first:,} inputs are no longer kept in every shard: the new"
            " configuration knows nothing of them, while the old decisions did."
        )


def _otherwise(reason: str) -> str:
    return "duplicates" if reason == "duplicate" else f"dead letters ({reason})"


def origin(report: Any, drawn: str) -> Iterator[tuple[str, str]]:
    """Yield configurations, versions, platforms, and the range of the inputs.

    Parameters
    ----------
    report
        Of any kind.
    drawn
        What the intervals are drawn by: `customers`.
    """
    # Each configuration that was in force, as the old side is what they decided one after another.
    for each in report.recorded:
        learns = "" if each.learn else ", without learning"
        yield (
            f"old, from input {each.ordinal:,}",
            f"{each.digest[:12]} ({each.model}{learns}), {_program(each.code, each.platform)}",
        )
    yield (
        "new",
        f"{report.settings_digest[:12]} ({report.model}), {_program(report.version, report.platform)}",
    )
    replayed = report.replayed
    if replayed.inputs:
        last = replayed.ordinal_next - 1
        yield "inputs", f"{replayed.inputs:,}, from {replayed.ordinal_first:,} to {last:,}"
    if report.period.last_ms:
        yield "event time", f"{_minute(report.period.first_ms)} to {_minute(report.period.last_ms)}"
    yield "intervals", f"95 %, bootstrap that draws {drawn}, the same draws each time"


def _program(code: str, platform: str | None) -> str:
    return f"Headrace {code}, platform {platform or 'not kept'}"
