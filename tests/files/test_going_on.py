"""Damaged gzip, going on after a stop, and pipes."""

from __future__ import annotations

import gzip
import os
import zlib

import pytest
from line_files import LINES, T0, TEXT, before, drain, files, line, merged, name_of, put, read, without_blank

from headrace.errors import ChangedSource, TruncatedInput
from headrace.files.line_reader import LineReader
from headrace.files.merged_reader import MergedReader
from headrace.journal.batches import Mark


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


def before_damage(damaged: bytes) -> tuple[list[bytes], int]:
    """Whole lines of a damaged gzip file and the byte that can't be, found with zlib byte by byte."""
    member, text = zlib.decompressobj(31), b""
    for at in range(len(damaged)):
        try:
            text += member.decompress(damaged[at : at + 1])
        except zlib.error:
            return without_blank(text.split(b"\n")[:-1]), at
    return without_blank(text.split(b"\n")[:-1]), len(damaged)


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
