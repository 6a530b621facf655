"""The kinds of flow that are known: the settings of each, and the files that are shipped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .base import did_you_mean
from .tables import RunSettings

__all__ = [
    "SHIPPED_ENVIRONMENT",
    "SHIPPED_FLOWS",
    "FlowKind",
    "base_of",
    "bases",
    "default_kind",
    "kind_names",
    "no_such_flow",
    "register",
    "settings_of",
    "shipped",
]

# Beside this folder in a checkout, under its link in the package, and in a wheel.
SHIPPED_FLOWS: Final = Path(__file__).parents[1] / "flows"
"""Where the flows lie that come with the program."""

SHIPPED_ENVIRONMENT: Final = Path(__file__).with_name("default.toml")
"""Where and how they run."""


@dataclass(frozen=True, kw_only=True)
class FlowKind:
    """What there is to know of a kind of flow to read its configurations.

    Attributes
    ----------
    name
        As `flow.kind` has it.
    settings
        Gives the class of its settings, when something asks for it: it is imported then.
    shipped
        The flows of it that come with the program, by their names. A file of this kind lies over the first,
        or over the one that `extends` names.
    """

    name: str
    settings: Callable[[], type[RunSettings]]
    shipped: Mapping[str, Path]


_KINDS: Final[dict[str, FlowKind]] = {}


def register(kind: FlowKind) -> None:
    """Make a kind known; a configuration that names none is of the first."""
    _KINDS[kind.name] = kind


def kind_names() -> tuple[str, ...]:
    """Return the names of all kinds, in the order in which they were registered."""
    return tuple(_KINDS)


def default_kind() -> str:
    """Return the kind of a configuration that names none.

    Raises
    ------
    LookupError
        If none is registered.
    """
    if not _KINDS:
        raise LookupError("no kind of flow is registered")
    return next(iter(_KINDS))


def settings_of(kind: str) -> type[RunSettings]:
    """Return the class of a kind's settings.

    Raises
    ------
    ValueError
        If there is no such kind.
    """
    if kind not in _KINDS:
        raise ValueError(f"there is no kind of flow {kind!r}")
    return _KINDS[kind].settings()


def bases() -> dict[str, str]:
    """Return the names of all shipped flows, each with its kind."""
    return {name: kind.name for kind in _KINDS.values() for name in kind.shipped}


def base_of(kind: str) -> str | None:
    """Return the name of the shipped flow of a kind that a file lies over, if it doesn't say otherwise.

    None for a kind of which nothing is shipped: its files stand for themselves.
    """
    return next(iter(_KINDS[kind].shipped), None)


def no_such_flow(name: str) -> str:
    """Say that no shipped flow has a name, and which it may mean."""
    return f"there is no flow {name}{did_you_mean(name, list(bases()))}"


def shipped(flow: str) -> Path:
    """Return the file of a shipped flow by its name."""
    return _KINDS[bases()[flow]].shipped[flow]
