"""Reading files of lines, merging them by event time, and writing them."""

from __future__ import annotations

import gzip
import os
import tracemalloc
import zlib
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import ChangedSource, HeadraceError, InputError, StateError, TruncatedInput
from headrace.files.file_bytes import begins_as
from headrace.files.line_reader import LineReader
from headrace.files.merged_reader import MergedReader
from headrace.files.output_file import OutputFile
from headrace.files.pace import Pace
from headrace.journal.batches import Batch, Mark
from headrace.operators.events.oversized import CutLine

TEXT = b"".join(b'{"event_time":%d,"n":%d}\n' % (1_600_000_000_000 + n, n * n) for n in range(300))
LINES = TEXT.split(b"\n")[:-1]
DAY_MS = 86_400_000
T0 = 1_600_000_000_000


def drain(reader: LineReader, lines_max: int = 7) -> list[bytes]:
    found = []
    while (taken := reader.take(lines_max)) is not None:
        found += taken[0]
    assert reader.ended
    reader.close()
    return found


def read(path: Path, **kwargs: Any) -> tuple[list[bytes], LineReader]:
    reader = LineReader(str(path), **kwargs)
    return drain(reader), reader


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def line(time_ms: int | str, name: str) -> bytes:
    time = f'"{time_ms}"' if isinstance(time_ms, str) else str(time_ms)
    return f'{{"event_time":{time},"name":"{name}"}}'.encode()


def name_of(payload: bytes) -> str:
    return payload.split(b'"')[-2].decode() if b"name" in payload else payload.decode()


def merged(reader: MergedReader) -> list[str]:
    return [name_of(payload) for batch in batches(reader) for payload in batch.payloads]


def batches(reader: MergedReader) -> list[Batch]:
    found = []
    while (batch := reader.next_batch()) is not None:
        found.append(batch)
    return found


def files(tmp_path: Path, *contents: list[bytes], **kwargs: Any) -> list[LineReader]:
    return [
        LineReader(str(put(tmp_path / f"{n}.jsonl", b"".join(x + b"\n" for x in lines))), number=n, **kwargs)
        for n, lines in enumerate(contents)
    ]


class TestLines:
    @pytest.mark.parametrize("block_bytes", [1, 7, 64, 1000, 262_144])
    @pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
    def test_lines_don_t_depend_on_blocks_or_compression(self, tmp_path, name, block_bytes):
        content = gzip.compress(TEXT) if name.endswith("gz") else TEXT
        found, reader = read(put(tmp_path / name, content), block_bytes=block_bytes)
        assert found == LINES
        assert reader.error is None
        assert reader.mark == Mark(0, len(TEXT), len(LINES), zlib.crc32(TEXT))

    def test_gzip_is_told_by_its_first_bytes_not_by_its_name(self, tmp_path):
        assert read(put(tmp_path / "a.jsonl", gzip.compress(TEXT)))[0] == LINES
        assert read(put(tmp_path / "b.jsonl.gz", TEXT))[0] == LINES

    @pytest.mark.parametrize("padding", [b"", b"\0" * 600])
    def test_a_line_may_run_across_gzip_members(self, tmp_path, padding):
        members = [gzip.compress(TEXT[at : at + 1001]) + padding for at in range(0, len(TEXT), 1001)]
        found, reader = read(put(tmp_path / "a.gz", b"".join(members)), block_bytes=500)
        assert (found, reader.error) == (LINES, None)

    @pytest.mark.parametrize("compress", [bytes, gzip.compress])
    def test_offsets_and_numbers_count_blank_lines_and_carriage_returns(self, tmp_path, compress):
        text = b"\none\r\n\r\n\n two \n\nlast"
        reader = LineReader(str(put(tmp_path / "a", compress(text))), number=3)
        assert reader.take(1) == ([b"one\r"], [1], [2])
        assert reader.mark == Mark(3, 6, 2, zlib.crc32(text[:6]))
        assert reader.take(9) == ([b" two "], [9], [5])
        assert reader.take(9) == ([b"last"], [16], [7])
        assert reader.mark == Mark(3, len(text), 7, zlib.crc32(text))
        assert reader.take(9) is None
        assert reader.error is None

    @pytest.mark.parametrize("text", [b"", b"\n", b"\n\r\n\n"])
    def test_nothing_in_it(self, tmp_path, text):
        assert read(put(tmp_path / "a.jsonl", text))[0] == []
        assert read(put(tmp_path / "a.gz", gzip.compress(text)))[0] == []

    def test_one_byte_that_begins_like_gzip_is_a_line(self, tmp_path):
        assert read(put(tmp_path / "a.jsonl", b"\x1f"))[0] == [b"\x1f"]

    def test_what_can_t_be_opened_or_read_is_an_input_error(self, tmp_path):
        with pytest.raises(InputError, match=r"none\.jsonl: can't be read: No such file"):
            LineReader(str(tmp_path / "none.jsonl"))
        with pytest.raises(InputError, match="can't be read"):
            batches(MergedReader([LineReader(str(tmp_path))]))

    @pytest.mark.parametrize("line_bytes_max", [10, 1000])
    def test_the_file_is_closed_at_its_end(self, tmp_path, line_bytes_max):
        path = put(tmp_path / "a", TEXT)
        before = len(os.listdir("/dev/fd"))
        reader = LineReader(str(path), line_bytes_max=line_bytes_max)
        assert len(os.listdir("/dev/fd")) == before + 1
        while reader.take(1000):
            pass
        assert len(os.listdir("/dev/fd")) == before

    def test_progress_counts_compressed_bytes(self, tmp_path):
        path = put(tmp_path / "a.gz", gzip.compress(TEXT))
        reader = LineReader(str(path), block_bytes=1000)
        reader.take(1)
        assert 0 < reader.progress.bytes_done <= path.stat().st_size == reader.progress.bytes_total
        drain(reader)
        assert reader.progress.bytes_done == path.stat().st_size

    def test_progress_is_what_was_handed_out_not_what_was_read_ahead(self, tmp_path):
        path = put(tmp_path / "a", TEXT)
        for block_bytes in (16, 100, 262_144):
            reader = LineReader(str(path), block_bytes=block_bytes)
            reader.read_times(DAY_MS, 3)
            assert reader.next_time() is not None
            assert reader.progress.bytes_done == 0
            handed = 0
            while (taken := reader.take(3)) is not None:
                handed += sum(map(len, taken[0])) + len(taken[0])
                assert reader.progress.bytes_done == handed
            assert handed == len(TEXT)

    def test_progress_of_a_compressed_file_is_in_proportion(self, tmp_path):
        path = put(tmp_path / "a.gz", gzip.compress(TEXT))
        reader = LineReader(str(path))
        seen = []
        while reader.take(75) is not None:
            seen.append(round(reader.progress.bytes_done / path.stat().st_size, 1))
        assert seen == [0.2, 0.5, 0.7, 1.0]

    def test_progress_goes_on_after_a_stop(self, tmp_path):
        path = put(tmp_path / "a", TEXT)
        reader = LineReader(str(path), block_bytes=100)
        reader.take(3)
        mark = reader.mark
        assert LineReader(str(path), start=mark).progress.bytes_done == mark.offset > 0


class TestUnfinishedLines:
    @pytest.mark.parametrize("block_bytes", [5, 262_144])
    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    @pytest.mark.parametrize("timed", [False, True])
    def test_one_is_left_until_it_is_finished(self, tmp_path, block_bytes, pack, timed):
        path = put(tmp_path / "a", pack(b"a\nb\nc"))
        reader = LineReader(str(path), block_bytes=block_bytes, leave_unfinished=True)
        if timed:
            reader.read_times(DAY_MS, 3)
        assert (drain(reader), reader.unfinished_bytes, reader.error) == ([b"a", b"b"], 1, None)
        assert reader.mark == Mark(0, 4, 2, zlib.crc32(b"a\nb\n"))
        path.write_bytes(path.read_bytes() + pack(b"c\nd\n"))
        found, again = read(path, start=reader.mark, leave_unfinished=True)
        assert (found, again.unfinished_bytes) == ([b"cc", b"d"], 0)
        assert again.mark.line == 4

    @pytest.mark.parametrize("end", [b"", b"\r"])
    def test_a_file_that_ends_well_has_none(self, tmp_path, end):
        found, reader = read(put(tmp_path / "a", b"a\nb\n" + end), leave_unfinished=True)
        assert (found, reader.unfinished_bytes) == ([b"a", b"b"], 0)

    def test_nothing_more_comes_of_a_pipe(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        writer = os.open(tmp_path / "pipe", os.O_RDWR)
        reader = LineReader(str(tmp_path / "pipe"), leave_unfinished=True)
        os.write(writer, b"a\nb")
        os.close(writer)
        found = []
        while not reader.ended:
            found += (reader.take(10) or ([], [], []))[0]
        assert found == [b"a", b"b"]

    @pytest.mark.parametrize("block_bytes", [16, 262_144])
    def test_so_is_one_that_is_too_long_to_keep(self, tmp_path, block_bytes):
        path = put(tmp_path / "a", b"a\n" + b"x" * 101)
        found, reader = read(path, line_bytes_max=100, leave_unfinished=True, block_bytes=block_bytes)
        assert (found, reader.error, reader.unfinished_bytes) == ([b"a"], None, 101)
        assert reader.mark == Mark(0, 2, 1, zlib.crc32(b"a\n"))


class TestByteOrderMarks:
    @pytest.mark.parametrize("block_bytes", [5, 262_144])
    @pytest.mark.parametrize("timed", [False, True])
    def test_one_at_the_beginning_belongs_to_no_line(self, tmp_path, block_bytes, timed):
        content = b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n"
        reader = LineReader(str(put(tmp_path / "a", content)), block_bytes=block_bytes)
        if timed:
            reader.read_times(DAY_MS, 3)
        rows = []
        while (taken := reader.take(1)) is not None:
            rows += zip(*taken, strict=True)
        assert rows == [(b"a", 3, 1), (b"\xef\xbb\xbfb", 5, 2)]
        assert reader.mark == Mark(0, len(content), 2, zlib.crc32(content))

    def test_alone_it_is_no_line(self, tmp_path):
        assert read(put(tmp_path / "a", b"\xef\xbb\xbf"))[0] == []

    def test_a_file_that_has_one_is_gone_on_with(self, tmp_path):
        path = put(tmp_path / "a", b"\xef\xbb\xbfa\nb\n")
        reader = LineReader(str(path))
        reader.take(1)
        assert read(path, start=reader.mark)[0] == [b"b"]


class TestBeginnings:
    def marks(self, *parts: bytes) -> list[Mark]:
        return [Mark(n, len(part), 1, zlib.crc32(part)) for n, part in enumerate(parts)]

    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    def test_every_source_that_the_file_begins_as_is_found(self, tmp_path, pack):
        path = put(tmp_path / "a", pack(TEXT))
        marks = self.marks(TEXT, TEXT[:100], TEXT[:99] + b"x", TEXT + b"x", TEXT[1:50], TEXT[:40])
        assert [mark.source for mark in begins_as(str(path), marks)] == [5, 1, 0]

    def test_blocks_make_no_difference(self, tmp_path):
        long = TEXT * 100
        marks = self.marks(*(long[:length] for length in (262_143, 262_144, 262_145, len(long))))
        assert len(begins_as(str(put(tmp_path / "a", long)), marks)) == 4

    def test_a_pipe_and_a_file_that_is_not_there_are_not_looked_at(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        keep = os.open(tmp_path / "pipe", os.O_RDWR)
        assert begins_as(str(tmp_path / "pipe"), self.marks(b"a")) == []
        assert begins_as(str(tmp_path / "none"), self.marks(b"a")) == []
        os.close(keep)


class TestLongLines:
    @pytest.mark.parametrize("block_bytes", [16, 262_144])
    def test_the_longest_allowed_line_is_handed_out(self, tmp_path, block_bytes):
        path = put(tmp_path / "a", b"a\n" + b"x" * 100 + b"\nb")
        found, reader = read(path, line_bytes_max=100, block_bytes=block_bytes)
        assert (found, reader.error) == ([b"a", b"x" * 100, b"b"], None)

    @pytest.mark.parametrize("block_bytes", [16, 262_144])
    @pytest.mark.parametrize("end", [b"\nb\n", b""])
    def test_of_a_longer_one_the_head_is_handed_out_with_length_and_digest(self, tmp_path, block_bytes, end):
        long = bytes(range(33, 123)) + b"x" * 111
        content = b"a\nb\n" + long + end
        path = put(tmp_path / "a", content)
        found, reader = read(path, line_bytes_max=100, head_bytes=90, block_bytes=block_bytes)
        assert found == [b"a", b"b", long[:90], *([b"b"] if end else [])]
        assert isinstance(found[2], CutLine)
        assert (found[2].whole_bytes, found[2].whole_sha256) == (201, sha256(long).digest())
        assert reader.error is None
        assert reader.mark == Mark(0, len(content), 4 if end else 3, zlib.crc32(content))
        assert reader.progress == (len(content), len(content))

    def test_a_gzip_bomb_is_unpacked_in_bounded_memory(self, tmp_path):
        path = put(tmp_path / "a.gz", gzip.compress(b"a\n" + bytes(50_000_000) + b"\nb\n"))
        tracemalloc.start()
        found, reader = read(path, line_bytes_max=1_000_000, head_bytes=10)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert found == [b"a", bytes(10), b"b"]
        assert found[1].whole_bytes == 50_000_000
        assert reader.progress.bytes_done == path.stat().st_size
        assert most < 5_000_000


class TestDamagedGzip:
    def test_cut_at_every_byte_gives_every_whole_line_before_it(self, tmp_path):
        whole = gzip.compress(TEXT[:2000]) + gzip.compress(TEXT[2000:4000])
        for cut in range(len(whole)):
            path = put(tmp_path / "a.gz", whole[:cut])
            found, reader = read(path, block_bytes=97)
            assert found == before(whole[:cut]), cut
            if cut == len(gzip.compress(TEXT[:2000])):
                assert reader.error is None
                assert not TEXT[:2000].endswith(b"\n")
                continue
            assert isinstance(reader.error, TruncatedInput)
            assert (reader.error.byte, reader.error.source) == (cut, str(path))
            assert reader.error.exit_code == 4

    @pytest.mark.parametrize("block_bytes", [100, 262_144])
    def test_damage_inside_gives_every_whole_line_before_it_and_names_the_byte(self, tmp_path, block_bytes):
        whole = gzip.compress(TEXT)
        for at in range(10, len(whole) - 8, 13):
            damaged = bytearray(whole)
            damaged[at] ^= 0x55
            found, reader = read(put(tmp_path / "a.gz", bytes(damaged)), block_bytes=block_bytes)
            lines, byte = before_damage(bytes(damaged))
            assert isinstance(reader.error, TruncatedInput)
            assert (found, reader.error.byte) == (lines, byte)

    def test_a_wrong_checksum_is_found_after_all_lines(self, tmp_path):
        whole = gzip.compress(TEXT)
        path = put(tmp_path / "a.gz", whole[:-8] + bytes(4) + whole[-4:])
        found, reader = read(path)
        assert found == LINES
        assert "damaged gzip: incorrect data check" in str(reader.error)

    def test_what_follows_a_member_must_be_one(self, tmp_path):
        whole = gzip.compress(TEXT)
        found, reader = read(put(tmp_path / "a.gz", whole + b"more"))
        assert found == LINES
        assert isinstance(reader.error, TruncatedInput)
        assert len(whole) <= reader.error.byte < len(whole) + 4

    @pytest.mark.parametrize("head", [b"", b"\x1f"])
    def test_a_gz_file_cut_within_its_first_bytes_is_truncated(self, tmp_path, head):
        _, reader = read(put(tmp_path / "a.gz", head))
        assert isinstance(reader.error, TruncatedInput)


def before(cut: bytes) -> list[bytes]:
    """Whole lines of a gzip file cut short, found with zlib as a whole."""
    text = b""
    while cut:
        member = zlib.decompressobj(31)
        text += member.decompress(cut)
        if not member.eof:
            return without_blank(text.split(b"\n")[:-1])
        cut = member.unused_data
    return without_blank(text.split(b"\n"))


def before_damage(damaged: bytes) -> tuple[list[bytes], int]:
    """Whole lines of a damaged gzip file and the byte that can't be, found with zlib byte by byte."""
    member, text = zlib.decompressobj(31), b""
    for at in range(len(damaged)):
        try:
            text += member.decompress(damaged[at : at + 1])
        except zlib.error:
            return without_blank(text.split(b"\n")[:-1]), at
    return without_blank(text.split(b"\n")[:-1]), len(damaged)


def without_blank(lines: list[bytes]) -> list[bytes]:
    return [each for each in lines if each not in {b"", b"\r"}]


class TestGoingOn:
    @pytest.mark.parametrize("compress", [bytes, gzip.compress])
    def test_from_a_mark(self, tmp_path, compress):
        path = put(tmp_path / "a", compress(TEXT))
        first = LineReader(str(path))
        first.take(100)
        start = first.mark
        second = LineReader(str(path), start=start, block_bytes=333)
        assert second.mark == start
        payloads, offsets, lines = second.take(1)
        assert (payloads, offsets, lines) == ([LINES[100]], [start.offset], [101])
        assert drain(second) == LINES[101:]
        assert second.mark == Mark(0, len(TEXT), 300, zlib.crc32(TEXT))

    def test_at_the_end_there_is_nothing_more_until_the_file_grows(self, tmp_path):
        path = put(tmp_path / "a", TEXT)
        end = read(path)[1].mark
        assert read(path, start=end)[0] == []
        put(path, TEXT + b"more\n")
        assert read(path, start=end)[0] == [b"more"]

    def test_a_changed_byte_before_the_mark_is_refused(self, tmp_path):
        path = put(tmp_path / "a", TEXT)
        start = read(path)[1].mark
        put(path, TEXT.replace(b"1600000000007", b"1600000000008"))
        with pytest.raises(ChangedSource, match=rf"a: changed before byte {len(TEXT)}"):
            LineReader(str(path), start=start)

    @pytest.mark.parametrize("compress", [bytes, gzip.compress])
    def test_a_shorter_file_is_refused(self, tmp_path, compress):
        path = put(tmp_path / "a", compress(TEXT))
        start = read(path)[1].mark
        put(path, compress(TEXT[:1000]))
        with pytest.raises(ChangedSource, match=rf"ends at byte 1000; it was read to byte {len(TEXT)}"):
            LineReader(str(path), start=start)

    def test_a_change_after_the_mark_is_none(self, tmp_path):
        path = put(tmp_path / "a", TEXT)
        reader = LineReader(str(path))
        reader.take(5)
        put(path, b"\n".join(LINES[:5]) + b"\nother\n")
        assert read(path, start=reader.mark)[0] == [b"other"]

    def test_a_truncated_gzip_goes_on_when_the_whole_one_has_come(self, tmp_path):
        whole = gzip.compress(TEXT)
        path = put(tmp_path / "a.gz", whole[:500])
        found, reader = read(path)
        put(path, whole)
        rest, again = read(path, start=reader.mark)
        assert (found + rest, again.error) == (LINES, None)
        assert 0 < len(found) < len(LINES)

    @pytest.mark.parametrize("block_bytes", [1, 3, 100])
    def test_a_last_line_may_get_its_newline_later(self, tmp_path, block_bytes):
        path = put(tmp_path / "a", b"one\ntwo")
        found, reader = read(path)
        assert found == [b"one", b"two"]
        assert read(path, start=reader.mark, block_bytes=block_bytes)[0] == []
        put(path, b"one\ntwo\nthree\n")
        again = LineReader(str(path), start=reader.mark, block_bytes=block_bytes)
        assert again.take(1) == ([b"three"], [8], [3])
        assert again.mark.crc == zlib.crc32(b"one\ntwo\nthree\n")

    def test_a_last_line_that_went_on_is_refused(self, tmp_path):
        path = put(tmp_path / "a", b"one\ntwo")
        start = read(path)[1].mark
        put(path, b"one\ntwofold\n")
        with pytest.raises(ChangedSource, match="line 2 went on at byte 7"):
            LineReader(str(path), start=start)


class TestPipes:
    def test_lines_come_as_they_are_written(self):
        source, target = os.pipe()
        reader = MergedReader([LineReader(f"/dev/fd/{source}", stream_wait_ms=0)])
        assert reader.stream
        assert reader.next_batch() is None
        os.write(target, b"one\ntw")
        assert reader.next_batch().payloads == [b"one"]
        assert reader.next_batch() is None
        assert not reader.ended
        os.write(target, b"o\nlast")
        assert reader.next_batch().payloads == [b"two"]
        os.close(target)
        assert reader.next_batch().payloads == [b"last"]
        assert reader.next_batch() is None
        assert reader.ended
        reader.close()
        os.close(source)

    def test_a_compressed_pipe_may_come_byte_by_byte(self):
        source, target = os.pipe()
        reader = LineReader(f"/dev/fd/{source}", stream_wait_ms=0)
        found = []
        for byte in gzip.compress(b"one\ntwo\n"):
            os.write(target, bytes([byte]))
            found.append(reader.take(9))
        os.close(target)
        assert [lines[0] for lines in found if lines] == [[b"one"], [b"two"]]
        assert drain(reader) == []
        assert reader.error is None
        os.close(source)

    def test_standard_input(self):
        source, target = os.pipe()
        before = os.dup(0)
        os.dup2(source, 0)
        try:
            os.write(target, b"one\n")
            os.close(target)
            assert drain(LineReader("-")) == [b"one"]
            assert os.fstat(0)
        finally:
            os.dup2(before, 0)
            os.close(before)
            os.close(source)

    def test_a_merge_waits_for_the_pipe_that_has_nothing_yet(self, tmp_path):
        source, target = os.pipe()
        pipe = LineReader(f"/dev/fd/{source}", number=1, stream_wait_ms=0)
        reader = MergedReader([*files(tmp_path, [line(T0, "a"), line(T0 + 9, "b")]), pipe])
        assert reader.next_batch() is None
        assert reader.stream
        os.write(target, line(T0 + 5, "p") + b"\n")
        assert [name_of(payload) for payload in reader.next_batch().payloads] == ["a", "p"]
        assert reader.next_batch() is None
        os.close(target)
        assert merged(reader) == ["b"]
        assert reader.ended
        os.close(source)


class TestMerging:
    def test_one_source_alone_keeps_its_order(self, tmp_path):
        lines = [line(T0 + 5, "a"), line(T0, "b"), b"broken", line(T0 + 1, "c")]
        assert merged(MergedReader(files(tmp_path, lines))) == ["a", "b", "broken", "c"]

    def test_by_event_time_then_order_of_arguments_then_line(self, tmp_path):
        first = [line(T0 + 1, "a1"), line(T0 + 1, "a2"), line("2020-09-13T12:26:40.004Z", "a4")]
        second = [line(T0, "b0"), line(T0 + 1, "b1"), line(T0 + 3, "b3"), line(T0 + 4, "b4")]
        assert merged(MergedReader(files(tmp_path, first, second))) == [
            "b0", "a1", "a2", "b1", "b3", "a4", "b4",
        ]  # fmt: skip

    def test_a_line_without_a_usable_time_comes_at_once(self, tmp_path):
        odd = [b"{", b'{"event_time":1e400}', line(-1, "1900"), line(1 << 70, "far"), line("noon", "noon")]
        first = [line(T0 + 2, "a2"), *odd, line(T0 + 8, "a8")]
        second = [b"first", line(T0 + 1, "b1"), line(T0 + 3, "b3")]
        assert merged(MergedReader(files(tmp_path, first, second))) == [
            "first", "b1", "a2", *map(name_of, odd), "b3", "a8",
        ]  # fmt: skip

    @pytest.mark.parametrize("block_bytes", [1, 50, 262_144])
    @pytest.mark.parametrize("broken", [1, 2])
    def test_a_broken_clock_does_not_hold_back_what_follows(self, tmp_path, broken, block_bytes):
        ahead = [line(T0 + 9000 * DAY_MS, f"ahead{n}") for n in range(broken)]
        first = [line(T0, "a0"), *ahead, b"broken", line(T0 + 2, "a2"), line(T0 + 4, "a4")]
        if broken == 2:
            first.remove(b"broken")
        second = [line(T0 + n, f"b{n}") for n in (1, 3, 5)]
        readers = files(tmp_path, first, second, block_bytes=block_bytes)
        found = merged(MergedReader(readers, future_skew_ms_max=DAY_MS, agree_lines=3))
        assert [name for name in found if name != "broken"] == [
            "a0", "b1", *map(name_of, ahead), "a2", "b3", "a4", "b5",
        ]  # fmt: skip

    def test_a_sender_ahead_for_fewer_lines_than_the_clock_accepts_holds_nothing_back(self, tmp_path):
        ahead = [line(T0 + 9000 * DAY_MS + n, f"ahead{n}") for n in range(15)]
        first = [line(T0, "a0"), *ahead, line(T0 + 2, "a2")]
        found = merged(MergedReader(files(tmp_path, first, [line(T0 + 1, "b1"), line(T0 + 3, "b3")])))
        assert found == ["a0", "b1", *map(name_of, ahead), "a2", "b3"]

    def test_so_many_lines_that_agree_are_believed(self, tmp_path):
        later = T0 + 9000 * DAY_MS
        first = [line(T0, "a"), *[line(later, f"later{n}") for n in range(3)], line(T0 + 1, "c")]
        readers = files(tmp_path, first, [line(T0 + 2, "b")])
        assert merged(MergedReader(readers, future_skew_ms_max=DAY_MS, agree_lines=3))[:2] == ["a", "b"]

    def test_batches_have_a_limit_and_marks_of_the_sources_that_moved(self, tmp_path):
        readers = files(
            tmp_path, [line(T0 + n, "a") for n in range(4)], [line(T0 + 3, "b"), line(T0 + 4, "b")]
        )
        found = batches(MergedReader(readers, ordinal=70, batch_lines_max=2))
        assert [batch.ordinal for batch in found] == [70, 72, 74]
        assert [batch.sources for batch in found] == [[0, 0], [0, 0], [1, 1]]
        assert [[mark.source for mark in batch.marks] for batch in found] == [[0], [0], [1]]
        assert [batch.lines for batch in found] == [[1, 2], [3, 4], [1, 2]]
        assert found[1].marks[0].line == 4

    def test_a_cut_source_does_not_keep_the_others_from_their_end(self, tmp_path):
        cut = gzip.compress(TEXT)[:500]
        paths = [put(tmp_path / "a.gz", cut), put(tmp_path / "b.gz", cut), put(tmp_path / "c", TEXT)]
        readers = [LineReader(str(path), number=n) for n, path in enumerate(paths)]
        reader = MergedReader(readers, batch_lines_max=1)
        found = [reader.next_batch().sources[0] for _ in range(2 * len(before(cut)) + len(LINES))]
        with pytest.raises(TruncatedInput) as raised:
            reader.next_batch()
        assert raised.value.source == str(paths[0])
        assert found.count(2) == len(LINES)
        assert found.count(0) == found.count(1) == len(before(cut)) > 0
        assert reader.ended

    def test_no_source_at_all(self):
        reader = MergedReader([])
        assert reader.next_batch() is None
        assert reader.ended
        assert reader.progress.bytes_done == 0


class TestPace:
    def test_lines_come_when_they_are_due(self, tmp_path):
        now = [100.0]
        lines = [b"broken", *[line(T0 + ms, str(ms)) for ms in (0, 1000, 1500, 1400, 60_000)]]
        reader = MergedReader(files(tmp_path, lines), pace=Pace(10.0, lambda: now[0]))
        assert reader.next_batch().payloads == [b"broken"]
        assert [name_of(payload) for payload in reader.next_batch().payloads] == ["0"]
        assert reader.next_batch() is None
        assert not reader.ended
        assert reader.next_due_s() == pytest.approx(0.1)
        now[0] += 0.1501
        assert [name_of(payload) for payload in reader.next_batch().payloads] == ["1000", "1500", "1400"]
        assert reader.next_due_s() == pytest.approx(6.0 - 0.1501)
        now[0] += 5.9
        assert reader.next_due_s() is None
        assert [name_of(payload) for payload in reader.next_batch().payloads] == ["60000"]
        assert reader.next_batch() is None
        assert reader.ended

    def test_a_speed_is_positive(self):
        with pytest.raises(ValueError, match="positive"):
            Pace(0.0)


class TestOutput:
    def test_starts_empty_unless_it_is_told_to_append(self, tmp_path):
        path = tmp_path / "out"
        path.write_bytes(b"before\n")
        appending = OutputFile(str(path), append=True)
        assert appending.length == 7
        appending.write([b"a\n", b"b\n"])
        assert appending.length == 11
        appending.close()
        assert path.read_bytes() == b"before\na\nb\n"
        assert OutputFile(str(path)).length == 0
        assert path.read_bytes() == b""

    def test_resume_cuts_off_what_was_written_after(self, tmp_path):
        path = tmp_path / "out"
        path.write_bytes(b"one\ntwo\nthr")
        output = OutputFile(str(path), append=True)
        output.resume(4)
        output.write([b"2\n"])
        assert output.length == 6
        assert path.read_bytes() == b"one\n2\n"

    def test_resume_refuses_a_shorter_file_and_a_pipe(self, tmp_path):
        output = OutputFile(str(tmp_path / "out"))
        with pytest.raises(StateError, match="has 0 bytes; the run had written 4"):
            output.resume(4)
        with pytest.raises(StateError, match="is no file"):
            OutputFile("/dev/null").resume(0)

    def test_standard_output(self, capfd):
        output = OutputFile("-")
        output.write([b"a\n"])
        output.close()
        assert capfd.readouterr().out == "a\n"
        assert (output.length, output.regular) == (2, False)

    def test_a_short_write_is_continued(self, tmp_path, monkeypatch):
        write = os.write
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:3]))
        output = OutputFile(str(tmp_path / "out"))
        output.write([b"one\n", b"two\n"])
        assert (tmp_path / "out").read_bytes() == b"one\ntwo\n"
        assert output.length == 8

    @pytest.mark.parametrize("fsync", [True, False])
    def test_fsync_follows_every_write_when_asked_for(self, tmp_path, monkeypatch, fsync):
        synced = []
        monkeypatch.setattr(os, "fsync", synced.append)
        output = OutputFile(str(tmp_path / "out"), fsync=fsync)
        output.write([b"a\n"])
        output.write([b"b\n"])
        assert len(synced) == (2 if fsync else 0)

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_a_full_disk_is_an_error_that_names_the_file(self):
        with pytest.raises(HeadraceError, match="/dev/full: byte 0: can't be written: No space left"):
            OutputFile("/dev/full").write([b"a\n"])

    def test_what_can_t_be_opened_is_an_error(self, tmp_path):
        with pytest.raises(HeadraceError, match="can't be written: No such file"):
            OutputFile(str(tmp_path / "none" / "out"))
