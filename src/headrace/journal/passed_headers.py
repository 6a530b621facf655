"""Headers that go on from a message to what comes of it, and how a journal keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final, Self, TypeAlias

import msgspec

__all__ = ["DetailWithHeaders", "PassedHeaders", "chosen", "with_headers"]

PassedHeaders: TypeAlias = "list[tuple[str, bytes | None]]"

_LENGTH: Final = Struct("<I")
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[tuple[str, bytes | None]]).decode


class DetailWithHeaders(bytes):
    """A record's detail, behind which the journal has headers.

    Attributes
    ----------
    headers : PassedHeaders
        Those.
    kept_bytes : int
        Length of both in the journal.
    """

    headers: PassedHeaders
    kept_bytes: int

    @classmethod
    def from_journal(cls, kept: bytes) -> Self:
        """Take apart what the journal has."""
        end = len(kept) - _LENGTH.size
        (length,) = _LENGTH.unpack_from(kept, end)
        made = cls(kept[: end - length])
        made.headers, made.kept_bytes = _decode(kept[end - length : end]), len(kept)
        return made


def with_headers(detail: bytes, headers: PassedHeaders) -> bytes:
    """Return a record's detail as the journal keeps it together with headers."""
    block = _encode(headers)
    return b"".join((detail, block, _LENGTH.pack(len(block))))


def chosen(
    headers: Sequence[tuple[str, bytes | None]], names: frozenset[str], count_max: int, bytes_max: int
) -> tuple[PassedHeaders, int]:
    """Headers of a message that are passed on, in their order, and how many are not for a limit.

    Parameters
    ----------
    headers
        All of the message.
    names
        Which are wanted.
    count_max, bytes_max
        How many are passed on, and bytes of their names and values; what comes beyond is dropped.
    """
    found: PassedHeaders = []
    dropped = size = 0
    for name, value in headers:
        if name not in names:
            continue
        needs = len(name) + len(value or b"")
        # Not the end of the loop: a smaller one may still fit, and each that doesn't is counted.
        if len(found) >= count_max or size + needs > bytes_max:
            dropped += 1
            continue
        size += needs
        found.append((name, value))
    return found, dropped
