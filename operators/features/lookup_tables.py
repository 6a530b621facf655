"""Tables from keys to values that features look up, and that a command replaces."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

import msgspec

__all__ = ["LookupTable", "TableContent", "read_entries", "table_content"]

KEY_CHARACTERS_MAX: Final = 128
_SHOWN: Final = 40


class TableContent(NamedTuple):
    """What a table says.

    Attributes
    ----------
    entries
        Keys and values as text, by the keys' order, each key once.
    digest
        SHA-256 over the entries, as hexadecimal digits.
    """

    entries: tuple[tuple[str, str], ...]
    digest: str


def table_content(entries: Mapping[str, str]) -> TableContent:
    """Return the canonical form of a table."""
    listed = tuple(sorted(entries.items()))
    digest = hashlib.sha256(msgspec.msgpack.encode(listed)).hexdigest()
    return TableContent(listed, digest)


def read_entries(
    lines: Iterable[str], holds: Literal["number", "text"], entries_max: int
) -> tuple[TableContent, list[str]]:
    """Read a table from lines `key,value`; empty lines, and those that begin with `#`, say nothing.

    Returns
    -------
    content
        What it says.
    errors
        What is wrong, ten lines at most; then the content is incomplete.
    """
    found: dict[str, str] = {}
    errors: list[str] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        key, comma, value = (part.strip() for part in text.partition(","))
        wrong = _entry_error(key, comma, value, holds)
        if not wrong and found.get(key, value) != value:
            wrong = f"{key[:_SHOWN]} has two values, {found[key][:_SHOWN]} and {value[:_SHOWN]}"
        if not wrong:
            found[key] = value
        if len(found) > entries_max:
            wrong = f"more than {entries_max} entries"
        if wrong:
            errors.append(f"line {number}: {wrong}")
        if len(errors) == 10 or len(found) > entries_max:
            break
    return table_content(found), errors


def _entry_error(key: str, comma: str, value: str, holds: str) -> str:
    if not comma or not key or not value:
        return "must be a key, a comma and a value"
    if max(len(key), len(value)) > KEY_CHARACTERS_MAX:
        return f"a key or a value of more than {KEY_CHARACTERS_MAX} characters"
    if holds == "number" and not _is_number(value):
        return f"{value[:_SHOWN]!r} is no number"
    return ""


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text)) and abs(float(text)) <= 1e15
    except ValueError:
        return False


class LookupTable:
    """A table in force.

    Parameters
    ----------
    holds
        `number` or `text`.

    Attributes
    ----------
    entries
        Numbers or texts by key; the mapping stays the same one.
    content
        What it was filled with.
    """

    def __init__(self, holds: Literal["number", "text"]) -> None:
        self.holds = holds
        self.entries: dict[str | None, float | str] = {}
        self.content = table_content({})

    def replace(self, content: TableContent) -> None:
        """Put another content in the place of what it says.

        Raises
        ------
        ValueError
            If values are no numbers where numbers are held; then it is as it was.
        """
        number = self.holds == "number"
        made: dict[str | None, float | str] = {
            key: float(value) if number else value for key, value in content.entries
        }
        self.entries.clear()
        self.entries.update(made)
        self.content = content
