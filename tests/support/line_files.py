"""Files of lines for tests, and readers of them."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

from headrace.files.line_reader import LineReader
from headrace.files.merged_reader import MergedReader
from headrace.journal.batches import Batch

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


def without_blank(lines: list[bytes]) -> list[bytes]:
    return [each for each in lines if each not in {b"", b"\r"}]
