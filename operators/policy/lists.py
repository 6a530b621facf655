"""Allow and block lists: their content, and the list that a payment is on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from ...config.lists import COLUMN_END, ListContent, list_content, read_declared, read_list
from ...config.tables import RunSettings
from .verdict import Verdict, trace_of

__all__ = [
    "ListContent",
    "ListLike",
    "changed_lists",
    "list_content",
    "list_lines",
    "read_declared",
    "read_list",
    "read_lists",
]


class ListLike(Protocol):
    """Settings of a list."""

    @property
    def key(self) -> str | tuple[str, ...]:
        """The field that is looked up, or several together."""

    @property
    def action(self) -> str:
        """What an event on the list gets."""

    @property
    def code(self) -> str:
        """Its reason code."""


def read_lists(settings: RunSettings) -> list[tuple[str, ListContent]]:
    """Return the lists of a configuration with what their files say now, in the order of the file.

    Raises
    ------
    ConfigError
        If a file can't be read or has validation errors.
    """
    return [(name, read_declared(each)) for name, each in settings.lists.items()]


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
    lists: Mapping[str, ListLike],
    contents: Mapping[str, Sequence[str]],
    scope: dict[str, Any],
    id_lists: Collection[str] = (),
) -> list[str]:
    """Lines that return the verdict of the first list that the event is on.

    Lists of one key are laid into one table from values to the first list that has them, so that an event
    costs one look-up for each key, however many lists and entries there are.

    Parameters
    ----------
    lists
        In the order in which they are tried.
    contents
        Entries by the list's name; a list without content is empty.
    scope
        Takes the globals of the lines, `listed`, `find0` and so on.
    id_lists
        Fields that hold several values, of which any may be on the list.
    """
    if not lists:
        return []
    none = len(lists)
    scope["listed"] = [_verdict(name, each) for name, each in lists.items()]
    lines = [f"first = {none}"]
    for number, (fields, table) in enumerate(_tables(lists, contents).items()):
        # A field of several values has no single look-up; it is the only one of its key.
        several = fields[0] in id_lists
        scope[f"find{number}"] = _first_of(table, none) if several else table.get
        looked_up = f"p.{fields[0]}" if len(fields) == 1 else f"({', '.join(f'p.{each}' for each in fields)})"
        # An absent field is None, which is in no table: no guard is needed around it.
        lines += [f"rank = find{number}({looked_up}, {none})", "if rank < first: first = rank"]
    return [*lines, f"if first < {none}: return listed[first]"]


def _fields(settings: ListLike) -> tuple[str, ...]:
    return (settings.key,) if isinstance(settings.key, str) else settings.key


def _tables(
    lists: Mapping[str, ListLike], contents: Mapping[str, Sequence[str]]
) -> dict[tuple[str, ...], dict[Any, int]]:
    """For each key a table from values to the number of the first list that they are on."""
    tables: dict[tuple[str, ...], dict[Any, int]] = {}
    # The last list first, so that an earlier one overwrites it: one look-up a key gives the first list,
    # however many there are.
    for rank, (name, each) in reversed([*enumerate(lists.items())]):
        fields, entries = _fields(each), contents.get(name, ())
        values = entries if len(fields) == 1 else [tuple(entry.split(COLUMN_END)) for entry in entries]
        tables.setdefault(fields, {}).update(dict.fromkeys(values, rank))
    return tables


def _first_of(table: Mapping[str, int], none: int) -> Callable[[Sequence[str] | None, int], int]:
    """Return a look-up of several values."""
    find = table.get
    return lambda values, _none: min((find(value, none) for value in values or ()), default=none)


def _verdict(name: str, settings: ListLike) -> Verdict:
    fields = _fields(settings)
    trace = trace_of("list", list=name, key=fields[0] if len(fields) == 1 else fields)
    return Verdict(settings.action, "list", f"list.{name}", (settings.code,), None, trace)
