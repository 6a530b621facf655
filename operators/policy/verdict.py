"""What the policy says of an event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from msgspec import Struct, msgpack

from ...config.policy import Action

__all__ = ["DAY_MS", "Action", "Decider", "Verdict", "trace_of", "traced"]

DAY_MS: Final = 86_400_000
_encode: Final = msgpack.Encoder().encode


class Verdict(Struct, frozen=True, gc=False):
    """An action, and the path that led to it.

    Attributes
    ----------
    action
        What goes out.
    path
        What decided: `model`, `cost`, `ladder`, `list`, `rule`, `capacity`, `deadline`, `fallback` or
        `kill_switch`.
    counter
        What it is counted as: the path, for lists and rules with their name, such as `rule.new_customer`.
    codes
        Reason codes of the path; empty where the score decided and nothing else.
    would
        In shadow mode, what would have gone out; else None.
    trace
        A msgpack map that tells the path in detail; empty for a score held against thresholds.
    limit
        With a ladder, how much is granted.
    promise
        Of an estimate, what is promised.
    """

    action: str
    path: str
    counter: str
    codes: tuple[str, ...] = ()
    would: str | None = None
    trace: bytes = b""
    limit: float | None = None
    promise: float | None = None


Decider: TypeAlias = Callable[[Any, Sequence[float], Any, int, bool], Verdict]
"""From an event, features, what the model says, time (milliseconds) and whether it is overdue, to a verdict.

What the model says is a score, quantiles, or a score with the last limit: only who looks at it need know.
"""


def trace_of(path: str, /, **more: Any) -> bytes:
    """Return a trace that tells the path, and what else is said of it."""
    return _encode({"path": path, **more})


def traced(verdict: Verdict, /, **more: Any) -> bytes:
    """Return the trace of a verdict with more said; at most 15 entries in all, none of them twice."""
    before, after = verdict.trace or _encode({"path": verdict.path}), _encode(more)
    # The first byte of a small msgpack map is 0x80 and the number of its entries.
    return bytes((before[0] + after[0] - 0x80,)) + before[1:] + after[1:]
