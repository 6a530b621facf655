"""The journal's format and rules, by the clauses of docs/specs/journal.md."""

import errno
import hashlib
import logging
import os
import resource
import signal
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import JournalDamaged, StateError, StateMismatch
from headrace.journal.batches import Mark
from headrace.journal.frame_reader import read_frame
from headrace.journal.frames import GENESIS, Boundary, Frame
from headrace.journal.reader import JournalReader
from headrace.journal.records import COMMAND, CUT, ERASED, NO_SOURCE, OVERDUE, RETRIED, SKIPPED, Kind, Record
from headrace.journal.segments import first_boundary, segment_numbers, segment_path, start_of
from headrace.journal.verify import verify
from headrace.journal.writer import JournalWriter

SEGMENT_HEAD_BYTES, FRAME_HEAD_BYTES, MARK_BYTES, RECORD_HEAD_BYTES, SALT_BYTES = 84, 160, 24, 40, 32


def record(ordinal: int, kind: Kind = Kind.DECIDED, payload: bytes = b'{"type":"payment"}') -> Record:
    output = b'{"decision_id":"fraud:%d"}\n' % ordinal if kind in (Kind.DECIDED, Kind.DEAD) else b""
    return Record(kind, 0, 2, ordinal, ordinal * 19, ordinal + 1, payload, output, b"\x01\x02" * 4)


def open_writer(directory: Path, end: Boundary = GENESIS, **changed: Any) -> JournalWriter:
    return JournalWriter(directory, end, **{"segment_bytes_max": 1 << 20, "fsync": False} | changed)


def append(writer: JournalWriter, *kinds: Kind, marks: tuple[Mark, ...] | None = None) -> None:
    first = writer.end.ordinal
    records = [record(first + index, kind) for index, kind in enumerate(kinds)]
    after = first + len(kinds)
    moved = (Mark(2, after * 19, after, 77 + after),) if marks is None else marks
    writer.append(
        records,
        ordinal_first=first,
        ordinal_next=after,
        accepted_ms=1_700_000_000_000,
        marks=moved,
        committed_ms=1_700_000_000_007,
    )


def write_segments(directory: Path) -> JournalWriter:
    """Two frames, a new segment, two frames."""
    writer = open_writer(directory)
    for segment in (1, 2):
        append(writer, Kind.DECIDED, Kind.DEAD)
        append(writer, Kind.APPLIED, Kind.DUPLICATE, Kind.CONTROL)
        if segment == 1:
            writer.roll()
    return writer


def read(directory: Path, start: Boundary = GENESIS) -> list[Frame]:
    return list(JournalReader(directory, start, cut_torn_tail=False).frames())


def change(path: Path, at: int, to: Callable[[int], int]) -> None:
    data = bytearray(path.read_bytes())
    data[at] = to(data[at])
    path.write_bytes(data)


# ---------------------------------------------------------------- what is written is read


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


# ---------------------------------------------------------------- layout, read with nothing but the spec


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


# ---------------------------------------------------------------- writing


def test_j_write_1_a_frame_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = open_writer(tmp_path)
    writes: list[int] = []
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: writes.append(len(data)) or real(fd, data))
    append(writer, *[Kind.DECIDED] * 300)
    assert writes == [segment_path(tmp_path, 1).stat().st_size - SEGMENT_HEAD_BYTES]


def test_j_write_2_fsync_follows_each_frame_and_each_new_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("write", "fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *given, name=name, real=real: calls.append(name) or real(*given))
    writer = open_writer(tmp_path, fsync=True)
    assert calls == ["write", "fsync", "replace", "fsync"]
    append(writer, Kind.DECIDED)
    assert calls[4:] == ["write", "fsync"]
    writer.roll()
    assert calls[6:] == ["write", "fsync", "replace", "fsync"]
    calls.clear()
    writer = open_writer(tmp_path, writer.end, fsync=False)
    append(writer, Kind.DECIDED)
    writer.roll()
    assert "fsync" not in calls


def test_j_write_3_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = open_writer(tmp_path)
    real = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda fd, data: real(fd, data[:100]))
        append(writer, Kind.DECIDED, Kind.DEAD)
    assert verify(tmp_path).end == writer.end


def fail_after(room: int) -> Callable[[int, memoryview], int]:
    """A full disk: so many bytes still go in, then none."""
    left, real = [room], os.write

    def write(fd: int, data: memoryview) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(fd, data[: left[0]])
        left[0] -= written
        return written

    return write


@pytest.mark.parametrize("room", [0, 1, FRAME_HEAD_BYTES, 300])
def test_j_write_3_a_full_disk_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    writer = open_writer(tmp_path)
    append(writer, Kind.DECIDED)
    before, size = writer.end, segment_path(tmp_path, 1).stat().st_size
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fail_after(room))
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            append(writer, Kind.DECIDED, Kind.DEAD)
    assert segment_path(tmp_path, 1).stat().st_size == size
    assert writer.end == before
    append(writer, Kind.DECIDED, Kind.DEAD)
    assert verify(tmp_path).end == writer.end


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_j_write_3_a_refusal_of_the_system_leaves_no_trace(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    append(writer, Kind.DECIDED)
    before, size = writer.end, segment_path(tmp_path, 1).stat().st_size
    with file_size_limit(size + 50), pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        append(writer, Kind.DECIDED)
    assert (segment_path(tmp_path, 1).stat().st_size, writer.end) == (size, before)
    append(writer, Kind.DECIDED)
    assert verify(tmp_path).frames == 2


def test_j_write_4_after_a_failed_fsync_nothing_is_appended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_writer(tmp_path, fsync=True)
    append(writer, Kind.DECIDED)
    size = segment_path(tmp_path, 1).stat().st_size

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            append(writer, Kind.DECIDED)
    assert segment_path(tmp_path, 1).stat().st_size == size
    with pytest.raises(StateError, match="failed fsync"):
        append(writer, Kind.DECIDED)


def test_a_frame_that_cannot_be_packed_changes_nothing(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    append(writer, Kind.DECIDED)
    before = writer.end
    for bad in (
        record(1)._replace(source=70_000),
        record(1)._replace(flags=ERASED),
        record(1)._replace(flags=256),
    ):
        with pytest.raises((struct.error, ValueError)):
            writer.append([record(1), bad], ordinal_first=1, ordinal_next=3, accepted_ms=0, marks=())
    with pytest.raises(ValueError, match="backwards"):
        writer.append([], ordinal_first=0, ordinal_next=1, accepted_ms=0, marks=())
    assert writer.end == before == verify(tmp_path).end


def test_a_closed_writer_refuses(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    writer.close()
    writer.close()
    with pytest.raises(StateError, match="closed"):
        append(writer, Kind.DECIDED)


def test_a_writer_opens_at_the_end_only(tmp_path: Path) -> None:
    writer = write_segments(tmp_path)
    end = writer.end
    with pytest.raises(JournalDamaged, match="expected as the end"):
        open_writer(tmp_path, end._replace(byte=end.byte - 1))
    with pytest.raises(JournalDamaged, match="last segment"):
        open_writer(tmp_path, end._replace(segment=1))
    with pytest.raises(JournalDamaged, match="last segment"):
        open_writer(tmp_path, GENESIS)


# ---------------------------------------------------------------- segments


def test_j_seg_5_the_owner_rolls_when_asked_to(tmp_path: Path) -> None:
    writer = open_writer(tmp_path, segment_bytes_max=400)
    assert not writer.needs_roll
    append(writer, Kind.DECIDED)
    append(writer, Kind.DECIDED)
    assert writer.needs_roll
    assert writer.roll() == 2
    assert not writer.needs_roll
    append(writer, Kind.DECIDED)
    assert segment_numbers(tmp_path) == [1, 2]
    assert verify(tmp_path).end == writer.end


def test_a_segment_whose_head_fills_it_does_not_ask_for_ever(tmp_path: Path) -> None:
    writer = open_writer(tmp_path, segment_bytes_max=10)
    assert not writer.needs_roll
    append(writer, Kind.DECIDED)
    assert writer.needs_roll


def test_j_seg_2_a_failed_roll_leaves_the_old_segment_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    writer = open_writer(tmp_path, fsync=True)
    append(writer, Kind.DECIDED)
    for name in ("write", "fsync", "replace"):
        with monkeypatch.context() as patched:
            patched.setattr(os, name, refuse)
            with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
                writer.roll()
        assert os.listdir(tmp_path) == ["journal-00000001.seg"]
    append(writer, Kind.DECIDED)
    assert verify(tmp_path).end == writer.end


def test_j_seg_2_a_segment_whose_name_is_not_on_the_disk_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_writer(tmp_path, fsync=True)
    append(writer, Kind.DECIDED)
    real, files = os.fsync, [os.fsync]

    def only_files(fd: int) -> None:
        if not files:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        files.pop()(fd)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", only_files)
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            writer.roll()
    assert (os.fsync, os.listdir(tmp_path)) == (real, ["journal-00000001.seg"])
    append(writer, Kind.DECIDED)
    assert verify(tmp_path).end == writer.end


def test_j_seg_2_what_a_killed_roll_left_is_no_segment(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    append(writer, Kind.DECIDED)
    (tmp_path / "journal-00000002.tmp").write_bytes(b"HRS")
    assert verify(tmp_path).segments == 1
    writer.roll()
    assert sorted(os.listdir(tmp_path)) == ["journal-00000001.seg", "journal-00000002.seg"]


def test_j_seg_1_a_missing_segment_is_damage(tmp_path: Path) -> None:
    writer = write_segments(tmp_path)
    writer.roll()
    segment_path(tmp_path, 2).unlink()
    with pytest.raises(JournalDamaged, match="missing") as caught:
        verify(tmp_path)
    assert caught.value.file == str(segment_path(tmp_path, 2))
    for wanted in (GENESIS._replace(segment=9), Boundary(3, 0, 0, 0, 0, 0, bytes(32), ())):
        with pytest.raises(JournalDamaged, match="missing"):
            read(tmp_path, wanted)
    with pytest.raises(JournalDamaged, match="missing"):
        start_of(tmp_path, 9)


def test_old_segments_may_be_gone(tmp_path: Path) -> None:
    writer = write_segments(tmp_path)
    segment_path(tmp_path, 1).unlink()
    verified = verify(tmp_path)
    assert (verified.segments, verified.records, verified.end) == (1, 5, writer.end)
    assert first_boundary(tmp_path) == start_of(tmp_path, 2)


def test_j_seg_4_a_segment_of_another_journal_is_found(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_segments(tmp_path / name)
    segment_path(tmp_path / "b", 2).replace(segment_path(tmp_path / "a", 2))
    with pytest.raises(JournalDamaged, match="doesn't go on"):
        verify(tmp_path / "a")


def test_a_renamed_segment_is_found(tmp_path: Path) -> None:
    write_segments(tmp_path)
    segment_path(tmp_path, 2).replace(segment_path(tmp_path, 1))
    with pytest.raises(JournalDamaged, match="segment 2 under the name of segment 1"):
        verify(tmp_path)


# ---------------------------------------------------------------- damage


def test_j_frame_3_a_frame_taken_out_is_found(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    for _ in range(3):
        append(writer, Kind.DUPLICATE, marks=())
    first, second, third = (frame.head.position for frame in read(tmp_path))
    path = segment_path(tmp_path, 1)
    data = path.read_bytes()
    path.write_bytes(data[:second] + data[third:])
    with pytest.raises(JournalDamaged, match="sequence number 2 instead of 1") as caught:
        verify(tmp_path)
    assert (caught.value.file, caught.value.byte) == (str(path), second)
    assert first == SEGMENT_HEAD_BYTES


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"seq": 9}, "sequence number 9 instead of 2"),
        ({"ordinal": 0}, "ordinals 0 to 1"),
        ({"decisions_bytes": 1}, "lengths of the outputs"),
        ({"dead_letters_bytes": 1}, "lengths of the outputs"),
    ],
)
def test_j_frame_3_a_frame_that_counts_otherwise_is_found(
    tmp_path: Path, changed: dict[str, int], why: str
) -> None:
    writer = open_writer(tmp_path)
    append(writer, Kind.DECIDED, Kind.DEAD)
    end = writer.end
    append(open_writer(tmp_path, end._replace(**changed)), Kind.DECIDED)
    with pytest.raises(JournalDamaged, match=why) as caught:
        verify(tmp_path)
    assert caught.value.byte == end.byte


def test_j_frame_2_heads_check_marks(tmp_path: Path) -> None:
    append(open_writer(tmp_path), Kind.DECIDED)
    change(segment_path(tmp_path, 1), SEGMENT_HEAD_BYTES + FRAME_HEAD_BYTES + 9, lambda byte: byte ^ 1)
    with pytest.raises(JournalDamaged, match="marks don't fit"):
        list(JournalReader(tmp_path, GENESIS, cut_torn_tail=False).heads())


def test_j_chain_2_a_frame_that_was_made_up_is_found(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        writer = open_writer(tmp_path / name)
        append(writer, Kind.DECIDED)
        append(writer, Kind.DECIDED)
    position = read(tmp_path / "a")[1].head.position
    data, other = (segment_path(tmp_path / name, 1).read_bytes() for name in ("a", "b"))
    segment_path(tmp_path / "a", 1).write_bytes(data[:position] + other[position:])
    with pytest.raises(JournalDamaged, match="chain is broken") as caught:
        verify(tmp_path / "a")
    assert caught.value.byte == position


def test_j_frame_5_heads_pass_over_bodies_but_frames_do_not(tmp_path: Path) -> None:
    write_segments(tmp_path)
    path = segment_path(tmp_path, 2)
    position = read(tmp_path)[-1].head.position
    change(path, path.stat().st_size - 1, lambda byte: byte ^ 1)
    assert len(list(JournalReader(tmp_path, GENESIS, cut_torn_tail=False).heads())) == 4
    with pytest.raises(JournalDamaged, match="not what was written") as caught:
        read(tmp_path)
    assert (caught.value.file, caught.value.byte) == (str(path), position)


def test_j_torn_2_a_longer_length_is_no_torn_tail(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    append(writer, Kind.DECIDED)
    for at in (8, 11, 16, 20):
        change(segment_path(tmp_path, 1), SEGMENT_HEAD_BYTES + at, lambda byte: byte ^ 0x40)
        with pytest.raises(JournalDamaged, match="head doesn't fit its checksum"):
            verify(tmp_path)
        change(segment_path(tmp_path, 1), SEGMENT_HEAD_BYTES + at, lambda byte: byte ^ 0x40)
    assert verify(tmp_path).end == writer.end


@pytest.mark.parametrize("tail", [b"x", b"HRG\x01", bytes(200) + b"\x01" + bytes(50), b"\0HRF"])
def test_j_torn_2_what_is_neither_frame_nor_zeros_is_damage(tmp_path: Path, tail: bytes) -> None:
    end = write_segments(tmp_path).end
    with open(segment_path(tmp_path, 2), "ab") as file:
        file.write(tail)
    with pytest.raises(JournalDamaged) as caught:
        verify(tmp_path)
    assert caught.value.byte == end.byte


def cut_and_read(directory: Path) -> tuple[JournalReader, int]:
    reader = JournalReader(directory, GENESIS, cut_torn_tail=True)
    return reader, sum(1 for _ in reader.frames())


@pytest.mark.parametrize("zeros", [1, 3, 4, FRAME_HEAD_BYTES, 3_000_000])
def test_j_torn_1_zeros_at_the_end_are_cut_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, zeros: int
) -> None:
    end, path = write_segments(tmp_path).end, segment_path(tmp_path, 2)
    os.truncate(path, end.byte + zeros)
    reader, frames = cut_and_read(tmp_path)
    assert (frames, reader.boundary, path.stat().st_size) == (4, end, end.byte)
    assert reader.torn is not None
    assert (reader.torn.byte, reader.torn.bytes_left) == (end.byte, zeros)
    [warning] = caplog.records
    assert warning.levelno == logging.WARNING
    assert f"{path}: byte {end.byte}: {zeros} bytes" in warning.getMessage()


def test_j_torn_1_a_frame_cut_short_anywhere_is_cut_off(tmp_path: Path) -> None:
    write_segments(tmp_path)
    path = segment_path(tmp_path, 2)
    data, position = path.read_bytes(), read(tmp_path)[-1].head.position
    for size in range(position + 1, len(data)):
        path.write_bytes(data[:size])
        reader, frames = cut_and_read(tmp_path)
        assert (frames, path.stat().st_size, reader.boundary.byte) == (3, position, position)
    writer = open_writer(tmp_path, reader.boundary)
    append(writer, Kind.DECIDED)
    assert verify(tmp_path).end == writer.end


def test_j_torn_2_a_short_segment_before_the_last_is_damage(tmp_path: Path) -> None:
    write_segments(tmp_path)
    path = segment_path(tmp_path, 1)
    data, head = path.read_bytes(), read(tmp_path)[1].head
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(JournalDamaged) as caught:
            cut_and_read(tmp_path)
        if head.position < size:
            assert (caught.value.file, caught.value.byte) == (str(path), head.position)
        assert path.stat().st_size == size
    path.write_bytes(data + bytes(8))
    with pytest.raises(JournalDamaged, match="not the last segment"):
        cut_and_read(tmp_path)


def test_j_torn_3_only_the_owner_cuts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_segments(tmp_path)
    path = segment_path(tmp_path, 2)
    size = path.stat().st_size - 1
    os.truncate(path, size)
    verified = verify(tmp_path)
    assert (verified.frames, path.stat().st_size) == (3, size)
    assert verified.torn is not None
    assert verified.torn.why == "the frame is incomplete"
    assert not caplog.records


def test_a_file_shorter_than_the_start_is_damage(tmp_path: Path) -> None:
    end = write_segments(tmp_path).end
    os.truncate(segment_path(tmp_path, 2), end.byte - 1)
    with pytest.raises(JournalDamaged, match="ends before"):
        read(tmp_path, end)


# ---------------------------------------------------------------- erasure


def erase(directory: Path, frame: Frame, index: int) -> None:
    """What a later release does, done here by the letter of J-ERASE-1."""
    path = segment_path(directory, frame.head.segment)
    data = bytearray(path.read_bytes())
    outline = frame.head.position + FRAME_HEAD_BYTES + MARK_BYTES * len(frame.head.marks)
    at = outline + RECORD_HEAD_BYTES * len(frame.records)
    for each in frame.records[:index]:
        at += SALT_BYTES + len(each.input) + len(each.output) + len(each.detail)
    end = at + SALT_BYTES + sum(len(part) for part in frame.records[index][6:9])
    data[at : at + SALT_BYTES] = hashlib.sha256(data[at:end]).digest()
    data[at + SALT_BYTES : end] = bytes(end - at - SALT_BYTES)
    data[outline + index * RECORD_HEAD_BYTES + 1] |= ERASED
    path.write_bytes(data)


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
