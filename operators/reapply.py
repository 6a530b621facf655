"""Applies what a journal recorded once more, to a shard's state as it was then."""

from __future__ import annotations

import platform
from typing import Final

from headrace.operators.codec import decode_one
from headrace.operators.commands import decode_command
from headrace.operators.journal import COMMAND, OVERDUE, RETRIED, Kind, Record
from headrace.operators.machine import Machine, Output

__all__ = ["apply_again", "kernel", "retried"]

_DECIDED: Final = int(Kind.DECIDED)


def kernel() -> str:
    """What numbers are computed with here: Python's version, the machine, the C library's version.

    Scores of two kernels may differ in their last digits.
    """
    return " ".join((platform.python_version(), platform.machine(), platform.libc_ver()[1]))


def retried(output: Output) -> Output:
    """Mark the decision on a dead letter's input that was given once more."""
    kind, line, detail = output
    return (kind, line[:-2] + b',"retried":true}\n', detail) if kind == _DECIDED else output


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
    if flags & COMMAND:
        return state.command(decode_command(record.input), record.input, position)
    event = decode_one(record.input, state.settings.input.line_bytes_max)
    output = state.apply(event, record.input, position, overdue=bool(flags & OVERDUE))
    return retried(output) if flags & RETRIED else output
