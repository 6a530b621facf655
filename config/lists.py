"""Files of values for the policy's allow and block lists."""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from headrace.errors import ConfigError, Invalid

from .paths import path_of

__all__ = [
    "COLUMN_END",
    "VALUE_CHARS_MAX",
    "ListContent",
    "ListFile",
    "list_content",
    "read_declared",
    "read_list",
]

COLUMN_END: Final = "\t"
"""Between the values of an entry, where several fields are looked up together."""
VALUE_CHARS_MAX: Final = 128
_LINE_BYTES_MAX: Final = 4096
_ERRORS_MAX: Final = 10
# Of an entry in UTF-8, and as much of comments; a short list may be commented more.
_ENTRY_BYTES: Final = 8 * VALUE_CHARS_MAX
_FILE_BYTES_MIN: Final = 16_777_216
_COMMENT: Final = re.compile(r"(^|\s)#.*$")


class ListFile(Protocol):
    """Settings of a list, as far as its file goes."""

    @property
    def file(self) -> str:
        """Where it is."""

    @property
    def key(self) -> str | tuple[str, ...]:
        """The field that its values are of, or fields."""

    @property
    def entries_max(self) -> int:
        """Different entries that it may have."""


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


def read_declared(settings: ListFile) -> ListContent:
    """Read the file of a list that is declared.

    Raises
    ------
    ConfigError
        As from `read_list`.
    """
    columns = 1 if isinstance(settings.key, str) else len(settings.key)
    content = read_list(path_of(settings.file), settings.entries_max, columns)
    # A table that is looked up says more of its entries than a list does.
    errors: list[str] = getattr(settings, "content_errors", lambda _entries: [])(content.entries)
    if errors:
        raise ConfigError([Invalid(settings.file, "", error) for error in errors])
    return content


def read_list(path: Path, entries_max: int, columns: int = 1) -> ListContent:
    """Read a list's file: one entry a line, comments from a `#` at the start or after a space.

    Parameters
    ----------
    path
        The file, UTF-8.
    entries_max
        Different entries that it may have.
    columns
        Values of an entry, with a tab between two.

    Raises
    ------
    ConfigError
        If it can't be read, or lines of it are no values; the first ten are named.
    """
    values: set[str] = set()
    invalid: list[Invalid] = []
    try:
        for number, line in enumerate(_lines(path, entries_max * columns), start=1):
            value, wrong = _entry(line, columns, first=number == 1)
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


def _entry(line: bytes, columns: int, *, first: bool) -> tuple[str, str]:
    """Return a line's entry, empty if it has none, and what is wrong with it."""
    if len(line) > _LINE_BYTES_MAX:
        return "", f"longer than {_LINE_BYTES_MAX} bytes"
    try:
        text = line.decode("utf-8-sig" if first else "utf-8")
    except UnicodeDecodeError as error:
        return "", f"not UTF-8 at byte {error.start}"
    entry = _COMMENT.sub("", text.rstrip("\r\n")).strip()
    if columns == 1 or not entry:
        return _value(entry)
    # A tab is in no value, as it can't be printed, so that an entry is read back as it was.
    values = [_value(part.strip()) for part in entry.split(COLUMN_END)]
    wrong = next((wrong for _, wrong in values if wrong), "")
    if not wrong and (len(values) != columns or not all(value for value, _ in values)):
        wrong = f"must have {columns} values, with a tab between two"
    return COLUMN_END.join(value for value, _ in values), wrong


def _value(value: str) -> tuple[str, str]:
    """Return a value, and what is wrong with it."""
    if len(value) > VALUE_CHARS_MAX:
        return "", f"a value of more than {VALUE_CHARS_MAX} characters"
    if not value.isprintable():
        return "", f"a value with a character that can't be printed ({value!r})"
    return value, ""
