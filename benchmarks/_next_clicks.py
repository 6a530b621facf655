"""How slates are evaluated: by the place of the session's next click in the slate made just before it.

Two methods are compared on the same clicks. What is drawn anew in a bootstrap are sessions, not clicks, as
the clicks of one visit are alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import log2
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Evaluated", "Gain", "Quality", "bootstrap"]

_DRAWS = 2000


class Quality(NamedTuple):
    """Means over evaluated clicks: share of hits, reciprocal rank, discounted gain."""

    hit_rate: float
    reciprocal_rank: float
    ndcg: float
    evaluated: int


class Gain(NamedTuple):
    """How much better one method is, with the bounds of its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass
class Evaluated:
    """Ranks of next clicks, 0 for one that isn't in its slate, with the session of each."""

    sessions: list[str] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)
    new: list[bool] = field(default_factory=list)

    def note(self, session: str, shown: Sequence[str], clicked: str, *, new: bool) -> None:
        """Evaluate a slate by what was clicked after it; `new` if the session had not clicked it before."""
        self.sessions.append(session)
        self.ranks.append(shown.index(clicked) + 1 if clicked in shown else 0)
        self.new.append(new)

    def only_new(self) -> Evaluated:
        """Those whose item was new to its session."""
        kept = [place for place, new in enumerate(self.new) if new]
        return Evaluated(
            [self.sessions[place] for place in kept],
            [self.ranks[place] for place in kept],
            [True] * len(kept),
        )

    def quality(self) -> Quality:
        """Return the measures over all of them; zeros if there is none."""
        count = max(len(self.ranks), 1)
        hits = [rank for rank in self.ranks if rank]
        return Quality(
            len(hits) / count,
            sum(1 / rank for rank in hits) / count,
            sum(1 / log2(rank + 1) for rank in hits) / count,
            len(self.ranks),
        )


def bootstrap(better: Evaluated, base: Evaluated, *, seed: int = 1) -> tuple[Gain, Gain]:
    """Gain in hit rate and in reciprocal rank of one method over another, by a paired bootstrap.

    Raises
    ------
    ValueError
        If they weren't evaluated on the same clicks, or on none.
    """
    if not base.ranks or better.sessions != base.sessions:
        raise ValueError("a paired bootstrap needs the same clicks twice")
    numbers = {name: number for number, name in enumerate(dict.fromkeys(base.sessions))}
    session = np.array([numbers[name] for name in base.sessions])
    hits = _by_session(session, [(a > 0) - (b > 0) for a, b in zip(better.ranks, base.ranks, strict=True)])
    places = _by_session(
        session, [_reciprocal(a) - _reciprocal(b) for a, b in zip(better.ranks, base.ranks, strict=True)]
    )
    clicks = np.bincount(session).astype(np.float64)
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(0, clicks.size, clicks.size) for _ in range(_DRAWS)]
    return _gain(hits, clicks, drawn), _gain(places, clicks, drawn)


def _reciprocal(rank: int) -> float:
    return 1 / rank if rank else 0.0


def _by_session(session: NDArray[np.int64], values: Iterable[float]) -> NDArray[np.float64]:
    return np.asarray(np.bincount(session, weights=np.fromiter(values, dtype=np.float64)), dtype=np.float64)


def _gain(sums: NDArray[np.float64], clicks: NDArray[np.float64], drawn: Sequence[NDArray[np.int64]]) -> Gain:
    means = [sums[rows].sum() / clicks[rows].sum() for rows in drawn]
    low, high = np.quantile(means, (0.025, 0.975)).tolist()
    return Gain(float(sums.sum() / clicks.sum()), low, high)
