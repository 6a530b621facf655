"""A simulated world: its payments, their truth, and when their outcomes come."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from headrace.errors import ConfigError, Invalid

from . import handbook, shop
from .draws import DAY_S, Bools, Draws, Ints, Stream, generator
from .frauds import compromise
from .names import scrambled
from .network.presets import NETWORKS, NetworkPreset, scaled_network
from .network.world import Network, simulate_network
from .outcomes import outcome_times
from .presets import PRESETS, Preset, scaled

__all__ = ["CUSTOMERS_MIN", "World", "presets", "simulate"]

CUSTOMERS_MIN: Final = 10
_RULES: Final = {"handbook": handbook.draw, "shop": shop.draw}
_EVENT_BITS: Final = 48
_ENTITY_BITS: Final = 32


@dataclass(frozen=True, slots=True)
class World:
    """The payments in the order of their time, ties in random order.

    Attributes
    ----------
    preset, seed
        What it was made from.
    time_s
        Seconds since the epoch, UTC, shape (n,).
    customer, merchant
        Indices, shape (n,).
    cents
        The amounts in hundredths, at least 1, shape (n,).
    fraud
        The truth, shape (n,).
    outcome_s
        When the outcome comes, seconds since the epoch, or `NEVER`, shape (n,).
    payment_ids, outcome_ids
        The numbers that event ids are made of, shape (n,).
    customer_ids, merchant_ids
        The same for customers and merchants, by index.
    """

    preset: Preset
    seed: int
    time_s: Ints
    customer: Ints
    merchant: Ints
    cents: Ints
    fraud: Bools
    outcome_s: Ints
    payment_ids: NDArray[np.uint64]
    outcome_ids: NDArray[np.uint64]
    customer_ids: NDArray[np.uint64]
    merchant_ids: NDArray[np.uint64]

    @property
    def end_s(self) -> int:
        """The end of the last day, seconds since the epoch; later outcomes are not written."""
        return _epoch_s(self.preset.start) + self.preset.days * DAY_S


def presets() -> dict[str, str]:
    """Return the names of the presets, each with one line about it."""
    return {name: preset.description for name, preset in _known().items()}


def simulate(
    preset: str,
    seed: int,
    *,
    days: int | None = None,
    start: date | None = None,
    customers: int | None = None,
) -> World | Network:
    """Simulate a world, a `Network` for the presets of the network; the same arguments give the same one.

    Parameters
    ----------
    preset
        One of `presets()`.
    seed
        Not negative.
    days
        How many days are written, in place of the preset's.
    start
        The first of them, in place of the preset's.
    customers
        How many customers, in place of the preset's; merchants and frauds go with it.

    Raises
    ------
    ConfigError
        For a name that is no preset, or a number that makes no world.

    Examples
    --------
    >>> world = simulate("tiny", seed=1)
    >>> world.time_s.size
    2099
    >>> int(world.fraud.sum())
    48
    """
    chosen = _chosen(preset, seed, days, customers)
    if isinstance(chosen, NetworkPreset):
        network = chosen if customers is None else scaled_network(chosen, customers)
        return simulate_network(
            replace(network, days=days or network.days, start=start or network.start), seed
        )
    if customers is not None:
        chosen = scaled(chosen, customers)
    chosen = replace(chosen, days=days or chosen.days, start=start or chosen.start)
    draws = _RULES[chosen.rules](chosen, seed)
    compromise(draws, chosen, seed)
    return _world(chosen, seed, draws)


def _known() -> dict[str, Preset | NetworkPreset]:
    return {**PRESETS, **NETWORKS}


def _chosen(name: str, seed: int, days: int | None, customers: int | None) -> Preset | NetworkPreset:
    known = _known()
    numbers = (("seed", seed, 0), ("days", days, 1), ("customers", customers, CUSTOMERS_MIN))
    invalid = [
        Invalid("simulate", key, f"must be at least {least}, is {value}")
        for key, value, least in numbers
        if value is not None and value < least
    ]
    if name not in known:
        invalid.insert(0, Invalid("simulate", "preset", f"no preset {name!r}; there are {', '.join(known)}"))
    if invalid:
        raise ConfigError(invalid)
    return known[name]


def _world(preset: Preset, seed: int, draws: Draws) -> World:
    """Leave out the warm-up, and put the rest in order."""
    start_s = _epoch_s(preset.start) - preset.warmup_days * DAY_S
    time_s = start_s + draws.day * DAY_S + draws.second
    # The days before are drawn as well and left out: frauds that last, and customers who leave, are in full
    # swing on the first one.
    written = np.flatnonzero(draws.day >= preset.warmup_days)
    shuffled = generator(seed, Stream.ORDER).permutation(written)
    # Shuffled before the stable sort, so that within a second no order tells customers, or frauds, apart.
    rows = shuffled[np.argsort(time_s[shuffled], kind="stable")]
    keys = generator(seed, Stream.NAMES).integers(0, 2**64, (4, 4, 2), dtype=np.uint64)
    payments = np.arange(rows.size)
    return World(
        preset=preset,
        seed=seed,
        time_s=time_s[rows],
        customer=draws.customer[rows],
        merchant=draws.merchant[rows],
        # Rounded last: a rounded amount times five would end in 0 or 5 and give the fraud away.
        cents=np.maximum(1, np.rint(draws.amount[rows] * 100).astype(np.int64)),
        fraud=draws.fraud[rows],
        outcome_s=outcome_times(preset.delay, time_s[rows], generator(seed, Stream.OUTCOMES)),
        payment_ids=scrambled(payments, _EVENT_BITS, keys[0]),
        outcome_ids=scrambled(payments, _EVENT_BITS, keys[1]),
        customer_ids=scrambled(np.arange(draws.customers.first.size), _ENTITY_BITS, keys[2]),
        merchant_ids=scrambled(np.arange(draws.merchants.first.size), _ENTITY_BITS, keys[3]),
    )


def _epoch_s(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())
