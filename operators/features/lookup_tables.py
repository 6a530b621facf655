"""Tables from keys to values that features look up; their content comes as that of a list."""

from __future__ import annotations

from collections.abc import Sequence

from ...config.lists import list_content
from ...config.table_entries import Holds, entry_errors, keys_and_values

__all__ = ["LookupTable"]


class LookupTable:
    """A table in force, empty until it is given a content.

    Parameters
    ----------
    holds
        `number` or `text`.

    Attributes
    ----------
    found
        Numbers or texts by key; the mapping stays the same one.
    entries, digest
        What it was filled with, as a list's content; the digest is empty before.
    """

    def __init__(self, holds: Holds) -> None:
        self.holds = holds
        self.found: dict[str | None, float | str] = {}
        self.entries: tuple[str, ...] = ()
        self.digest = ""

    def replace(self, entries: Sequence[str], digest: str) -> None:
        """Put another content in the place of what it says.

        Raises
        ------
        ValueError
            If an entry is wrong, or the digest is of others; then it is as it was.
        """
        content = list_content(entries)
        if content.digest != digest:
            raise ValueError("the digest isn't that of the entries")
        errors = entry_errors(content.entries, self.holds)
        if errors:
            raise ValueError("; ".join(errors))
        # In place: generated functions hold this dictionary's `get`. Everything was checked before.
        self.found.clear()
        for key, value, _ in keys_and_values(content.entries, self.holds):
            self.found[key] = float(value) if self.holds == "number" else value
        self.entries, self.digest = content.entries, digest
