"""Settings of the fraud flow, one class for each table of its file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, Strict, StringConstraints

from headrace.errors import Invalid, StateMismatch

from .base import CURRENCY_PATTERN, Name
from .base import Settings as _Settings
from .conditions import When
from .features import EntityKey, FeatureDeclaration
from .fraud_errors import fraud_errors, nothing_to_decide_with
from .policy import ListSettings, PolicySettings
from .references import Broken
from .tables import Days, FlowTable, NamedModel, RunSettings, Together

__all__ = [
    "BinDeclaration",
    "CrossDeclaration",
    "EntitySettings",
    "FlowSettings",
    "FraudSettings",
    "ModelSettings",
    "OutcomeSettings",
    "ReasonSettings",
    "of_fraud",
]


def _increasing(edges: tuple[float, ...]) -> tuple[float, ...]:
    for place, (left, right) in enumerate(pairwise(edges), start=2):
        if right <= left:
            raise ValueError(f"must be strictly increasing, but edge {place} is {right!r} after {left!r}")
    return edges


class FlowSettings(FlowTable):
    """What is decided.

    Attributes
    ----------
    kind
        The flow.
    shards
        State machines that share nothing; fixed for the life of a state.
    currency
        ISO 4217; payments in another currency are dead letters.
    """

    kind: Literal["fraud"] = "fraud"
    currency: str = Field(default="EUR", pattern=CURRENCY_PATTERN)


class OutcomeSettings(_Settings):
    """How outcomes meet their payments.

    Attributes
    ----------
    pending_days_max
        How long a payment waits for its outcome.
    pending_max
        Payments that wait at most.
    correction_days_max
        How long after an outcome another one may correct it.
    legitimate_after_days
        A payment that was not blocked counts as legitimate after so many days without an outcome;
        not set: never.
    withhold_blocked
        Leave out outcomes of payments that were blocked: in a shop nobody learns how those would have
        turned out, while a simulated world tells.
    early_max
        Outcomes held that came before their payment.
    early_days_max
        How long they are held.
    """

    pending_days_max: Days = 30.0
    pending_max: int = Field(default=1_000_000, ge=1, le=100_000_000)
    correction_days_max: float = Field(default=14.0, ge=0.0, le=400.0)
    legitimate_after_days: Days | None = None
    withhold_blocked: bool = False
    early_max: int = Field(default=10_000, ge=0, le=10_000_000)
    early_days_max: float = Field(default=2.0, ge=0.0, le=40.0)


class EntitySettings(_Settings):
    """A kind of entity that state is kept for.

    Attributes
    ----------
    key
        The payment's field that names it.
    idle_days_max
        An entity not seen for longer is forgotten.
    entities_max
        Entities kept; beyond it the idle ones go first.
    """

    key: EntityKey
    idle_days_max: Days = 180.0
    entities_max: int = Field(default=1_000_000, ge=1, le=100_000_000)


class BinDeclaration(_Settings):
    """Cuts a feature into ranges.

    Attributes
    ----------
    of
        The feature.
    edges
        Where a range ends and the next begins, strictly increasing.
    """

    of: Name
    edges: Annotated[
        tuple[float, ...],
        Strict(strict=False),
        Field(min_length=1, max_length=256),
        AfterValidator(_increasing),
    ]


class CrossDeclaration(_Settings):
    """One slot of the model for each combination of ranges.

    Attributes
    ----------
    of
        The bins, 1 to 4.
    code
        The reason code of what the slot contributes.
    report_if
        Conditions on features that a payment must meet for the code to be reported, so that its text is true.
        What slots contribute otherwise counts for the score, and for no reason.
    """

    of: Annotated[tuple[Name, ...], Strict(strict=False), Field(min_length=1, max_length=4)]
    code: Name
    report_if: When = ()


class ModelSettings(_Settings):
    """The model.

    Attributes
    ----------
    name
        Its name.
    parameters
        Its parameters; those not given have the model's own defaults.
    slots_max
        Slots of all crosses together.
    """

    name: Name = "logistic_adagrad"
    parameters: dict[Name, bool | int | float | str] = Field(default_factory=dict)
    slots_max: int = Field(default=100_000, ge=1, le=10_000_000)


class ReasonSettings(_Settings):
    """What a decision says of why.

    Attributes
    ----------
    count_max
        Reasons of a decision.
    contribution_min
        The smallest contribution that is a reason, in log-odds.
    texts
        For each code, what it means.
    """

    count_max: int = Field(default=3, ge=0, le=20)
    contribution_min: float = Field(default=0.1, ge=0.0)
    texts: dict[Name, Annotated[str, StringConstraints(min_length=1, max_length=500)]] = Field(
        default_factory=dict
    )


class FraudSettings(RunSettings):
    """All settings of the fraud flow, one attribute for each table of the file."""

    # References go back, and slots are numbered; the first list that an event is on counts, and the first
    # rule that it meets.
    ordered: ClassVar[tuple[str, ...]] = (
        *("entities", "features", "bins", "crosses"),
        *("policy.lists", "policy.rules"),
    )
    together: ClassVar[Together | None] = Together(
        "features", ("entities", "features", "bins", "crosses", "model", "reasons")
    )

    flow: FlowSettings = FlowSettings()
    outcomes: OutcomeSettings = OutcomeSettings()
    entities: dict[Name, EntitySettings] = Field(default_factory=dict, max_length=16)
    features: dict[Name, Annotated[FeatureDeclaration, Field(discriminator="kind")]] = Field(
        default_factory=dict, max_length=256
    )
    bins: dict[Name, BinDeclaration] = Field(default_factory=dict, max_length=256)
    crosses: dict[Name, CrossDeclaration] = Field(default_factory=dict, max_length=256)
    model: ModelSettings = ModelSettings()
    policy: PolicySettings = PolicySettings()
    reasons: ReasonSettings = ReasonSettings()

    @property
    def lists(self) -> Mapping[str, ListSettings]:
        """Lists whose contents come from files and commands."""
        return self.policy.lists

    @property
    def wait_ms_max(self) -> int | None:
        """A payment that waited longer before it was applied gets the fallback."""
        return None if self.policy.deadline is None else self.policy.deadline.wait_ms_max

    @property
    def model_name(self) -> str:
        """The model's."""
        return self.model.name

    def models(self) -> Iterator[tuple[str, NamedModel, str]]:
        """Yield the one that scores."""
        yield "model", self.model, "score"

    def errors(self, broken: Broken, read: Mapping[str, Any] | None) -> Iterator[Invalid]:
        """Yield what is wrong between settings that are each well-formed."""
        return fraud_errors(self, broken, read)

    def gaps(self) -> Iterator[Invalid]:
        """Yield that every payment would get the same action."""
        return nothing_to_decide_with(self)

    @classmethod
    def upgrade(cls, read: dict[str, Any]) -> None:
        """Give the keys of crosses the names that they have now."""
        for cross in read.get("crosses", {}).values():
            if "told_when" in cross:
                cross["report_if"] = cross.pop("told_when")


def of_fraud(settings: RunSettings) -> FraudSettings:
    """Return the settings, where only those of the fraud flow will do.

    Raises
    ------
    StateMismatch
        If they are of another flow.
    """
    if not isinstance(settings, FraudSettings):
        raise StateMismatch([f"flow.kind: this can be done for fraud only, not for {settings.flow.kind}"])
    return settings
