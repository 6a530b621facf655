"""Lines are sorted by event time in bounded memory, stably, and each keeps its place in the file."""

from __future__ import annotations

import gzip
import hashlib
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.errors import TruncatedInput
from headrace.files import external_sort
from headrace.files.external_sort import PLACE, sort_lines
from headrace.files.line_reader import LineReader
from headrace.files.sorted_sources import Piece, SortedReader, piece_of
from headrace.journal.batches import Mark

DAY = 1_717_200_000_000


def line(number: int, time_ms: int) -> bytes:
    return b'{"event_id":"e-%d","event_time":%d,"x":"%s"}' % (number, time_ms, b"y" * (number % 50))


def lines_of(times: list[int]) -> list[bytes]:
    return [line(number, DAY + at) for number, at in enumerate(times)]


def by_time(lines: list[bytes]) -> list[bytes]:
    """What is expected: a line without a time stays behind the line before it."""
    times, last = [], 0
    for each in lines:
        last = int(each.split(b'"event_time":')[1].split(b",")[0]) if b"event_time" in each else last
        times.append(last)
    return [lines[place] for place in sorted(range(len(lines)), key=times.__getitem__)]


def sorted_in(folder: Path, lines: list[bytes], bytes_max: int = 1 << 30, **options):
    path = folder / "e.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path, sort_lines(LineReader(str(path)), folder, bytes_max, **options)


@pytest.mark.parametrize("bytes_max", [1, 5_000, 1 << 30])
@pytest.mark.parametrize("runs_at_once", [2, 64])
def test_however_little_memory_there_is_the_order_is_the_same(tmp_path, monkeypatch, bytes_max, runs_at_once):
    monkeypatch.setattr(external_sort, "_LINES_AT_ONCE", 7)
    monkeypatch.setattr(external_sort, "_RUNS_AT_ONCE", runs_at_once)
    chance = random.Random(1)
    lines = lines_of([chance.randrange(50) for _ in range(300)])
    lines[17] = lines[120] = b"not json"
    path, found = sorted_in(tmp_path, lines, bytes_max)
    assert found.lines.read_bytes().splitlines() == by_time(lines)
    whole = path.read_bytes()
    for payload, (offset, number) in zip(
        found.lines.read_bytes().splitlines(), PLACE.iter_unpack(found.places.read_bytes()), strict=True
    ):
        assert whole[offset : offset + len(payload)] == payload == lines[number - 1]
    assert (found.total, found.size, found.end.offset) == (300, len(whole), len(whole))
    assert not list(tmp_path.glob("run-*"))


@settings(max_examples=40)
@given(times=st.lists(st.one_of(st.integers(0, 5), st.none()), min_size=1, max_size=30))
def test_equal_times_keep_their_places_and_lines_without_a_time_their_neighbour(times, tmp_path_factory):
    lines = [b"no %d" % n if at is None else line(n, DAY + at) for n, at in enumerate(times)]
    _, found = sorted_in(tmp_path_factory.mktemp("sort"), lines, 1)
    assert found.lines.read_bytes().splitlines() == by_time(lines)


def test_an_end_leaves_what_begins_behind_it(tmp_path):
    lines = lines_of([5, 4, 3, 2, 1])
    end = sum(len(each) + 1 for each in lines[:3])
    _, found = sorted_in(tmp_path, lines, end=end)
    assert found.lines.read_bytes().splitlines() == lines[2::-1]


def test_what_was_good_of_a_truncated_file_is_sorted_and_the_error_kept(tmp_path):
    path = tmp_path / "e.gz"
    path.write_bytes(gzip.compress(b"\n".join(lines_of(list(range(500, 0, -1)))))[:-20])
    found = sort_lines(LineReader(str(path)), tmp_path, 1 << 20)
    assert found.total > 400
    assert isinstance(found.error, TruncatedInput)
    reader = SortedReader(str(path), found, number=0, start=None)
    while reader.take(100):
        pass
    assert isinstance(reader.error, TruncatedInput)
    reader.close()


def test_a_reader_of_sorted_lines_goes_on_at_its_mark_with_places_of_the_file(tmp_path):
    lines = lines_of([3, 1, 2, 0, 4])
    path, found = sorted_in(tmp_path, lines)
    reader = SortedReader(str(path), found, number=7, start=None)
    payloads, offsets, numbers = reader.take(2)
    assert (payloads, numbers) == ([lines[3], lines[1]], [4, 2])
    assert [path.read_bytes()[at:].split(b"\n")[0] for at in offsets] == payloads
    mark = reader.mark
    reader.close()
    again = SortedReader(str(path), found, number=7, start=mark)
    payloads, _, numbers = again.take(9)
    assert (payloads, numbers) == ([lines[2], lines[0], lines[4]], [3, 1, 5])
    again.close()


def test_the_name_of_a_piece_says_all_of_it():
    piece = Piece(17, Mark(0, 4711, 99, 0xAB), 4690, "/data/odd: 1-2\n.jsonl")
    assert piece.name == "sorted:17-4711:99:000000ab:4690:/data/odd: 1-2\n.jsonl"
    assert piece_of(piece.name) == piece
    assert piece_of("/data/sorted:1-2:3:00000000:4:/x") is None
    assert piece_of("-") is None


@pytest.mark.parametrize("bytes_max", [1, 1 << 20])
def test_of_a_line_too_long_head_length_and_digest_come_through(tmp_path, bytes_max):
    lines = [*lines_of([3, 1]), b"x" * 5000, *lines_of([2])]
    path = tmp_path / "e.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    found = sort_lines(LineReader(str(path), line_bytes_max=1000, head_bytes=10), tmp_path, bytes_max)
    reader = SortedReader(str(path), found, number=0, start=None, line_bytes_max=1000)
    payloads, offsets, numbers = reader.take(10)
    reader.close()
    # It has no time, and stays behind the line before it.
    assert (payloads[1], payloads[1].whole_bytes, numbers) == (b"x" * 10, 5000, [2, 3, 4, 1])
    assert payloads[1].whole_sha256 == hashlib.sha256(lines[2]).digest()
    assert path.read_bytes()[offsets[1] :].startswith(b"x" * 5000)
