"""The line of a decision: how it is encoded, and what is read and changed in it without decoding it.

State machines encode a mapping whose first fields are `FIRST_FIELDS`, with the option `ENCODING`, and nobody
else writes such a line. So what looks into its bytes stands here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

__all__ = [
    "ENCODING",
    "FIRST_FIELDS",
    "decision_id",
    "each_line",
    "id_token",
    "line_of",
    "lines_of",
    "marked_retried",
    "without",
]

ENCODING: Final = orjson.OPT_APPEND_NEWLINE
"""With which option of orjson's a decision becomes a line."""

FIRST_FIELDS: Final = ("decision_id", "event_id")
"""What a decision begins with, so that its id can be found without decoding the line."""

_BEGINS: Final = b'{"%s":"' % FIRST_FIELDS[0].encode()
_ID_ENDS: Final = b'","%s":' % FIRST_FIELDS[1].encode()
_ID_AT: Final = len(_BEGINS)
_ENDS: Final = b"}\n"
_RETRIED: Final = b',"retried":true' + _ENDS


def lines_of(output: bytes) -> list[bytes]:
    """Return the lines of what an input led to: one for each of its decisions, each with its newline."""
    # Within JSON a newline is escaped. `splitlines` would take carriage returns for ends of lines as well.
    if output.find(b"\n") == len(output) - 1:
        return [output]
    return [line + b"\n" for line in output[:-1].split(b"\n")]


def each_line(outputs: Sequence[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Return lines one by one, each with the ordinal of its input, where some inputs led to several."""
    return [(ordinal, line) for ordinal, output in outputs for line in lines_of(output)]


def line_of(output: bytes, wanted: str) -> tuple[int, bytes] | None:
    """Return the line of a decision by its id, behind its number among those of its input, from 0."""
    # By the bytes at its beginning: of an export or an index, decoding would be most of the work.
    for number, line in enumerate(lines_of(output)):
        if decision_id(line) == wanted:
            return number, line
    return None


def decision_id(line: bytes) -> str:
    """Return the id at the beginning of a decision's line."""
    found = line[_ID_AT : line.index(b'"', _ID_AT)]
    # An escaped quote may have cut the id short; ids with escapes are rare enough to be decoded whole.
    if b"\\" in found:
        return str(orjson.loads(line)["decision_id"])
    return found.decode()


def id_token(line: bytes) -> bytes:
    """Return a decision's id as JSON, quotes included; usually without decoding the line."""
    if line.startswith(_BEGINS):
        # Within a JSON string each quote follows a backslash, so that the first match is no part of the id.
        end = line.find(_ID_ENDS)
        if end > 0:
            return line[_ID_AT - 1 : end + 1]
    return orjson.dumps(orjson.loads(line)["decision_id"])


def marked_retried(output: bytes) -> bytes:
    """Return the decisions on a dead letter's input that was given once more, each marked as such."""
    # As encoding with the field would give it, for a fraction of its cost and without a way to change other
    # bytes.
    return b"".join([line[: -len(_ENDS)] + _RETRIED for line in lines_of(output)])


def without(output: bytes, *fields: str) -> bytes:
    """Return decisions without some fields, as earlier versions encoded them."""
    return b"".join([_without(line, fields) for line in lines_of(output)])


def _without(line: bytes, fields: Sequence[str]) -> bytes:
    decision: dict[str, Any] = orjson.loads(line)
    for field in fields:
        decision.pop(field, None)
    return orjson.dumps(decision, option=ENCODING)
