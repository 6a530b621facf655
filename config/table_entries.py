"""Entries of tables that are looked up: a key, a tab and a value."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, Literal

from .lists import COLUMN_END

__all__ = ["Holds", "entry_errors", "keys_and_values"]

Holds = Literal["number", "text"]
"""What a table's values are."""
_ERRORS_MAX: Final = 10
_SHOWN_CHARACTERS: Final = 40
_LARGEST: Final = 1e15


def entry_errors(entries: Sequence[str], holds: Holds) -> list[str]:
    """Say what is wrong with a table's entries, ten of them at most.

    Parameters
    ----------
    entries
        Each a key, a tab and a value.
    holds
        What the values must be: `number` or `text`.
    """
    errors: list[str] = []
    found: dict[str, str] = {}
    for key, value, wrong in keys_and_values(entries, holds):
        known = found.setdefault(key, value)
        said = wrong or (f"{key} has two values, {known} and {value}" if known != value else "")
        if said:
            errors.append(said)
        if len(errors) == _ERRORS_MAX:
            break
    return errors


def keys_and_values(entries: Sequence[str], holds: Holds) -> Iterator[tuple[str, str, str]]:
    """Yield keys and values, with what is wrong with them."""
    for entry in entries:
        key, _, value = entry.partition(COLUMN_END)
        wrong = ""
        if not key or not value:
            wrong = f"must be a key, a tab and a value (is {entry[:_SHOWN_CHARACTERS]!r})"
        elif holds == "number" and not _is_number(value):
            wrong = f"{key} must have a number of at most {_LARGEST:g} (has {value[:_SHOWN_CHARACTERS]!r})"
        yield key, value, wrong


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text)) and abs(float(text)) <= _LARGEST
    except ValueError:
        return False
