"""Typed settings of the recommend flow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from headrace.errors import Invalid

from .base import Settings as _Settings
from .recommend import NETWORK, EngineSettings, RankerSettings
from .recommend_rules import RulesTable
from .references import Broken, time_errors
from .tables import FlowTable, NamedModel, RunSettings

__all__ = [
    "RecommendFlowSettings",
    "RecommendPolicySettings",
    "RecommendSettings",
    "SlateTable",
]

LeaveOut = Literal["current", "seen", "nothing"]
Fallback = Literal["nothing", "trending"]


class RecommendFlowSettings(FlowTable):
    """What is decided.

    Attributes
    ----------
    kind
        The flow.
    learn_from
        With several shards: whether each learns from all clicks and answers for its own sessions, or learns
        from its own sessions only. Fixed for the life of a state.
    """

    kind: Literal["recommend"] = "recommend"
    learn_from: Literal["all", "own"] = "all"


class SlateTable(_Settings):
    """The slates that go out.

    Attributes
    ----------
    items_max
        Items of a slate.
    leave_out
        Which items of its session a slate leaves out: the one that was just clicked, all, or none.
    pending_max, pending_minutes_max
        Slates that wait for their session's next click, and for how long.
    """

    items_max: int = Field(default=20, ge=1, le=100)
    leave_out: LeaveOut = "current"
    pending_max: int = Field(default=100_000, ge=1, le=10_000_000)
    pending_minutes_max: float = Field(default=60.0, gt=0.0, le=100_000.0)


class RecommendPolicySettings(_Settings):
    """What goes out in place of a session's own slate.

    Attributes
    ----------
    kill_switch
        While the kill switch is on.
    overdue
        For a click that waited longer than `wait_ms_max`.
    wait_ms_max
        From accepted to applied; not set: no limit.
    """

    kill_switch: Fallback = "trending"
    overdue: Fallback = "trending"
    wait_ms_max: int | None = Field(default=None, ge=1, le=86_400_000)


class RecommendSettings(RunSettings):
    """All settings of the recommend flow, one attribute for each table of the file."""

    flow: RecommendFlowSettings = RecommendFlowSettings()
    slate: SlateTable = SlateTable()
    rules: RulesTable = RulesTable()
    engine: EngineSettings = EngineSettings()
    ranker: RankerSettings = RankerSettings()
    policy: RecommendPolicySettings = RecommendPolicySettings()

    @property
    def model_name(self) -> str:
        """What its decisions are computed with."""
        return "sessions" if self.ranker.name == NETWORK else self.ranker.name

    @property
    def wait_ms_max(self) -> int | None:
        """A click that waited longer before it was applied gets the fallback."""
        return self.policy.wait_ms_max

    def models(self) -> Iterator[tuple[str, NamedModel, str]]:
        """Yield the one that ranks, where it isn't the built-in network."""
        if self.ranker.name != NETWORK:
            yield "ranker", self.ranker, "score"

    def errors(self, broken: Broken, read: Mapping[str, Any] | None) -> Iterator[Invalid]:
        """Yield what is wrong between settings that are each well-formed."""
        del read
        yield from time_errors(self.time, broken)
        yield from _errors(self)

    @classmethod
    def upgrade(cls, read: dict[str, Any]) -> None:
        """Give the table of slates the name that it has now."""
        if "list" in read:
            read["slate"] = read.pop("list")


def _errors(settings: RecommendSettings) -> Iterator[Invalid]:
    least, most = settings.rules.price_min, settings.rules.price_max
    if least is not None and most is not None and least > most:
        yield Invalid("", "rules.price_min", f"must be at most rules.price_max ({most}; is {least})")
    both = sorted({*settings.rules.categories_only} & {*settings.rules.categories_never})
    if both:
        yield Invalid("", "rules.categories_never", f"also in rules.categories_only: {', '.join(both)}")
    if settings.ranker.name == NETWORK and settings.ranker.parameters:
        yield Invalid("", "ranker.parameters", "not supported by the network")
    if settings.slate.items_max > settings.engine.candidates_max:
        yield Invalid(
            "",
            "slate.items_max",
            f"must be at most engine.candidates_max ({settings.engine.candidates_max};"
            f" is {settings.slate.items_max})",
        )
