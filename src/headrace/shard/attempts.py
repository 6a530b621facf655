"""Where a run notes which input it is at, so that the next one can say at which one it died.

A process that is killed, or dies of a fault in machine code, says nothing. A file in the state says that a
run is going on; one that finds it so knows that the run before has died, and is careful: it applies its first
inputs one by one, and writes down the place of each before. A run that isn't careful writes nothing but that
it has begun and ended.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson

from headrace.journal.batches import Batch

__all__ = ["Attempt", "died_twice_at"]

_FOLDER: Final = "attempts"
_DEATHS: Final = 2
_CAREFUL_INPUTS_MAX: Final = 32_768  # of one process
_BEGUN: Final[dict[str, Any]] = {
    "open": False,
    "careful": False,
    "at": None,
    "died_at": None,
    "deaths": 0,
    "failures": 0,
}


def _read(path: Path) -> dict[str, Any]:
    try:
        said = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return dict(_BEGUN)
    except ValueError:  # it was being written, so a run was going on
        return {**_BEGUN, "open": True}
    return {**_BEGUN, **said} if isinstance(said, dict) else {**_BEGUN, "open": True}


def _after(said: dict[str, Any]) -> dict[str, Any]:
    """Return what is known once a run is over, in whatever way."""
    if not said["open"]:
        return {**said, "died_at": None, "deaths": 0}
    # It died, but not within an input that was noted: while it was loaded, or before anybody was careful.
    if said["at"] is None:
        return said
    deaths = said["deaths"] + 1 if said["at"] == said["died_at"] else 1
    return {**said, "died_at": said["at"], "deaths": deaths, "failures": said["failures"] + 1}


class Attempt:
    """One process's part of a run, in a file of its own. The state's lock is held.

    Parameters
    ----------
    state
        The state's folder.
    process
        Number of the process among those that share the state.

    Attributes
    ----------
    careful : bool
        Whether the run before has died, so that this one is to note what it is at.
    died_at : str | None
        The input at which it died, if it was careful; what there is to say of it.
    names : Mapping[int, str]
        Of the sources, by their numbers.
    failures : int
        Inputs at which processes have failed or died, over the life of the state, as far as it is known.
    """

    def __init__(self, state: Path, process: int = 0) -> None:
        folder = state / _FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / f"{process:02}.json"
        self._before = before = _read(path)
        self._moved = False
        self._said = {**_after(before), "open": True, "careful": False, "at": None}
        self.careful, self.died_at = bool(before["open"] or before["careful"]), self._said["died_at"]
        self._careful, self._left = set[int](), _CAREFUL_INPUTS_MAX
        self.names: Mapping[int, str] = {}
        # Held open, so that noting a place costs one write and no path is looked up for each input.
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._write()

    @property
    def failures(self) -> int:
        """See the class."""
        return int(self._said["failures"])

    def _write(self, **changed: Any) -> None:
        self._said |= changed
        line = orjson.dumps(self._said) + b"\n"
        with suppress(OSError):  # on a full disk there is more to say than this
            # No fsync: it has to outlive the process, not the power, and the page cache does.
            os.pwrite(self._fd, line, 0)
            os.ftruncate(self._fd, len(line))

    def takes_care(self, shard: int) -> None:
        """Note that a shard is going to apply its first inputs one by one."""
        self._careful.add(shard)

    def at(self, place: str) -> None:
        """Note that an input is about to be applied, or decoded."""
        self._write(at=place)

    def decoded(
        self, batch: Batch, decoder: Callable[[Sequence[bytes], Sequence[int]], list[Any]]
    ) -> list[Any]:
        """Return what the lines of a batch decode to, decoded one by one."""
        found = []
        self._left -= len(batch.payloads)
        if self._left < 0:  # some shard gets hardly any input: the others are not to wait for it
            self.careful = False
        for index, payload in enumerate(batch.payloads):
            source = batch.sources[index]
            self.at(f"{self.names.get(source, source)}:{batch.offsets[index]}")
            found += decoder((payload,), batch.flags[index : index + 1])
        self._write(at=None)
        return found

    def got_on(self, shard: int, *, done: bool) -> None:
        """Note what a shard has journalled; `done` if it is past what the run before had in hand."""
        if done:
            self._careful.discard(shard)
        self.careful, self._moved = self.careful and bool(self._careful), True
        self._write(at=None, **({} if self.careful else {"died_at": None, "deaths": 0}))

    def failed(self, place: str) -> None:
        """Note that the run ends, and says at which input it fails; the next one gets as far."""
        self._write(open=False, careful=True, at=place, failures=self.failures + 1)

    def end(self) -> None:
        """Note that the run ends in a way that it knows of.

        If it has not got anywhere, the next one is as careful.
        """
        if self._fd >= 0:
            # A run that has ended well without getting past anything proves nothing; what the one before
            # noted stays.
            waits = self.careful and not self._moved
            self._write(**(self._before if waits else {"open": False}))
            os.close(self._fd)
            self._fd = -1


def died_twice_at(state: Path) -> str | None:
    """Return the input at which careful runs of a state have died, one after the other.

    Asked while none goes on.

    Whoever asks is told once: then it takes two more deaths, so that what may be mended meanwhile is tried.
    """
    found = None
    for path in sorted((state / _FOLDER).glob("*.json")):
        said = _after(_read(path))
        if said["open"] and said["deaths"] >= _DEATHS:
            found = str(said["died_at"])
            path.write_bytes(orjson.dumps({**said, "at": None, "died_at": None, "deaths": 0}) + b"\n")
    return found
