"""The network's customers: when they are there, what they like, and what they pay from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from ..draws import Bools, Floats, Ints, Lifetimes, Stream, generator
from .presets import NetworkPreset

__all__ = ["Devices", "People", "draw_people"]

_STAY_DAYS: Final = 250.0
_VISITS_PER_DAY: Final = 1.2
_VISITS_SHAPE: Final = 1.5
_PEAK_HOURS: Final = (12.5, 18.5, 21.5)
_PEAK_SHARES: Final = (0.35, 0.30, 0.35)
_LEVEL: Final = (0.15, 0.75)
_INTERESTS: Final = 3
_HOUSEHOLD_SHARE: Final = 0.08
_LEASE_DAYS: Final = 21
_CUSTOMERS_PER_MOBILE_IP: Final = 25
_DEVICE_SHARES: Final = (0.75, 0.94)
_IP_SHARES: Final = (0.62, 0.92)


@dataclass(frozen=True, slots=True)
class People:
    """The customers, by index.

    Attributes
    ----------
    lifetimes
        From when until when they are there, in simulated days.
    rate
        Visits a day.
    peak_hour
        The hour of the day that their visits are around.
    level
        The rank of the prices that they pay, 0 to 1.
    interests
        Categories, most liked first, shape (n, 3).
    household
        The customer whose first device and home address they share, mostly themselves.
    """

    lifetimes: Lifetimes
    rate: Floats
    peak_hour: Floats
    level: Floats
    interests: Ints
    household: Ints


def draw_people(preset: NetworkPreset, categories: int, seed: int) -> People:
    """Return the customers of the first simulated day, and those who come later; as many leave."""
    rng = generator(seed, Stream.POPULATION)
    days = preset.warmup_days + preset.days
    # As many as leave: in the time of a mean stay, as many come as were there.
    newcomers = rng.uniform(0.0, days, round(preset.customers * days / _STAY_DAYS))
    first = np.concatenate((np.zeros(preset.customers), newcomers))
    count = first.size
    together = rng.random(count) < _HOUSEHOLD_SHARE
    index = np.arange(count)
    return People(
        lifetimes=Lifetimes(first, first + rng.exponential(_STAY_DAYS, count)),
        rate=rng.gamma(_VISITS_SHAPE, _VISITS_PER_DAY / _VISITS_SHAPE, count),
        peak_hour=np.array(_PEAK_HOURS)[rng.choice(len(_PEAK_HOURS), count, p=_PEAK_SHARES)],
        level=rng.uniform(*_LEVEL, count),
        interests=rng.integers(0, categories, (count, _INTERESTS)),
        # Only the second of a pair moves in with the first, so that no household has more than two.
        household=np.where(together & (index % 2 == 1), index - 1, index),
    )


class Devices:
    """Numbers devices and network addresses: the customers' own ones, shared ones, and fresh ones."""

    def __init__(self, people: People, days: int) -> None:
        count = people.household.size
        self._household = people.household
        self._leases = days // _LEASE_DAYS + 2
        self._mobile = count * self._leases
        self._mobiles = max(4, count // _CUSTOMERS_PER_MOBILE_IP)
        self._next_device = 2 * count
        # Ranges of numbers tell own, shared and fresh ones apart, so that none can be drawn twice for two
        # purposes.
        self._next_ip = self._mobile + self._mobiles

    def fresh(self, count: int) -> Ints:
        """Devices that nobody has used before."""
        self._next_device += count
        return np.arange(self._next_device - count, self._next_device)

    def fresh_ips(self, count: int) -> Ints:
        """Addresses that nobody has used before."""
        self._next_ip += count
        return np.arange(self._next_ip - count, self._next_ip)

    def own(self, customer: Ints) -> Ints:
        """Return the customers' first devices, those of one household being the same."""
        return 2 * self._household[customer]

    def usual(self, rng: np.random.Generator, customer: Ints, day: Ints) -> tuple[Ints, Ints]:
        """Device and address of ordinary payments: mostly the usual ones, at times fresh ones."""
        first, second = _DEVICE_SHARES
        drawn = rng.random(customer.size)
        device = np.where(drawn < first, self.own(customer), 2 * customer + 1)
        _replace(device, drawn >= second, self.fresh)
        home, mobile = _IP_SHARES
        drawn = rng.random(customer.size)
        house = self._household[customer]
        # Leases of different households end on different days.
        if_home = house * self._leases + (day + house % _LEASE_DAYS) // _LEASE_DAYS
        if_mobile = self._mobile + rng.integers(0, self._mobiles, customer.size)
        address = np.where(drawn < home, if_home, if_mobile)
        _replace(address, drawn >= mobile, self.fresh_ips)
        return device, address


def _replace(numbers: Ints, where: Bools, fresh: Callable[[int], Ints]) -> None:
    numbers[where] = fresh(int(where.sum()))
