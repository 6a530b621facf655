"""Refuses places to write to that a command reads, or writes, under another name."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from headrace.config.flow_kinds import SHIPPED_ENVIRONMENT, base_of, shipped
from headrace.config.lists import ListFile
from headrace.config.paths import path_of
from headrace.errors import ConfigError, Invalid
from headrace.runtime.runs import RunRequest

__all__ = ["Place", "clashes_on_topics", "dead_letters_beside", "refuse_clashes", "refuse_clashes_of"]

_STANDARD: Final = "-"
_LINES: Final = ".jsonl"
_DEAD_LETTERS: Final = ".dead-letters"

Identity: TypeAlias = "tuple[int, int] | Path"


class Place(NamedTuple):
    """What a command reads or writes.

    Attributes
    ----------
    option
        What it is called on the command line.
    path
        Where it is, `-` for a standard stream.
    stream
        Number of that stream: 0 for standard input, 1 for standard output.
    """

    option: str
    path: str
    stream: int = 1

    @property
    def identity(self) -> Identity | None:
        """A file's device and inode, its resolved path if there is none yet; None for pipes and devices."""
        try:
            status = os.fstat(self.stream) if self.path == _STANDARD else os.stat(self.path)
        except OSError:
            return None if self.path == _STANDARD else Path(self.path).resolve()
        # Device and inode see through links of both kinds and other spellings. Pipes and devices may well be
        # named twice, as with /dev/null.
        return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def dead_letters_beside(to: str) -> str:
    """Where dead letters go that belong to decisions, when no place was asked for: each name has its own.

    `a.b.jsonl` gets `a.b.dead-letters.jsonl`, a name without that ending `.dead-letters` behind it. What goes
    to a stream or a device gets `dead-letters.jsonl` in the folder one works in.
    """
    path = Path(to)
    if to == _STANDARD or (path.exists() and not path.is_file()):
        return f"dead-letters{_LINES}"
    ending = _LINES if path.name.endswith(_LINES) else ""
    return str(path.with_name(f"{path.name.removesuffix(ending)}{_DEAD_LETTERS}{ending}"))


def refuse_clashes(reads: Sequence[Place], writes: Sequence[Place], state: Path | None = None) -> None:
    """Refuse to write where something else is read or written, before anything is opened or made.

    Files are compared by device and inode, those that are not there yet by their resolved path. Pipes and
    devices are left out, and so are two standard streams, which whoever started the command has chosen.

    Parameters
    ----------
    reads, writes
        All that the command reads, and all that it writes.
    state
        The folder of the state; nothing else may be written inside it.

    Raises
    ------
    ConfigError
        With every clash.
    """
    found = [*_with_others(reads, writes), *_with_state(reads, writes, state)]
    if found:
        raise ConfigError(found)


def refuse_clashes_of(request: RunRequest) -> None:
    """Refuse a run that would write over what it reads, or to one file twice.

    Raises
    ------
    ConfigError
        With every clash.
    """
    reads = [Place("--from", path, stream=0) for path in request.sources]
    reads += _read_beside(request)
    beside = request.dead_letters is None
    dead_letters = dead_letters_beside(request.to) if request.dead_letters is None else request.dead_letters
    option = "--dead-letters, which wasn't given" if beside else "--dead-letters"
    refuse_clashes(reads, [Place("--to", request.to), Place(option, dead_letters)], request.state)


def clashes_on_topics(request: RunRequest) -> list[Invalid]:
    """Return what is wrong with the files and the folder that a run on topics is given.

    Topics are no files.
    """
    return list(_with_state(_read_beside(request), [], request.state))


def _read_beside(request: RunRequest) -> list[Place]:
    """Return what a run reads beside its sources."""
    reads = [Place("--config", str(request.config_file or SHIPPED_ENVIRONMENT))]
    base = base_of(request.flow)
    if request.flow_file is not None or base is not None:
        reads.append(Place("FLOW", str(request.flow_file or shipped(base or ""))))
    if request.truth is not None:
        reads.append(Place("--truth", str(request.truth)))
    return [
        *reads,
        *(Place(f"policy.lists.{name}.file", str(path_of(each.file))) for name, each in _lists(request)),
    ]


def _lists(request: RunRequest) -> Iterable[tuple[str, ListFile]]:
    return request.settings.lists.items()


def _with_others(reads: Sequence[Place], writes: Sequence[Place]) -> Iterator[Invalid]:
    known = [(place, place.identity) for place in reads]
    for place in writes:
        identity = place.identity
        for other, theirs in known:
            if identity is not None and identity == theirs and not place.path == other.path == _STANDARD:
                yield Invalid(place.option, "", f"{place.path} is the same file as {_named(other)}")
        known.append((place, identity))


def _named(place: Place) -> str:
    return f"that of {place.option}" + ("" if place.path == _STANDARD else f" {place.path}")


def _with_state(reads: Sequence[Place], writes: Sequence[Place], state: Path | None) -> Iterator[Invalid]:
    if state is None:
        return
    folder = state.resolve()
    for place in reads:
        if place.path != _STANDARD and Path(place.path).resolve() == folder:
            yield Invalid("--state", "", f"{state} is the same as {_named(place)}")
    for place in writes:
        identity = place.identity
        if identity is None and not Path(place.path).is_dir():
            continue
        path = Path(place.path).resolve()
        if place.path != _STANDARD and path == folder:
            yield Invalid(place.option, "", f"{place.path} is the folder of --state")
        elif (place.path != _STANDARD and folder in path.parents) or _linked_into(identity, folder):
            yield Invalid(place.option, "", f"{place.path} is inside the folder of --state")


def _linked_into(identity: Identity | None, folder: Path) -> bool:
    """Whether a file has another name inside a folder."""
    if not isinstance(identity, tuple):
        return False
    return any(_identity(path) == identity for path in folder.rglob("*"))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except OSError:  # a running flow may have removed it
        return None
    return status.st_dev, status.st_ino
