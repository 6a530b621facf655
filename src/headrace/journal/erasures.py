"""What is to be erased from a shard's journal: asked for, carried out, noted, taken up again after a kill.

Work lies in the shard's directory as `erasing-ORDINAL.json`, named for the command that asked for it, from
before that command is journalled until it is carried out; then it is `erased-ORDINAL.json`, until the journal
has a note of it. It holds ordinals, and nothing of whom they are about.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from headrace.config.private_files import open_file
from headrace.errors import StateError
from headrace.journal.checkpoint import checkpoint_path, discard_checkpoints, read_checkpoint
from headrace.journal.disk import fsync_directory, write_all
from headrace.journal.erased_segments import erase_segments
from headrace.journal.records import Kind, Record

__all__ = ["Erasures", "Work", "noted_ranges", "ranges_of", "work_files"]

_log = logging.getLogger(__name__)
_NAME: Final = re.compile(r"(erasing|erased)-([0-9]{20})\.json")
_VERSION: Final = 1


class Work(NamedTuple):
    """Inputs to be erased.

    Attributes
    ----------
    ordinal
        Of the command that asked for it.
    ordinals
        Of the inputs, ascending, the command's own among them; of work that is done, those that this shard
        had.
    """

    ordinal: int
    ordinals: tuple[int, ...]

    def note(self) -> dict[str, Any]:
        """Return what the journal keeps of it: which inputs were erased, not whose."""
        return {
            "control": "erased",
            "asked_at": self.ordinal,
            "records": len(self.ordinals),
            "ordinals": ranges_of(self.ordinals),
        }


def ranges_of(ordinals: Sequence[int]) -> list[list[int]]:
    """Ascending numbers as pairs of a first and a last one.

    Examples
    --------
    >>> ranges_of([3, 4, 5, 9])
    [[3, 5], [9, 9]]
    """
    ranges: list[list[int]] = []
    for ordinal in ordinals:
        if ranges and ranges[-1][1] == ordinal - 1:
            ranges[-1][1] = ordinal
        else:
            ranges.append([ordinal, ordinal])
    return ranges


def noted_ranges(record: Record) -> list[tuple[int, int]]:
    """First and last ordinals of what a record of the journal notes as erased; none if it is no such note."""
    if record.kind != Kind.CONTROL or record.erased:
        return []
    note = orjson.loads(record.input)
    return [(first, last) for first, last in note["ordinals"]] if note["control"] == "erased" else []


def work_files(directory: Path, state: str = "erasing") -> list[tuple[int, Path]]:
    """Files of work that waits, or that is done (`erased`), by the ordinal of the command, ascending."""
    matches = map(_NAME.fullmatch, os.listdir(directory))
    return sorted((int(match[2]), directory / match[0]) for match in matches if match and match[1] == state)


def _path(directory: Path, state: str, ordinal: int) -> Path:
    return directory / f"{state}-{ordinal:020d}.json"


def _write(path: Path, work: Work) -> None:
    """Write a file that has its name only when it is complete and on the disk."""
    unnamed = path.with_suffix(".tmp")
    said = {"version": _VERSION, "ordinals": ranges_of(work.ordinals)}
    fd = open_file(unnamed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        write_all(fd, orjson.dumps(said))
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(unnamed, path)
    fsync_directory(path.parent)


def _read(path: Path, ordinal: int) -> Work:
    try:
        said = orjson.loads(path.read_bytes())
        if said["version"] != _VERSION:
            raise StateError(f"{path}: version {said['version']}; this program reads {_VERSION}")
        ranges = [range(int(first), int(last) + 1) for first, last in said["ordinals"]]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise StateError(f"{path}: can't be read: {error}; ask for the erasure again") from error
    return Work(ordinal, tuple(chain.from_iterable(ranges)))


class Erasures:
    """The erasures of one shard.

    Parameters
    ----------
    directory
        The shard's; it exists.

    Attributes
    ----------
    waiting
        Work that is not carried out yet, in the order in which it was asked for.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.waiting: list[Work] = []

    def resume(self, position: int) -> None:
        """Find what an earlier run has left.

        Work whose command is not in the journal, which ends at `position`, was asked for by a run that was
        killed before it could journal it; it is dropped, as the command comes again.
        """
        finished = {ordinal for ordinal, _ in work_files(self._directory, "erased")}
        for ordinal, path in work_files(self._directory):
            # At or behind the position, the kill came before the command was journalled: it will be read and
            # ask again.
            if ordinal >= position or ordinal in finished:
                path.unlink()  # in the second case a kill came before it could be
            else:
                self.waiting.append(_read(path, ordinal))

    def ask(self, ordinal: int, ordinals: Sequence[int]) -> None:
        """Write down what a command wants erased, before the command is journalled."""
        # The command's own input names the customer too.
        work = Work(ordinal, tuple(sorted({*ordinals, ordinal})))
        _write(_path(self._directory, "erasing", ordinal), work)
        self.waiting.append(work)

    def carry_out(self, segment: int, wanted: Callable[[], bool]) -> None:
        """Erase what waits, now that the checkpoint of a segment holds a state without it.

        It runs in the child that wrote the checkpoint. That is read back first: the older ones are deleted,
        and what is erased can't be applied again.

        Raises
        ------
        CheckpointDamaged, JournalDamaged, OSError
            If it can't be done; the work waits.
        """
        if not self.waiting:
            return
        # Read, and not just looked for: once the older ones are gone, a recovery has no other.
        read_checkpoint(checkpoint_path(self._directory, segment))
        discard_checkpoints(self._directory, segment)
        # One walk for all that waits: each segment is copied at most once.
        together = sorted({ordinal for work in self.waiting for ordinal in work.ordinals})
        erased = frozenset(erase_segments(self._directory, segment, together, wanted))
        for work in self.waiting:
            had = tuple(ordinal for ordinal in work.ordinals if ordinal in erased)
            # What is done is written before what waited is removed: a kill in between leaves both, and
            # `resume` keeps the former.
            _write(_path(self._directory, "erased", work.ordinal), work._replace(ordinals=had))
            _path(self._directory, "erasing", work.ordinal).unlink(missing_ok=True)

    def done(self) -> Iterator[Work]:
        """Work that was carried out, each to be noted before the next is asked for."""
        for ordinal, path in work_files(self._directory, "erased"):
            work = _read(path, ordinal)
            self.waiting = [each for each in self.waiting if each.ordinal != ordinal]
            yield work
            path.unlink()
            _log.info("%s: %d records erased", self._directory, len(work.ordinals))
