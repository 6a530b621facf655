"""Frauds that last: merchants compromised for weeks and cards compromised for two."""

from __future__ import annotations

from collections.abc import Iterator
from math import floor

import numpy as np

from .draws import Draws, Ints, Lifetimes, Stream, generator
from .presets import Preset

__all__ = ["compromise"]


def compromise(draws: Draws, preset: Preset, seed: int) -> None:
    """Mark the frauds of compromised merchants and cards, and raise the amounts of the cards', in place."""
    rng = generator(seed, Stream.FRAUDS)
    _merchants(draws, preset, rng)
    _cards(draws, preset, rng)


def _merchants(draws: Draws, preset: Preset, rng: np.random.Generator) -> None:
    payments = _ByEntity(draws.merchant, draws.day)
    shortest, longest = preset.merchant_days
    for day, merchant in _victims(rng, draws.merchants, preset.merchants_per_day, _days(preset)):
        days = int(rng.integers(shortest, longest + 1))
        rows = payments.between(merchant, day, day + days)
        draws.fraud[_some(rng, rows, preset.merchant_share)] = True


def _cards(draws: Draws, preset: Preset, rng: np.random.Generator) -> None:
    payments = _ByEntity(draws.customer, draws.day)
    for day, customer in _victims(rng, draws.customers, preset.cards_per_day, _days(preset)):
        rows = _some(rng, payments.between(customer, day, day + preset.card_days), preset.card_share)
        draws.amount[rows] *= rng.uniform(*preset.card_factor, rows.size)
        draws.fraud[rows] = True


def _days(preset: Preset) -> int:
    return preset.warmup_days + preset.days


def _victims(
    rng: np.random.Generator, lifetimes: Lifetimes, per_day: float, days: int
) -> Iterator[tuple[int, int]]:
    """(day, index) of each new compromise, evenly among those that are there, none twice on one day."""
    for day in range(days):
        present = lifetimes.on(day)
        # So many whole ones a day that after any number of days their sum is the rate's, rounded down; no
        # chance in their number.
        wanted = floor(per_day * (day + 1)) - floor(per_day * day)
        for index in rng.choice(present, min(wanted, present.size), replace=False):
            yield day, int(index)


def _some(rng: np.random.Generator, rows: Ints, share: float) -> Ints:
    """Return a share of the rows, rounded down, drawn without replacement."""
    return rng.permutation(rows)[: floor(rows.size * share)]


class _ByEntity:
    """Finds the payments of one customer or merchant within some days."""

    def __init__(self, entity: Ints, day: Ints) -> None:
        days = int(day.max(initial=0)) + 1
        # One sort for all look-ups: an entity's payments of some days lie side by side under their keys.
        key = entity * days + day
        self._order = np.argsort(key, kind="stable")
        self._key = key[self._order]
        self._days = days

    def between(self, entity: int, first: int, end: int) -> Ints:
        """Row numbers with first <= day < end."""
        base = entity * self._days
        low, high = np.searchsorted(self._key, (base + first, base + min(end, self._days)))
        return self._order[low:high]
