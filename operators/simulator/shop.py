"""Payments of a world of our own, with habits and with customers and merchants that come and go."""

from __future__ import annotations

from typing import Final

import numpy as np

from .draws import DAY_S, Draws, Floats, Ints, Lifetimes, Stream, generator
from .presets import Preset

__all__ = ["draw"]

_HOUR_S: Final = 3_600.0

# Customers: their number stays about the same, as the share that comes each day is one over the stay.
_STAY_DAYS: Final = 250.0
_MEDIAN_AMOUNT: Final = 30.0
_MEDIAN_AMOUNT_SIGMA: Final = 0.7
_AMOUNT_SIGMA: Final = (0.25, 0.50)
_PAYMENTS_PER_DAY: Final = 1.2
_PAYMENTS_SHAPE: Final = 1.5
_FAVOURITES: Final = 10
_FAVOURITE_SHARE: Final = 0.75

# Rhythm: Monday to Sunday; the hour of most payments by kind of customer (lunch, evening, night).
_WEEKDAYS: Final = (0.90, 0.90, 0.95, 1.00, 1.20, 1.30, 0.75)
_PEAK_HOURS: Final = (12.5, 18.5, 22.5)
_PEAK_SHARES: Final = (0.45, 0.40, 0.15)
_PEAK_SPREAD_HOURS: Final = 2.5

# Merchants.
_OPENINGS_PER_DAY: Final = 0.0025
_POPULARITY_SIGMA: Final = 0.7
_PRICE_SIGMA: Final = 0.25

# Frauds with a large amount, whoever's card it is.
_LARGE_SHARE: Final = 0.0012
_LARGE_MEDIAN: Final = 600.0
_LARGE_SIGMA: Final = 0.3


def draw(preset: Preset, seed: int) -> Draws:
    """Every payment of every simulated day, with the frauds that are one large amount."""
    people, rng = generator(seed, Stream.POPULATION), generator(seed, Stream.PAYMENTS)
    days = preset.warmup_days + preset.days
    customers = _customers(people, preset.customers, days)
    merchants = _merchants(people, preset.merchants, days)
    popularity = people.lognormal(0.0, _POPULARITY_SIGMA, merchants.first.size)
    price = people.lognormal(0.0, _PRICE_SIGMA, merchants.first.size)

    customer, day = _visits(people, rng, customers, preset)
    second = _seconds(people, rng, customer, customers.first.size)
    favourites = _popular(people, popularity, customers.first.size * _FAVOURITES)
    merchant = _choices(rng, favourites.reshape(-1, _FAVOURITES), popularity, merchants, customer, day)
    amount = _amounts(people, rng, customer, customers.first.size) * price[merchant]
    large = rng.random(amount.size) < _LARGE_SHARE
    amount[large] = rng.lognormal(np.log(_LARGE_MEDIAN), _LARGE_SIGMA, int(large.sum()))
    return Draws(day, second, customer, merchant, amount, large, customers, merchants)


def _customers(people: np.random.Generator, count: int, days: int) -> Lifetimes:
    newcomers = people.uniform(0.0, days, round(count * days / _STAY_DAYS))
    first = np.concatenate((np.zeros(count), newcomers))
    return Lifetimes(first, first + people.exponential(_STAY_DAYS, first.size))


def _merchants(people: np.random.Generator, count: int, days: int) -> Lifetimes:
    openings = people.uniform(0.0, days, round(count * days * _OPENINGS_PER_DAY))
    first = np.concatenate((np.zeros(count), openings))
    return Lifetimes(first, np.full(first.size, np.inf))


def _visits(
    people: np.random.Generator, rng: np.random.Generator, customers: Lifetimes, preset: Preset
) -> tuple[Ints, Ints]:
    """Return customer and day of each payment."""
    days = np.arange(preset.warmup_days + preset.days)
    rate = people.gamma(_PAYMENTS_SHAPE, _PAYMENTS_PER_DAY / _PAYMENTS_SHAPE, customers.first.size)
    weekday = (preset.start.weekday() + days - preset.warmup_days) % 7
    expected = rate[:, None] * np.array(_WEEKDAYS)[weekday]
    present = (customers.first[:, None] <= days) & (customers.end[:, None] >= days + 1)
    # A rate of 0 for those who aren't there: one draw over the whole table, in place of one for each day's
    # population.
    counts = rng.poisson(np.where(present, expected, 0.0)).ravel()
    customer, day = (np.repeat(index.ravel(), counts) for index in np.indices(expected.shape))
    return customer, day


def _seconds(people: np.random.Generator, rng: np.random.Generator, customer: Ints, customers: int) -> Ints:
    """Return the second of the day: around the customer's own hour, wrapped at midnight."""
    peak = np.array(_PEAK_HOURS)[people.choice(len(_PEAK_HOURS), customers, p=_PEAK_SHARES)]
    hour = rng.normal(peak[customer], _PEAK_SPREAD_HOURS)
    return (hour * _HOUR_S).astype(np.int64) % DAY_S


def _popular(rng: np.random.Generator, popularity: Floats, count: int) -> Ints:
    """Return indices of merchants, drawn by popularity."""
    total = np.cumsum(popularity)
    found: Ints = np.searchsorted(total, rng.random(count) * total[-1])
    return found


def _choices(
    rng: np.random.Generator,
    favourites: Ints,
    popularity: Floats,
    merchants: Lifetimes,
    customer: Ints,
    day: Ints,
) -> Ints:
    """Where each payment goes: mostly to a favourite, the first ones most; else to any, by popularity.

    One that has not opened yet is replaced by one that was there from the start.
    """
    # Squared, so that the first favourites get most: the first of ten about a third.
    rank = (_FAVOURITES * rng.random(customer.size) ** 2).astype(np.int64)
    loyal = rng.random(customer.size) < _FAVOURITE_SHARE
    merchant = np.where(loyal, favourites[customer, rank], _popular(rng, popularity, customer.size))
    closed = merchants.first[merchant] > day
    founders = int((merchants.first == 0).sum())
    # Only founders are open on every day, so that nothing has to be drawn twice.
    merchant[closed] = _popular(rng, popularity[:founders], int(closed.sum()))
    return merchant


def _amounts(people: np.random.Generator, rng: np.random.Generator, customer: Ints, customers: int) -> Floats:
    """Log-normal around the customer's own median, with the customer's own spread."""
    median = people.lognormal(np.log(_MEDIAN_AMOUNT), _MEDIAN_AMOUNT_SIGMA, customers)
    sigma = people.uniform(*_AMOUNT_SIGMA, customers)
    return median[customer] * np.exp(sigma[customer] * rng.standard_normal(customer.size))
