"""What decides beside the inputs, and in which words a run that changes it says so."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import orjson

from headrace import __version__
from headrace.config.canonical import canonical
from headrace.config.kafka import SECRETS
from headrace.config.tables import RunSettings

__all__ = ["Provenance", "changes", "numeric_platform", "provenance_now"]

_CHANGES_MAX: Final = 100
_VALUE_CHARS_MAX: Final = 200
_UNSHOWN: Final = frozenset(f"kafka.{key}" for key in SECRETS)


class Provenance(NamedTuple):
    """What decides beside the inputs; the platform is not known of states that earlier versions wrote."""

    settings: bytes
    learn: bool
    code: str
    platform: str | None

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Provenance:
        """Return what a note or a checkpoint's header says."""
        return cls(said["settings"].encode(), said["learn"], said["code"], said.get("kernel"))

    def said(self) -> dict[str, Any]:
        """As notes and checkpoints have it."""
        said = {"settings": self.settings.decode(), "learn": self.learn, "code": self.code}
        return {**said, "kernel": self.platform}


def numeric_platform() -> str:
    """Return what numbers are computed with here: Python's version, the machine, the C library's version.

    Scores of two platforms may differ in their last digits.
    """
    return " ".join((platform.python_version(), platform.machine(), platform.libc_ver()[1]))


def provenance_now(settings: RunSettings, *, learn: bool) -> Provenance:
    """Return what decides in a run of this program with a configuration."""
    return Provenance(canonical(settings), learn, __version__, numeric_platform())


def changes(before: Iterable[Provenance | None], now: Provenance) -> list[str]:
    """Return what is other now than it was in a state, a line for each key path: its old and its new value.

    Parameters
    ----------
    before
        Of each shard; None for one that nothing was ever noted of. What several have in common is told once.
    now
        Of the run that begins.
    """
    pairs = [pair for each in before if each not in (None, now) for pair in _pairs(each, now)]
    lines = list(dict.fromkeys(_line(*pair) for pair in pairs))
    left = len(lines) - _CHANGES_MAX
    return lines if left <= 0 else [*lines[:_CHANGES_MAX], f"and {left} more"]


def _pairs(before: Provenance, now: Provenance) -> Iterator[tuple[str, Any, Any]]:
    yield from _settings_pairs(orjson.loads(before.settings), orjson.loads(now.settings))
    for name, was, becomes in (
        ("learning (--learn)", before.learn, now.learn),
        ("version of Headrace", before.code, now.code),
        ("Python, machine and C library", before.platform, now.platform),
    ):
        if was != becomes:
            yield name, was, becomes


def _settings_pairs(before: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*before, *now)):
            yield from _settings_pairs(before.get(key), now.get(key), f"{path}.{key}" if path else key)
        if before.keys() == now.keys() and list(before) != list(now):
            yield path, list(before), list(now)  # only where it has a meaning are they not sorted
    elif before != now:
        yield path, before, now


def _line(path: str, before: Any, now: Any) -> str:
    if path in _UNSHOWN:
        return f"{path}: changed (not shown)"
    return f"{path}: {_shown(before)} → {_shown(now)}"


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= _VALUE_CHARS_MAX else f"{text[: _VALUE_CHARS_MAX - 1]}…"
