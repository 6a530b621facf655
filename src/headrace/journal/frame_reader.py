"""Reads single frames of a journal, and sees that they are what was written."""

from __future__ import annotations

import os
import zlib
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final

from headrace.errors import JournalDamaged
from headrace.journal.format import (
    FLAGS_AT,
    FRAME_HEAD,
    FRAME_MAGIC,
    GUARDED,
    MARK,
    RECORD_HEAD,
    SALT_BYTES,
    digest_frame,
    pack_fields,
    pack_marks,
    unpack_marks,
)
from headrace.journal.frames import Frame, FrameHead
from headrace.journal.passed_headers import DetailWithHeaders
from headrace.journal.records import ERASED, HEADERS, Record
from headrace.journal.segments import segment_path

__all__ = ["Torn", "read_body", "read_frame", "read_frame_head"]

_NO_MAGIC: Final = bytes(4)
_ZEROS_READ_BYTES: Final = 1 << 20


class Torn(Exception):
    """What could be the rest of an interrupted write, if it stands at the end of the last segment."""


def _only_zeros(file: BinaryIO) -> bool:
    while chunk := file.read(_ZEROS_READ_BYTES):
        if chunk.count(0) != len(chunk):
            return False
    return True


def read_frame_head(file: BinaryIO, path: Path, segment: int, position: int, size: int) -> FrameHead:
    """Read the frame head and the marks at the file's position (J-FRAME-2, J-TORN-1 to J-TORN-3).

    Raises
    ------
    Torn
        If what is there could be the beginning of a frame that was never finished.
    JournalDamaged
        If it could not.
    """
    raw = file.read(FRAME_HEAD.size)
    magic = raw[: len(FRAME_MAGIC)]
    # A file system may lengthen a file before its bytes arrive. Zeros up to the end are such a write, which
    # power cut short; zeros before anything else are damage.
    if _NO_MAGIC.startswith(magic):
        if raw.count(0) == len(raw) and _only_zeros(file):
            raise Torn("only zeros are left")
        raise JournalDamaged(path, position, "zeros in the place of a frame")
    # This way round, as a head that was cut short may be shorter than the magic.
    if not FRAME_MAGIC.startswith(magic):
        raise JournalDamaged(path, position, "no frame starts here")
    if len(raw) < FRAME_HEAD.size:
        raise Torn("the frame's head is incomplete")
    _, crc, body_bytes, marks_crc, marks, records, *rest = FRAME_HEAD.unpack(raw)
    # Before any length is used: a wrong length must not pass for a frame cut short, which a start would cut
    # off.
    if zlib.crc32(raw[GUARDED.size :]) != crc:
        raise JournalDamaged(path, position, "the frame's head doesn't fit its checksum")
    if position + FRAME_HEAD.size + marks * MARK.size + body_bytes > size:
        raise Torn("the frame is incomplete")
    packed = file.read(marks * MARK.size)
    if zlib.crc32(packed) != marks_crc:
        raise JournalDamaged(path, position, "the frame's marks don't fit their checksum")
    return FrameHead._make((segment, position, records, body_bytes, *rest, unpack_marks(packed)))


def _split(outline: bytes, body: bytes, path: Path, position: int) -> tuple[list[Record], list[bytes], bytes]:
    """Cut a body into records, their digests, and their heads as they were before any was erased."""
    records: list[Record] = []
    digests: list[bytes] = []
    written = bytearray(outline)
    at, make = len(outline), Record._make
    for index, (kind, flags, source, inputs, outputs, details, ordinal, offset, line) in enumerate(
        RECORD_HEAD.iter_unpack(outline)
    ):
        start = at + SALT_BYTES
        output_at, detail_at = start + inputs, start + inputs + outputs
        end = detail_at + details
        if flags & ERASED:
            digests.append(body[at:start])
            # The frame's digest is of heads as they were written, when no record of it was erased.
            written[index * RECORD_HEAD.size + FLAGS_AT] &= ~ERASED
            # These bytes are in no digest any more, so nothing may hide in them.
            if body.count(0, start, end) != end - start:
                raise JournalDamaged(path, position, f"record {index} of the frame is erased but not empty")
        else:
            digests.append(sha256(body[at:end]).digest())
        received, output, detail = body[start:output_at], body[output_at:detail_at], body[detail_at:end]
        records.append(make((kind, flags, source, ordinal, offset, line, received, output, detail)))
        at = end
    if at != len(body):
        raise JournalDamaged(path, position, "the lengths of the records don't add up to the frame's")
    return records, digests, bytes(written)


def read_body(file: BinaryIO, path: Path, head: FrameHead) -> Frame:
    """Read the records after a head, and see that they are what was written (J-FRAME-5)."""
    body = file.read(head.body_bytes)
    outline = body[: head.records * RECORD_HEAD.size]
    if len(body) != head.body_bytes or len(outline) != head.records * RECORD_HEAD.size:
        raise JournalDamaged(path, head.position, "the frame is shorter than its records")
    records, digests, written = _split(outline, body, path, head.position)
    packed_marks = pack_marks(head.marks)
    fields = pack_fields(head.body_bytes, packed_marks, head.records, head.counted)
    if digest_frame(fields, packed_marks, written, digests) != head.content:
        raise JournalDamaged(path, head.position, "the frame's records are not what was written")
    # Few flows pass headers on; the records of the others are not made twice.
    if any(record.flags & HEADERS for record in records):
        records = [_apart(record) for record in records]
    return Frame(head, records)


def _apart(record: Record) -> Record:
    """Return a record with its detail and its headers taken apart."""
    if record.flags & ERASED or not record.flags & HEADERS:
        return record
    return record._replace(detail=DetailWithHeaders.from_journal(record.detail))


def read_frame(directory: Path, segment: int, position: int) -> Frame:
    """Read one frame by its place, as a head tells it.

    Raises
    ------
    JournalDamaged
        If there is no whole frame, or its records are not what was written. Its place in the chain isn't
        looked at.
    """
    path = segment_path(directory, segment)
    with open(path, "rb") as file:
        file.seek(position)
        try:
            head = read_frame_head(file, path, segment, position, os.fstat(file.fileno()).st_size)
        except Torn as torn:
            raise JournalDamaged(path, position, str(torn)) from None
        return read_body(file, path, head)
