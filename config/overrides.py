"""Lays single settings over what a file says, as `--set key.path=value` gives them."""

from __future__ import annotations

import tomllib
from typing import Any, Final

from headrace.errors import Invalid

__all__ = ["Overridden"]

_OVERRIDE: Final = "--set"
_KEY_RULE: Final = "its parts are letters from a to z, digits, _ and -, with a dot between two"


class Overridden:
    """Overrides, and which validation errors are theirs."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.keys: list[str] = []

    def lay(self, override: str, read: dict[str, Any]) -> list[Invalid]:
        """Lay one override over what was read."""
        key, equals, value = override.partition("=")
        path = _key_path(key)
        if not equals or not key.strip():
            return [Invalid(_OVERRIDE, override, "must have the form key.path=value")]
        if not path:
            return [Invalid(_OVERRIDE, override, f"{key.strip()!r} is no key; {_KEY_RULE}")]
        table = read
        for part in path[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                return [Invalid(_OVERRIDE, ".".join(path), f"{part} is a value, not a table")]
        table[path[-1]] = _toml_value(value.strip())
        self.keys.append(".".join(path))
        return []

    def place(self, invalid: Invalid) -> Invalid:
        """Name where the validation error was made: in an override, or else in the file."""
        theirs = any(invalid.key == key or invalid.key.startswith(f"{key}.") for key in self.keys)
        return invalid._replace(file=_OVERRIDE if theirs else self.file)


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
