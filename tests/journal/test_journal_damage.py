"""What in a journal is not what was written is found, and what a crash can leave is cut off."""

import logging
import os
from pathlib import Path

import pytest
from journals import FRAME_HEAD_BYTES, SEGMENT_HEAD_BYTES, append, change, open_writer, read, write_segments

from headrace.errors import JournalDamaged
from headrace.journal.frames import GENESIS
from headrace.journal.reader import JournalReader
from headrace.journal.records import Kind
from headrace.journal.segments import segment_path
from headrace.journal.verify import verify


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
