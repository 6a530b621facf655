"""Writes settings as TOML that can be read again, each with where it came from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from .flow_kinds import SHIPPED_ENVIRONMENT
from .kafka import FILE_SUFFIX, SECRETS
from .layers import Layer, Origins
from .overlay import EXTENDS, NONE
from .printable import printable
from .tables import RunSettings

__all__ = ["as_toml"]

# Declarations are shown in a line each, as files have them.
_IN_A_LINE: Final = ("features", "bins", "crosses")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_DEFAULT: Final = "default"
_ESCAPED: Final = {'"': '\\"', "\\": "\\\\"}


def as_toml(settings: RunSettings, origins: Origins, is_set: Callable[[str], bool]) -> Iterator[str]:
    """Yield the lines of a TOML file that says all that is in force.

    Behind each value stands, as a comment, which file, variable or option it is of, or that it is the
    program's default. Given as a file, the lines mean the same settings again.

    Parameters
    ----------
    settings
        What is in force; secrets are none of them, only the names of their variables.
    origins
        Where it came from.
    is_set
        Whether a variable of the environment is set; what it holds isn't asked for.
    """
    yield f'{EXTENDS} = "{NONE}"  # all is here'
    writer = _Writer(origins, is_set)
    for name, table in settings.model_dump(mode="json").items():
        yield from writer.table((name,), table)


class _Writer:
    def __init__(self, origins: Origins, is_set: Callable[[str], bool]) -> None:
        self._origins, self._is_set = origins, is_set

    def table(self, path: tuple[str, ...], table: Mapping[str, Any]) -> Iterator[str]:
        """Yield a table: its head, its own values, and the tables in it."""
        in_lines = {key: value for key, value in table.items() if not self._is_table((*path, key), value)}
        if in_lines:
            yield from ("", f"[{_dotted(path)}]")
        for key, value in in_lines.items():
            yield self._line((*path, key), value)
        for key, value in table.items():
            if key not in in_lines:
                yield from self.table((*path, key), value)

    @staticmethod
    def _is_table(path: Sequence[str], value: Any) -> bool:
        return isinstance(value, Mapping) and path[0] not in _IN_A_LINE

    def _line(self, path: tuple[str, ...], value: Any) -> str:
        key = _dotted(path[-1:])
        if value is None:
            return f"# {key}: not set"
        return f"{key} = {_toml(value)}  # {'; '.join((self._said(path, value), *self._secret(path, value)))}"

    def _said(self, path: tuple[str, ...], value: Any) -> str:
        """Name where a value came from; of a declaration, all that it is put together from."""
        inside = [(*path, key) for key in value] if isinstance(value, Mapping) else [path]
        names = dict.fromkeys(_name(self._origins.of(each)) for each in inside)
        if len(names) > 1:
            names.pop(_DEFAULT, None)
        return printable(", ".join(names))

    def _secret(self, path: tuple[str, ...], variable: str) -> Iterator[str]:
        if path[0] == "kafka" and path[-1] in SECRETS:
            holds = [name for name in (variable, f"{variable}{FILE_SUFFIX}") if self._is_set(name)]
            yield f"{holds[0]} is set, and not shown" if holds else f"{variable} is not set"


def _name(origin: Layer | str | None) -> str:
    if not isinstance(origin, Layer):
        return origin or _DEFAULT
    if origin.own:
        return str(origin.file)
    folder = "config" if origin.file == SHIPPED_ENVIRONMENT else "flows"
    return f"shipped {folder}/{origin.file.name}"


def _dotted(path: Sequence[str]) -> str:
    return ".".join(part if _BARE.fullmatch(part) else _text(part) for part in path)


def _toml(value: Any) -> str:
    """Return a value that JSON knows as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        inner = [f"{_dotted([key])} = {_toml(each)}" for key, each in value.items() if each is not None]
        return f"{{ {', '.join(inner)} }}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value)


def _text(text: str) -> str:
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    if character in _ESCAPED:
        return _ESCAPED[character]
    return character if printable(character) == character else f"\\U{ord(character):08x}"
