"""Parts that the policies of all decisions are put together from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .verdict import Decider, Verdict, trace_of

__all__ = ["always", "counts_by_path", "fixed", "with_deadline"]


def fixed(action: str, path: str, code: str) -> Verdict:
    """Return the verdict of a path that looks at nothing of an event."""
    return Verdict(action, path, path, (code,), None, trace_of(path))


def always(verdict: Verdict) -> Decider:
    """Decide the same for every event."""

    def decide(_event: Any, _values: Sequence[float], _score: Any, _time_ms: int, _overdue: bool) -> Verdict:
        return verdict

    return decide


def with_deadline(overdue_verdict: Verdict, then: Decider) -> Decider:
    """Decide at once on what is overdue, else go on."""

    def decide(event: Any, values: Sequence[float], score: Any, time_ms: int, overdue: bool) -> Verdict:
        return overdue_verdict if overdue else then(event, values, score, time_ms, overdue)

    return decide


def counts_by_path(counts: Mapping[str, int]) -> dict[str, int]:
    """Return verdicts by path, of counts by `Verdict.counter`; what shadow mode counts is left out."""
    by_path: dict[str, int] = {}
    for counter, count in dict(counts).items():
        path = counter.partition(".")[0]
        if path != "shadow":
            by_path[path] = by_path.get(path, 0) + count
    return by_path
