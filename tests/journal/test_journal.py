"""What a journal gives back, and how its bytes are laid out (clauses of docs/specs/journal.md)."""

import hashlib
import struct
import time
import zlib
from pathlib import Path

import pytest
from journals import (
    FRAME_HEAD_BYTES,
    MARK_BYTES,
    RECORD_HEAD_BYTES,
    SALT_BYTES,
    SEGMENT_HEAD_BYTES,
    append,
    change,
    open_writer,
    read,
    record,
    write_segments,
)

from headrace.errors import JournalDamaged, StateMismatch
from headrace.journal.batches import Mark
from headrace.journal.frame_reader import read_frame
from headrace.journal.frames import GENESIS
from headrace.journal.reader import JournalReader
from headrace.journal.records import COMMAND, CUT, NO_SOURCE, OVERDUE, RETRIED, SKIPPED, Kind, Record
from headrace.journal.segments import first_boundary, segment_path, start_of
from headrace.journal.verify import verify


def test_an_empty_directory_is_an_empty_journal(tmp_path: Path) -> None:
    assert first_boundary(tmp_path) == GENESIS
    assert read(tmp_path) == []
    assert verify(tmp_path).end == GENESIS


def test_frames_come_back_as_they_were_appended(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    control = Record(Kind.CONTROL, 0, NO_SOURCE, 0, 0, 0, b'{"control":"config"}', b"", b"")
    writer.append([control], ordinal_first=0, ordinal_next=0, accepted_ms=5, marks=())
    marks = (Mark(2, 90, 4, 0xFFFFFFFF), Mark(0, 1 << 40, 1 << 33, 0))
    plain = tuple(record(7, Kind.DEAD, b""))
    written = writer.append(
        [record(4), plain], ordinal_first=3, ordinal_next=9, accepted_ms=1_700_000_000_123, marks=marks
    )
    first, second = read(tmp_path)
    assert first.records == [control]
    assert second.records == [record(4), plain]
    assert all(type(each) is Record for each in second.records)
    head = second.head
    assert (head.segment, head.position, head.records) == (1, first.head.position_next, 2)
    assert (head.seq, head.ordinal_first, head.ordinal_next) == (1, 3, 9)
    assert (head.accepted_ms, head.marks) == (1_700_000_000_123, marks)
    assert head.position_next - head.position == written
    assert head.position_next == segment_path(tmp_path, 1).stat().st_size


def test_an_empty_frame_moves_marks_and_ordinals(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    writer.append([], ordinal_first=0, ordinal_next=12, accepted_ms=0, marks=(Mark(0, 9, 9, 9),))
    assert [frame.records for frame in read(tmp_path)] == [[]]
    end = verify(tmp_path).end
    assert (end.seq, end.ordinal, end.marks) == (0, 12, (Mark(0, 9, 9, 9),))


def test_output_lengths_are_cumulative_by_kind(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    append(writer, Kind.DECIDED, Kind.DEAD, Kind.DECIDED)
    append(writer, Kind.APPLIED, Kind.DEAD)
    heads = [frame.head for frame in read(tmp_path)]
    line = len(record(0).output)
    assert [head.decisions_bytes for head in heads] == [0, 2 * line]
    assert [head.decisions_bytes_next for head in heads] == [2 * line, 2 * line]
    assert [head.dead_letters_bytes for head in heads] == [0, line]
    assert [head.dead_letters_bytes_next for head in heads] == [line, 2 * line]


def test_the_boundary_after_reading_is_where_the_writer_stands(tmp_path: Path) -> None:
    writer = write_segments(tmp_path)
    reader = JournalReader(tmp_path, GENESIS, cut_torn_tail=True)
    assert len(list(reader.frames())) == 4
    assert reader.boundary == writer.end
    assert verify(tmp_path).end == writer.end
    writer.close()
    again = open_writer(tmp_path, reader.boundary)
    append(again, Kind.DECIDED)
    assert verify(tmp_path).records == 11


def test_any_boundary_is_a_place_to_start(tmp_path: Path) -> None:
    write_segments(tmp_path)
    reader = JournalReader(tmp_path, GENESIS, cut_torn_tail=False)
    boundaries = [(reader.boundary, frame) for frame in reader.frames()]
    everything = [frame for _, frame in boundaries]
    for index, (after, _) in enumerate(boundaries):
        assert read(tmp_path, after) == everything[index + 1 :]
    assert read(tmp_path, start_of(tmp_path, 2)) == everything[2:]


def test_heads_are_the_heads_of_the_frames(tmp_path: Path) -> None:
    writer = write_segments(tmp_path)
    reader = JournalReader(tmp_path, GENESIS, cut_torn_tail=False)
    assert list(reader.heads()) == [frame.head for frame in read(tmp_path)]
    assert reader.boundary == writer.end


def test_a_frame_is_read_by_its_place(tmp_path: Path) -> None:
    write_segments(tmp_path)
    for frame in read(tmp_path):
        assert read_frame(tmp_path, frame.head.segment, frame.head.position) == frame
    with pytest.raises(JournalDamaged):
        read_frame(tmp_path, 2, SEGMENT_HEAD_BYTES)


def test_verify_counts(tmp_path: Path) -> None:
    write_segments(tmp_path)
    verified = verify(tmp_path)
    assert (verified.segments, verified.frames, verified.records, verified.erased) == (2, 4, 10, 0)
    assert verified.kinds == {
        Kind.DECIDED: 2,
        Kind.DEAD: 2,
        Kind.APPLIED: 2,
        Kind.DUPLICATE: 2,
        Kind.CONTROL: 2,
    }
    assert verified.torn is None


def test_j_seg_3_layout_of_a_segment_head(tmp_path: Path) -> None:
    write_segments(tmp_path)
    data = segment_path(tmp_path, 2).read_bytes()
    magic, crc, version, segment, marks, seq, ordinal, decisions, dead, chain = struct.unpack_from(
        "<4sIIIIQQQQ32s", data
    )
    last = read(tmp_path)[1].head
    line = len(record(0).output)
    assert (magic, version, segment, marks) == (b"HRS\x01", 2, 2, 1)
    assert (seq, ordinal, decisions, dead, chain) == (5, 5, line, line, last.chain)
    assert crc == zlib.crc32(data[8 : SEGMENT_HEAD_BYTES + MARK_BYTES])
    assert struct.unpack_from("<IIQQ", data, SEGMENT_HEAD_BYTES) == (2, 82, 95, 5)


def test_j_frame_2_and_j_chain_1_layout_of_a_frame(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    append(writer, Kind.DECIDED, Kind.DEAD)
    data = segment_path(tmp_path, 1).read_bytes()[SEGMENT_HEAD_BYTES:]
    magic, crc, body_bytes, marks_crc, marks, records = struct.unpack_from("<4sIIIII", data)
    counted = struct.unpack_from("<9Q", data, 24)
    content, chain = data[96:128], data[128:160]
    line = len(record(0).output)
    assert (magic, marks, records) == (b"HRF\x02", 1, 2)
    assert counted == (0, 0, 2, 1_700_000_000_000, 1_700_000_000_007, 0, line, 0, line)
    assert crc == zlib.crc32(data[8:FRAME_HEAD_BYTES])
    packed_marks, body = data[FRAME_HEAD_BYTES:][:MARK_BYTES], data[FRAME_HEAD_BYTES + MARK_BYTES :]
    assert (len(body), zlib.crc32(packed_marks)) == (body_bytes, marks_crc)
    outline, at, digests = body[: 2 * RECORD_HEAD_BYTES], 2 * RECORD_HEAD_BYTES, b""
    for fields in struct.iter_unpack("<BBHIIIQQQ", outline):
        length = SALT_BYTES + sum(fields[3:6])
        digests += hashlib.sha256(body[at : at + length]).digest()
        at += length
    assert at == len(body)
    assert content == hashlib.sha256(data[8:96] + packed_marks + outline + digests).digest()
    assert chain == hashlib.sha256(bytes(32) + content).digest()


def test_j_chain_3_every_record_has_its_own_salt(tmp_path: Path) -> None:
    for _ in range(2):
        path = tmp_path / str(_)
        path.mkdir()
        append(open_writer(path), Kind.DUPLICATE, Kind.DUPLICATE)
    salts = set()
    for folder in ("0", "1"):
        body = segment_path(tmp_path / folder, 1).read_bytes()
        start = SEGMENT_HEAD_BYTES + FRAME_HEAD_BYTES + MARK_BYTES + 2 * RECORD_HEAD_BYTES
        length = SALT_BYTES + len(record(0).input) + len(record(0).detail)
        salts |= {body[start + index * length :][:SALT_BYTES] for index in range(2)}
    assert len(salts) == 4


@pytest.mark.parametrize("version", [1, 3])
def test_another_format_is_refused_by_name(tmp_path: Path, version: int) -> None:
    append(open_writer(tmp_path), Kind.DECIDED)
    path = segment_path(tmp_path, 1)
    change(path, 8, lambda _: version)
    with pytest.raises(JournalDamaged, match="checksum"):
        read(tmp_path)
    data = bytearray(path.read_bytes())
    data[4:8] = zlib.crc32(data[8:SEGMENT_HEAD_BYTES]).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(StateMismatch, match=rf"{path}: is in journal format {version}; .* reads format 2"):
        read(tmp_path)


def test_a_frame_says_when_it_was_written(tmp_path: Path) -> None:
    before = time.time_ns() // 1_000_000
    open_writer(tmp_path).append([], ordinal_first=0, ordinal_next=1, accepted_ms=5, marks=())
    [frame] = read(tmp_path)
    assert frame.head.accepted_ms == 5
    assert before <= frame.head.committed_ms <= time.time_ns() // 1_000_000


def test_the_flags_of_a_record_come_back_and_are_covered(tmp_path: Path) -> None:
    flags = (0, OVERDUE, RETRIED, COMMAND, OVERDUE | RETRIED, OVERDUE | CUT, RETRIED | SKIPPED)
    records = [record(place)._replace(flags=each) for place, each in enumerate(flags)]
    open_writer(tmp_path).append(records, ordinal_first=0, ordinal_next=7, accepted_ms=5, marks=())
    [frame] = read(tmp_path)
    assert frame.records == records
    assert [each.overdue for each in records] == [False, True, False, False, True, True, False]
    assert [each.retried for each in records] == [False, False, True, False, True, False, True]
    assert [each.cut for each in records] == [False] * 5 + [True, False]
    change(segment_path(tmp_path, 1), frame.head.position + FRAME_HEAD_BYTES + 1, lambda _: OVERDUE)
    with pytest.raises(JournalDamaged, match="not what was written"):
        read(tmp_path)
