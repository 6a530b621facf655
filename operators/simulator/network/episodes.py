"""Frauds in episodes: stolen accounts, bursts of card testing, rings, and compromised merchants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import floor
from typing import Final, NamedTuple

import numpy as np

from ..draws import DAY_S, Bools, Floats, Lifetimes, Stream, generator
from .drift import novel_share
from .people import Devices, People
from .presets import NetworkPreset
from .visits import NOBODY, Manner, Purpose, Visits, joined

__all__ = ["Compromised", "compromised_merchants", "fraud_visits"]

_STOLEN_PAYMENTS: Final = (1, 4)
_STOLEN_DAYS: Final = 3
_STOLEN_FRESH_DEVICE_SHARE: Final = 0.85
_STOLEN_LEVEL: Final = (0.75, 1.0)
_PROXIES: Final = 40
_PROXY_SHARE: Final = 0.5
_TESTING_PAYMENTS: Final = (8, 25)
_TESTING_S: Final = 1_200
_TESTING_IPS: Final = 2
_RING_MEMBERS: Final = (4, 9)
_RING_DEVICES: Final = (1, 4)
_RING_IPS: Final = (1, 3)
_RING_DAYS: Final = 20
_RING_PAYMENTS_PER_DAY: Final = 0.3
_RING_LEVEL: Final = (0.6, 1.0)
_NOVEL_LEVEL: Final = (0.25, 0.65)
_MERCHANT_DAYS: Final = (14, 28)
_MERCHANT_SHARE: Final = 0.5
_SIGNED_IN_SHARE: Final = 0.7
_TRACKED_SHARE: Final = 0.97


class Compromised(NamedTuple):
    """A merchant of whose payments a share are frauds, from one simulated day until before another."""

    merchant: int
    first_day: int
    end_day: int
    share: float


@dataclass(slots=True)
class _Plan:
    """The visits of one kind of fraud, column by column; times in seconds from the first simulated day."""

    customer: list[int]
    time_s: list[int]
    device: list[int]
    ip: list[int]
    episode: list[int]
    seller: list[int]

    @classmethod
    def empty(cls) -> _Plan:
        return cls([], [], [], [], [], [])

    def add(self, customer: int, time_s: int, device: int, ip: int, episode: int, seller: int) -> None:
        for column, value in (
            (self.customer, customer),
            (self.time_s, time_s),
            (self.device, device),
            (self.ip, ip),
            (self.episode, episode),
            (self.seller, seller),
        ):
            column.append(value)


def fraud_visits(
    preset: NetworkPreset, people: People, categories: int, devices: Devices, seed: int
) -> Visits:
    """Every visit that ends in a fraud and begins on a written day."""
    rng = generator(seed, Stream.EPISODES)
    there = people.lifetimes
    parts = [
        _visits(rng, preset, _stolen(rng, preset, there, devices), Purpose.STOLEN, categories),
        _visits(rng, preset, _testing(rng, preset, there, devices), Purpose.TESTING, categories),
        _visits(rng, preset, _rings(rng, preset, there, devices), Purpose.RING, categories),
    ]
    found = joined(parts)
    day = found.time_s // DAY_S
    # Drawn from the first simulated day on, so that on the first written one some are under way.
    return found.only((day >= preset.warmup_days) & (day < _days(preset)))


def compromised_merchants(preset: NetworkPreset, seed: int) -> Iterator[Compromised]:
    """Yield the merchants that are compromised, each for some weeks."""
    rng = generator(seed, Stream.FRAUDS)
    for day in _beginnings(rng, preset.compromised_per_day, _days(preset)):
        merchant, days = int(rng.integers(0, preset.merchants)), int(rng.integers(*_MERCHANT_DAYS))
        yield Compromised(merchant, day, day + days, _MERCHANT_SHARE)


def _days(preset: NetworkPreset) -> int:
    return preset.warmup_days + preset.days


def _stolen(rng: np.random.Generator, preset: NetworkPreset, there: Lifetimes, devices: Devices) -> _Plan:
    """Return an account in other hands: one to three payments within three days."""
    plan, proxies = _Plan.empty(), devices.fresh_ips(_PROXIES)
    for episode, day in enumerate(_beginnings(rng, preset.stolen_per_day, _days(preset))):
        customer = int(rng.choice(there.on(day)))
        fresh = rng.random() < _STOLEN_FRESH_DEVICE_SHARE
        device = devices.fresh(1)[0] if fresh else devices.own(np.array([customer]))[0]
        for _ in range(rng.integers(*_STOLEN_PAYMENTS)):
            proxied = rng.random() < _PROXY_SHARE
            ip = rng.choice(proxies) if proxied else devices.fresh_ips(1)[0]
            time_s = (day + int(rng.integers(0, _STOLEN_DAYS))) * DAY_S + int(rng.integers(0, DAY_S))
            plan.add(customer, time_s, int(device), int(ip), episode, NOBODY)
    return plan


def _testing(rng: np.random.Generator, preset: NetworkPreset, there: Lifetimes, devices: Devices) -> _Plan:
    """Return a list of cards, tried one after another at one seller with the least amounts."""
    plan = _Plan.empty()
    for episode, day in enumerate(_beginnings(rng, preset.testing_per_day, _days(preset))):
        present = there.on(day)
        cards = rng.choice(present, min(int(rng.integers(*_TESTING_PAYMENTS)), present.size), replace=False)
        seller, ips = int(rng.integers(0, preset.merchants)), devices.fresh_ips(_TESTING_IPS)
        # Early enough that a burst ends on the day on which it began.
        begins = day * DAY_S + int(rng.integers(0, DAY_S - 2 * _TESTING_S))
        times = begins + rng.integers(0, _TESTING_S, cards.size)
        fresh, chosen = devices.fresh(cards.size), rng.choice(ips, cards.size)
        for row in zip(cards.tolist(), times.tolist(), fresh.tolist(), chosen.tolist(), strict=True):
            plan.add(*row, episode, seller)
    return plan


def _rings(rng: np.random.Generator, preset: NetworkPreset, there: Lifetimes, devices: Devices) -> _Plan:
    """Accounts of several customers in the hands of one crew, with its few devices and addresses."""
    plan, recruited = _Plan.empty(), np.zeros(there.first.size, dtype=np.bool_)
    for episode, day in enumerate(_beginnings(rng, preset.rings_per_day, _days(preset))):
        present = there.on(day)
        # Nobody is in two rings: the truth names one for each customer.
        free = present[~recruited[present]]
        wanted = int(rng.integers(*_RING_MEMBERS))
        members = rng.choice(free, min(wanted, free.size), replace=False)
        recruited[members] = True
        shared = devices.fresh(int(rng.integers(*_RING_DEVICES)))
        ips = devices.fresh_ips(int(rng.integers(*_RING_IPS)))
        for member in members.tolist():
            stays = min(
                _RING_DAYS, int(there.end[member]) - day if np.isfinite(there.end[member]) else _RING_DAYS
            )
            for _ in range(rng.poisson(_RING_PAYMENTS_PER_DAY * stays)):
                time_s = (day + int(rng.integers(0, stays))) * DAY_S + int(rng.integers(0, DAY_S))
                plan.add(member, time_s, int(rng.choice(shared)), int(rng.choice(ips)), episode, NOBODY)
    return plan


def _beginnings(rng: np.random.Generator, per_day: float, days: int) -> Iterator[int]:
    """Yield the days on which something begins that begins so often: evenly, from a random day on."""
    phase = rng.random()
    for day in range(days):
        # Evenly with a random phase: rare episodes come as often as their rate says, and not all on the same
        # days.
        yield from [day] * (floor(per_day * (day + 1) + phase) - floor(per_day * day + phase))


def _visits(
    rng: np.random.Generator, preset: NetworkPreset, plan: _Plan, purpose: Purpose, categories: int
) -> Visits:
    count, time_s = len(plan.customer), np.array(plan.time_s, dtype=np.int64)
    novel = rng.random(count) < novel_share(preset, time_s / DAY_S - preset.warmup_days)
    hasty = rng.random(count) < preset.hasty_share * (0.5 if purpose is Purpose.RING else 1.0)
    # Drawn for all purposes alike and overruled here: what is drawn after it doesn't hang on the purpose.
    novel, hasty = (novel & (purpose is not Purpose.TESTING), hasty | (purpose is Purpose.TESTING))
    return Visits(
        customer=np.array(plan.customer, dtype=np.int64),
        time_s=time_s,
        purpose=np.full(count, int(purpose)),
        manner=np.where(novel, Manner.NOVEL, np.where(hasty, Manner.HASTY, Manner.CALM)).astype(np.int64),
        level=_levels(rng, purpose, novel),
        category=rng.integers(0, categories, count),
        seller=np.array(plan.seller, dtype=np.int64),
        device=np.array(plan.device, dtype=np.int64),
        ip=np.array(plan.ip, dtype=np.int64),
        episode=np.array(plan.episode, dtype=np.int64),
        signed_in=rng.random(count) < _SIGNED_IN_SHARE,
        tracked=rng.random(count) < _TRACKED_SHARE,
    )


def _levels(rng: np.random.Generator, purpose: Purpose, novel: Bools) -> Floats:
    usual = _STOLEN_LEVEL if purpose is Purpose.STOLEN else _RING_LEVEL
    return np.where(novel, rng.uniform(*_NOVEL_LEVEL, novel.size), rng.uniform(*usual, novel.size))
