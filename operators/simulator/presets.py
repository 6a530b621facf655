"""The worlds that can be simulated, fixed by name so that a figure measured on one can be measured again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from math import sqrt
from typing import Final, Literal

__all__ = ["PRESETS", "Delay", "Preset", "scaled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """How long after its payment an outcome comes; it is the same for frauds and legitimate payments.

    Attributes
    ----------
    median_days
        Median of a log-normal distribution.
    sigma
        Its shape; 0 makes every delay the median.
    days_max
        Longer delays are cut to this.
    never_share
        Share of the payments that no outcome is ever reported for.
    """

    median_days: float
    sigma: float
    days_max: float
    never_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """Everything that makes a world, except its seed.

    Attributes
    ----------
    description
        One line for a list of presets.
    rules
        Which module draws customers, merchants and payments.
    start, days
        The first day that is written (UTC), and how many are.
    warmup_days
        Days that are simulated before the first written one, so that frauds are at their steady rate there.
    customers, merchants
        How many there are on the first simulated day.
    radius
        How far a customer goes to a merchant, on a plane of 100 by 100 (`handbook` rules only).
    merchants_per_day, merchant_days, merchant_share
        Merchants compromised a day, for how many days (least, most), and the share of their payments that
        are frauds then. A fractional rate is spread evenly.
    cards_per_day, card_days, card_share, card_factor
        The same for customers' cards, and what the amounts of their frauds are multiplied by (least, most).
    delay
        When outcomes come.
    """

    description: str
    rules: Literal["handbook", "shop"]
    start: date
    days: int
    warmup_days: int
    customers: int
    merchants: int
    radius: float = 0.0
    merchants_per_day: float
    merchant_days: tuple[int, int]
    merchant_share: float
    cards_per_day: float
    card_days: int
    card_share: float
    card_factor: tuple[float, float]
    delay: Delay


def scaled(preset: Preset, customers: int) -> Preset:
    """Return the same world with another number of customers.

    Merchants and the rates of compromise go with it, and the radius so that a customer reaches as many
    merchants as before: the share of frauds stays what it was.
    """
    factor = customers / preset.customers
    return replace(
        preset,
        customers=customers,
        merchants=max(1, round(preset.merchants * factor)),
        radius=preset.radius / sqrt(factor),
        merchants_per_day=preset.merchants_per_day * factor,
        cards_per_day=preset.cards_per_day * factor,
    )


_HANDBOOK: Final = Preset(
    description="the Fraud Detection Handbook's published rules: 58 days, about 560,000 payments",
    rules="handbook",
    start=date(2018, 6, 18),
    days=58,
    warmup_days=28,
    customers=5_000,
    merchants=10_000,
    radius=5.0,
    merchants_per_day=2.0,
    merchant_days=(28, 28),
    merchant_share=1.0,
    cards_per_day=3.0,
    card_days=14,
    card_share=1 / 3,
    card_factor=(5.0, 5.0),
    delay=Delay(median_days=7.0, sigma=0.0, days_max=7.0, never_share=0.0),
)

_SHOP: Final = Preset(
    description="regulars, newcomers, late and missing outcomes: 58 days, about 340,000 payments",
    rules="shop",
    start=date(2024, 6, 3),
    days=58,
    warmup_days=42,
    customers=5_000,
    merchants=2_000,
    merchants_per_day=0.5,
    merchant_days=(21, 42),
    merchant_share=0.9,
    cards_per_day=4.0,
    card_days=14,
    card_share=1 / 3,
    card_factor=(4.0, 7.0),
    delay=Delay(median_days=5.0, sigma=0.7, days_max=45.0, never_share=0.06),
)

_DEMO: Final = replace(
    scaled(_SHOP, 1_500),
    description="the shop made small, with more frauds, for a first look: 45 days, about 80,000 payments",
    days=45,
    merchants_per_day=0.25,
    cards_per_day=2.0,
)

PRESETS: Final[dict[str, Preset]] = {
    "demo": _DEMO,
    "shop": _SHOP,
    "handbook": _HANDBOOK,
    "handbook-small": replace(
        scaled(_HANDBOOK, 1_000),
        description="the handbook's rules with a fifth of its customers: 58 days, about 110,000 payments",
    ),
    "tiny": replace(
        scaled(_SHOP, 120),
        description="the shop for tests: 14 days, about 2,000 payments",
        days=14,
        merchants_per_day=0.05,
        cards_per_day=0.2,
    ),
}
