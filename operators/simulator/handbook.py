"""Payments by the published rules of the Fraud Detection Handbook's simulator.

References
----------
Le Borgne, Siblini, Lebichot, Bontempi: Reproducible Machine Learning for Credit Card Fraud Detection,
Practical Handbook, 2022, chapter 3, "Simulated dataset".
"""

from __future__ import annotations

from typing import Final

import numpy as np

from .draws import DAY_S, Draws, Floats, Ints, Lifetimes, Stream, generator
from .presets import Preset

__all__ = ["draw", "reachable"]

_PLANE: Final = 100.0
_MEAN_AMOUNT: Final = (5.0, 100.0)
_PAYMENTS_PER_DAY_MAX: Final = 4.0
_NOON_S: Final = DAY_S / 2
_SPREAD_S: Final = 20_000.0
_LARGE_AMOUNT: Final = 220.0
_ROWS_AT_ONCE: Final = 250


def draw(preset: Preset, seed: int) -> Draws:
    """Every payment of every simulated day, with the frauds of the first scenario (a large amount)."""
    people, rng = generator(seed, Stream.POPULATION), generator(seed, Stream.PAYMENTS)
    homes = people.uniform(0.0, _PLANE, (preset.customers, 2))
    shops = people.uniform(0.0, _PLANE, (preset.merchants, 2))
    mean = people.uniform(*_MEAN_AMOUNT, preset.customers)
    rate = people.uniform(0.0, _PAYMENTS_PER_DAY_MAX, preset.customers)
    near, first = reachable(homes, shops, preset.radius)

    customer, day, second = _times(rng, rate, preset.warmup_days + preset.days)
    choices = np.diff(first)[customer]
    kept = choices > 0
    customer, day, second, choices = customer[kept], day[kept], second[kept], choices[kept]
    # Lists of different lengths lie in one array, each from its `first` on; so all payments draw in one go.
    merchant = near[first[customer] + (rng.random(customer.size) * choices).astype(np.int64)]
    amount = _amounts(rng, mean[customer])
    return Draws(
        day=day,
        second=second,
        customer=customer,
        merchant=merchant,
        amount=amount,
        # Rounded first, as the handbook does: else an amount just above the border would be a fraud that
        # reads 220.00.
        fraud=np.round(amount, 2) > _LARGE_AMOUNT,
        customers=Lifetimes.always(preset.customers),
        merchants=Lifetimes.always(preset.merchants),
    )


def reachable(homes: Floats, shops: Floats, radius: float) -> tuple[Ints, Ints]:
    """Return the merchants within a radius of each customer.

    Returns
    -------
    near, first
        Customer `c` reaches the merchants `near[first[c]:first[c + 1]]`.
    """
    counts, near = [], []
    for start in range(0, len(homes), _ROWS_AT_ONCE):
        # A part of the customers at a time: all pairs of 5,000 and 10,000 at once would take 800 MB.
        apart = homes[start : start + _ROWS_AT_ONCE, None, :] - shops[None, :, :]
        within = (apart * apart).sum(axis=2) < radius * radius
        counts.append(within.sum(axis=1))
        near.append(np.nonzero(within)[1])
    return np.concatenate(near), np.concatenate(([0], np.cumsum(np.concatenate(counts))))


def _times(rng: np.random.Generator, rate: Floats, days: int) -> tuple[Ints, Ints, Ints]:
    """Return customer, day and second of each payment; those drawn outside of their day are left out."""
    counts = rng.poisson(rate[:, None], (rate.size, days))
    customer, day = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
    second = rng.normal(_NOON_S, _SPREAD_S, customer.size).astype(np.int64)
    kept = (second > 0) & (second < DAY_S)
    return customer[kept], day[kept], second[kept]


def _amounts(rng: np.random.Generator, mean: Floats) -> Floats:
    """Return normal with half the mean as deviation.

    A negative one is drawn again, evenly up to twice the mean.
    """
    amount = rng.normal(mean, mean / 2)
    negative = amount < 0
    amount[negative] = rng.uniform(0.0, 2 * mean[negative])
    return amount
