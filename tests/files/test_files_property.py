"""Whatever lines files hold, they are read in one order, and in the same order after any stop."""

from __future__ import annotations

import gzip
import tempfile
import zlib
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from headrace.files.formats import foreign_format
from headrace.files.line_reader import LineReader
from headrace.files.merged_reader import MergedReader
from headrace.journal.batches import Mark

pytestmark = pytest.mark.property

GZIP = b"\x1f\x8b"
T0 = 1_600_000_000_000
FAR_MS = 400 * 86_400_000

texts = st.binary(max_size=12).map(lambda text: text.replace(b"\n", b""))
times = st.integers(0, 12).map(lambda after: T0 + after)
far = st.sampled_from([T0 + FAR_MS, T0 + 2 * FAR_MS, T0 - FAR_MS])
timed = st.one_of(times, times, times, far).map(lambda time: b'{"event_time":%d}' % time)
lines = st.one_of(timed, timed, timed, st.sampled_from([b"", b"\r", b"{", b'{"event_time":-1}']))


class Read(NamedTuple):
    source: int
    offset: int
    line: int
    payload: bytes


def members(text: bytes, cuts: list[int]) -> bytes:
    """A gzip file of several members."""
    ends = [*sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return b"".join(gzip.compress(text[a:b], 1) for a, b in zip([0, *ends], ends, strict=False))


def read(reader: MergedReader, batches: int | None = None) -> tuple[list[Read], dict[int, Mark]]:
    """Read so many batches, or all; and how far each source was read."""
    found: list[Read] = []
    marks: dict[int, Mark] = {}
    while (batches is None or batches > 0) and (batch := reader.next_batch()) is not None:
        assert batch.payloads
        found += map(Read, batch.sources, batch.offsets, batch.lines, batch.payloads)
        marks |= {mark.source: mark for mark in batch.marks}
        batches = None if batches is None else batches - 1
    return found, marks


@settings(deadline=None)
@given(
    st.lists(texts),
    st.booleans(),
    st.lists(st.integers(0), max_size=3),
    st.integers(1, 40),
    st.integers(1, 5),
)
@example([b"%PDF-"], False, [], 5, 1)
@example([b"a|a"], False, [], 5, 1)
def test_a_file_s_lines_are_what_stands_between_newlines(each, ended, cuts, block_bytes, lines_max):
    text = b"\n".join(each) + (b"\n" if ended else b"")
    expected, offset = [], 0
    for number, payload in enumerate(text.split(b"\n"), start=1):
        if payload not in {b"", b"\r"}:
            expected.append(Read(7, offset, number, payload))
        offset += len(payload) + 1
    # What another format begins with is refused, which other tests look at; the first block tells it.
    assume(not text.startswith(GZIP))
    assume(not any(foreign_format(text[:end]) for end in range(1, len(text) + 1)))
    with tempfile.TemporaryDirectory() as folder:
        for content in (text, members(text, cuts)):
            path = Path(folder, "lines")
            path.write_bytes(content)
            reader = LineReader(str(path), number=7, block_bytes=block_bytes)
            found, _ = read(MergedReader([reader], batch_lines_max=lines_max))
            assert found == expected
            mark = reader.mark
            assert mark.crc == zlib.crc32(text[: mark.offset])
            if expected:
                last = expected[-1]
                assert (mark.line, mark.offset) == (
                    last.line,
                    min(last.offset + len(last.payload) + 1, len(text)),
                )
            reader.close()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_merge_goes_on_at_any_batch_as_if_it_had_not_stopped(data):
    contents = data.draw(st.lists(st.lists(lines, max_size=15), min_size=1, max_size=4))
    sizes, room = st.integers(1, 60), st.integers(1, 6)
    with tempfile.TemporaryDirectory() as folder:
        for number, content in enumerate(contents):
            text = b"\n".join(content)
            name = Path(folder, str(number))
            name.write_bytes(gzip.compress(text) if data.draw(st.booleans()) else text)

        def open_all(marks: dict[int, Mark], ordinal: int) -> MergedReader:
            block_bytes = data.draw(sizes)
            readers = [
                LineReader(str(Path(folder, str(number))), number=number, start=marks.get(number),
                           block_bytes=block_bytes)
                for number in range(len(contents))
            ]  # fmt: skip
            return MergedReader(
                readers, ordinal=ordinal, batch_lines_max=data.draw(room), future_skew_ms_max=86_400_000
            )

        unbroken, _ = read(open_all({}, 0))
        found: list[Read] = []
        marks: dict[int, Mark] = {}
        for _ in range(data.draw(st.integers(1, 4))):
            reader = open_all(marks, len(found))
            more, moved = read(reader, data.draw(st.integers(0, 5)))
            found, marks = found + more, marks | moved
            assert reader.ordinal == len(found)
            reader.close()
        rest, _ = read(open_all(marks, len(found)))
        assert found + rest == unbroken
        for number, content in enumerate(contents):
            kept = [payload for payload in content if payload not in {b"", b"\r"}]
            assert [each.payload for each in unbroken if each.source == number] == kept


@settings(deadline=None)
@given(st.lists(st.lists(times, max_size=20).map(sorted), min_size=2, max_size=4), st.integers(1, 80))
def test_ordered_files_merge_to_one_order(contents, block_bytes):
    with tempfile.TemporaryDirectory() as folder:
        readers = []
        for number, content in enumerate(contents):
            path = Path(folder, str(number))
            path.write_bytes(b"".join(b'{"event_time":%d}\n' % time for time in content))
            readers.append(LineReader(str(path), number=number, block_bytes=block_bytes))
        found, _ = read(MergedReader(readers))
    expected = sorted(
        (time, number, line)
        for number, content in enumerate(contents)
        for line, time in enumerate(content, start=1)
    )
    assert [(each.source, each.line) for each in found] == [(number, line) for _, number, line in expected]
