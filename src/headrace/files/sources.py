"""Gives sources their numbers in a state: one that it has read keeps its own, a further one gets the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from headrace.config.paths import path_of, path_text
from headrace.errors import ChangedSource, InputError
from headrace.files.file_bytes import STANDARD, begins_as, is_stream
from headrace.files.line_reader import LineReader
from headrace.journal.batches import Mark

__all__ = ["IfMoved", "Numbered", "number_sources", "open_together", "source_name", "source_path"]


class IfMoved(StrEnum):
    """What becomes of a file that begins with all that was read of a source under another name."""

    REFUSE = "refuse"
    FOLLOW = "follow"
    AGAIN = "again"


class Numbered(NamedTuple):
    """Sources with their numbers.

    Attributes
    ----------
    numbers
        Of the sources that were named, in their order.
    names
        Of all sources that the state knows from now on, by number.
    """

    numbers: list[int]
    names: dict[int, str]


def source_name(path: str) -> str:
    """Return what a state calls a source: its absolute path, with links resolved; `-` for standard input.

    Journals and dead letters are UTF-8. A path that isn't is called by its URI, `file:///…/caf%E9.jsonl`.
    """
    return path if path == STANDARD else path_text(Path(path).resolve())


def source_path(name: str) -> str:
    """Return the path of a source that a state calls so; `-` for standard input."""
    return name if name == STANDARD else str(path_of(name))


def number_sources(
    paths: Sequence[str], known: Mapping[int, str], marks: Mapping[int, Mark], if_moved: IfMoved
) -> Numbered:
    """Give numbers to the sources of a run.

    Parameters
    ----------
    paths
        As they were named, each source once.
    known
        Names of the sources that the state has read, by number.
    marks
        How far it has read each, by number.
    if_moved
        What to do with a new file that begins with all that was read of a known one. `follow` lets it take
        that one's number, so that it is read on where the other one was left.

    Raises
    ------
    ChangedSource
        With every file that was moved or copied, when that is to be refused; also when a file is to take the
        number of one that is named as well.
    """
    # Of a name that has several numbers the last one counts.
    number_of = {name: number for number, name in sorted(known.items())}
    named = {source_name(path): path for path in paths}
    taken = {number_of[name]: name for name in named if name in number_of}
    found = {name: number for number, name in taken.items()}
    looked_at = [] if if_moved is IfMoved.AGAIN else [name for name in named if name not in number_of]
    refused = []
    for name in looked_at:
        mark = _moved_from(named[name], known, marks)
        if mark is None:
            continue
        other = taken.get(mark.source)
        copied = other is not None and bool(begins_as(source_path(other), [mark]))
        if copied or if_moved is IfMoved.REFUSE:
            refused.append(_refusal(named[name], known[mark.source], mark, copied=copied))
            continue
        if other is not None:
            # The other name now has a further file, which may have been moved as well.
            del found[other]
            looked_at.append(other)
        taken[mark.source], found[name] = name, mark.source
    if refused:
        raise ChangedSource("\n".join(refused))
    return _numbered(named, known, found)


def _numbered(named: Iterable[str], known: Mapping[int, str], found: Mapping[str, int]) -> Numbered:
    """Give the names that have no number the next ones."""
    names = dict(known)
    numbers = []
    for name in named:
        numbers.append(found[name] if name in found else max(names, default=-1) + 1)
        names[numbers[-1]] = name
    return Numbered(numbers, names)


def _moved_from(path: str, known: Mapping[int, str], marks: Mapping[int, Mark]) -> Mark | None:
    """Return the mark of the source of which most was read that a file begins with."""
    if is_stream(path):
        return None
    candidates = [
        mark._replace(source=number)
        for number, mark in marks.items()
        if mark.offset and known.get(number, STANDARD) != STANDARD
    ]
    same = begins_as(path, candidates) if candidates else []
    return same[-1] if same else None


def _refusal(path: str, old: str, mark: Mark, *, copied: bool) -> str:
    begins = f"{path}: begins with all {mark.offset} bytes that were read of {old}"
    again = "--moved again decides them once more"
    if copied:
        return f"{begins}, which is a source of this run too; {again}"
    return f"{begins}; if it was moved, --moved follow goes on behind them; {again}"


def open_together(openings: Iterable[Callable[[], LineReader]]) -> list[LineReader]:
    """Open all sources.

    Raises
    ------
    InputError
        With every one that can't be opened or isn't what it was; `ChangedSource` if that is all.
    """
    readers, errors = list[LineReader](), list[InputError]()
    for opening in openings:
        try:
            readers.append(opening())
        except InputError as error:
            errors.append(error)
    if errors:
        for reader in readers:
            reader.close()
        changed = all(isinstance(error, ChangedSource) for error in errors)
        raise (ChangedSource if changed else InputError)("\n".join(map(str, errors)))
    return readers
