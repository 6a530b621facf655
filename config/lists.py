"""Files of values for the policy's allow and block lists."""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from headrace.errors import ConfigError, Invalid

__all__ = ["VALUE_CHARS_MAX", "ListContent", "list_content", "read_list"]

VALUE_CHARS_MAX: Final = 128
_LINE_BYTES_MAX: Final = 4096
_ERRORS_MAX: Final = 10
# Of an entry in UTF-8, and as much of comments; a short list may be commented more.
_ENTRY_BYTES: Final = 8 * VALUE_CHARS_MAX
_FILE_BYTES_MIN: Final = 16_777_216
_COMMENT: Final = re.compile(r"(^|\s)#.*$")


class ListContent(NamedTuple):
    """The values of a list.

    Attributes
    ----------
    entries
        Sorted, each once.
    digest
        SHA-256 over the entries, each followed by a newline, as hexadecimal digits.
    """

    entries: tuple[str, ...]
    digest: str


def list_content(values: Iterable[str]) -> ListContent:
    """Return the canonical form of some values; neither their order nor repetitions make a difference."""
    entries = tuple(sorted(set(values)))
    digest = hashlib.sha256("".join(f"{entry}\n" for entry in entries).encode())
    return ListContent(entries, digest.hexdigest())


def read_list(path: Path, entries_max: int) -> ListContent:
    """Read a list's file: one value a line, comments from a `#` at the start or after a space.

    Parameters
    ----------
    path
        The file, UTF-8.
    entries_max
        Different values that it may have.

    Raises
    ------
    ConfigError
        If it can't be read, or lines of it are no values; the first ten are named.
    """
    values: set[str] = set()
    invalid: list[Invalid] = []
    try:
        for number, line in enumerate(_lines(path, entries_max), start=1):
            value, wrong = _value(line, first=number == 1)
            if wrong:
                invalid.append(Invalid(str(path), f"line {number}", wrong))
            elif value:
                values.add(value)
            if len(values) > entries_max:
                invalid.append(Invalid(str(path), f"line {number}", f"more than {entries_max} values"))
            if len(values) > entries_max or len(invalid) == _ERRORS_MAX:
                break
    except OSError as error:
        invalid.append(Invalid(str(path), "", f"can't be read: {error.strerror}"))
    if invalid:
        raise ConfigError(invalid)
    return list_content(values)


def _lines(path: Path, entries_max: int) -> Iterator[bytes]:
    """Lines of the file; of one that is too long, only so much that it can be told."""
    left = max(_FILE_BYTES_MIN, entries_max * _ENTRY_BYTES)
    with path.open("rb") as file:
        while line := file.readline(_LINE_BYTES_MAX + 1):
            yield line
            left -= len(line)
            while len(line) > _LINE_BYTES_MAX and not line.endswith(b"\n") and left >= 0:
                line = file.readline(_LINE_BYTES_MAX + 1)
                left -= len(line)
            if left < 0:
                limit = max(_FILE_BYTES_MIN, entries_max * _ENTRY_BYTES)
                raise OSError(errno.EFBIG, f"is larger than {limit} bytes", str(path))


def _value(line: bytes, *, first: bool) -> tuple[str, str]:
    """Return a line's value, empty if it has none, and what is wrong with it."""
    if len(line) > _LINE_BYTES_MAX:
        return "", f"longer than {_LINE_BYTES_MAX} bytes"
    try:
        text = line.decode("utf-8-sig" if first else "utf-8")
    except UnicodeDecodeError as error:
        return "", f"not UTF-8 at byte {error.start}"
    value = _COMMENT.sub("", text.rstrip("\r\n")).strip()
    if len(value) > VALUE_CHARS_MAX:
        return "", f"a value of more than {VALUE_CHARS_MAX} characters"
    if not value.isprintable():
        return "", f"a value with a character that can't be printed ({value!r})"
    return value, ""
