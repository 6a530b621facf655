"""In which words a state is refused that a configuration or this program can't go on with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

__all__ = ["differences", "other_version"]


def differences(saved: Any, wanted: Any, path: str = "") -> Iterator[str]:
    """Where two shapes differ, as key paths with both values."""
    if isinstance(saved, dict) and isinstance(wanted, dict):
        for key in [*saved, *(key for key in wanted if key not in saved)]:
            yield from differences(saved.get(key), wanted.get(key), f"{path}.{key}" if path else key)
    elif saved != wanted:
        yield f"{path}: the state has {_shown(saved)}, the configuration {_shown(wanted)}"


def _shown(value: Any) -> str:
    return "nothing" if value is None else orjson.dumps(value).decode()


def other_version(directory: Path | None, header: Mapping[str, Any], readable: int) -> str:
    """Return what to do with a state of another version than the readable one."""
    return (
        f"{directory}: has state version {header['version']}, as Headrace {header['code']} wrote it;"
        f" this program reads version {readable}: go on with the version that wrote it, or begin a new state"
    )
