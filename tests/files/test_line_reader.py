"""Lines of files: whole, unfinished, too long, with a byte order mark."""

from __future__ import annotations

import gzip
import os
import tracemalloc
import zlib
from hashlib import sha256

import pytest
from line_files import DAY_MS, LINES, TEXT, batches, drain, put, read

from headrace.errors import InputError
from headrace.files.file_bytes import begins_as
from headrace.files.line_reader import LineReader
from headrace.files.merged_reader import MergedReader
from headrace.journal.batches import Mark
from headrace.operators.events.oversized import CutLine


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
