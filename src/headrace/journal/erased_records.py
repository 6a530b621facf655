"""A frame's bytes without the payloads of records that are erased (J-ERASE-1)."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256
from io import BytesIO
from itertools import accumulate
from pathlib import Path

from headrace.journal.format import FLAGS_AT, FRAME_HEAD, MARK, RECORD_HEAD, SALT_BYTES
from headrace.journal.frame_reader import read_body
from headrace.journal.frames import Frame
from headrace.journal.passed_headers import DetailWithHeaders
from headrace.journal.records import ERASED, Record

__all__ = ["erase_records"]


def erase_records(frame: Frame, written: bytes, places: Collection[int]) -> bytes:
    """Lay a frame out as it is when some of its records are erased (J-ERASE-1).

    Parameters
    ----------
    frame
        As it was read.
    written
        Its bytes, from its head to its end.
    places
        Numbers of the records in the frame, from 0; of one that is erased already nothing changes.

    Raises
    ------
    JournalDamaged
        If these bytes are not that frame, so that it would not verify afterwards.
    """
    head, records, erased = frame.head, frame.records, bytearray(written)
    outline = FRAME_HEAD.size + len(head.marks) * MARK.size
    sealed = outline + len(records) * RECORD_HEAD.size
    ends = [*accumulate((_sealed_bytes(record) for record in records), initial=sealed)]
    for place in places:
        if not records[place].erased:
            start, end = ends[place], ends[place + 1]
            # The digest stands where the salt was and is as long. Lengths stay, so no offset in this or
            # another file moves.
            erased[start:end] = sha256(erased[start:end]).digest() + bytes(end - start - SALT_BYTES)
            erased[outline + place * RECORD_HEAD.size + FLAGS_AT] |= ERASED
    # Read as any reader will, before these bytes replace the only ones there are.
    read_body(BytesIO(erased[outline:]), Path(f"segment {head.segment}"), head)
    return bytes(erased)


def _sealed_bytes(record: Record) -> int:
    detail = record.detail
    detail_bytes = detail.kept_bytes if isinstance(detail, DetailWithHeaders) else len(detail)
    return SALT_BYTES + len(record.input) + len(record.output) + detail_bytes
