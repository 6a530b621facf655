"""The line of a decision: how it is encoded, and what is read and changed in it without decoding it.

State machines encode a mapping whose first fields are `FIRST_FIELDS`, with the option `ENCODING`, and nobody
else writes such a line. So what looks into its bytes stands here.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

__all__ = ["ENCODING", "FIRST_FIELDS", "decision_id", "id_token", "marked_retried", "without"]

ENCODING: Final = orjson.OPT_APPEND_NEWLINE
"""With which option of orjson's a decision becomes a line."""

FIRST_FIELDS: Final = ("decision_id", "event_id")
"""What a decision begins with, so that its id can be found without decoding the line."""

_BEGINS: Final = b'{"%s":"' % FIRST_FIELDS[0].encode()
_ID_ENDS: Final = b'","%s":' % FIRST_FIELDS[1].encode()
_ID_AT: Final = len(_BEGINS)
_ENDS: Final = b"}\n"
_RETRIED: Final = b',"retried":true' + _ENDS


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


def marked_retried(line: bytes) -> bytes:
    """Return the line of a decision on a dead letter's input that was given once more."""
    # As encoding with the field would give it, for a fraction of its cost and without a way to change other
    # bytes.
    return line[: -len(_ENDS)] + _RETRIED


def without(line: bytes, *fields: str) -> bytes:
    """Return the line without some fields, as earlier versions encoded it."""
    decision: dict[str, Any] = orjson.loads(line)
    for field in fields:
        decision.pop(field, None)
    return orjson.dumps(decision, option=ENCODING)
