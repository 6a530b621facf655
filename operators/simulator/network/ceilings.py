"""What the best decisions reach in a network: those of one who knows all but what is left to chance."""

from __future__ import annotations

from math import erf, sqrt
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..draws import DAY_S, Bools, Floats, Ints
from .catalogue import AROUND, CANDIDATES, Catalogue
from .episodes import compromised_merchants
from .lines import Kind
from .shopping import STAY_IN_CATEGORY, TESTING_RANKS, UNSEEN_SHARE, VIEW_SIGMA, looks_anywhere
from .visits import FRAUDULENT, NOBODY, Purpose
from .world import Network

__all__ = ["Ceilings", "ceilings", "fraud_odds", "item_odds"]

_CLICKS_AT_ONCE: Final = 4_096
_RANK_MAX: Final = 0.999

_erf: Final = np.vectorize(erf, otypes=[np.float64])


class Ceilings(NamedTuple):
    """What nobody can exceed but by luck.

    Attributes
    ----------
    hits
        By a click's event id, the chance that it is on the best list of so many items, which is made of those
        that its visitor clicks most probably.
    frauds
        By a payment's event id, the chance that it is a fraud, as far as that isn't left to chance.
    """

    hits: dict[str, float]
    frauds: dict[str, float]


def ceilings(network: Network, items: int) -> Ceilings:
    """Work out what lists of so many items and scores of payments can reach."""
    clicks, chances = network.clicks.visit.size, []
    # In portions: the chances are a table of clicks by items, which may not fit into memory.
    for start in range(0, clicks, _CLICKS_AT_ONCE):
        odds = item_odds(network, np.arange(start, min(start + _CLICKS_AT_ONCE, clicks)))
        most = min(items, odds.shape[1])
        # The best list holds the likeliest items, and hits with the sum of their chances; their order doesn't
        # matter.
        chances += np.partition(odds, -most, axis=1)[:, -most:].sum(axis=1).tolist()
    return Ceilings(
        hits={f"k-{n:012x}": each for n, each in zip(_ids(network, Kind.CLICK), chances, strict=True)},
        frauds={
            f"p-{n:012x}": each
            for n, each in zip(_ids(network, Kind.PAYMENT), fraud_odds(network).tolist(), strict=True)
        },
    )


def _ids(network: Network, kind: Kind) -> list[int]:
    found: list[int] = network.names[kind].tolist()
    return found


# -- payments


def fraud_odds(network: Network) -> Floats:
    """Return the chance that each payment is a fraud, shape (payments,).

    It is 1 for a fraud that has a visit of its own, and the merchant's share for a payment at a compromised
    merchant, where a coin is tossed for each.
    """
    day = network.orders.paid_s // DAY_S
    legitimate = np.ones(day.size)
    for found in compromised_merchants(network.preset, network.seed):
        here = (network.merchant == found.merchant) & (day >= found.first_day) & (day < found.end_day)
        # A merchant may be compromised twice at a time; a payment is legitimate only if neither took it.
        legitimate[here] *= 1.0 - found.share
    own = np.isin(network.visits.purpose[network.orders.visit], FRAUDULENT)
    return np.where(own, 1.0, 1.0 - legitimate)


# -- clicks


def item_odds(network: Network, clicks: Ints) -> Floats:
    """Return the chance of each item to be the one of each click, by its visitor's plans.

    Shape (clicks, items).
    """
    visit = network.clicks.visit[clicks]
    day = (network.clicks.time_s[clicks] - network.base_s) // DAY_S
    visits, catalogue = network.visits.only(visit), network.catalogue
    every = np.full(clicks.size, True)
    near = _near_level(catalogue, visits.level, VIEW_SIGMA, ~looks_anywhere(visits))
    kinds = catalogue.category_first.size - 1
    own = _of_category(catalogue, visits.category, every)
    odds = near * (STAY_IN_CATEGORY * own + (1.0 - STAY_IN_CATEGORY) / kinds)
    bought = visits.buys & _last(network.clicks.visit)[clicks]
    if bought.any():
        at = np.flatnonzero(bought)
        unseen = np.array([UNSEEN_SHARE.get(Purpose(each), 0.0) for each in visits.purpose[at]])[:, None]
        exact = _near_level(catalogue, visits.level[at], 0.0, every[at])
        chosen = exact * _of_category(catalogue, visits.category[at], every[at])
        testing = visits.seller[at] != NOBODY
        chosen[testing] = _cheapest(catalogue, visits.seller[at][testing])
        # A buyer's last click is on what is bought, unless it was seen elsewhere; then it is a click like the
        # others.
        odds[at] = unseen * odds[at] + (1.0 - unseen) * chosen
    return _on_sale(catalogue, odds, day)


def _last(visit: Ints) -> Bools:
    """Which clicks are the last ones of their visits."""
    return np.append(visit[1:] != visit[:-1], True)[: visit.size]


def _of_category(catalogue: Catalogue, category: Ints, where: Bools) -> Floats:
    """1 for the items of each row's category, else 0."""
    found: Floats = ((catalogue.category == category[:, None]) & where[:, None]).astype(np.float64)
    return found


def _near_level(catalogue: Catalogue, level: Floats, sigma: float, by_level: Bools) -> Floats:
    """Return the chance of each item if its category is looked at, shape (rows, items).

    Parameters
    ----------
    catalogue
        The items.
    level, sigma
        The rank of price that is looked for, and the normal spread around it.
    by_level
        Rows where that counts; in the others every rank of price is as likely.
    """
    odds = np.zeros((level.size, catalogue.category.size))
    for first, end in zip(catalogue.category_first[:-1], catalogue.category_first[1:], strict=True):
        items = catalogue.by_category[first:end]
        places = np.where(by_level[:, None], _places(level, sigma, items.size), 1.0 / max(1, items.size))
        odds[:, items] = places @ _chosen_at(catalogue.popularity[items])
    return odds


def _places(level: Floats, sigma: float, count: int) -> Floats:
    """Return the chance of each of so many places by price for a level, shape (levels, places)."""
    # A rank is cut to 0 below, and to the last place above.
    if not sigma:
        place = (np.clip(level, 0.0, _RANK_MAX) * count).astype(np.int64)
        return np.eye(count)[np.clip(place, 0, count - 1)]
    edges = np.arange(1, count) / count
    below = 0.5 * (1.0 + _erf((edges - level[:, None]) / (sigma * sqrt(2.0)))) if count > 1 else None
    whole = np.ones((level.size, 1))
    return np.diff(whole if below is None else np.hstack((below, whole)), axis=1, prepend=0.0)


def _chosen_at(popularity: Floats) -> Floats:
    """Return the chance of each item to be picked at each place, shape (places, items).

    The most popular one is, of the item at the place and some drawn from its neighbours.
    """
    count = popularity.size
    odds = np.zeros((count, count))
    for place in range(count):
        around = np.clip(np.arange(place - AROUND, place + AROUND + 1), 0, count - 1)
        drawn = popularity[around]
        for item in np.unique(around):
            if popularity[item] >= popularity[place]:
                up_to = (drawn <= popularity[item]).mean()
                under = (drawn < popularity[item]).mean() if item != place else 0.0
                # The best of some draws is an item if all are at most as popular, less the chance that all
                # are below it.
                odds[place, item] = up_to**CANDIDATES - under**CANDIDATES
    return odds


def _cheapest(catalogue: Catalogue, seller: Ints) -> Floats:
    """Return the chance of each item where only a seller's cheapest ones count, shape (sellers, items)."""
    each = catalogue.by_seller.size // (int(catalogue.seller.max()) + 1)
    most = max(1, int(each * TESTING_RANKS))
    odds = np.zeros((seller.size, catalogue.category.size))
    for row, first in enumerate((seller * each).tolist()):
        odds[row, catalogue.by_seller[first : first + most]] = 1.0 / most
    return odds


def _on_sale(catalogue: Catalogue, odds: Floats, day: Ints) -> Floats:
    """Give the chances of items that can't be bought on a row's day to what is offered in their place."""
    items: NDArray[np.int64] = np.arange(catalogue.category.size)
    for today in np.unique(day).tolist():
        offered = catalogue.on_sale(items, np.full(items.size, today))
        missing, rows = np.flatnonzero(offered != items), day == today
        # Column by column: on any day only a few items can't be bought.
        for item in missing.tolist():
            odds[rows, offered[item]] += odds[rows, item]
            odds[rows, item] = 0.0
    return odds
