"""What the catalogue says of items: whether they may be shown, and what rules ask of them."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...config.recommend_rules import RulesTable
from ..events.contract import Item
from .engine import Engine

__all__ = ["Catalogue", "Facts"]

_DAY_MS = 86_400_000


class Facts(NamedTuple):
    """The newest note on an item; what it doesn't say is not known.

    Attributes
    ----------
    noted_ms
        The note's event time.
    shown
        Whether the catalogue lets it be shown.
    price, category, seller_id
        As in the note.
    """

    noted_ms: int
    shown: bool
    price: float | None
    category: str | None
    seller_id: str | None


class Catalogue:
    """Notes on items, by their numbers, and the items that are new.

    Parameters
    ----------
    engine
        It is told which items may not be shown, and says which it has dropped.
    rules
        What slates may show.

    Attributes
    ----------
    new_ms : dict of int to int
        Of an item that may count as new since when it does, in the order in which they came.
    """

    def __init__(self, engine: Engine, rules: RulesTable) -> None:
        self._engine = engine
        self._facts: dict[int, Facts] = {}
        self.new_ms: dict[int, int] = {}
        self.configure(rules)

    def configure(self, rules: RulesTable) -> None:
        """Change the rules; they hold from the next slate on."""
        self._rules = rules
        self._engine.items.withhold(rules.never_show, new_hidden=rules.filters and not rules.unknown_shown)
        for number in self._engine.items.numbers():
            self._engine.items.hide(number, hidden=not self._may_show(self._facts.get(number)))

    def of(self, number: int) -> Facts | None:
        """Return the newest note on an item."""
        return self._facts.get(number)

    def category(self, number: int) -> str | None:
        """Return the item's category, if it is known."""
        facts = self._facts.get(number)
        return None if facts is None else facts.category

    def note(self, item: Item) -> None:
        """Take in a note; of two the one of the later event time holds."""
        number = self._engine.items.number_of(item.item_id)
        before = self._facts.get(number)
        # By event time, not by arrival: a replayed older note must not bring a sold-out item back.
        if before is not None and item.event_time < before.noted_ms:
            return
        facts = Facts(
            item.event_time, item.available and not item.hidden, item.price, item.category, item.seller_id
        )
        self._facts[number] = facts
        self._engine.items.hide(number, hidden=not self._may_show(facts))
        if before is None and item.published_at is not None:
            self._meet(number, item.published_at, item.event_time)
        # A catalogue that is given late tells of old items too; one that was clicked before isn't new by
        # that.
        elif before is None and not self._engine.items.clicks(number):
            self._meet(number, item.event_time, item.event_time)

    def clicked(self, number: int, at_ms: int) -> None:
        """Count an item as new from its first click on, if the catalogue has said nothing of it."""
        if number not in self._facts and self._engine.items.clicks(number) == 1:
            self._meet(number, at_ms, at_ms)

    def _meet(self, number: int, since_ms: int, now_ms: int) -> None:
        self.new_ms.pop(number, None)
        if now_ms - since_ms > self._rules.new_days_max * _DAY_MS:
            return
        self.new_ms[number] = since_ms
        while len(self.new_ms) > self._rules.new_items_max:
            del self.new_ms[next(iter(self.new_ms))]

    def put_back(self, to_ms: int) -> int:
        """Let items that are new since after a time be new since then; say how many."""
        ahead = [number for number, since_ms in self.new_ms.items() if since_ms > to_ms]
        self.new_ms |= dict.fromkeys(ahead, to_ms)
        return len(ahead)

    def new_items(self, now_ms: int) -> list[int]:
        """Items that are new and may be shown, in the order in which they came."""
        oldest = now_ms - self._rules.new_days_max * _DAY_MS
        gone = [number for number, since_ms in self.new_ms.items() if since_ms < oldest]
        for number in gone:
            del self.new_ms[number]
        return [number for number in self.new_ms if self._engine.items.may_show(number)]

    def forget_dropped(self) -> None:
        """Forget what was noted of items that the engine has dropped."""
        for number in self._engine.items.dropped:
            self._facts.pop(number, None)
            self.new_ms.pop(number, None)
        self._engine.items.dropped.clear()

    def _may_show(self, facts: Facts | None) -> bool:
        if facts is None:
            return self._rules.unknown_shown or not self._rules.filters
        return facts.shown and self._in_category(facts.category) and self._in_price(facts.price)

    def _in_category(self, category: str | None) -> bool:
        only, never = self._rules.categories_only, self._rules.categories_never
        if category is None:
            return self._rules.unknown_shown or not (only or never)
        return category not in never and (not only or category in only)

    def _in_price(self, price: float | None) -> bool:
        least, most = self._rules.price_min, self._rules.price_max
        if price is None:
            return self._rules.unknown_shown or (least is None and most is None)
        return (least is None or price >= least) and (most is None or price <= most)

    def save(self) -> list[Any]:
        """Return the state."""
        return [[[number, *facts] for number, facts in self._facts.items()], list(self.new_ms.items())]

    def load(self, saved: list[Any]) -> None:
        """Take over a saved state."""
        facts, new_ms = saved
        self._facts = {number: Facts(*each) for number, *each in facts}
        self.new_ms = dict(new_ms)
