"""How a journal is written: whole frames or nothing, one segment after another."""

import errno
import os
import resource
import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from journals import FRAME_HEAD_BYTES, SEGMENT_HEAD_BYTES, append, open_writer, read, record, write_segments

from headrace.errors import JournalDamaged, StateError
from headrace.journal.frames import GENESIS, Boundary
from headrace.journal.records import ERASED, Kind
from headrace.journal.segments import first_boundary, segment_numbers, segment_path, start_of
from headrace.journal.verify import verify


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
