"""Erased records: they verify, read as erased, and are guarded like others."""

from pathlib import Path

import pytest
from journals import (
    FRAME_HEAD_BYTES,
    MARK_BYTES,
    append,
    change,
    open_writer,
    read,
    write_segments,
)
from ledgers import erase

from headrace.errors import JournalDamaged
from headrace.journal.records import ERASED, Kind
from headrace.journal.segments import segment_path
from headrace.journal.verify import verify


def test_j_erase_1_erased_records_verify_and_read_as_erased(tmp_path: Path) -> None:
    writer = write_segments(tmp_path)
    before = read(tmp_path)
    erase(tmp_path, before[0], 1)
    erase(tmp_path, before[1], 0)
    erase(tmp_path, before[1], 2)
    after = read(tmp_path)
    verified = verify(tmp_path)
    assert (verified.erased, verified.end) == (3, writer.end)
    assert [frame.head for frame in after] == [frame.head for frame in before]
    assert [each.erased for each in after[0].records] == [False, True]
    assert [each.erased for each in after[1].records] == [True, False, True]
    assert after[0].records[0] == before[0].records[0]
    gone, was = after[0].records[1], before[0].records[1]
    assert gone[2:6] == was[2:6]
    assert [len(part) for part in gone[6:]] == [len(part) for part in was[6:]]
    assert not any(b"".join(gone[6:]))
    append(writer, Kind.DECIDED)
    assert verify(tmp_path).end == writer.end


def test_j_erase_2_an_erased_record_is_guarded_too(tmp_path: Path) -> None:
    write_segments(tmp_path)
    path, frame = segment_path(tmp_path, 1), read(tmp_path)[0]
    erase(tmp_path, frame, 0)
    data = path.read_bytes()
    start = frame.head.position + FRAME_HEAD_BYTES + MARK_BYTES
    for at in range(start, frame.head.position_next):
        change(path, at, lambda byte: byte ^ 1)
        with pytest.raises(JournalDamaged) as caught:
            verify(tmp_path)
        assert caught.value.byte == frame.head.position
        path.write_bytes(data)


def test_j_erase_2_a_record_cannot_be_declared_erased(tmp_path: Path) -> None:
    append(open_writer(tmp_path), Kind.DECIDED, Kind.DEAD)
    frame = read(tmp_path)[0]
    flags = frame.head.position + FRAME_HEAD_BYTES + MARK_BYTES + 1
    change(segment_path(tmp_path, 1), flags, lambda byte: byte | ERASED)
    with pytest.raises(JournalDamaged, match="erased but not empty"):
        verify(tmp_path)
