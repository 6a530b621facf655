"""Visits to the network: who comes when, what for, and in which manner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Final

import numpy as np

from ..draws import DAY_S, Bools, Floats, Ints, Stream, generator
from .drift import season
from .people import Devices, People
from .presets import NetworkPreset

__all__ = ["FRAUDULENT", "NOBODY", "Manner", "Purpose", "Visits", "joined", "ordinary_visits"]

NOBODY: Final = -1

_WEEKDAYS: Final = (0.90, 0.90, 0.95, 1.00, 1.10, 1.25, 1.15)
_PEAK_SPREAD_HOURS: Final = 2.5
_HOUR_S: Final = 3_600.0
_BUY_SHARE: Final = 0.5
_HURRIED_SHARE: Final = 0.15
_ANONYMOUS_PER_VISIT: Final = 0.25
_SIGNED_IN_SHARE: Final = 0.7
_TRACKED_SHARE: Final = 0.97
_LEVEL_SIGMA: Final = 0.06


class Purpose(IntEnum):
    """What a visit is for; from `STOLEN` to `RING` it ends in a fraud."""

    BROWSE = 0
    BUY = 1
    STOLEN = 2
    TESTING = 3
    RING = 4
    BOT = 5


FRAUDULENT: Final = (Purpose.STOLEN, Purpose.TESTING, Purpose.RING)


class Manner(IntEnum):
    """How a visitor goes about it."""

    CALM = 0
    HASTY = 1
    NOVEL = 2
    BOT = 3


@dataclass(frozen=True, slots=True)
class Visits:
    """Visits in no order that means anything; each column has the shape (n,).

    Attributes
    ----------
    customer
        Who it is, `NOBODY` when nobody knows.
    time_s
        When it begins, in seconds from midnight of the first simulated day.
    purpose, manner
        Of the kinds of `Purpose` and `Manner`.
    level
        The rank of the prices that are bought at, 0 to 1.
    category
        What is looked for first.
    seller
        Where only the seller's cheapest items count; `NOBODY` for anywhere.
    device, ip
        What is paid from, `NOBODY` without a payment.
    episode
        The number of the fraud's episode within its kind, `NOBODY` without one.
    signed_in
        Whether clicks and carts name the customer.
    tracked
        Whether there are clicks, carts and a session at all; some refuse.
    """

    customer: Ints
    time_s: Ints
    purpose: Ints
    manner: Ints
    level: Floats
    category: Ints
    seller: Ints
    device: Ints
    ip: Ints
    episode: Ints
    signed_in: Bools
    tracked: Bools

    @property
    def buys(self) -> Bools:
        """Which ones end in an order."""
        return (self.purpose >= Purpose.BUY) & (self.purpose <= Purpose.RING)

    def only(self, chosen: Bools | Ints) -> Visits:
        """Return a selection of them."""
        return Visits(*(getattr(self, field.name)[chosen] for field in fields(self)))


def joined(parts: Sequence[Visits]) -> Visits:
    """All visits of several parts."""
    columns = (field.name for field in fields(Visits))
    return Visits(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))


def ordinary_visits(
    preset: NetworkPreset, people: People, categories: int, devices: Devices, seed: int
) -> Visits:
    """Return what customers, anonymous visitors and bots do on the written days."""
    rng = generator(seed, Stream.VISITS)
    return joined(
        [
            _of_customers(rng, preset, people, devices),
            _of_strangers(rng, preset, people, categories),
            _of_bots(rng, preset, categories),
        ]
    )


def _written_days(preset: NetworkPreset) -> Ints:
    return np.arange(preset.warmup_days, preset.warmup_days + preset.days)


def _weekday(preset: NetworkPreset, days: Ints) -> Floats:
    factors: Floats = np.array(_WEEKDAYS)[(preset.start.weekday() + days - preset.warmup_days) % 7]
    return factors


def _of_customers(
    rng: np.random.Generator, preset: NetworkPreset, people: People, devices: Devices
) -> Visits:
    days, there = _written_days(preset), people.lifetimes
    present = (there.first[:, None] <= days) & (there.end[:, None] >= days + 1)
    counts = rng.poisson(np.where(present, people.rate[:, None] * _weekday(preset, days), 0.0)).ravel()
    customer, day = (np.repeat(index.ravel(), counts) for index in np.indices(present.shape))
    # Only written days have ordinary visits: nothing of an earlier one would be seen. Frauds are drawn from
    # before, as they last.
    day += preset.warmup_days
    high = season(preset, day - preset.warmup_days)
    hurry, dearer = (preset.season.hurry, preset.season.dearer) if preset.season else (0.0, 0.0)
    buys = rng.random(day.size) < _BUY_SHARE
    hasty = buys & (rng.random(day.size) < _HURRIED_SHARE + hurry * high)
    device, ip = devices.usual(rng, customer, day)
    liked = rng.choice(people.interests.shape[1], day.size, p=(0.6, 0.3, 0.1))
    return Visits(
        customer=customer,
        time_s=day * DAY_S + _second(rng, people.peak_hour[customer]),
        purpose=np.where(buys, Purpose.BUY, Purpose.BROWSE).astype(np.int64),
        manner=np.where(hasty, Manner.HASTY, Manner.CALM).astype(np.int64),
        level=people.level[customer] + dearer * high + rng.normal(0.0, _LEVEL_SIGMA, day.size),
        category=people.interests[customer, liked],
        seller=np.full(day.size, NOBODY),
        device=device,
        ip=ip,
        episode=np.full(day.size, NOBODY),
        signed_in=rng.random(day.size) < _SIGNED_IN_SHARE,
        tracked=rng.random(day.size) < _TRACKED_SHARE,
    )


def _of_strangers(rng: np.random.Generator, preset: NetworkPreset, people: People, categories: int) -> Visits:
    """Visitors who look around, don't say who they are, and leave."""
    days = _written_days(preset)
    expected = people.rate[: preset.customers].sum() * _ANONYMOUS_PER_VISIT * _weekday(preset, days)
    day = np.repeat(days, rng.poisson(expected))
    whose = rng.integers(0, people.peak_hour.size, day.size)
    time_s = day * DAY_S + _second(rng, people.peak_hour[whose])
    return _unpaid(time_s, Purpose.BROWSE, Manner.CALM, rng.random(day.size), rng, categories)


def _of_bots(rng: np.random.Generator, preset: NetworkPreset, categories: int) -> Visits:
    """Programs that read the catalogue, at any time of the day."""
    day = np.repeat(_written_days(preset), rng.poisson(preset.bots_per_day, preset.days))
    time_s = day * DAY_S + rng.integers(0, DAY_S, day.size)
    return _unpaid(time_s, Purpose.BOT, Manner.BOT, rng.random(day.size), rng, categories)


def _unpaid(
    time_s: Ints, purpose: Purpose, manner: Manner, level: Floats, rng: np.random.Generator, categories: int
) -> Visits:
    count, nobody = time_s.size, np.full(time_s.size, NOBODY)
    return Visits(
        customer=nobody,
        time_s=time_s,
        purpose=np.full(count, int(purpose)),
        manner=np.full(count, int(manner)),
        level=level,
        category=rng.integers(0, categories, count),
        seller=nobody,
        device=nobody,
        ip=nobody,
        episode=nobody,
        signed_in=np.zeros(count, dtype=np.bool_),
        tracked=np.ones(count, dtype=np.bool_),
    )


def _second(rng: np.random.Generator, peak_hour: Floats) -> Ints:
    hour = rng.normal(peak_hour, _PEAK_SPREAD_HOURS)
    seconds: Ints = (hour * _HOUR_S).astype(np.int64) % DAY_S
    return seconds
