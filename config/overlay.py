"""Lays a file over the shipped one of its flow, so that what it leaves out has a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from headrace.errors import Invalid

from .tables import Together

__all__ = ["EXTENDS", "NONE", "Overlay", "lay_over_shipped"]

EXTENDS: Final = "extends"
NONE: Final = "none"


class Overlay:
    """Which shipped configuration a file lies over, and what it takes of it.

    Parameters
    ----------
    own
        The file's tables.
    kind
        The flow that it is of.
    names
        Names of the shipped flows, each with its kind.
    base
        Name of the shipped flow where `extends` names none.
    together
        Tables of such a flow that refer to each other.

    Attributes
    ----------
    base : str | None
        Name of the shipped flow; None for none.
    left_out : tuple[str, ...]
        Tables of it that are not taken.
    errors : list[Invalid]
        What is wrong with `extends`; `file` is left empty.
    """

    def __init__(
        self,
        own: Mapping[str, Any],
        kind: str,
        names: Mapping[str, str],
        base: str | None,
        together: Together | None,
    ) -> None:
        self.errors: list[Invalid] = []
        given = own.get(EXTENDS)
        self.base: str | None = base
        # A file that declares its own features would refer to nothing of the shipped bins, and the other way
        # round: all of them are taken, or none.
        self._decisive = "" if together is None else together.decisive
        apart = together is not None and given is None and own.get(together.decisive)
        self.left_out = together.tables if together is not None and apart else ()
        if given == NONE:
            self.base = None
        elif isinstance(given, str) and names.get(given) == kind:
            self.base = given
        elif given is not None:
            known = ", ".join([*(name for name, of in names.items() if of == kind), NONE])
            self.errors.append(Invalid("", EXTENDS, f"must be one of {known} (is {given!r})"))

    def described(self, own: Mapping[str, Any]) -> Iterator[str]:
        """Say what holds, a line each."""
        tables = [key for key in own if key != EXTENDS]
        if self.base is None:
            yield "lies over nothing: what it leaves out has the program's default, or is empty"
            return
        yield f"lies over the shipped {self.base}.toml; here: {', '.join(tables) or 'nothing'}"
        if self.left_out:
            left_out = ", ".join(self.left_out)
            yield f"of the shipped file not taken, as [{self._decisive}] is declared here: {left_out}"


def lay_over_shipped(
    own: Mapping[str, Any], base: Mapping[str, Any], left_out: Sequence[str]
) -> dict[str, Any]:
    """Lay a file's tables over those of a shipped one, key by key.

    A value, a list, and a declaration of another `kind` (or a model of another `name`) replace what is
    shipped. Names that both have keep their place in the shipped order; new ones follow.

    Parameters
    ----------
    own, base
        The file's tables, and those of the shipped one.
    left_out
        Tables of which the shipped one gives nothing.
    """
    kept = {key: value for key, value in base.items() if key not in left_out}
    given = {key: value for key, value in own.items() if key != EXTENDS}
    merged = _merged(given, kept)
    # Validation errors are told in the order of the file.
    return {key: merged[key] for key in (*given, *(key for key in merged if key not in given))}


def _merged(own: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        under = base.get(key)
        if isinstance(value, dict) and isinstance(under, dict) and not _another(value, under):
            merged[key] = _merged(value, under)
        else:
            merged[key] = value
    return merged


def _another(own: Mapping[str, Any], base: Mapping[str, Any]) -> bool:
    """Whether a declaration is of another kind than the shipped one, whose keys it doesn't have then."""
    return any(key in own and key in base and own[key] != base[key] for key in ("kind", "name"))
