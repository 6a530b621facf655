"""Lines of a file that is looked at, and what is made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

__all__ = ["Examination", "Lines"]


class Lines(NamedTuple):
    """Lines that follow each other in a file.

    Attributes
    ----------
    payloads, offsets, numbers
        Their bytes, where they begin, and their numbers from 1.
    events
        What each is, or why it is none.
    times
        Event times, milliseconds since the epoch; 0 without one.
    """

    payloads: Sequence[bytes]
    offsets: Sequence[int]
    numbers: Sequence[int]
    events: Sequence[Any]
    times: Sequence[int]


class Examination(Protocol):
    """A question that is put to a whole file."""

    def take(self, lines: Lines) -> None:
        """Look at the next lines."""

    def told(self) -> Iterator[tuple[str, str]]:
        """Return what was found: words, each with what they are about."""
        ...
