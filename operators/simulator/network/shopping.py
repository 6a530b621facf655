"""From visits to clicks, carts and orders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ..draws import DAY_S, Bools, Floats, Ints, Stream, generator
from .catalogue import Catalogue
from .visits import NOBODY, Manner, Purpose, Visits

__all__ = [
    "STAY_IN_CATEGORY",
    "TESTING_RANKS",
    "UNSEEN_SHARE",
    "VIEW_SIGMA",
    "Carts",
    "Clicks",
    "Orders",
    "looks_anywhere",
    "shop",
]

# Clicks: how many beyond the first, and the seconds between them.
_BROWSING_STOP: Final = 0.30
_BUYING_STOP: Final = 0.20
_HASTY_MORE: Final = (0.60, 0.30, 0.10)
_NOVEL_CLICKS: Final = (15, 41)
_BOT_CLICKS: Final = (150, 600)
_GAP_MEDIAN_S: Final = {Manner.CALM: 25.0, Manner.HASTY: 6.0, Manner.NOVEL: 4.0, Manner.BOT: 0.25}
_GAP_SIGMA: Final = {Manner.CALM: 1.0, Manner.HASTY: 0.8, Manner.NOVEL: 0.5, Manner.BOT: 0.2}
_GAP_MAX_S: Final = 1_200.0
_BOT_GAP_MAX_S: Final = 0.4

# What is looked at.
STAY_IN_CATEGORY: Final = 0.8
VIEW_SIGMA: Final = 0.12
UNSEEN_SHARE: Final = {Purpose.BUY: 0.08, Purpose.STOLEN: 0.60, Purpose.RING: 0.30, Purpose.TESTING: 0.08}
TESTING_RANKS: Final = 0.2

# What is ordered; the same for all, as the cents of a sum tell how many pieces it is of.
_LINES: Final = (0.80, 0.15, 0.05)
_QUANTITY: Final = (0.85, 0.10, 0.05)
_ABANDONED_SHARE: Final = 0.12
_CHECKOUT_MEDIAN_S: Final = {Manner.CALM: 60.0, Manner.HASTY: 12.0, Manner.NOVEL: 30.0, Manner.BOT: 60.0}
_CHECKOUT_SIGMA: Final = 0.6
_PAYING_S: Final = (2, 20)


@dataclass(frozen=True, slots=True)
class Clicks:
    """Clicks by visit, then time; each column has the shape (n,), times are seconds."""

    visit: Ints
    time_s: Ints
    item: Ints


@dataclass(frozen=True, slots=True)
class Carts:
    """What was put into carts; each column has the shape (n,)."""

    visit: Ints
    time_s: Ints
    item: Ints
    quantity: Ints


@dataclass(frozen=True, slots=True)
class Orders:
    """Orders, each of which is paid.

    Attributes
    ----------
    visit, time_s, paid_s
        The visit, when it was ordered, and when it is paid, shape (n,).
    first
        Order `o` has the lines `first[o]:first[o + 1]`, shape (n + 1,).
    item, quantity, price
        The lines; the price of one piece in hundredths.
    seller, total
        Who sells, and the sum in hundredths, shape (n,).
    """

    visit: Ints
    time_s: Ints
    paid_s: Ints
    first: Ints
    item: Ints
    quantity: Ints
    price: Ints
    seller: Ints
    total: Ints

    def only(self, chosen: Ints) -> Orders:
        """Return a selection of them, in its order."""
        counts = np.diff(self.first)[chosen]
        first = np.concatenate(([0], np.cumsum(counts)))
        lines = np.arange(first[-1]) + np.repeat(self.first[chosen] - first[:-1], counts)
        return Orders(
            visit=self.visit[chosen],
            time_s=self.time_s[chosen],
            paid_s=self.paid_s[chosen],
            first=first,
            item=self.item[lines],
            quantity=self.quantity[lines],
            price=self.price[lines],
            seller=self.seller[chosen],
            total=self.total[chosen],
        )


def shop(visits: Visits, catalogue: Catalogue, seed: int) -> tuple[Clicks, Carts, Orders]:
    """Return what the visitors click on, put into carts, and order; those who refuse tracking only order."""
    rng = generator(seed, Stream.SHOPPING)
    counts = _click_counts(rng, visits)
    visit = np.repeat(np.arange(counts.size), counts)
    ends = np.cumsum(counts)
    offset = _offsets(rng, visits.manner[visit], ends - counts, counts)
    time_s = visits.time_s[visit] + offset
    item = _viewed(rng, visits, visit, time_s // DAY_S, catalogue)
    last_s = time_s[ends - 1]

    buyers = np.flatnonzero(visits.buys)
    bought = _bought(rng, visits.only(buyers), last_s[buyers] // DAY_S, catalogue)
    unseen = rng.random(buyers.size) < _by_kind(UNSEEN_SHARE, visits.purpose[buyers])
    item[ends[buyers[~unseen]] - 1] = bought[~unseen]
    orders = _orders(rng, visits, buyers, bought, last_s[buyers], catalogue)

    carts = _carts(rng, visits, orders, last_s, item[ends - 1])
    # Drawn for all, and left out last: who refuses tracking buys as the others do.
    seen = visits.tracked[visit]
    return Clicks(visit[seen], time_s[seen], item[seen]), carts, orders


def _by_kind(values: dict[Manner, float] | dict[Purpose, float], kind: Ints) -> Floats:
    table = np.zeros(max(values) + 1)
    for key, value in values.items():
        table[key] = value
    found: Floats = table[kind]
    return found


def _click_counts(rng: np.random.Generator, visits: Visits) -> Ints:
    count = visits.manner.size
    stop = np.where(visits.buys, _BUYING_STOP, _BROWSING_STOP)
    calm = rng.geometric(stop) + visits.buys
    hasty = 1 + rng.choice(len(_HASTY_MORE), count, p=_HASTY_MORE)
    novel = rng.integers(*_NOVEL_CLICKS, count)
    bot = rng.integers(*_BOT_CLICKS, count)
    counts: Ints = np.choose(visits.manner, (calm, hasty, novel, bot))
    return counts


def _offsets(rng: np.random.Generator, manner: Ints, first: Ints, counts: Ints) -> Ints:
    """Whole seconds from a visit's begin to each of its clicks."""
    gap = np.exp(
        np.log(_by_kind(_GAP_MEDIAN_S, manner))
        + _by_kind(_GAP_SIGMA, manner) * rng.standard_normal(manner.size)
    )
    bot = manner == Manner.BOT
    gap = np.where(bot, np.minimum(gap, _BOT_GAP_MAX_S), np.clip(gap, 1.0, _GAP_MAX_S))
    # The sum runs over all visits, and each one's begin is taken off again: one pass without a loop over
    # visits.
    gap[first] = 0.0
    total = np.cumsum(gap)
    # A sum over millions of gaps carries a rounding error, which must not turn a whole second down.
    offset: Ints = np.floor(total - np.repeat(total[first], counts) + 1e-6).astype(np.int64)
    return offset


def _viewed(rng: np.random.Generator, visits: Visits, visit: Ints, day: Ints, catalogue: Catalogue) -> Ints:
    """Return the item of each click: near the visitor's level; anywhere for frauds in haste and for bots."""
    kinds = catalogue.category_first.size - 1
    stays = rng.random(visit.size) < STAY_IN_CATEGORY
    category = np.where(stays, visits.category[visit], rng.integers(0, kinds, visit.size))
    anywhere = looks_anywhere(visits)
    near = visits.level[visit] + rng.normal(0.0, VIEW_SIGMA, visit.size)
    return catalogue.pick(rng, category, np.where(anywhere[visit], rng.random(visit.size), near), day)


def looks_anywhere(visits: Visits) -> Bools:
    """Which visits look at items of any price: frauds in haste, and bots."""
    fraud = visits.buys & (visits.purpose != Purpose.BUY)
    found: Bools = (fraud & (visits.manner == Manner.HASTY)) | (visits.purpose == Purpose.BOT)
    return found


def _bought(rng: np.random.Generator, buyers: Visits, day: Ints, catalogue: Catalogue) -> Ints:
    """Return the first item of each order."""
    item = catalogue.pick(rng, buyers.category, buyers.level, day)
    testing = buyers.seller != NOBODY
    each = catalogue.by_seller.size // (int(catalogue.seller.max()) + 1)
    place = buyers.seller * each + rng.integers(0, max(1, int(each * TESTING_RANKS)), day.size)
    cheapest = catalogue.on_sale(catalogue.by_seller[np.where(testing, place, 0)], day)
    return np.where(testing, cheapest, item)


def _orders(
    rng: np.random.Generator, visits: Visits, buyers: Ints, bought: Ints, last_s: Ints, catalogue: Catalogue
) -> Orders:
    spread = np.exp(_CHECKOUT_SIGMA * rng.standard_normal(buyers.size))
    checkout = _by_kind(_CHECKOUT_MEDIAN_S, visits.manner[buyers]) * spread
    time_s = last_s + 1 + checkout.astype(np.int64)
    day = time_s // DAY_S
    first_item = catalogue.on_sale(bought, day)
    wanted = 1 + rng.choice(len(_LINES), buyers.size, p=_LINES)
    columns = np.stack([first_item, *(catalogue.beside(first_item, steps, day) for steps in (1, 2))], axis=1)
    # Substitutes may coincide, and an order names each item once.
    kept = _distinct(columns) & (np.arange(len(_LINES)) < wanted[:, None])
    item, order = columns[kept], np.nonzero(kept)[0]
    quantity = 1 + rng.choice(len(_QUANTITY), item.size, p=_QUANTITY)
    price = catalogue.price_at(item, day[order])
    return Orders(
        visit=buyers,
        time_s=time_s,
        paid_s=time_s + rng.integers(*_PAYING_S, buyers.size),
        first=np.concatenate(([0], np.cumsum(kept.sum(axis=1)))),
        item=item,
        quantity=quantity,
        price=price,
        seller=catalogue.seller[first_item],
        total=np.bincount(order, quantity * price, buyers.size).astype(np.int64),
    )


def _distinct(items: Ints) -> Bools:
    """Which of the three items of each row are not to its left already."""
    new = np.ones(items.shape, dtype=np.bool_)
    new[:, 1] = items[:, 1] != items[:, 0]
    new[:, 2] = (items[:, 2] != items[:, 0]) & (items[:, 2] != items[:, 1])
    return new


def _carts(rng: np.random.Generator, visits: Visits, orders: Orders, last_s: Ints, last_item: Ints) -> Carts:
    """One for each line of an order, between the last click and the order; and those left behind."""
    order = np.repeat(np.arange(orders.visit.size), np.diff(orders.first))
    visit = orders.visit[order]
    begin, end = last_s[visit], orders.time_s[order]
    ordered_s = begin + (rng.random(order.size) * (end - begin)).astype(np.int64)
    looked = np.flatnonzero(visits.purpose == Purpose.BROWSE)
    left = looked[rng.random(looked.size) < _ABANDONED_SHARE]
    quantity = 1 + rng.choice(len(_QUANTITY), left.size, p=_QUANTITY)
    columns = (
        (visit, left),
        (ordered_s, last_s[left]),
        (orders.item, last_item[left]),
        (orders.quantity, quantity),
    )
    joined = [np.concatenate(pair) for pair in columns]
    seen = visits.tracked[joined[0]]
    return Carts(*(column[seen] for column in joined))
