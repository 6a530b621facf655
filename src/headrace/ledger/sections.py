"""The parts of what is told of a decision, as plain values: whoever shows them knows no kind of decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

__all__ = [
    "Aside",
    "Columns",
    "Fields",
    "Grid",
    "Section",
    "number_text",
    "signed_text",
    "time_text",
]


class Aside(NamedTuple):
    """A text that says something beside: it is shown less strongly."""

    text: str


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows of texts below each other.

    Attributes
    ----------
    sides
        To which side each column is set.
    rows
        Their cells.
    """

    sides: Sequence[Literal["left", "right"]]
    rows: Sequence[Sequence[str | Aside]]


@dataclass(frozen=True, slots=True)
class Fields:
    """Plain values, whatever they are, one a line under dotted names."""

    value: Any


@dataclass(frozen=True, slots=True)
class Columns:
    """Numbers by name, in as many columns as there is room for."""

    values: Mapping[str, float]


class Section(NamedTuple):
    """A part of what is told.

    Attributes
    ----------
    title
        Its heading.
    body
        What stands below.
    """

    title: str
    body: str | Grid | Fields | Columns


def signed_text(value: float | None) -> str:
    """Return what something adds, with its sign."""
    return "-" if value is None else f"{value:+.3f}"


def number_text(value: float) -> str:
    """Return a number, or that it is missing."""
    return "missing" if value != value else f"{value:.6g}"


def time_text(time_ms: int) -> str:
    """Return a time, to the millisecond where it isn't a whole second."""
    # Always in UTC, whatever the terminal's zone: what is shown is compared with journals and logs.
    text = datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(sep=" ", timespec="milliseconds")
    return text.removesuffix("+00:00").removesuffix(".000") + " UTC"
