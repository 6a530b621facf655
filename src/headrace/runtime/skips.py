"""Inputs that a run is told to pass over: how they are named, and whether they were met."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from headrace.config.addresses import partition_of
from headrace.errors import ConfigError, InputFailed, Invalid
from headrace.files.sorted_sources import piece_of
from headrace.files.sources import source_name
from headrace.journal.records import CONTROL_SOURCE
from headrace.shard.attempts import died_twice_at

__all__ = ["Skip", "notes_of_skips", "numbered", "refuse_where_runs_died", "skips_of"]

_log = logging.getLogger(__name__)
_CONTROL: Final = "control"
_OPTION: Final = "--skip"
_URI: Final = "file://"  # what paths that aren't UTF-8 are called by


class Skip(NamedTuple):
    """An input to be passed over.

    Attributes
    ----------
    given
        As it was asked for.
    name
        Of its source, as a state has it.
    offset
        Where it begins there; of commands the number of their file.
    """

    given: str
    name: str
    offset: int

    def is_at(self, place: str) -> bool:
        """Whether it is what errors name so; parts of a file that were sorted tell places in the file."""
        name, _, offset = place.rpartition(":")
        piece = piece_of(name)
        return offset == str(self.offset) and self.name in {name, piece.file if piece else name}


def skips_of(given: Sequence[str], *, topics: bool) -> tuple[Skip, ...]:
    """Read what `--skip` was given.

    Raises
    ------
    ConfigError
        If one of them names no input.
    """
    found, wrong = [], []
    for each in given:
        source, _, offset = each.rpartition(":")
        if not source or not (offset.isascii() and offset.isdigit()):
            wrong.append(Invalid(_OPTION, "", f"{each!r}: must be SOURCE:OFFSET, the offset a number"))
            continue
        # As errors name it; anything else is a path, which the state knows by its resolved name.
        known = source == _CONTROL or source.startswith(_URI) or piece_of(source)
        name = source if known else source_name(source)
        if topics and source != _CONTROL:
            name = source if source.startswith("kafka:") else f"kafka:{source}"
            if partition_of(name) is None:
                wrong.append(Invalid(_OPTION, "", f"{each!r}: on topics it is TOPIC/PARTITION:OFFSET"))
        found.append(Skip(each, name, int(offset)))
    if wrong:
        raise ConfigError(wrong)
    return tuple(found)


def numbered(skips: Iterable[Skip], names: Mapping[int, str]) -> dict[tuple[int, int], int]:
    """Return what shards are told: number of the source and offset, and that it was not met yet."""
    places = [(name, number) for number, name in names.items()] + [(_CONTROL, CONTROL_SOURCE)]
    places += [(piece.file, number) for number, name in names.items() if (piece := piece_of(name))]
    return {(number, each.offset): 0 for each in skips for name, number in places if name == each.name}


def notes_of_skips(skips: Iterable[Skip], met: Mapping[str, int]) -> tuple[str, ...]:
    """Return what a person should know of them when the run has ended.

    `met` has how often each place was met.
    """
    return tuple(
        f"--skip {each.given}: no such input came, or it was applied before"
        for each in skips
        if not any(count for place, count in met.items() if each.is_at(place))
    )


def refuse_where_runs_died(state: Path, skips: Iterable[Skip]) -> None:
    """Refuse to begin where two runs have died one after the other, unless that input is passed over.

    The state's lock is held, and no process runs. It is refused once: the next start tries again.

    Raises
    ------
    InputFailed
        With the input.
    """
    place = died_twice_at(state)
    if place is None or any(each.is_at(place) for each in skips):
        return
    why = "the last two runs died at it, without a word (a crash, no memory left, or killed)"
    raise InputFailed(place, -1, f"{why}; started again, it is tried once more")
