"""Counts of a run that was begun several times: what the state has counted since the first time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from headrace.runtime.runs import Progress

__all__ = ["COUNTED", "added", "since", "with_earlier"]

COUNTED: Final = (
    *("inputs", "decisions", "dead_letters", "duplicates", "outcomes_matched", "outcomes_unmatched"),
    *("outcomes_corrected", "outcomes_late", "without_effect", "bytes_read"),
)
"""Fields of a progress that are counts."""

_BY_NAME: Final = ("by_action", "reasons", "dead_by_reason")


def added(parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Return counts by name, put together."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: sum(part.get(name, 0) for part in parts) for name in names}


def since(first: Progress, now: Progress) -> Progress:
    """Return what was counted between two moments; a count that an erasure has made smaller is 0."""
    counts: dict[str, Any] = {name: max(getattr(now, name) - getattr(first, name), 0) for name in COUNTED}
    for name in _BY_NAME:
        before = getattr(first, name)
        counts[name] = {key: max(n - before.get(key, 0), 0) for key, n in getattr(now, name).items()}
    return Progress(**counts)


def with_earlier(progress: Progress, earlier: Progress) -> Progress:
    """Return a progress that counts also what was done earlier."""
    counts: dict[str, Any] = {name: getattr(progress, name) + getattr(earlier, name) for name in COUNTED}
    for name in _BY_NAME:
        counts[name] = added([getattr(earlier, name), getattr(progress, name)])
    return replace(progress, **counts)
