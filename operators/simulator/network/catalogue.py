"""What the network's sellers have on sale: prices, categories, and when an item can be bought."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ..draws import Bools, Floats, Ints, Stream, generator
from .presets import NetworkPreset

__all__ = ["AROUND", "CANDIDATES", "CATEGORIES", "Catalogue", "draw_catalogue"]

CATEGORIES: Final = (
    "audio", "baby", "beauty", "bikes", "books", "cameras", "computers", "cooking", "fashion", "films",
    "furniture", "games", "garden", "health", "jewellery", "lighting", "music", "office", "pets", "phones",
    "shoes", "sports", "tools", "toys",
)  # fmt: skip
_WEEK_DAYS: Final = 7
_PRICE_LEAST: Final = 0.80
_PRICE_MEDIAN: Final = 35.0
_PRICE_SIGMA: Final = 0.9
_SELLER_SIGMA: Final = 0.25
_CHANGE_SHARE: Final = 0.15
_CHANGE_SIGMA: Final = 0.12
_POPULARITY_SIGMA: Final = 1.2
_NEW_SHARE: Final = 0.10
_GONE_SHARE: Final = 0.15
_GONE_DAYS: Final = (1, 8)
AROUND: Final = 3
CANDIDATES: Final = 3


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The items, and how they stand on each simulated day.

    Attributes
    ----------
    seller, category
        Indices, shape (items,).
    price
        Hundredths by item and week, shape (items, weeks); `turn` is the day of the week that changes it.
    turn
        Shape (items,), 0 to 6.
    popularity
        Shape (items,).
    published
        The simulated day that an item comes on, 0 for those there from the start, shape (items,).
    gone_first, gone_end
        From which until before which simulated day an item is sold out; the same day for never.
    substitute
        An item of the same seller that is always there, shape (items,).
    by_category, category_first
        The items by category and price; where each category starts, shape (categories + 1,).
    by_seller, place
        The items by seller and price, `items / sellers` of each; the place of each item there.
    """

    seller: Ints
    category: Ints
    price: Ints
    turn: Ints
    popularity: Floats
    published: Ints
    gone_first: Ints
    gone_end: Ints
    substitute: Ints
    by_category: Ints
    category_first: Ints
    by_seller: Ints
    place: Ints

    def price_at(self, item: Ints, day: Ints) -> Ints:
        """Prices on simulated days, hundredths."""
        found: Ints = self.price[item, (day + self.turn[item]) // _WEEK_DAYS]
        return found

    def gone(self, item: Ints, day: Ints) -> Bools:
        """Which items are sold out."""
        found: Bools = (self.gone_first[item] <= day) & (day < self.gone_end[item])
        return found

    def on_sale(self, item: Ints, day: Ints) -> Ints:
        """Return the items, each that can't be bought on its day replaced by its substitute."""
        missing = (self.published[item] > day) | self.gone(item, day)
        return np.where(missing, self.substitute[item], item)

    def pick(self, rng: np.random.Generator, category: Ints, rank: Floats, day: Ints) -> Ints:
        """Draw items of categories, near a rank of price (0 to 1), the more popular ones more often."""
        first, end = self.category_first[category], self.category_first[category + 1]
        place = first + (np.clip(rank, 0.0, 0.999) * (end - first)).astype(np.int64)
        best = self.by_category[np.clip(place, first, end - 1)]
        for _ in range(CANDIDATES):
            # The most popular of a few near ones: popularity counts, and yet the chances can be worked out
            # (see `ceilings`).
            near = place + rng.integers(-AROUND, AROUND + 1, place.size)
            item = self.by_category[np.clip(near, first, end - 1)]
            best = np.where(self.popularity[item] > self.popularity[best], item, best)
        return self.on_sale(best, day)

    def beside(self, item: Ints, steps: int, day: Ints) -> Ints:
        """Return the seller's items that are some steps dearer, the cheapest following the dearest."""
        # Every seller has as many items, so that a seller's begin is a multiple and needs no table.
        each = self.by_seller.size // (int(self.seller.max()) + 1)
        first = self.place[item] // each * each
        return self.on_sale(self.by_seller[first + (self.place[item] - first + steps) % each], day)

    def changes(self, first_day: int, end_day: int) -> tuple[Ints, Ints]:
        """Item and simulated day of each event of the catalogue; on the first day, every item has one."""
        items = np.arange(self.seller.size)[:, None]
        days = np.arange(first_day, end_day)
        # Nothing was before the first simulated day: it is compared with itself.
        before = np.maximum(days - 1, 0)
        there = self.published[:, None] <= days
        new = (self.published[:, None] == days) | (days == first_day)
        other = self.price_at(items, days) != self.price_at(items, before)
        turned = self.gone(items, days) != self.gone(items, before)
        item, day = np.nonzero(there & (new | other | turned))
        return item, day + first_day


def draw_catalogue(preset: NetworkPreset, seed: int) -> Catalogue:
    """Return the sellers' items; each seller sells in one category."""
    rng = generator(seed, Stream.CATALOGUE)
    days = preset.warmup_days + preset.days
    seller = np.repeat(np.arange(preset.merchants), preset.merchant_items)
    kinds = min(len(CATEGORIES), preset.merchants)
    category = rng.permutation(np.arange(preset.merchants) % kinds)[seller]
    price = _prices(rng, seller, days)
    published, gone_first, gone_end = _presence(rng, seller.size, days)
    staple = np.arange(seller.size) % preset.merchant_items == 0
    # The first item of each seller is always there: it is what is offered in the place of the others.
    published[staple], gone_end[staple] = 0, gone_first[staple]
    by_seller = np.lexsort((price[:, 0], seller))
    place = np.empty_like(by_seller)
    place[by_seller] = np.arange(by_seller.size)
    return Catalogue(
        seller=seller,
        category=category,
        price=price,
        turn=rng.integers(0, _WEEK_DAYS, seller.size),
        popularity=rng.lognormal(0.0, _POPULARITY_SIGMA, seller.size),
        published=published,
        gone_first=gone_first,
        gone_end=gone_end,
        # A seller's items have numbers one after another, so that the first one's is a multiple.
        substitute=seller * preset.merchant_items,
        by_category=np.lexsort((price[:, 0], category)),
        category_first=np.concatenate(([0], np.cumsum(np.bincount(category, minlength=kinds)))),
        by_seller=by_seller,
        place=place,
    )


def _prices(rng: np.random.Generator, seller: Ints, days: int) -> Ints:
    """Log-normal around the seller's own level; in a share of the weeks, another price around it."""
    # More than the days have, since each item's week begins on a day of its own.
    weeks = days // _WEEK_DAYS + 3
    level = rng.lognormal(np.log(_PRICE_MEDIAN), _SELLER_SIGMA, int(seller.max()) + 1)[seller]
    usual = level * rng.lognormal(0.0, _PRICE_SIGMA, seller.size)
    changed = rng.random((seller.size, weeks)) < _CHANGE_SHARE
    factor = np.where(changed, rng.lognormal(0.0, _CHANGE_SIGMA, changed.shape), 1.0)
    prices: Ints = np.rint((_PRICE_LEAST + usual[:, None] * factor) * 100).astype(np.int64)
    return prices


def _presence(rng: np.random.Generator, items: int, days: int) -> tuple[Ints, Ints, Ints]:
    published = np.where(rng.random(items) < _NEW_SHARE, rng.integers(1, days, items), 0)
    gone_first = rng.integers(0, days, items)
    length = np.where(rng.random(items) < _GONE_SHARE, rng.integers(*_GONE_DAYS, items), 0)
    return published, gone_first, gone_first + length
