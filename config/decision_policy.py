"""Settings of a decision's policy: from an event and what the model says to one of the declared actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Strict, StringConstraints

from .base import Name, Settings
from .policy import COMBINATION_CODE, COST_CODE, DEADLINE_CODE, ENTRIES_MAX, KILL_SWITCH_CODE
from .vocabulary import FieldLike, Vocabulary, vocabulary_of
from .zones import ZoneName

__all__ = [
    "ACTIONS_MAX",
    "CAPACITY_USED_CODE",
    "DECISION_TEXTS",
    "FALLBACK_CODE",
    "RAISE_CODE",
    "ActionCapacity",
    "ActionCost",
    "DecisionCost",
    "DecisionDeadline",
    "DecisionKillSwitch",
    "DecisionList",
    "DecisionPolicySettings",
    "DecisionRule",
    "PolicyScope",
]

ACTIONS_MAX: Final = 16
CAPACITY_USED_CODE: Final = "capacity_used"
FALLBACK_CODE: Final = "fallback"
RAISE_CODE: Final = "raise_limited"
DECISION_TEXTS: Final = {
    KILL_SWITCH_CODE: "The kill switch is on: every event gets the same action.",
    DEADLINE_CODE: "The event had waited longer than allowed.",
    FALLBACK_CODE: "The model failed: the event gets the action that is declared for that.",
    CAPACITY_USED_CODE: "The day's capacity for the action was used up.",
    COST_CODE: "This action has the lowest expected cost.",
    RAISE_CODE: "The limit was raised as far as one raise may go.",
    COMBINATION_CODE: "No single reason: it is the combination of many small ones.",
}
"""Reason codes that are built in, with their texts."""

Score = Annotated[float, Field(ge=0.0, le=1.0)]
Level = Annotated[float, Field(gt=0.0, lt=1.0)]
Money = Annotated[float, Field(ge=-1e12, le=1e12)]
Share = Annotated[float, Field(ge=-1000.0, le=1000.0)]
Limit = Annotated[float, Field(ge=0.0, le=1e15)]
Actions = Annotated[dict[Name, Score], Field(max_length=ACTIONS_MAX)]
Rung = Annotated[tuple[Score, Limit], Strict(strict=False)]


def _key(given: Any) -> Any:
    """Take one field for several of which there is one."""
    if not isinstance(given, str | list | tuple):
        raise ValueError(f"must be a field, such as customer_id, or a list of fields (is {given!r})")  # noqa: TRY004
    return (given,) if isinstance(given, str) else given


def _ladder(rungs: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    for place, ((bound, limit), (next_bound, next_limit)) in enumerate(pairwise(rungs), start=2):
        # The first rung whose bound isn't exceeded counts: one at or below the last would never be reached.
        if next_bound <= bound:
            raise ValueError(f"bounds must increase, but rung {place} has {next_bound!r} after {bound!r}")
        if next_limit > limit:
            raise ValueError(f"limits must not rise with the score, but rung {place} has {next_limit!r}")
    if rungs[-1][0] != 1.0:
        raise ValueError(f"the last bound must be 1.0, so that each score has a limit (is {rungs[-1][0]!r})")
    return rungs


class DecisionList(Settings):
    """A list of values, such as an allow or block list.

    Attributes
    ----------
    file
        One entry a line; a relative path starts at the configuration's folder.
    key
        The event's field that is looked up, of type `id`, `text` or `ids` (any of them); or up to four fields
        of which a line has all values, with a tab between two.
    action
        What an event on the list gets.
    code
        Its reason code.
    entries_max
        Different entries in the list.
    limit
        With a ladder, how much is granted; not set: what was granted last.
    promise
        Of an estimate, the level of the quantile that is promised; not set: the policy's.
    """

    file: str = Field(min_length=1, max_length=4096)
    key: Annotated[
        tuple[Name, ...],
        Strict(strict=False),
        Field(min_length=1, max_length=4),
        BeforeValidator(_key),
    ]
    action: Name
    code: Name
    entries_max: int = Field(default=ENTRIES_MAX, ge=1, le=10_000_000)
    limit: Limit | None = None
    promise: Level | None = None


class DecisionRule(Settings):
    """A hard rule.

    Attributes
    ----------
    when
        The condition, in the language of `headrace.config.expression`.
    action
        What an event that meets it gets.
    code
        Its reason code.
    limit, promise
        As of a list.
    """

    when: Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    action: Name
    code: Name
    limit: Limit | None = None
    promise: Level | None = None


class ActionCost(Settings):
    """What an action costs; less than 0 is a gain.

    Each is a fixed part and a share of the event's value. Costs add up: those that come always, and those
    that come if the target turns out to be 1, or 0.

    Attributes
    ----------
    fixed, share
        Always.
    fixed_if_1, share_if_1
        If the target is 1.
    fixed_if_0, share_if_0
        If it is 0.
    """

    fixed: Money = 0.0
    share: Share = 0.0
    fixed_if_1: Money = 0.0
    share_if_1: Share = 0.0
    fixed_if_0: Money = 0.0
    share_if_0: Share = 0.0


class DecisionCost(Settings):
    """The action with the least expected cost is taken; the score is taken as the probability of 1.

    Attributes
    ----------
    of
        The number that shares are of: a field of the event or a feature; not set: 0.
    missing_as
        What it counts as where it is missing.
    actions
        Costs of those that can be chosen.
    """

    of: Name | None = None
    missing_as: Money = 0.0
    actions: dict[Name, ActionCost] = Field(min_length=2, max_length=ACTIONS_MAX)


class ActionCapacity(Settings):
    """How often an action can be taken.

    Attributes
    ----------
    per_day_max
        On a day of the policy's zone, by event time, all shards together.
    otherwise
        The action of an event that would get it beyond that.
    days_remembered_max
        Days with the action that are remembered; older ones have no capacity left.
    """

    per_day_max: int = Field(ge=0, le=1_000_000_000)
    otherwise: Name
    days_remembered_max: int = Field(default=400, ge=1, le=10_000)


class DecisionDeadline(Settings):
    """How long an event may wait for its decision.

    Attributes
    ----------
    wait_ms_max
        From accepted to applied.
    action
        What one gets that has waited longer.
    """

    wait_ms_max: int = Field(ge=1, le=86_400_000)
    action: Name


class DecisionKillSwitch(Settings):
    """What happens while the kill switch is on; a command turns it on and off.

    Attributes
    ----------
    action
        What every event gets; not set: the first action.
    """

    action: Name | None = None


class DecisionPolicySettings(Settings):
    """From what the model says of an event to an action.

    Without thresholds, cost and ladder it is the first action, unless a list or rule says otherwise.

    Attributes
    ----------
    thresholds
        The lowest score from which an action is taken; they don't decrease in the order of the actions.
    cost
        Takes the action with the least expected cost.
    ladder
        Pairs of a score and a limit: the first whose score is not exceeded gives the limit. The first action
        goes with a limit above 0, the last with 0.
    raise_at_most
        By what factor a limit may be raised over the last one of the same entity; not set: by any.
    promise
        Of an estimate, the level of the quantile that is promised.
    capacity
        By action.
    zone
        The time zone of a capacity's days.
    lists, rules
        In the order of the file; the first that applies decides.
    deadline
        Off unless set.
    kill_switch
        What it does when a command turns it on.
    fallback
        What an event gets of which the model can't say anything, as it failed; not set: the first action.
    """

    thresholds: Actions = Field(default_factory=dict)
    cost: DecisionCost | None = None
    ladder: (
        Annotated[
            tuple[Rung, ...],
            Strict(strict=False),
            Field(min_length=1, max_length=64),
            AfterValidator(_ladder),
        ]
        | None
    ) = None
    raise_at_most: float | None = Field(default=None, ge=1.0, le=1e6)
    promise: Level | None = None
    capacity: dict[Name, ActionCapacity] = Field(default_factory=dict, max_length=ACTIONS_MAX)
    zone: ZoneName = "UTC"
    lists: dict[Name, DecisionList] = Field(default_factory=dict, max_length=64)
    rules: dict[Name, DecisionRule] = Field(default_factory=dict, max_length=256)
    deadline: DecisionDeadline | None = None
    kill_switch: DecisionKillSwitch = DecisionKillSwitch()
    fallback: Name | None = None


@dataclass(frozen=True)
class PolicyScope:
    """What a decision's policy may speak of.

    Attributes
    ----------
    kind
        Of the decision.
    actions
        In their order.
    features
        Names of the values that it is given, in their order.
    fields
        Of the event's type, by name.
    quantiles
        Of an estimate, the levels in the order in which they are given.
    """

    kind: Literal["score", "estimate"]
    actions: tuple[str, ...]
    features: tuple[str, ...]
    fields: Mapping[str, FieldLike]
    quantiles: tuple[float, ...] = ()

    @property
    def vocabulary(self) -> Vocabulary:
        """Names that the conditions of its rules may use beside those of features."""
        if self.kind == "score":
            return vocabulary_of(self.fields, ("score",))
        return vocabulary_of(self.fields, ("promise",), self.quantiles)
