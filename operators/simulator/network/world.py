"""A simulated commerce network: its tables, the order of its lines, and its truth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..draws import DAY_S, Bools, Ints, Stream, generator
from ..names import scrambled
from ..outcomes import NEVER, outcome_times
from .catalogue import Catalogue, draw_catalogue
from .episodes import compromised_merchants, fraud_visits
from .lines import Kind, Lines, arrange
from .people import Devices, draw_people
from .presets import Clock, NetworkPreset
from .shopping import Carts, Clicks, Orders, shop
from .visits import FRAUDULENT, NOBODY, Visits, joined, ordinary_visits

__all__ = ["COMPROMISED", "Listings", "Named", "Network", "Payments", "Reports", "simulate_network"]

COMPROMISED: Final = 6  # the kind of fraud at a compromised merchant; the others are the purposes of visits
_EVENT_BITS: Final = 48
_ENTITY_BITS: Final = 32
_ADDRESS_BITS: Final = 24
_LISTED_DAYS_MAX: Final = 700


class Named(IntEnum):
    """What is named by a number; events first, in the order of their kinds."""

    ITEM_EVENT = 0
    CLICK = 1
    CART = 2
    ORDER_EVENT = 3
    PAYMENT = 4
    OUTCOME = 5
    CUSTOMER = 6
    MERCHANT = 7
    ITEM = 8
    SESSION = 9
    ORDER = 10
    DEVICE = 11
    ADDRESS = 12


class Listings(NamedTuple):
    """What the catalogue says: item and time; shape (n,)."""

    item: Ints
    time_s: Ints


@dataclass(frozen=True, slots=True)
class Payments:
    """The payments by time, one for each order with the same index; each column has the shape (n,).

    Attributes
    ----------
    time_s, stated_s
        When it is paid, and when it says it was.
    kind
        The kind of fraud: a purpose of a visit, `COMPROMISED`, or 0 for none.
    episode
        The number of the fraud's episode within its kind.
    outcome_s
        When its outcome comes, or `NEVER`.
    poisoned
        Whether the outcome's label is wrong.
    """

    time_s: Ints
    stated_s: Ints
    kind: Ints
    episode: Ints
    outcome_s: Ints
    poisoned: Bools


class Reports(NamedTuple):
    """The outcomes that come before the end: of which payment, and when; shape (n,)."""

    payment: Ints
    time_s: Ints


@dataclass(frozen=True, slots=True)
class Network:
    """Its tables; times are in seconds since the epoch, UTC, those of visits and orders from `base_s`.

    Attributes
    ----------
    preset, seed
        What it was made from.
    base_s
        Midnight of the first simulated day.
    catalogue, listed_s
        The items, and when each came into the catalogue first, shape (items,).
    visits
        Who came.
    listings, clicks, carts, orders, payments, reports
        The events of each type.
    lines
        The lines of the file.
    clocks
        The seller of each wrong clock, shape (clocks,).
    names
        The numbers that ids are made of, by `Named`.
    """

    preset: NetworkPreset
    seed: int
    base_s: int
    catalogue: Catalogue
    listed_s: Ints
    visits: Visits
    listings: Listings
    clicks: Clicks
    carts: Carts
    orders: Orders
    payments: Payments
    reports: Reports
    lines: Lines
    clocks: Ints
    names: tuple[NDArray[np.uint64], ...]

    @property
    def end_s(self) -> int:
        """The end of the last day; what would happen later is not written."""
        return self.base_s + (self.preset.warmup_days + self.preset.days) * DAY_S

    @property
    def time_s(self) -> Ints:
        """When each payment is paid, ascending."""
        return self.payments.time_s

    @property
    def customer(self) -> Ints:
        """The customer of each payment, as an index."""
        found: Ints = self.visits.customer[self.orders.visit]
        return found

    @property
    def merchant(self) -> Ints:
        """The merchant of each payment, as an index."""
        return self.orders.seller

    @property
    def cents(self) -> Ints:
        """The amount of each payment in hundredths."""
        return self.orders.total

    @property
    def fraud(self) -> Bools:
        """Whether each payment is a fraud."""
        found: Bools = self.payments.kind > 0
        return found

    @property
    def payment_ids(self) -> NDArray[np.uint64]:
        """The numbers of the payments' event ids."""
        return self.names[Named.PAYMENT]

    @property
    def customer_ids(self) -> NDArray[np.uint64]:
        """The numbers of the customers' ids, by index."""
        return self.names[Named.CUSTOMER]


def simulate_network(preset: NetworkPreset, seed: int) -> Network:
    """Simulate a network; the same preset and seed give the same one."""
    days = preset.warmup_days + preset.days
    catalogue = draw_catalogue(preset, seed)
    categories = catalogue.category_first.size - 1
    people = draw_people(preset, categories, seed)
    devices = Devices(people, days)
    frauds = fraud_visits(preset, people, categories, devices, seed)
    visits = joined([ordinary_visits(preset, people, categories, devices, seed), frauds])
    clicks, carts, orders = shop(visits, catalogue, seed)

    base_s = _epoch_s(preset) - preset.warmup_days * DAY_S
    orders = _by_time(orders, days * DAY_S, generator(seed, Stream.PAYMENTS))
    payments, clocks = _payments(preset, visits, orders, base_s, seed)
    come = (payments.outcome_s != NEVER) & (payments.outcome_s < base_s + days * DAY_S)
    reports = Reports(np.flatnonzero(come), payments.outcome_s[come])
    listings, clicks, carts = _written(preset, catalogue, clicks, carts, base_s)
    times = (
        listings.time_s,
        clicks.time_s,
        carts.time_s,
        base_s + orders.time_s,
        payments.time_s,
        reports.time_s,
    )
    return Network(
        preset=preset,
        seed=seed,
        base_s=base_s,
        catalogue=catalogue,
        listed_s=_listed(catalogue, base_s, generator(seed, Stream.LISTED)),
        visits=visits,
        listings=listings,
        clicks=clicks,
        carts=carts,
        orders=orders,
        payments=payments,
        reports=reports,
        lines=arrange(times, preset, seed),
        clocks=clocks,
        names=_names(seed, [table.size for table in times], people.level.size, catalogue, visits, orders),
    )


def _epoch_s(preset: NetworkPreset) -> int:
    return int(datetime.combine(preset.start, time(), UTC).timestamp())


def _written(
    preset: NetworkPreset, catalogue: Catalogue, clicks: Clicks, carts: Carts, base_s: int
) -> tuple[Listings, Clicks, Carts]:
    """Return what the catalogue says on the written days, and what is done before they end."""
    end = preset.warmup_days + preset.days
    listed, day = catalogue.changes(preset.warmup_days, end)
    seen, put = clicks.time_s < end * DAY_S, carts.time_s < end * DAY_S
    return (
        Listings(listed, base_s + day * DAY_S),
        Clicks(clicks.visit[seen], base_s + clicks.time_s[seen], clicks.item[seen]),
        Carts(carts.visit[put], base_s + carts.time_s[put], carts.item[put], carts.quantity[put]),
    )


def _by_time(orders: Orders, end_s: int, rng: np.random.Generator) -> Orders:
    """Return the orders that are paid before the end, by the time of their payments, ties at random."""
    shuffled = rng.permutation(np.flatnonzero(orders.paid_s < end_s))
    return orders.only(shuffled[np.argsort(orders.paid_s[shuffled], kind="stable")])


def _payments(
    preset: NetworkPreset, visits: Visits, orders: Orders, base_s: int, seed: int
) -> tuple[Payments, Ints]:
    rng = generator(seed, Stream.OUTCOMES)
    kind, episode = _kinds(preset, visits, orders, seed)
    time_s = base_s + orders.paid_s
    stated_s, clocks = _stated(preset, orders, time_s, seed)
    outcome_s = outcome_times(preset.delay, time_s, rng)
    poisoned = rng.random(time_s.size) < preset.poison_share
    return Payments(time_s, stated_s, kind, episode, outcome_s, poisoned), clocks


def _kinds(preset: NetworkPreset, visits: Visits, orders: Orders, seed: int) -> tuple[Ints, Ints]:
    """Return the kind and the episode of each payment's fraud; a payment is of one kind only."""
    purpose = visits.purpose[orders.visit]
    kind = np.where(np.isin(purpose, FRAUDULENT), purpose, 0)
    episode = np.where(kind > 0, visits.episode[orders.visit], NOBODY)
    day = orders.paid_s // DAY_S
    drawn = generator(seed, Stream.LABELS).random(kind.size)
    for number, found in enumerate(compromised_merchants(preset, seed)):
        here = (orders.seller == found.merchant) & (day >= found.first_day) & (day < found.end_day)
        here &= (kind == 0) & (drawn < found.share)
        kind[here], episode[here] = COMPROMISED, number
    return kind, episode


def _stated(preset: NetworkPreset, orders: Orders, time_s: Ints, seed: int) -> tuple[Ints, Ints]:
    """Return the times that the payments say, and whose clocks are wrong."""
    rng = generator(seed, Stream.CLOCKS)
    sellers = rng.choice(preset.merchants, min(len(preset.clocks), preset.merchants), replace=False)
    stated, day = time_s.copy(), orders.paid_s // DAY_S - preset.warmup_days
    for seller, clock in zip(sellers.tolist(), preset.clocks, strict=False):
        stated[_off(rng, clock, orders.seller == seller, day)] += clock.offset_hours * 3_600
    return stated, sellers


def _off(rng: np.random.Generator, clock: Clock, here: Bools, day: Ints) -> Bools:
    drawn = rng.random(day.size) < clock.share
    return here & drawn & (day >= clock.first_day) & (day < clock.end_day)


def _listed(catalogue: Catalogue, base_s: int, rng: np.random.Generator) -> Ints:
    before = rng.integers(0, _LISTED_DAYS_MAX, catalogue.published.size)
    days = np.where(catalogue.published > 0, catalogue.published, -before)
    return base_s + days * DAY_S


def _names(
    seed: int, events: list[int], customers: int, catalogue: Catalogue, visits: Visits, orders: Orders
) -> tuple[NDArray[np.uint64], ...]:
    """Return the scrambled numbers of everything that is named, in the order of `Named`."""
    keys = generator(seed, Stream.NAMES).integers(0, 2**64, (len(Named), 4, 2), dtype=np.uint64)
    items, sellers = catalogue.seller.size, int(catalogue.seller.max()) + 1
    used = [int(column.max(initial=0)) + 1 for column in (visits.device, visits.ip)]
    counts = [*events, customers, sellers, items, visits.customer.size, orders.visit.size, *used]
    bits = [_EVENT_BITS] * len(Kind) + [_ENTITY_BITS] * 6 + [_ADDRESS_BITS]
    return tuple(
        scrambled(np.arange(count), wide, key) for count, wide, key in zip(counts, bits, keys, strict=True)
    )
