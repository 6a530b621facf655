"""What the journal alone keeps of the decisions on an event: values, inputs, contributions, policy traces."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from headrace.operators.decisions.decision import Decision
from headrace.operators.decisions.judged import Judged

__all__ = ["DecisionDetail", "EventDetail", "pack_detail", "read_detail"]

_encode: Final = msgspec.msgpack.Encoder().encode


class DecisionDetail(NamedTuple):
    """Of one decision.

    Attributes
    ----------
    inputs
        What its model read: slots, or values; None where the decision failed.
    contributions
        What each input added; empty where none were computed.
    score
        What the model said before calibration.
    trace
        The policy's, MessagePack or empty.
    shadow
        The line of a decision that only watches; else None.
    """

    inputs: tuple[float, ...] | None
    contributions: tuple[float, ...]
    score: float
    trace: bytes
    shadow: bytes | None


class EventDetail(NamedTuple):
    """Of one event.

    Attributes
    ----------
    values
        Its features, NaN where missing.
    decisions
        By name.
    """

    values: tuple[float, ...]
    decisions: dict[str, DecisionDetail]


def pack_detail(
    values: Sequence[float], judgements: Sequence[tuple[Decision, Judged]], shadowed: Sequence[bytes]
) -> bytes:
    """Pack what is kept of the decisions on an event; numbers lie side by side, little-endian."""
    lines = iter(shadowed)
    return _encode(
        (
            struct.pack(f"<{len(values)}d", *values),
            [_packed(decision, judged, lines) for decision, judged in judgements],
        )
    )


def _packed(decision: Decision, judged: Judged, lines: Any) -> tuple[Any, ...]:
    inputs, contributions = judged.inputs, judged.contributions
    # Contributions have four bytes each: they are shown with three digits behind the point.
    if judged.singles is not None:
        # As machine code has laid them.
        packed: bytes | None = memoryview(inputs).tobytes()  # type: ignore[arg-type]
        added = judged.singles.tobytes()
    else:
        code = "I" if decision.inputs.by_slots else "d"
        packed = None if inputs is None else struct.pack(f"<{len(inputs)}{code}", *inputs)
        added = struct.pack(f"<{len(contributions)}f", *contributions)
    return (
        decision.name,
        packed,
        decision.inputs.by_slots,
        added,
        judged.score,
        judged.verdict.trace,
        next(lines) if decision.settings.shadow else None,
    )


def read_detail(detail: bytes) -> EventDetail:
    """Take a detail apart.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        values, packed = msgspec.msgpack.decode(detail)
        return EventDetail(_numbers(values, "d"), {each[0]: _unpacked(*each[1:]) for each in packed})
    except (msgspec.DecodeError, struct.error, TypeError, IndexError) as error:
        raise ValueError(f"not the detail of an event's decisions: {error}") from error


def _unpacked(
    inputs: bytes | None,
    by_slots: bool,
    contributions: bytes,
    score: float,
    trace: bytes,
    shadow: bytes | None,
) -> DecisionDetail:
    read = None if inputs is None else _numbers(inputs, "I" if by_slots else "d")
    return DecisionDetail(read, _numbers(contributions, "f"), score, trace, shadow)


def _numbers(packed: bytes, code: str) -> tuple[Any, ...]:
    return struct.unpack(f"<{len(packed) // struct.calcsize(code)}{code}", packed)
