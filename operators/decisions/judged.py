"""What a decision says of an event, how it turned out, and what takes that in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..policy import Verdict

__all__ = ["Evaluated", "FeaturesFed", "Judged"]


class Judged(NamedTuple):
    """What a decision says of an event; nothing has changed by it.

    Attributes
    ----------
    verdict
        What is done, and by which path of the policy.
    fields
        What goes out beside the action: the score, or the quantiles.
    said
        `reasons`, and `policy` where something else than thresholds decided.
    codes
        Reason codes.
    inputs
        What the model read; None where the decision failed.
    score
        What the model said before calibration; 0 where it gives no score.
    served
        The numbers that go out.
    contributions
        What each input added.
    singles
        The same in four bytes each, where machine code has written them; else None.
    """

    verdict: Verdict
    fields: dict[str, Any]
    said: dict[str, Any]
    codes: Sequence[str]
    inputs: Sequence[Any] | None
    score: float
    served: Sequence[float]
    contributions: Sequence[float]
    singles: memoryview | None = None


class Evaluated(NamedTuple):
    """How a decision turned out.

    Attributes
    ----------
    name
        The decision's.
    event_id
        Of the event that asked.
    levels
        Of the quantiles that went out, ascending; empty for a score.
    served
        The numbers that went out.
    value
        What was told.
    """

    name: str
    event_id: str
    levels: tuple[float, ...]
    served: Sequence[float]
    value: float


class FeaturesFed(NamedTuple):
    """What features take in once a decision's truth is known.

    Attributes
    ----------
    label
        `(rows, number, flags, time_ms, label)`.
    relabel
        `(rows, number, flags, time_ms, old, new)`.
    conditions
        What the bits of the flags stand for, the lowest first.
    """

    label: Callable[..., None]
    relabel: Callable[..., None]
    conditions: tuple[str, ...]
