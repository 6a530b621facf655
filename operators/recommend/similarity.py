"""How alike two slates are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["overlap", "rank_biased_overlap"]

_PERSISTENCE: Final = 0.9


def overlap(one: Sequence[str], other: Sequence[str]) -> float:
    """Share of the longer slate's items that are on both, in any order; 1 for two empty slates.

    Examples
    --------
    >>> overlap("abcd", "bax")
    0.5
    """
    longer = max(len(one), len(other))
    return len(set(one) & set(other)) / longer if longer else 1.0


def rank_biased_overlap(one: Sequence[str], other: Sequence[str], persistence: float = _PERSISTENCE) -> float:
    """Likeness of two rankings, in which what stands first counts most; 1 for the same ones.

    The slates are taken to go on beyond their ends as they did up to there.

    Parameters
    ----------
    one, other
        Items, best first, each once.
    persistence
        Between 0 and 1: how likely a reader goes on from one item to the next.

    References
    ----------
    Webber, Moffat, Zobel: A similarity measure for indefinite rankings. ACM TOIS 28 (2010), equation 32.

    Examples
    --------
    >>> rank_biased_overlap("abc", "abc"), round(rank_biased_overlap("abc", "bac"), 3)
    (1.0, 0.9)
    """
    short, long = sorted((one, other), key=len)
    if not short:
        return float(not long)
    place = {item: rank for rank, item in enumerate(long)}
    shared, common = _shared(short, place, len(long))
    total, weight = 0.0, 1.0
    for depth in range(1, len(long) + 1):
        weight *= persistence
        agreement = shared[depth - 1] / depth
        if depth > len(short):
            agreement += common * (depth - len(short)) / (len(short) * depth)
        total += agreement * weight
    at_end = (shared[-1] - common) / len(long) + common / len(short)
    return min(1.0, (1.0 - persistence) / persistence * total + at_end * weight)


def _shared(short: Sequence[str], place: dict[str, int], depths: int) -> tuple[list[int], int]:
    """How many items are on both slates down to each depth, and down to the end of the shorter one."""
    begins = [0] * depths
    for rank, item in enumerate(short):
        if item in place:
            # An item is on both from the deeper of its two ranks on; so one pass counts for all depths.
            begins[max(rank, place[item])] += 1
    total, shared = 0, []
    for new in begins:
        total += new
        shared.append(total)
    return shared, shared[len(short) - 1]
