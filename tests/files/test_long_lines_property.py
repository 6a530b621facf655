"""Lines of any length come out of a file in order: whole, or as head, length and digest of the whole."""

from __future__ import annotations

import gzip
import zlib
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.files.line_reader import LineReader
from headrace.files.merged_reader import MergedReader
from headrace.journal.batches import Mark
from headrace.operators.events.oversized import CutLine

pytestmark = pytest.mark.property

LIMIT, HEAD = 40, 7
T0 = 1_600_000_000_000
BOM = b"\xef\xbb\xbf"


def timed(second: int, length: int) -> bytes:
    line = b'{"event_time":%d}' % (T0 + 1000 * second)
    return line + b" " * (length - len(line))


LINE = st.one_of(
    # Nothing that a file of another format begins with.
    st.binary(max_size=90).map(lambda text: b"{" + text.replace(b"\n", b"x")),
    st.builds(timed, st.integers(0, 9), st.integers(30, 300)),
    st.sampled_from([b"", b"\r", b"x" * LIMIT, b"x" * (LIMIT + 1), b"y" * 1000]),
)


def told(line: bytes) -> tuple[object, ...]:
    return (line, line.whole_bytes, line.whole_sha256) if isinstance(line, CutLine) else (line,)


def expected(content: bytes) -> list[tuple[tuple[object, ...], int, int]]:
    """Each line as it is to come out, with its offset and its number."""
    found, at = [], 0
    lines = content.split(b"\n")
    for number, line in enumerate(lines if lines[-1] else lines[:-1], start=1):
        begin = at
        at += len(line) + 1
        if begin == 0 and line.startswith(BOM):
            line, begin = line[len(BOM) :], len(BOM)  # noqa: PLW2901
        if line in {b"", b"\r"}:
            continue
        said = (line,) if len(line) <= LIMIT else (line[:HEAD], len(line), sha256(line).digest())
        found.append((said, begin, number))
    return found


def opened(path: Path, block_bytes: int, start: Mark | None = None) -> LineReader:
    return LineReader(str(path), start=start, block_bytes=block_bytes, line_bytes_max=LIMIT, head_bytes=HEAD)


@settings(deadline=None)
@given(
    st.lists(LINE, max_size=25),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(1, 200),
    st.integers(1, 9),
)
def test_lines_of_any_length_come_out_in_order_from_any_mark(lines, bom, newline, packed, block, taken):
    content = (BOM if bom else b"") + b"\n".join(lines) + (b"\n" if newline else b"")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        path.write_bytes(gzip.compress(content) if packed else content)
        reader, rows, marks = opened(path, block), [], []
        while (some := reader.take(taken)) is not None:
            rows += [(told(line), offset, number) for line, offset, number in zip(*some, strict=True)]
            marks.append((reader.mark, len(rows)))
        reader.close()
        assert rows == expected(content)
        for mark, count in marks:
            assert mark.crc == zlib.crc32(content[: mark.offset])
            again = opened(path, block, mark)
            left = []
            while (some := again.take(taken)) is not None:
                left += [(told(line), offset, number) for line, offset, number in zip(*some, strict=True)]
            again.close()
            assert left == rows[count:]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(LINE, max_size=14), min_size=2, max_size=3), st.integers(1, 300))
def test_merged_sources_go_on_in_the_same_order_after_any_batch(sources, block):
    def merged(paths: list[Path], marks: dict[int, Mark], ordinal: int) -> MergedReader:
        readers = []
        for number, path in enumerate(paths):
            start = marks.get(number)
            readers.append(
                LineReader(
                    str(path),
                    number=number,
                    start=start,
                    block_bytes=block,
                    line_bytes_max=LIMIT,
                    head_bytes=HEAD,
                )
            )
        return MergedReader(
            readers, ordinal=ordinal, batch_lines_max=3, future_skew_ms_max=2000, agree_lines=4
        )

    with TemporaryDirectory() as folder:
        paths = [Path(folder) / str(number) for number in range(len(sources))]
        for path, lines in zip(paths, sources, strict=True):
            path.write_bytes(b"".join(line + b"\n" for line in lines))
        reader, rows, stops, marks = merged(paths, {}, 0), [], [], dict[int, Mark]()
        while (batch := reader.next_batch()) is not None:
            rows += list(zip(map(told, batch.payloads), batch.sources, batch.offsets, strict=True))
            marks |= {mark.source: mark for mark in batch.marks}
            stops.append((dict(marks), len(rows)))
        assert len(rows) == sum(len(expected(path.read_bytes())) for path in paths)
        for known, count in stops:
            again, left = merged(paths, known, count), []
            while (batch := again.next_batch()) is not None:
                left += list(zip(map(told, batch.payloads), batch.sources, batch.offsets, strict=True))
            assert left == rows[count:]
