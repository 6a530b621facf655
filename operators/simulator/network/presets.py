"""The commerce networks that can be simulated, fixed by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from ..presets import Delay

__all__ = ["NETWORKS", "Clock", "NetworkPreset", "Season", "Shift", "scaled_network"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """A drift of the frauds: from some day on, a share of them is done in another way.

    Attributes
    ----------
    first_day, end_day
        From nothing on the first to the whole share on the end, in days from the first written one. Equal
        days make it sudden, different ones gradual.
    share
        The share of the frauds with a visit of their own that is done in the new way then.
    """

    first_day: int
    end_day: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Season:
    """A drift of the customers that comes and goes, as a raised cosine: nothing on day 0, all at half time.

    Attributes
    ----------
    period_days
        From one low to the next.
    dearer
        By how much the price level of what is bought rises at its height, as a share of all ranks of price.
    hurry
        What is added to the share of hurried buyers at its height.
    """

    period_days: float
    dearer: float
    hurry: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """A seller of whose tills some have a wrong clock for some days.

    Attributes
    ----------
    offset_hours
        What the event times of their payments are off by.
    first_day, end_day
        From which until before which day, in days from the first written one.
    share
        Their share of the seller's payments.
    """

    offset_hours: int
    first_day: int
    end_day: int
    share: float = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPreset:
    """Everything that makes a network, except its seed; a rate or share of 0 switches its effect off.

    Attributes
    ----------
    description
        One line for a list of presets.
    start, days
        The first day that is written (UTC), and how many are.
    warmup_days
        Days before the first written one in which frauds begin too, so that they are at their steady rate.
    customers, merchants, merchant_items
        How many there are on the first simulated day; items for each merchant, at least 4.
    delay
        When outcomes come.
    stolen_per_day, testing_per_day, rings_per_day, compromised_per_day
        New stolen accounts, bursts of card testing, rings, and compromised merchants a day.
    hasty_share
        The share of stolen accounts' visits that are done in haste; half of it for rings.
    shifts, season
        Drift of the frauds and of the customers.
    bots_per_day
        Visits of bots.
    poison_share
        The share of outcomes that carry the wrong label.
    late_share, late_hours_max
        The share of events that come late, and by how much at most.
    repeat_share, conflict_share
        The share of events that come again with the same bytes, and that of payments that come again with
        another amount under the same id.
    broken_share
        The share of events before which a broken copy of them comes.
    clocks
        Sellers whose clocks are wrong.
    """

    description: str
    start: date
    days: int
    warmup_days: int = 28
    customers: int
    merchants: int
    merchant_items: int = 16
    delay: Delay
    stolen_per_day: float = 0.0
    testing_per_day: float = 0.0
    rings_per_day: float = 0.0
    compromised_per_day: float = 0.0
    hasty_share: float = 0.75
    shifts: tuple[Shift, ...] = ()
    season: Season | None = None
    bots_per_day: float = 0.0
    poison_share: float = 0.0
    late_share: float = 0.0
    late_hours_max: float = 6.0
    repeat_share: float = 0.0
    conflict_share: float = 0.0
    broken_share: float = 0.0
    clocks: tuple[Clock, ...] = ()


def scaled_network(preset: NetworkPreset, customers: int) -> NetworkPreset:
    """Return the same network with another number of customers: merchants and all rates a day go with it."""
    factor = customers / preset.customers
    return replace(
        preset,
        customers=customers,
        merchants=max(1, round(preset.merchants * factor)),
        stolen_per_day=preset.stolen_per_day * factor,
        testing_per_day=preset.testing_per_day * factor,
        rings_per_day=preset.rings_per_day * factor,
        compromised_per_day=preset.compromised_per_day * factor,
        bots_per_day=preset.bots_per_day * factor,
    )


_NETWORK: Final = NetworkPreset(
    description="a commerce network of clicks, orders and payments: 58 days, about 130,000 payments",
    start=date(2025, 9, 1),
    days=58,
    customers=3_600,
    merchants=150,
    delay=Delay(median_days=5.0, sigma=0.7, days_max=45.0, never_share=0.06),
    stolen_per_day=6.0,
    testing_per_day=0.4,
    rings_per_day=0.14,
    compromised_per_day=0.06,
    shifts=(Shift(first_day=21, end_day=42, share=0.25),),
    season=Season(period_days=29.0, dearer=0.05, hurry=0.05),
    bots_per_day=6.0,
    poison_share=0.002,
    late_share=0.002,
    repeat_share=0.001,
)

_SMALL: Final = replace(
    scaled_network(_NETWORK, 600),
    description="the network made small, with more frauds: 58 days, about 22,000 payments",
    stolen_per_day=2.0,
    testing_per_day=0.12,
    rings_per_day=0.05,
    compromised_per_day=0.012,
    bots_per_day=2.0,
)

NETWORKS: Final[dict[str, NetworkPreset]] = {
    "network": _NETWORK,
    "network-small": _SMALL,
    "demo-network": replace(
        scaled_network(_NETWORK, 240),
        description="the network for a first look, with many frauds: 40 days, about 6,000 payments",
        days=40,
        stolen_per_day=1.6,
        testing_per_day=0.12,
        rings_per_day=0.05,
        compromised_per_day=0.02,
    ),
    "storm": replace(
        scaled_network(_NETWORK, 240),
        description="every disturbance at once, for tests: 21 days, about 3,000 payments",
        days=21,
        stolen_per_day=1.0,
        testing_per_day=0.1,
        rings_per_day=0.08,
        compromised_per_day=0.04,
        shifts=(
            Shift(first_day=5, end_day=9, share=0.3),
            Shift(first_day=14, end_day=14, share=0.9),
        ),
        season=Season(period_days=14.0, dearer=0.2, hurry=0.2),
        bots_per_day=3.0,
        poison_share=0.05,
        late_share=0.02,
        late_hours_max=96.0,
        repeat_share=0.01,
        conflict_share=0.01,
        broken_share=0.005,
        clocks=(
            Clock(offset_hours=3, first_day=2, end_day=9),
            Clock(offset_hours=-30, first_day=6, end_day=12),
            Clock(offset_hours=24 * 365 * 9, first_day=4, end_day=8),
            Clock(offset_hours=-24 * 365 * 2, first_day=10, end_day=16),
        ),
    ),
}
