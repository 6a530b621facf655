"""Settings of a flow that declares its events and its decisions, one class for each table of its file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, Strict

from headrace.errors import Invalid

from .base import Name, Settings
from .decision_policy import ACTIONS_MAX, DecisionList, DecisionPolicySettings
from .decision_target import TargetSettings
from .event_entities import EventCross, EventEntity, TableSettings
from .event_features import EventFeature
from .fraud_flow import BinDeclaration, ModelSettings, ReasonSettings
from .tables import FlowTable, NamedModel, RunSettings

if TYPE_CHECKING:
    from .references import Broken

__all__ = [
    "PROVISIONAL",
    "TABLES",
    "UNIT_MS",
    "CalibrationSettings",
    "DecisionFlowSettings",
    "DecisionSettings",
    "DecisionsTable",
    "EstimateSettings",
    "ScoreSettings",
]

TABLES: Final = "tables"
"""What the names of tables begin with, where lists go by their decision's name and their own."""

PROVISIONAL: Final = "provisional score"
"""What a model does that learns before a target tells; see `RunSettings.models`."""

UNIT_MS: Final = {"seconds": 1000, "minutes": 60_000, "hours": 3_600_000, "days": 86_400_000}
"""Milliseconds of a unit that a time can be told in."""


def _quantiles(given: tuple[float, ...]) -> tuple[float, ...]:
    for left, right in pairwise(given):
        if right <= left:
            raise ValueError(f"must be strictly increasing, but {right!r} follows {left!r}")
    return given


Names = Annotated[tuple[Name, ...], Strict(strict=False), Field(max_length=256)]
Level = Annotated[float, Field(gt=0.0, lt=1.0)]


class DecisionsTable(FlowTable):
    """What the flow is.

    Attributes
    ----------
    kind
        `decisions`: what is decided is declared.
    """

    kind: Literal["decisions"] = "decisions"


class CalibrationSettings(Settings):
    """Calibration of a score by recent outcomes.

    Attributes
    ----------
    method
        `platt`, or `none`: the score is the model's own.
    outcomes_max
        So many of the last outcomes are looked at.
    refit_every
        Fitted anew after so many.
    label_min
        So many outcomes of either label must be known.
    """

    method: Literal["none", "platt"] = "platt"
    outcomes_max: int = Field(default=10_000, ge=64, le=1_000_000)
    refit_every: int = Field(default=200, ge=1, le=1_000_000)
    label_min: int = Field(default=30, ge=1, le=100_000)


class EstimatorSettings(ModelSettings):
    """The estimator of a number; see `ModelSettings`."""

    name: Name = "location_scale"


class _Decision(Settings):
    """What every decision declares.

    Attributes
    ----------
    on
        The type of the events that ask for it.
    actions
        What can be done, in the order from what is done else to what disturbs most.
    censors
        Actions after which nobody learns how it would have turned out.
    features, crosses
        What the model reads; not set: all that events of the type have.
    model
        Its model.
    target
        Which later event tells the truth; not set: nothing is learned.
    policy
        From what the model says to an action.
    reasons
        What a decision says of why.
    shadow
        Decide, journal and measure, but send nothing.
    """

    on: Name
    actions: Annotated[
        tuple[Name, ...], Strict(strict=False), Field(min_length=1, max_length=ACTIONS_MAX)
    ] = ("decide",)
    censors: Annotated[tuple[Name, ...], Strict(strict=False), Field(max_length=ACTIONS_MAX)] = ()
    features: Names | None = None
    crosses: Names | None = None
    model: ModelSettings = ModelSettings()
    target: TargetSettings | None = None
    policy: DecisionPolicySettings = DecisionPolicySettings()
    reasons: ReasonSettings = ReasonSettings()
    shadow: bool = False

    @property
    def unit_ms(self) -> int:
        """Milliseconds of the unit that an elapsed time is told in."""
        return 1000


class ScoreSettings(_Decision):
    """A probability, and what is done at it.

    Attributes
    ----------
    calibration
        Of the score, by recent outcomes.
    limits_max
        With a ladder, whose last limits are remembered; beyond it those of longest ago go.
    """

    kind: Literal["score"]
    actions: Annotated[
        tuple[Name, ...], Strict(strict=False), Field(min_length=1, max_length=ACTIONS_MAX)
    ] = (
        "approve",
        "review",
        "block",
    )
    calibration: CalibrationSettings = CalibrationSettings()
    limits_max: int = Field(default=1_000_000, ge=1, le=100_000_000)


class EstimateSettings(_Decision):
    """Quantiles of a number, such as a time or a demand.

    Attributes
    ----------
    quantiles
        Which, strictly increasing.
    unit
        What the number is told in; an elapsed time in seconds, minutes, hours or days.
    """

    kind: Literal["estimate"]
    actions: Annotated[
        tuple[Name, ...], Strict(strict=False), Field(min_length=1, max_length=ACTIONS_MAX)
    ] = ("estimate",)
    model: EstimatorSettings = EstimatorSettings()
    quantiles: Annotated[
        tuple[Level, ...],
        Strict(strict=False),
        Field(min_length=1, max_length=32),
        AfterValidator(_quantiles),
    ] = (0.1, 0.5, 0.9)
    unit: str = Field(default="seconds", min_length=1, max_length=32)

    @property
    def unit_ms(self) -> int:
        """Milliseconds of the unit that an elapsed time is told in."""
        return UNIT_MS.get(self.unit, 1000)


DecisionSettings = ScoreSettings | EstimateSettings


class DecisionFlowSettings(RunSettings):
    """All settings of a flow that declares what it decides."""

    ordered: ClassVar[tuple[str, ...]] = (
        *("entities", "features", "bins", "crosses", "decisions"),
        *("decisions.*.policy.lists", "decisions.*.policy.rules"),
    )

    flow: DecisionsTable = DecisionsTable()
    entities: dict[Name, EventEntity] = Field(default_factory=dict, max_length=16)
    features: dict[Name, Annotated[EventFeature, Field(discriminator="kind")]] = Field(
        default_factory=dict, max_length=256
    )
    bins: dict[Name, BinDeclaration] = Field(default_factory=dict, max_length=256)
    crosses: dict[Name, EventCross] = Field(default_factory=dict, max_length=256)
    tables: dict[Name, TableSettings] = Field(default_factory=dict, max_length=16)
    decisions: dict[Name, Annotated[DecisionSettings, Field(discriminator="kind")]] = Field(
        default_factory=dict, max_length=64
    )

    @property
    def lists(self) -> Mapping[str, DecisionList | TableSettings]:
        """Lists and tables whose contents come from files and commands: DECISION.NAME, and tables.NAME."""
        return dict(self._named_lists())

    def _named_lists(self) -> Iterator[tuple[str, DecisionList | TableSettings]]:
        yield from ((f"{TABLES}.{name}", declared) for name, declared in self.tables.items())
        for name, decision in self.decisions.items():
            yield from ((f"{name}.{each}", declared) for each, declared in decision.policy.lists.items())

    @property
    def wait_ms_max(self) -> int | None:
        """An input that waited longer gets what is declared for it, of the decisions that have a deadline."""
        limits = [
            each.policy.deadline.wait_ms_max
            for each in self.decisions.values()
            if each.policy.deadline is not None
        ]
        return min(limits, default=None)

    def models(self) -> Iterator[tuple[str, NamedModel, str]]:
        """Yield what each decision is computed with."""
        for name, decision in self.decisions.items():
            target = decision.target
            provisional = target is not None and target.provisional is not None
            of = PROVISIONAL if provisional and decision.kind == "score" else decision.kind
            yield f"decisions.{name}.model", decision.model, of

    def errors(self, broken: Broken, read: Mapping[str, Any] | None) -> Iterator[Invalid]:
        """Yield what is wrong between settings that are each well-formed."""
        plain = self.model_dump(mode="json", include={"decisions"}) if read is None else read
        from .decision_errors import decision_flow_errors

        return decision_flow_errors(self, broken, plain)

    @property
    def model_name(self) -> str:
        """What its decisions are computed with."""
        return ", ".join(dict.fromkeys(each.model.name for each in self.decisions.values()))
