"""A kind of decision that isn't the product's: made known from outside, in the same way as those that are."""

from __future__ import annotations

from pathlib import Path

from headrace.shard.kinds import Kind, register
from toy_kind.settings import ReturnsSettings


def _kind() -> Kind:
    from toy_kind.kind import RETURNS

    return RETURNS


def make_known() -> None:
    """Register it."""
    register(
        "returns",
        _kind,
        settings=lambda: ReturnsSettings,
        shipped={"returns": Path(__file__).with_name("returns.toml")},
    )
