"""In which order the lines of a network come: late, again, and broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..draws import Bools, Ints, Stream, generator
from .presets import NetworkPreset

__all__ = ["BROKEN", "Flaw", "Kind", "Lines", "arrange"]

_HOUR_S: Final = 3_600
_LATE_MEDIAN_HOURS: Final = 1.0
_LATE_SIGMA: Final = 1.5
_AGAIN_MEDIAN_S: Final = 60.0
_AGAIN_SIGMA: Final = 2.0
_AGAIN_S_MAX: Final = 6 * _HOUR_S


class Kind(IntEnum):
    """The types of events; in one second, they come in this order."""

    ITEM = 0
    CLICK = 1
    CART = 2
    ORDER = 3
    PAYMENT = 4
    OUTCOME = 5


class Flaw(IntEnum):
    """What is wrong with a line; from `CUT` on it is no event."""

    NONE = 0
    REPEAT = 1
    CONFLICT = 2
    CUT = 3
    NOT_UTF8 = 4
    NO_TIME = 5
    UNKNOWN_TYPE = 6
    NUMBER_AS_ID = 7
    OTHER_CENTURY = 8


BROKEN: Final = tuple(flaw for flaw in Flaw if flaw >= Flaw.CUT)


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of the file in their order; each column has the shape (n,).

    Attributes
    ----------
    kind, row
        The type of event, and which one of its table.
    arrival_s
        When it arrives, in the seconds of its table's times.
    flaw
        One of `Flaw`.
    """

    kind: NDArray[np.uint8]
    row: Ints
    arrival_s: Ints
    flaw: NDArray[np.uint8]

    def only(self, chosen: Ints | Bools) -> Lines:
        """Return a selection of them, in its order."""
        return Lines(self.kind[chosen], self.row[chosen], self.arrival_s[chosen], self.flaw[chosen])


def arrange(times: Sequence[Ints], preset: NetworkPreset, seed: int) -> Lines:
    """Put the events of all tables in the order of arrival, and add those that come again or are broken.

    Parameters
    ----------
    times
        When the events of each `Kind` happen, in seconds, in the order of the kinds.
    """
    rng = generator(seed, Stream.LINES)
    lines = Lines(
        kind=np.repeat(np.arange(len(times), dtype=np.uint8), [table.size for table in times]),
        row=np.concatenate([np.arange(table.size) for table in times]),
        arrival_s=_arrivals(rng, np.concatenate(times), preset),
        flaw=np.zeros(sum(table.size for table in times), dtype=np.uint8),
    )
    extra = [_again(rng, lines, preset.repeat_share, Flaw.REPEAT)]
    paid = lines.only(lines.kind == Kind.PAYMENT)
    extra += [
        _again(rng, paid, preset.conflict_share, Flaw.CONFLICT),
        _broken(rng, lines, preset.broken_share),
    ]
    return _in_order(_joined([lines, *extra]), generator(seed, Stream.ORDER))


def _arrivals(rng: np.random.Generator, time_s: Ints, preset: NetworkPreset) -> Ints:
    late = np.flatnonzero(rng.random(time_s.size) < preset.late_share)
    hours = _LATE_MEDIAN_HOURS * np.exp(_LATE_SIGMA * rng.standard_normal(late.size))
    arrival = time_s.copy()
    arrival[late] += 1 + (np.minimum(hours, preset.late_hours_max) * _HOUR_S).astype(np.int64)
    return arrival


def _again(rng: np.random.Generator, lines: Lines, share: float, flaw: Flaw) -> Lines:
    """Return a share of the lines once more, later."""
    again = lines.only(rng.random(lines.row.size) < share)
    after = np.minimum(
        _AGAIN_MEDIAN_S * np.exp(_AGAIN_SIGMA * rng.standard_normal(again.row.size)), _AGAIN_S_MAX
    )
    arrival_s = again.arrival_s + 1 + after.astype(np.int64)
    return Lines(again.kind, again.row, arrival_s, np.full_like(again.flaw, flaw))


def _broken(rng: np.random.Generator, lines: Lines, share: float) -> Lines:
    """Broken copies of a share of the lines, in their second."""
    copy = lines.only(rng.random(lines.row.size) < share)
    flaw = rng.integers(BROKEN[0], BROKEN[-1] + 1, copy.row.size).astype(np.uint8)
    return Lines(copy.kind, copy.row, copy.arrival_s, flaw)


def _joined(parts: Sequence[Lines]) -> Lines:
    return Lines(
        np.concatenate([part.kind for part in parts]),
        np.concatenate([part.row for part in parts]),
        np.concatenate([part.arrival_s for part in parts]),
        np.concatenate([part.flaw for part in parts]),
    )


def _in_order(lines: Lines, rng: np.random.Generator) -> Lines:
    """By second, then kind, a broken copy before its line, and the rest at random."""
    shuffled = rng.permutation(lines.row.size)
    whole = lines.flaw < Flaw.CUT
    # One integer for second, kind and flaw, as one stable sort by it costs less than a sort by three keys.
    rank = lines.arrival_s * (2 * len(Kind)) + 2 * lines.kind.astype(np.int64) + whole
    return lines.only(shuffled[np.argsort(rank[shuffled], kind="stable")])
