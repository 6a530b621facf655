"""Lays single settings over files: `--set key.path=value`, and variables `HEADRACE__SECTION__KEY`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final

from headrace.errors import Invalid

from .kafka import named_secret

__all__ = ["PREFIX", "Overrides"]

PREFIX: Final = "HEADRACE__"
"""What the names of variables begin with that set a key; two underscores stand between its parts."""

_SET: Final = "--set"
_NOT_SHOWN: Final = "password"
_KEY_RULE: Final = "its parts are letters from a to z, digits, _ and -, with a dot between two"
_VARIABLE: Final = re.compile(rf"{PREFIX}[A-Z0-9]+(?:_[A-Z0-9]+)*(?:__[A-Z0-9]+(?:_[A-Z0-9]+)*)*")
_VARIABLE_RULE: Final = f"is no {PREFIX}SECTION__KEY, in capitals, with two underscores between the parts"


class Overrides:
    """Overrides, in the order in which they lie over each other, and which keys are theirs.

    Attributes
    ----------
    keys
        Dotted paths that were set, each with what set it: `--set`, or a variable's name.
    """

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}

    def lay(self, override: str, read: dict[str, Any]) -> list[Invalid]:
        """Lay one override of the command line over what was read."""
        key, equals, value = override.partition("=")
        path = _key_path(key)
        if not equals or not key.strip():
            # What was meant for a secret may stand in it.
            said = "" if _NOT_SHOWN in override.lower() else override
            return [Invalid(_SET, said, "must have the form key.path=value")]
        if not path:
            return [Invalid(_SET, override, f"{key.strip()!r} is no key; {_KEY_RULE}")]
        return self._set(path, _toml_value(value.strip()), _SET, read)

    def lay_variables(self, variables: Mapping[str, str], read: dict[str, Any]) -> list[Invalid]:
        """Lay environment variables over what was read; those of other programs are passed over."""
        found = []
        for name in sorted(each for each in variables if each.startswith(PREFIX)):
            if not _VARIABLE.fullmatch(name):
                found.append(Invalid(name, "", _VARIABLE_RULE))
                continue
            path = name.removeprefix(PREFIX).lower().split("__")
            # Of a secret, settings hold the name of its variable only.
            path, value = named_secret(path, name) or (path, _toml_value(variables[name].strip()))
            found += self._set(path, value, name, read)
        return found

    def place(self, key: str) -> str | None:
        """Return what has set a key, or a table around it; None if none of these has."""
        theirs = [origin for path, origin in self.keys.items() if _within(key, path)]
        return theirs[-1] if theirs else None

    def inside(self, key: str) -> str | None:
        """Return what has set a key in a table; None if none of these has."""
        theirs = [origin for path, origin in self.keys.items() if _within(path, key)]
        return theirs[-1] if theirs else None

    def _set(self, path: list[str], value: Any, origin: str, read: dict[str, Any]) -> list[Invalid]:
        table = read
        for part in path[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                return [Invalid(origin, ".".join(path), f"{part} is a value, not a table")]
        table[path[-1]] = value
        key = ".".join(path)
        self.keys = {each: by for each, by in self.keys.items() if not _within(each, key)} | {key: origin}
        return []


def _within(key: str, path: str) -> bool:
    return key == path or key.startswith(f"{path}.")


def _key_path(key: str) -> list[str]:
    """Parts of a dotted TOML key; none if it isn't one."""
    try:
        parsed: Any = tomllib.loads(f"{key.strip()} = 0") if "\n" not in key else 0
    except (ValueError, RecursionError):
        return []
    path = []
    while isinstance(parsed, dict):
        ((part, parsed),) = parsed.items()
        path.append(part)
    return path


def _toml_value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if len(parsed) == 1 else text
