"""Says of each item of a recorded slate why it was on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .detail import Origin, read

__all__ = ["LIST_TEXTS", "ExplainedItem", "explained_items"]

_TEXTS: Final = {
    "neighbours": "beside {anchor} in {support} recent {sessions}",
    "recent_neighbours": "near {anchor} in {support} recent {sessions}",
    "next_clicks": "clicked next after {anchor} {support} {times}",
    "later_clicks": "after {anchor} in {support} recent {sessions}",
    "session": "seen before in this session",
    "bought_together": "bought together with {anchor} {support} {times}",
    "trending": "among the most clicked of late",
    "new": "new",
}

LIST_TEXTS: Final = {
    "no_candidates": "nothing is known yet that could be shown",
    "kill_switch": "the kill switch is on",
    "deadline": "the click had waited too long",
    "ranker_failed": "the model in the ranker's place had raised an error",
}
"""What the reasons of an empty slate mean."""


@dataclass(frozen=True, slots=True)
class ExplainedItem:
    """An item of a slate.

    Attributes
    ----------
    item_id, score, source
        As the decision has them.
    anchor
        The session's item that the source went out from; None for none.
    support
        In how many recent sessions, or how many times, the source had seen it so.
    text
        The same in words.
    """

    item_id: str
    score: float
    source: str
    anchor: str | None
    support: int
    text: str


def explained_items(decision: Mapping[str, Any], detail: bytes) -> tuple[ExplainedItem, ...]:
    """Return the items of a decision, best first.

    Raises
    ------
    ValueError
        If the detail is none of a slate, or of another one.
    """
    origins = read(detail).origins
    return tuple(
        ExplainedItem(
            item["item_id"],
            item["score"],
            item["source"],
            origin.anchor,
            origin.support,
            _text(item, origin),
        )
        for item, origin in zip(decision["items"], origins, strict=True)
    )


def _text(item: Mapping[str, Any], origin: Origin) -> str:
    one, source = origin.support == 1, str(item["source"])
    text = _TEXTS.get(source, source)
    if "propensity" in item:
        text += f"; put here by chance, with a probability of {item['propensity']:g}"
    return text.format(
        anchor=origin.anchor,
        support=origin.support,
        sessions="session" if one else "sessions",
        times="time" if one else "times",
    )
