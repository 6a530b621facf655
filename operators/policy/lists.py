"""Allow and block lists: their content, and the list that a payment is on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ...config.lists import ListContent, list_content, read_list
from ...config.paths import path_of
from ...config.policy import ListSettings
from ...config.tables import RunSettings
from .verdict import Verdict, trace_of

__all__ = ["ListContent", "changed_lists", "list_content", "list_lines", "read_list", "read_lists"]


def read_lists(settings: RunSettings) -> list[tuple[str, ListContent]]:
    """Return the lists of a configuration with what their files say now, in the order of the file.

    Raises
    ------
    ConfigError
        If a file can't be read or has validation errors.
    """
    lists = settings.lists.items()
    return [(name, read_list(path_of(each.file), each.entries_max)) for name, each in lists]


def changed_lists(
    read: Sequence[tuple[str, ListContent]], digests: Mapping[str, str], waiting: Collection[str] = ()
) -> list[str]:
    """Return what to say of lists whose files have other contents now than those in force.

    Parameters
    ----------
    read
        What the files say.
    digests
        Of the contents in force.
    waiting
        Lists of which a new content waits to be applied.
    """
    return [
        f"list {name}: digest changed: {digests[name][:12]} → {content.digest[:12]};"
        f" the old content stays in force until `headrace control reload-list {name}`"
        for name, content in read
        if name in digests and name not in waiting and digests[name] != content.digest
    ]


def list_lines(
    lists: Mapping[str, ListSettings], contents: Mapping[str, Sequence[str]], names: dict[str, Any]
) -> list[str]:
    """Lines that return the verdict of the first list that the payment is on.

    Lists of one key are laid into one table from values to the first list that has them, so that a payment
    costs one look-up for each key, however many lists and entries there are.

    Parameters
    ----------
    lists
        In the order in which they are tried.
    contents
        Entries by the list's name; a list without content is empty.
    names
        Takes the globals of the lines, `listed`, `find0` and so on.
    """
    if not lists:
        return []
    none = len(lists)
    names["listed"] = [_verdict(name, each) for name, each in lists.items()]
    lines = [f"first = {none}"]
    for number, (key, table) in enumerate(_tables(lists, contents).items()):
        names[f"find{number}"] = table.get
        lines += [f"rank = find{number}(p.{key}, {none})", "if rank < first: first = rank"]
    return [*lines, f"if first < {none}: return listed[first]"]


def _tables(
    lists: Mapping[str, ListSettings], contents: Mapping[str, Sequence[str]]
) -> dict[str, dict[str | None, int]]:
    """For each key a table from values to the number of the first list that they are on."""
    tables: dict[str, dict[str | None, int]] = {}
    # The last list first, so that an earlier one overwrites it: one look-up a key gives the first list,
    # however many there are.
    for rank, (name, each) in reversed([*enumerate(lists.items())]):
        tables.setdefault(each.key, {}).update(dict.fromkeys(contents.get(name, ()), rank))
    return tables


def _verdict(name: str, settings: ListSettings) -> Verdict:
    trace = trace_of("list", list=name, key=settings.key)
    return Verdict(settings.action, "list", f"list.{name}", (settings.code,), None, trace)
