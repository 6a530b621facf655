"""From ranked candidates to a slate as a shop wants it: caps, filling, a share of places left to chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import count
from typing import Final, NamedTuple

from ...config.recommend_rules import RulesTable
from .catalogue import Catalogue
from .engine import Engine
from .kernels import SOURCE_NAMES
from .ranked import Ranked

__all__ = ["LIST_SOURCES", "Place", "Rules", "Visit"]

LIST_SOURCES: Final = (*SOURCE_NAMES, "new")
"""What an item of a slate can come from."""

_TRENDING: Final = SOURCE_NAMES.index("trending")
_NEW: Final = len(SOURCE_NAMES)


class Place(NamedTuple):
    """An item of a slate.

    Attributes
    ----------
    item, score, source, anchor, support
        As in `Ranked`; the source as a place in `LIST_SOURCES`.
    propensity
        Where chance put it here: how probable it was that this slate would show it; else None.
    """

    item: int
    score: float
    source: int
    anchor: int
    support: int
    propensity: float | None = None


class Visit(NamedTuple):
    """Who asks for a slate.

    Attributes
    ----------
    event_id
        Of the click that asks.
    at_ms
        Its time.
    customer
        The customer, when known.
    session
        The session.
    left_out
        Items that are not to be shown.
    """

    event_id: str
    at_ms: int
    customer: str | None
    session: str
    left_out: frozenset[int]


def _places_of(ranked: Ranked) -> list[Place]:
    """Return the candidates as they were ranked."""
    return list(map(Place, ranked.items, ranked.scores, ranked.sources, ranked.anchors, ranked.support))


class Rules:
    """Arranges slates.

    Parameters
    ----------
    engine, catalogue
        Items, and what is known of them.

    Attributes
    ----------
    counts : dict of str to int
        What the rules did since they were last asked for.
    """

    def __init__(self, engine: Engine, catalogue: Catalogue) -> None:
        self._engine, self._catalogue = engine, catalogue
        self.counts: Counter[str] = Counter()

    def configure(self, rules: RulesTable, items_max: int) -> None:
        """Change the rules; they hold from the next slate on."""
        self._rules, self._items_max = rules, items_max
        self._capped = rules.seller_items_max is not None or rules.category_items_max is not None
        self._chance = rules.new_share > 0.0 or rules.explore_share > 0.0
        self._seed = rules.seed.to_bytes(8, "big")

    def ranked_max(self, visit: Visit) -> int | None:
        """How many candidates a slate needs to see, None for all."""
        own = self._rules.leave_out_own and visit.customer is not None
        # Whatever may pass over candidates, or draw from below the slate, needs to see all of them.
        return None if self._capped or self._chance or own else self._items_max

    def arrange(self, ranked: Ranked, visit: Visit) -> list[Place]:
        """Return the slate: at most the configured number of places, the best first."""
        allowed = self._without_own(_places_of(ranked), visit)
        places = self._under_caps(allowed)
        if len(places) < self._items_max and self._rules.fill:
            places = self._filled(places, visit)
        return self._with_chance(places, allowed, visit) if self._chance and places else places

    def _without_own(self, places: list[Place], visit: Visit) -> list[Place]:
        if visit.customer is None or not self._rules.leave_out_own:
            return places
        kept = [place for place in places if not self._is_own(place.item, visit)]
        self.counts["own"] += len(places) - len(kept)
        return kept

    def _is_own(self, item: int, visit: Visit) -> bool:
        if visit.customer is None or not self._rules.leave_out_own:
            return False
        facts = self._catalogue.of(item)
        return facts is not None and facts.seller_id == visit.customer

    def _under_caps(self, places: list[Place]) -> list[Place]:
        if not self._capped:
            return places[: self._items_max]
        caps = _Caps(self._catalogue, self._rules)
        kept: list[Place] = []
        for place in places:
            if len(kept) == self._items_max:
                break
            if caps.admit(place.item):
                kept.append(place)
            else:
                self.counts["capped"] += 1
        return kept

    def _filled(self, places: list[Place], visit: Visit) -> list[Place]:
        """Return the slate with trending items at its end, those of the session's latest categories first."""
        caps = _Caps(self._catalogue, self._rules)
        for place in places:
            caps.admit(place.item)
        shown = {place.item for place in places} | visit.left_out
        filled = list(places)
        for item in self._trending(visit):
            if len(filled) == self._items_max:
                break
            if item not in shown and not self._is_own(item, visit) and caps.admit(item):
                filled.append(Place(item, 0.0, _TRENDING, -1, 0))
        self.counts["filled"] += len(filled) - len(places)
        return filled

    def _trending(self, visit: Visit) -> Iterable[int]:
        category = self._catalogue.category
        liked = dict.fromkeys(filter(None, map(category, reversed(self._engine.history(visit.session)))))
        order = {name: index for index, name in enumerate(liked)}
        hot = self._engine.trending()
        # The sort is stable, so within a category the hottest still comes first.
        return sorted(hot, key=lambda item: order.get(category(item) or "", len(order))) if order else hot

    # -- chance

    def _with_chance(self, places: list[Place], allowed: Sequence[Place], visit: Visit) -> list[Place]:
        """Give new items their share of places, and a candidate from below the slate its last one.

        Both are drawn uniformly from what isn't on the slate anyway, apart from each other, and a new item is
        no candidate for exploring: so the propensities are exact.
        """
        # Chance hangs on the event alone: decided again, in a replay or by another batch, the same items are
        # drawn.
        rules, draw = self._rules, _draws(self._seed, visit.event_id)
        listed = {place.item for place in places}
        new = [
            item
            for item in (self._catalogue.new_items(visit.at_ms) if rules.new_share else ())
            if item not in listed and item not in visit.left_out and not self._is_own(item, visit)
        ]
        below = [place for place in allowed if place.item not in listed and place.item not in set(new)]
        explored = self._explored(below, next(draw), next(draw))
        room = len(places) - (explored is not None)
        wanted = min(rules.new_share * len(places), len(new), len(places) - (rules.explore_share > 0.0))
        # The fraction is drawn, so that on the average new items get exactly their share, also of a slate of
        # five.
        number = min(int(wanted) + (next(draw) < wanted % 1.0), room)
        chosen = [new.pop(int(next(draw) * len(new))) for _ in range(number)]
        propensity = round(wanted / (len(new) + number), 6) if number else None
        kept = places[: room - number]
        kept += [Place(item, 0.0, _NEW, -1, 0, propensity) for item in chosen]
        self.counts["new"] += number
        self.counts["explored"] += explored is not None
        return [*kept, explored] if explored is not None else kept

    def _explored(self, below: Sequence[Place], whether: float, which: float) -> Place | None:
        share = self._rules.explore_share
        if not below or whether >= share:
            return None
        return below[int(which * len(below))]._replace(propensity=round(share / len(below), 6))


class _Caps:
    """How many items of each seller and category a slate has."""

    def __init__(self, catalogue: Catalogue, rules: RulesTable) -> None:
        self._catalogue, self._rules = catalogue, rules
        self._sellers: Counter[str] = Counter()
        self._categories: Counter[str] = Counter()

    def admit(self, item: int) -> bool:
        """Count an item in if there is room for one more of its kind; for one of no known kind there is."""
        facts, rules = self._catalogue.of(item), self._rules
        if facts is None:
            return True
        counted = (
            (self._sellers, facts.seller_id, rules.seller_items_max),
            (self._categories, facts.category, rules.category_items_max),
        )
        kinds = [
            (counts, kind, most) for counts, kind, most in counted if kind is not None and most is not None
        ]
        # Both caps are asked before either counts: an item that one of them refuses takes no room of the
        # other.
        if any(counts[kind] >= most for counts, kind, most in kinds):
            return False
        for counts, kind, _ in kinds:
            counts[kind] += 1
        return True


def _draws(seed: bytes, event_id: str) -> Iterator[float]:
    """Numbers from 0 to 1, below 1, that depend on nothing but the seed and the event."""
    for block in count():
        # Keyed by the seed: whoever can choose event ids must not be able to choose what is drawn.
        digest = blake2b(event_id.encode(), key=seed, salt=block.to_bytes(8, "big"), digest_size=64).digest()
        for at in range(0, 64, 4):
            yield int.from_bytes(digest[at : at + 4], "big") / 2**32
