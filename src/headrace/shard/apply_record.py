"""Applies what a journal recorded once more, to a shard's state as it was then."""

from __future__ import annotations

from typing import Any, Final

import orjson

from headrace.journal.records import COMMAND, CUT, OVERDUE, RETRIED, SKIPPED, UNREADABLE, Kind, Record
from headrace.operators.events.contract import Event
from headrace.operators.events.declared import Contract
from headrace.operators.events.decode import Undecodable
from headrace.operators.events.oversized import cut_line_of, has_reason
from headrace.operators.events.unreadable import TOMBSTONE, Unreadable
from headrace.shard.commands import decode_command
from headrace.shard.decision_line import marked_retried, without
from headrace.shard.machine import Machine, Output

__all__ = [
    "DELIVERED",
    "PASSED_OVER",
    "SUBJECTS",
    "apply_again",
    "event_of",
    "payload_of",
    "retried",
]

PASSED_OVER: Final = Undecodable("skipped", "passed over, as asked for with --skip", None)
"""In the place of an input that an operator has passed over."""

_DECIDED: Final = int(Kind.DECIDED)
_DEAD: Final = int(Kind.DEAD)
_ABSENT: Final = int(Kind.ABSENT)
SUBJECTS: Final = ("customer_id", "session_id")
"""Fields of decisions that say whom they are about."""
DELIVERED: Final = "delivered"
"""A journal's note of a decision that was delivered otherwise than it stands there."""


def retried(output: Output) -> Output:
    """Mark what was decided on a dead letter's input that was given once more."""
    kind, line, detail = output
    return (kind, marked_retried(line), detail) if kind == _DECIDED else output


def apply_again(state: Machine, record: Record) -> Output:
    """Apply a recorded input as it was applied then: as a command, overdue, or once more.

    Parameters
    ----------
    state
        As it was before the input.
    record
        Not a note of the journal's own, and not erased.
    """
    flags, position = record.flags, (record.source, record.offset, record.line)
    if flags & COMMAND and not flags & SKIPPED:
        return state.command(decode_command(record.input), record.input, position)
    payload = payload_of(record)
    event = event_of(record, payload, state.contract, state.settings.input.line_bytes_max)
    output = state.apply(event, payload, position, overdue=bool(flags & OVERDUE))
    if flags & CUT:
        return output[0], output[1], record.detail
    output = retried(output) if flags & RETRIED else output
    # Only where the bytes differ is the line taken apart: replay stays as fast as deciding.
    if output[1] == record.output:
        return output
    return _worded_then(output, record) if output[0] == _DEAD else _as_then(output, record)


def payload_of(record: Record) -> bytes:
    """Return a recorded input as it came.

    Of one that was too large to keep, its head and what is known of it.
    """
    if record.flags & UNREADABLE:
        return Unreadable(record.input)
    if record.kind == _ABSENT:
        return TOMBSTONE
    return cut_line_of(record.input, record.detail) if record.flags & CUT else record.input


def event_of(record: Record, payload: bytes, contract: Contract, line_bytes_max: int) -> Event | Undecodable:
    """Return what a recorded input that is no command decodes to.

    Parameters
    ----------
    record, payload
        The input; its payload as `payload_of` gives it.
    contract
        The event types that it is to be one of.
    line_bytes_max
        Longer ones are not looked into.
    """
    if record.flags & SKIPPED:
        return PASSED_OVER
    event: Event | Undecodable = contract.decode_one(payload, line_bytes_max)
    if (
        # Earlier versions took items of any time. What they took must decode the same way now, or the journal
        # would contradict itself.
        event.__class__ is Undecodable
        and event.field == "published_at"
        and not has_reason(record.output, "invalid_field")
    ):
        event = contract.decode_item_of_any_time(payload)
    return event


def _worded_then(output: Output, record: Record) -> Output:
    """Return a dead letter in the words that an earlier version had for the same reason and field."""
    kind, line, detail = output
    # What a person is told may be put better; a state must not be refused for that.
    if record.kind != kind or _without_words(line) != _without_words(record.output):
        return output
    return kind, record.output, detail


def _without_words(letter: bytes) -> dict[str, Any]:
    return {key: value for key, value in orjson.loads(letter).items() if key != "message"}


def _as_then(output: Output, record: Record) -> Output:
    """Return a decision as earlier versions told it, which did not say whom it is about."""
    kind, line, detail = output
    if kind != _DECIDED:
        return output
    bare = without(line, *SUBJECTS)
    return (kind, bare, detail) if bare == record.output else output
