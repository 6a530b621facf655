"""What the records of a journal are filed under, and the digests of it that an index holds."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import msgspec
import orjson

from headrace.journal.records import Kind, Record
from headrace.shard.decision_line import id_token, lines_of

__all__ = [
    "CONFIG_KEY",
    "about_key",
    "decision_key",
    "digest_of",
    "keys_of",
    "number_of",
    "source_key",
]

_DIGEST_BYTES: Final = 8
_DECIDED: Final = int(Kind.DECIDED)
_APPLIED: Final = int(Kind.APPLIED)
_CONTROL: Final = int(Kind.CONTROL)


class _About(msgspec.Struct, gc=False):
    type: str
    about: str | None = None


class _Note(msgspec.Struct, gc=False):
    control: str
    number: int | None = None


_about_decoder: Final = msgspec.json.Decoder(_About)
_note_decoder: Final = msgspec.json.Decoder(_Note)


def digest_of(key: bytes) -> bytes:
    """Return the digest of a key, 8 bytes."""
    return blake2b(key, digest_size=_DIGEST_BYTES).digest()


def number_of(digest: bytes) -> int:
    """Return a digest as the number that is sorted."""
    return int.from_bytes(digest, "little")


def _control_key(name: str, number: int | None = None) -> bytes:
    return (f"c{name}" if number is None else f"c{name}:{number}").encode()


def decision_key(decision_id: str) -> int:
    """Return the number that a decision is filed under."""
    return number_of(digest_of(b"d" + orjson.dumps(decision_id)))


def about_key(event_id: str) -> int:
    """Return the number that the outcomes of a payment are filed under."""
    return number_of(digest_of(b"o" + event_id.encode()))


def source_key(number: int) -> int:
    """Return the number that the naming of a source is filed under."""
    return number_of(digest_of(_control_key("source", number)))


CONFIG_KEY: Final = number_of(digest_of(_control_key("config")))
"""The number that configurations are filed under."""


def keys_of(record: Record) -> Sequence[bytes]:
    """Return what a record is filed under: the id of each decision, or one key; none if nothing would ask."""
    if record.kind == _DECIDED:
        # The ids' bytes as they stand in the lines, as decoding every decision would be most of the time of a
        # scan.
        return [b"d" + id_token(line) for line in lines_of(record.output)]
    try:
        if record.kind == _APPLIED:
            outcome = _about_decoder.decode(record.input)
            return (b"o" + outcome.about.encode(),) if outcome.about and outcome.type == "outcome" else ()
        if record.kind == _CONTROL:
            note = _note_decoder.decode(record.input)
            return (_control_key(note.control, note.number),)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ()
    return ()
