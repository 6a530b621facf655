"""Tells by its first bytes that a file is of another format than lines of JSON objects, and which."""

from __future__ import annotations

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from collections.abc import Sequence
from typing import Final

import orjson

__all__ = ["HEAD_BYTES", "foreign_format", "refusal_of"]

HEAD_BYTES: Final = 65_536
"""So much of a file is looked at."""

_LINES_LOOKED_AT: Final = 64
_WIDE_BYTES: Final = 512
_CELLS_MIN: Final = 2
_TAR_AT: Final = 257
_ZIP_HEADER_BYTES: Final = 30
_ZIP_VERSION_MIN: Final = 10
_ZIP_VERSION_MAX: Final = 63
_KNOWN_COLUMNS: Final = frozenset({b"event_id", b"event_time", b"customer_id", b"type"})
_DELIMITERS: Final = (
    (b",", "CSV"),
    (b";", "CSV with semicolons"),
    (b"\t", "tab-separated values"),
    (b"|", "CSV with bars"),
)
# First bytes that no text begins with, and how one makes lines of it.
_MAGIC: Final = (
    (b"\x28\xb5\x2f\xfd", "zstd-compressed", "zstd -dc"),
    (b"\xfd7zXZ\0", "xz-compressed", "xz -dc"),
    (b"BZh", "bzip2-compressed", "bzip2 -dc"),
    (b"PK\x05\x06", "an empty zip archive", None),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "7z x -so"),
    (b"Rar!\x1a\x07", "a rar archive", None),
    (b"\x04\x22\x4d\x18", "lz4-compressed", "lz4 -dc"),
    (b"\xff\x06\0\0sNaPpY", "snappy-compressed", None),
    (b"\x1f\x9d", "compressed by `compress`", "gzip -dc"),
    (b"\x1f\x8b", "gzip-compressed once more, inside gzip", "gzip -dc"),
    (b"PAR1", "Parquet", None),
    (b"Obj\x01", "Avro", None),
    (b"ORC", "ORC", None),
    (b"ARROW1", "Arrow", None),
    (b"\xff\xff\xff\xff\x10\0\0\0", "an Arrow stream", None),
    (b"SQLite format 3\0", "an SQLite database", None),
    (b"\x89HDF\r\n", "HDF5", None),
    (b"%PDF-", "a PDF", None),
)
_WIDE_BOMS: Final = (
    (BOM_UTF32_LE, "UTF-32"),
    (BOM_UTF32_BE, "UTF-32"),
    (BOM_UTF16_LE, "UTF-16"),
    (BOM_UTF16_BE, "UTF-16"),
)
_TEXT_START: Final = b'{["\t '


def foreign_format(head: bytes) -> str | None:
    r"""Return what bytes look like that are not lines of JSON objects.

    None where they are, or nothing is known.

    Lines that are no objects, between others that are, are no other format: they become dead letters.

    Parameters
    ----------
    head
        The first bytes of a file, up to `HEAD_BYTES`, uncompressed where it is gzip.

    Examples
    --------
    >>> foreign_format(b"event_id,amount\np-1,9.50\n")
    'looks like CSV; make one JSON object a line of it'
    >>> foreign_format(b'oops\n{"event_id":"p-1"}\n') is None
    True
    """
    lines = _lines(head)
    objects = sum(map(_is_object, lines))
    # One line that is an object settles it, whatever stands around it; but an archive may hold such lines as
    # they are, behind a header.
    named = _archive(head) or (None if objects else _binary(head) or _wide(head))
    if named:
        return named
    for looks in (_array, _document):
        found = looks(lines, objects)
        if found:
            return found
    return None if objects else _separated(lines)


def refusal_of(path: str, looks: str) -> str:
    """Return the message for a source of another format."""
    return f"{path}: {looks}. Read are lines of JSON objects in UTF-8, also compressed by gzip"


def _archive(head: bytes) -> str | None:
    """Return archives hold files as they are, or may do so: there can be lines of objects in them."""
    # The version of the format that comes next in a zip archive is 1.0 to 6.3.
    is_zip = head.startswith(b"PK\x03\x04") and len(head) > _ZIP_HEADER_BYTES
    if is_zip and _ZIP_VERSION_MIN <= int.from_bytes(head[4:6], "little") <= _ZIP_VERSION_MAX:
        return "looks like it is a zip archive; `unzip -p` before `--from -` unpacks it"
    if head[_TAR_AT : _TAR_AT + 5] == b"ustar":
        return "looks like it is a tar archive; `tar -xO` before `--from -` unpacks it"
    return None


def _binary(head: bytes) -> str | None:
    for magic, name, command in _MAGIC:
        # Letters alone could begin a line of text.
        if head.startswith(magic) and (not magic.isalnum() or _is_binary(head)):
            how = f"; `{command}` before `--from -` unpacks it" if command else ""
            return f"looks like it is {name}{how}"
    return None


def _is_binary(head: bytes) -> bool:
    # Control characters apart from white space (9 to 13) and escape (27): no text has them.
    return any(byte < 9 or 13 < byte < 27 for byte in head[:_WIDE_BYTES])


def _wide(head: bytes) -> str | None:
    """UTF-16 and UTF-32, with a byte order mark, or with a zero beside each character of an object."""
    for bom, name in _WIDE_BOMS:
        if head.startswith(bom):
            return _recoded(name)
    start = head[:_WIDE_BYTES]
    for name, width in (("UTF-32", 4), ("UTF-16", 2)):
        for at, order in ((0, "LE"), (width - 1, "BE")):
            rows = [start[index : index + width] for index in range(0, len(start) - width + 1, width)]
            wide = [row for row in rows if row[at] and row.count(0) == width - 1]
            # Nine in ten, as names and places may need characters beyond Latin-1, which have no zero beside
            # them.
            if len(rows) > 4 and rows[0][at] in _TEXT_START and len(wide) * 10 >= len(rows) * 9:
                return _recoded(f"{name}{order}")
    return None


def _recoded(name: str) -> str:
    return f"looks like text in {name}; `iconv -f {name} -t UTF-8` before `--from -` makes UTF-8 of it"


def _lines(head: bytes) -> list[bytes]:
    """Return the first lines that are not blank; the last one may be cut off."""
    lines = (line.strip() for line in head.removeprefix(BOM_UTF8).split(b"\n"))
    return [line for line in lines if line][:_LINES_LOOKED_AT]


def _is_object(line: bytes) -> bool:
    if not line.startswith(b"{"):
        return False
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _array(lines: Sequence[bytes], objects: int) -> str | None:
    """One JSON array: in one line, one object a line with commas between, or laid out over many."""
    if not lines or not lines[0].startswith(b"["):
        return None
    inside = lines[0][1:].lstrip() or (lines[1] if len(lines) > 1 else b"")
    # Of an array with an object a line the last one stands without a comma, before the bracket.
    last = objects == 1 and lines[0] == b"[" and lines[-1] == b"]" and _is_object(lines[-2])
    if inside.startswith(b"{") and (not objects or last):
        return "looks like one JSON array; `jq -c '.[]'` before `--from -` makes lines of its objects"
    return None


def _document(lines: Sequence[bytes], objects: int) -> str | None:
    """JSON objects that are laid out over several lines each."""
    if objects or len(lines) < 3 or lines[0] != b"{":
        return None
    keys = sum(line.startswith(b'"') and b":" in line for line in lines[1:])
    if keys * 2 >= len(lines) - 2:
        return "looks like JSON laid out over several lines; `jq -c .` before `--from -` makes lines of it"
    return None


def _separated(lines: Sequence[bytes]) -> str | None:
    """CSV and its like: a row of names, then rows of as many cells."""
    if not lines or lines[0].startswith((b"{", b"[")):
        return None
    for delimiter, name in _DELIMITERS:
        cells = [cell.strip(b'" ') for cell in lines[0].split(delimiter)]
        if len(cells) < _CELLS_MIN or not all(map(_is_name, cells)):
            continue
        # At least as many cells, not just as many: a quoted one may hold the delimiter.
        same = sum(line.count(delimiter) + 1 >= len(cells) for line in lines[1:])
        if (len(lines) > 1 and same == len(lines) - 1) or _KNOWN_COLUMNS & set(cells):
            return f"looks like {name}; make one JSON object a line of it"
    return None


def _is_name(cell: bytes) -> bool:
    return 0 < len(cell) <= 64 and not cell[:1].isdigit() and not set(cell) & set(b"{}[]:")
