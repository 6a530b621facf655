"""What is kept of an input too large to keep or to send whole: its head, its length and its digest."""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import sha256
from struct import Struct
from typing import Final, Self
from zlib import crc32

import msgspec
import orjson

from .contract import DeadLetter

__all__ = [
    "CutLine",
    "LongLine",
    "cut_dead_letter",
    "cut_line_of",
    "encode_dead_letter",
    "has_reason",
    "is_cut",
    "length_of",
    "whole_of",
]

MESSAGE_CHARACTERS_MAX: Final = 1000  # of a letter that is cut; a parser's message may hold a whole value
_WHOLE: Final = Struct("<Q32s")
_decoder: Final = msgspec.json.Decoder(DeadLetter)


class CutLine(bytes):
    """The head of an input that was too large to keep whole.

    Attributes
    ----------
    whole_bytes : int
        Length of the whole.
    whole_sha256 : bytes
        SHA-256 digest of the whole, 32 bytes.
    """

    whole_bytes: int
    whole_sha256: bytes

    @classmethod
    def from_line(cls, line: bytes, head_bytes: int) -> Self:
        """Return the head of a line that is there as a whole."""
        return cls.of(line[:head_bytes], len(line), sha256(line).digest())

    @classmethod
    def of(cls, head: bytes, whole_bytes: int, whole_sha256: bytes) -> Self:
        """Return a head with what it is the head of."""
        made = cls(head)
        made.whole_bytes, made.whole_sha256 = whole_bytes, whole_sha256
        return made


class LongLine:
    """A line that comes in pieces and is too long to be kept: its head is, and what tells it from others.

    Parameters
    ----------
    head_bytes
        How long a head is kept.
    crc
        CRC-32 of what stands before the line.
    """

    def __init__(self, head_bytes: int, crc: int) -> None:
        self._head_bytes, self._head, self._digest = head_bytes, b"", sha256()
        self.bytes, self.crc = 0, crc

    def take(self, piece: bytes) -> None:
        """Take in the next piece."""
        if len(self._head) < self._head_bytes:
            self._head += piece[: self._head_bytes - len(self._head)]
        self._digest.update(piece)
        self.crc = crc32(piece, self.crc)
        self.bytes += len(piece)

    def ended(self) -> CutLine:
        """Return what is kept of it."""
        return CutLine.of(self._head, self.bytes, self._digest.digest())


def length_of(line: bytes) -> int:
    """How many bytes a line has in its source."""
    return line.whole_bytes if isinstance(line, CutLine) else len(line)


def whole_of(line: CutLine) -> bytes:
    """Return what a journal keeps of a cut line beside its head: length and digest of the whole, 40 bytes."""
    return _WHOLE.pack(line.whole_bytes, line.whole_sha256)


def cut_line_of(head: bytes, whole: bytes) -> CutLine:
    """Return a cut line from what a journal keeps of it."""
    return CutLine.of(head, *_WHOLE.unpack(whole))


def is_cut(letter: DeadLetter) -> bool:
    """Whether a dead letter holds the head of its input only."""
    return letter.payload_bytes is not None


def encode_dead_letter(letter: DeadLetter) -> bytes:
    """One line of JSON with its newline; what only a cut letter has is left out of others."""
    fields = msgspec.to_builtins(letter)
    if letter.payload_bytes is None:
        del fields["payload_bytes"], fields["payload_sha256"]
    return orjson.dumps(fields) + b"\n"


def has_reason(line: bytes, reason: str) -> bool:
    """Whether the line of a dead letter has a reason, as `encode_dead_letter` writes it, without decoding."""
    return b'"reason":"%s"' % reason.encode() in line


def cut_dead_letter(line: bytes, line_bytes_max: int) -> bytes:
    """Return a dead letter's line, cut to a length where it is longer.

    Then it holds a head of its payload only.

    Parameters
    ----------
    line
        With its newline, as `encode_dead_letter` gives it; of a cut letter, the length and the digest stay.
    line_bytes_max
        Length to keep to, with the newline. Below about 1,500 bytes and the length of the source's name the
        line may stay longer, with an empty payload.
    """
    if len(line) <= line_bytes_max:
        return line
    letter = _decoder.decode(line)
    payload = b64decode(letter.payload_base64)
    cut = msgspec.structs.replace(
        letter,
        message=letter.message[:MESSAGE_CHARACTERS_MAX],
        payload_base64="",
        payload_bytes=len(payload) if letter.payload_bytes is None else letter.payload_bytes,
        payload_sha256=letter.payload_sha256 or sha256(payload).hexdigest(),
    )
    room = max(0, line_bytes_max - len(encode_dead_letter(cut)))
    head = payload[: room // 4 * 3]  # three bytes are four characters of base64
    return encode_dead_letter(msgspec.structs.replace(cut, payload_base64=b64encode(head).decode("ascii")))
