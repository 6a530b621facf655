"""Which file, variable or option gave a value, where several are laid over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from headrace.errors import Invalid

from .overrides import Overrides

__all__ = ["ENVIRONMENT", "Layer", "Origins"]

ENVIRONMENT: Final = ("input", "control", "journal", "metrics", "kafka", "processes")
"""Tables that say where and how a flow runs; the others say what it decides."""


class Layer(NamedTuple):
    """The tables of a file.

    Attributes
    ----------
    file
        Where it was read from.
    tables
        What it says.
    own
        Whether somebody's own; not, if it is shipped.
    environment
        Whether it is there to say where and how a flow runs.
    left_out
        Tables of files below that are not taken.
    """

    file: Path
    tables: dict[str, Any]
    own: bool = True
    environment: bool = False
    left_out: tuple[str, ...] = ()


class Origins:
    """Where values came from.

    Parameters
    ----------
    layers
        The files, those that lie over others later.
    overrides
        What lies over all of them.
    """

    def __init__(self, layers: Sequence[Layer], overrides: Overrides) -> None:
        self._layers, self._overrides = layers, overrides

    def of(self, path: Sequence[str]) -> Layer | str | None:
        """Return the file, or the name of a variable or an option, that gave a value.

        None for the program's default.
        """
        if origin := self._overrides.place(".".join(path)):
            return origin
        return next((layer for layer in reversed(self._layers) if _has(layer.tables, path)), None)

    def place(self, invalid: Invalid) -> Invalid:
        """Name where a validation error was made, unless it says so itself: nothing shipped is wrong."""
        return invalid if invalid.file else invalid._replace(file=self.file_of(invalid.key))

    def file_of(self, key: str) -> str:
        """Return the file in which a key is to be changed, or the variable or the option that gives it."""
        if origin := self._overrides.place(key):
            return origin
        own = [layer for layer in self._layers if layer.own]
        path = key.split(".")
        # The table around an unknown key, and what is missing in one, stand where that table is.
        for length in range(len(path), 0, -1):
            for layer in reversed(own):
                if _has(layer.tables, path[:length]):
                    return str(layer.file)
            if length == len(path) and (origin := self._overrides.inside(key)):
                return origin
        environment = path[0] in ENVIRONMENT
        return next(
            (str(each.file) for each in reversed(own or self._layers) if each.environment == environment),
            str((own or self._layers)[-1].file),
        )


def _has(tables: Any, path: Sequence[str]) -> bool:
    for part in path:
        if not isinstance(tables, Mapping) or part not in tables:
            return False
        tables = tables[part]
    return True
