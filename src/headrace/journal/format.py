"""The bytes of a journal: how heads, marks and digests are laid out (docs/specs/journal.md)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from headrace.journal.batches import Mark

__all__ = [
    "FLAGS_AT",
    "FORMAT_VERSION",
    "FRAME_BODY_BYTES_MAX",
    "FRAME_FIELDS",
    "FRAME_HEAD",
    "FRAME_MAGIC",
    "GUARDED",
    "MARK",
    "RECORD_HEAD",
    "SALT_BYTES",
    "SEGMENT_HEAD",
    "SEGMENT_MAGIC",
    "digest_frame",
    "pack_fields",
    "pack_marks",
    "unpack_marks",
]

FORMAT_VERSION: Final = 2
SEGMENT_MAGIC: Final = b"HRS\x01"
FRAME_MAGIC: Final = b"HRF\x02"
FRAME_BODY_BYTES_MAX: Final = 0xFFFF_FFFF
SALT_BYTES: Final = 32
SEGMENT_HEAD: Final = struct.Struct("<4sIIIIQQQQ32s")
FRAME_HEAD: Final = struct.Struct("<4sIIIIIQQQQQQQQQ32s32s")
FRAME_FIELDS: Final = struct.Struct("<IIIIQQQQQQQQQ")
GUARDED: Final = struct.Struct("<4sI")
MARK: Final = struct.Struct("<IIQQ")
RECORD_HEAD: Final = struct.Struct("<BBHIIIQQQ")
FLAGS_AT: Final = 1


def pack_marks(marks: Iterable[Mark]) -> bytes:
    """Lay out how far sources were read."""
    return b"".join([MARK.pack(mark.source, mark.crc, mark.offset, mark.line) for mark in marks])


def unpack_marks(packed: bytes) -> tuple[Mark, ...]:
    """Read what `pack_marks` has laid out."""
    return tuple(Mark(source, offset, line, crc) for source, crc, offset, line in MARK.iter_unpack(packed))


def pack_fields(body_bytes: int, packed_marks: bytes, records: int, counted: tuple[int, ...]) -> bytes:
    """Lay out what a frame's head says of its frame, apart from the digests."""
    if body_bytes > FRAME_BODY_BYTES_MAX:
        raise ValueError(f"a frame of {body_bytes} bytes is longer than {FRAME_BODY_BYTES_MAX}")
    marks = len(packed_marks) // MARK.size
    return FRAME_FIELDS.pack(body_bytes, zlib.crc32(packed_marks), marks, records, *counted)


def digest_frame(fields: bytes, packed_marks: bytes, outline: bytes, digests: list[bytes]) -> bytes:
    """Digest a frame, its payloads by their own digests, so that one can be erased later (J-CHAIN-1)."""
    return sha256(b"".join((fields, packed_marks, outline, *digests))).digest()
