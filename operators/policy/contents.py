"""Contents of the policy's lists: which are in force, and how a command replaces one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

from ...config.lists import ListContent, list_content
from .commands import ReloadList
from .lists import ListLike

__all__ = ["Contents", "DeclaredList", "digests_of", "loaded", "reloaded", "saved", "still_declared"]

Contents: TypeAlias = Mapping[str, tuple[Any, ListContent]]
"""By the list's name: its key when the content came, and the content."""


class DeclaredList(ListLike, Protocol):
    """Settings of a list, with its limit."""

    @property
    def entries_max(self) -> int:
        """Different entries that it may have."""


def still_declared(contents: Contents, lists: Mapping[str, ListLike]) -> Contents:
    """Return the contents of lists that have the same name and key in a configuration."""
    return {
        name: (key, content)
        for name, (key, content) in contents.items()
        # Under another key the same entries would name other things.
        if name in lists and lists[name].key == key
    }


def reloaded(
    contents: Contents, lists: Mapping[str, DeclaredList], name: str, command: ReloadList
) -> Contents:
    """Return the contents with one replaced.

    Parameters
    ----------
    contents
        Those in force.
    lists
        As they are declared.
    name
        Which one, as it is declared.
    command
        Has its content, and the name by which an operator knows it.

    Raises
    ------
    ValueError
        If there is no such list, the content is larger than it may be, or isn't what the digest says.
    """
    declared = lists.get(name)
    if declared is None:
        raise ValueError(f"there is no list {command.name} in the configuration")
    content = list_content(command.entries)
    # The digest was made where the file was read: entries that were damaged on their way must not be in
    # force.
    if content.digest != command.digest:
        raise ValueError(f"the entries for list {command.name} are not those that its digest was made of")
    count, limit = len(content.entries), declared.entries_max
    if count > limit:
        raise ValueError(f"list {command.name} may have {limit} entries (entries_max), not {count}")
    return {**contents, name: (declared.key, content)}


def digests_of(contents: Contents) -> dict[str, str]:
    """Return the digest of each content; a list that never got a content is not in it."""
    return {name: content.digest for name, (_, content) in contents.items()}


def saved(contents: Contents) -> dict[str, list[Any]]:
    """Return the contents as plain values."""
    return {name: [key, content.entries] for name, (key, content) in sorted(contents.items())}


def loaded(state: Mapping[str, Any], lists: Mapping[str, ListLike]) -> Contents:
    """Return saved contents of the lists that the configuration still has."""
    contents = {
        # A key of several fields comes back as a list, and would equal no declared one.
        name: (tuple(key) if isinstance(key, list) else key, list_content(entries))
        for name, (key, entries) in state.items()
        if name in lists
    }
    return still_declared(contents, lists)
