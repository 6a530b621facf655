"""Typed settings of what a shop's slates may show."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from .base import Settings as _Settings

__all__ = ["RulesTable"]

Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Ids = Annotated[tuple[Id, ...], Field(max_length=10_000, strict=False)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Price = Annotated[float, Field(ge=0.0, le=1e12)]


class RulesTable(_Settings):
    """What slates may show, beside what the catalogue hides.

    Attributes
    ----------
    never_show
        Items that are on no slate.
    categories_only, categories_never
        Categories that may be shown, if any is given, and those that may not.
    price_min, price_max
        What an item on a slate may cost; not set: no limit.
    unknown_shown
        Whether an item is shown whose category or price is asked for above and not known.
    leave_out_bought
        Whether slates leave out what the session or its known customer has bought.
    leave_out_own
        Whether sellers see none of their own items: those with their customer id as seller.
    seller_items_max, category_items_max
        Items of one seller and of one category in a slate; not set: no limit.
    fill
        Whether a short slate is filled with trending items, those of the session's categories first.
    new_share
        Share of a slate's places that go to new items, whatever the ranker thinks of them.
    new_days_max, new_items_max
        How long after it was published, or else first seen, an item is new; and how many are remembered so.
    explore_share
        Share of slates whose last place goes to a candidate that the ranker has put below the slate.
    seed
        Chance is drawn from it and from the click's event id.
    bot_clicks_per_minute_max
        Clicks beyond teach nothing.
    customers_max, past_items_max, bought_items_max
        Known customers, and the last different items that each clicked and bought; so of sessions.
    """

    never_show: Ids = ()
    categories_only: Ids = ()
    categories_never: Ids = ()
    price_min: Price | None = None
    price_max: Price | None = None
    unknown_shown: bool = True
    leave_out_bought: bool = False
    leave_out_own: bool = True
    seller_items_max: int | None = Field(default=None, ge=1, le=100)
    category_items_max: int | None = Field(default=None, ge=1, le=100)
    fill: bool = True
    new_share: Share = 0.0
    new_days_max: float = Field(default=14.0, gt=0.0, le=400.0)
    new_items_max: int = Field(default=200, ge=1, le=10_000)
    explore_share: Share = 0.0
    seed: int = Field(default=1, ge=0, le=2**63 - 1)
    bot_clicks_per_minute_max: int = Field(default=60, ge=1, le=100_000)
    customers_max: int = Field(default=100_000, ge=1, le=10_000_000)
    past_items_max: int = Field(default=12, ge=0, le=64)
    bought_items_max: int = Field(default=100, ge=1, le=1000)

    @property
    def filters(self) -> bool:
        """Whether an item's category or price decides whether it is shown."""
        limits = (self.price_min, self.price_max)
        return bool(self.categories_only or self.categories_never) or any(each is not None for each in limits)
