"""Settings of the policy of payments: from a payment and its score to an action."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints

from headrace.errors import ConfigError, Invalid

from .base import Name, Settings
from .expression import expression_errors
from .lists import read_list
from .paths import path_of, path_text
from .table_entries import entry_errors

__all__ = [
    "BUILT_IN_TEXTS",
    "CAPACITY_CODE",
    "COMBINATION_CODE",
    "COST_CODE",
    "DEADLINE_CODE",
    "ENTRIES_MAX",
    "KILL_SWITCH_CODE",
    "Action",
    "CapacitySettings",
    "CostSettings",
    "DeadlineSettings",
    "KillSwitchSettings",
    "ListKey",
    "ListSettings",
    "PolicySettings",
    "RuleSettings",
    "code_errors",
    "list_errors",
    "resolve_lists",
    "rule_errors",
    "threshold_errors",
]

Action = Literal["approve", "review", "block"]
ListKey = Literal["customer_id", "merchant_id", "device_id", "ip"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Money = Annotated[float, Field(ge=0.0, le=1e12)]

KILL_SWITCH_CODE: Final = "kill_switch"
DEADLINE_CODE: Final = "deadline_missed"
CAPACITY_CODE: Final = "review_capacity_used"
COST_CODE: Final = "expected_cost"
COMBINATION_CODE: Final = "combination"
BUILT_IN_TEXTS: Final = {
    KILL_SWITCH_CODE: "The kill switch is on: every payment gets the same action.",
    DEADLINE_CODE: "The payment had waited longer than allowed.",
    CAPACITY_CODE: "The day's reviews were used up.",
    COMBINATION_CODE: "No single reason: it is the combination of many small ones.",
    COST_CODE: "This action has the lowest expected cost.",
}
ENTRIES_MAX: Final = 100_000


class ListSettings(Settings):
    """An allow or block list.

    Attributes
    ----------
    file
        One value a line; a relative path starts at the configuration's folder.
    key
        The payment's field that is looked up.
    action
        What a payment on the list gets.
    code
        Its reason code.
    entries_max
        Different values in the list.
    """

    file: str = Field(min_length=1, max_length=4096)
    key: ListKey
    action: Action
    code: Name
    entries_max: int = Field(default=ENTRIES_MAX, ge=1, le=10_000_000)


class RuleSettings(Settings):
    """A hard rule.

    Attributes
    ----------
    when
        The condition, in the language of `headrace.config.expression`.
    action
        What a payment that meets it gets.
    code
        Its reason code.
    """

    when: Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    action: Action
    code: Name


class CostSettings(Settings):
    """What right and wrong actions cost, in the flow's currency; in force, it replaces the thresholds.

    Attributes
    ----------
    review_cost
        One review.
    review_catch_share
        Share of the frauds that a review finds.
    fraud_loss_share
        Share of the amount that an undetected fraud costs.
    fraud_loss_fixed
        What it costs besides, whatever the amount.
    wrong_block_cost, wrong_block_share
        What blocking a legitimate payment costs: a fixed part, and a share of its amount.
    """

    review_cost: Money = 5.0
    review_catch_share: Share = 1.0
    fraud_loss_share: float = Field(default=1.0, ge=0.0, le=10.0)
    fraud_loss_fixed: Money = 0.0
    wrong_block_cost: Money = 10.0
    wrong_block_share: float = Field(default=0.1, ge=0.0, le=10.0)


class CapacitySettings(Settings):
    """How many payments can be reviewed.

    Attributes
    ----------
    reviews_per_day_max
        On a day (UTC, by event time), all shards together.
    otherwise
        What a payment gets that would be reviewed beyond that.
    days_remembered_max
        Days with reviews that are remembered; older ones have no capacity left.
    """

    reviews_per_day_max: int = Field(ge=0, le=1_000_000_000)
    otherwise: Literal["approve", "block"]
    days_remembered_max: int = Field(default=400, ge=1, le=10_000)


class DeadlineSettings(Settings):
    """How long a payment may wait for its decision.

    Attributes
    ----------
    wait_ms_max
        From accepted to applied; one that has waited longer gets the fallback.
    action
        The fallback.
    """

    wait_ms_max: int = Field(ge=1, le=86_400_000)
    action: Action


class KillSwitchSettings(Settings):
    """What happens while the kill switch is on; a command turns it on and off.

    Attributes
    ----------
    action
        What every payment gets.
    """

    action: Action = "approve"


class PolicySettings(Settings):
    """From an event and its score to an action.

    Attributes
    ----------
    review_at, block_at
        The lowest score that is reviewed, and that is blocked; without `cost`.
    shadow
        Decide and say what would have been done, but approve everything.
    lists, rules
        In the order of the file; the first that applies decides.
    cost, capacity, deadline
        Off unless set.
    kill_switch
        What it does when a command turns it on.
    """

    review_at: float = Field(default=0.3, ge=0.0, le=1.0)
    block_at: float = Field(default=0.8, ge=0.0, le=1.0)
    shadow: bool = False
    kill_switch: KillSwitchSettings = KillSwitchSettings()
    deadline: DeadlineSettings | None = None
    lists: dict[Name, ListSettings] = Field(default_factory=dict, max_length=64)
    rules: dict[Name, RuleSettings] = Field(default_factory=dict, max_length=256)
    cost: CostSettings | None = None
    capacity: CapacitySettings | None = None


def resolve_lists(read: dict[str, Any], folder: Path) -> None:
    """Make the paths of list files absolute, in a configuration as it was read."""
    for _, _, table in _lists(read):
        if isinstance(table.get("file"), str) and table["file"]:
            table["file"] = path_text((folder / path_of(table["file"])).absolute())


def list_errors(
    read: Mapping[str, Any], is_new: Callable[[str, Mapping[str, Any]], bool]
) -> Iterator[Invalid]:
    """Yield what is wrong with the list files that a configuration, as it was read, names.

    Parameters
    ----------
    read
        The configuration.
    is_new
        Tells from a list's name and table whether its file is to be looked at.
    """
    for key, name, table in _lists(read):
        file, limit = table.get("file"), table.get("entries_max", ENTRIES_MAX)
        if not isinstance(file, str) or not file or not is_new(name, table):
            continue
        key_given = table.get("key", "")
        # Without a sound key it isn't known how many values an entry has.
        if not isinstance(key_given, str | list):
            continue
        of_table = key.startswith("tables.")
        columns = 2 if of_table else len(key_given) if isinstance(key_given, list) else 1
        try:
            # A limit that is wrong itself is told of elsewhere: the file is still looked at, against the
            # usual one.
            content = read_list(
                path_of(file), limit if isinstance(limit, int) and limit > 0 else ENTRIES_MAX, max(1, columns)
            )
        except ConfigError as error:
            for invalid in error.errors:
                yield Invalid("", f"{key}.file", str(invalid))
            continue
        for said in entry_errors(content.entries, table.get("holds", "text")) if of_table else ():
            yield Invalid("", f"{key}.file", f"{file}: {said}")


def _lists(read: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the lists of a configuration as it was read: where each stands, its name, and its table.

    Those of a decision have its name and a dot before theirs. Tables that are looked up are read like lists.
    """
    for name, table in _tables(read, "lists").items():
        yield f"policy.lists.{name}", name, table
    decisions = read.get("decisions")
    for decision, declared in decisions.items() if isinstance(decisions, dict) else ():
        for name, table in _tables(declared if isinstance(declared, dict) else {}, "lists").items():
            yield f"decisions.{decision}.policy.lists.{name}", f"{decision}.{name}", table
    looked_up = read.get("tables")
    for name, table in looked_up.items() if isinstance(looked_up, dict) else ():
        if isinstance(table, dict):
            yield f"tables.{name}", f"tables.{name}", table


def rule_errors(
    read: Mapping[str, Any], features: Collection[str], unsure: Callable[[str], bool]
) -> Iterator[Invalid]:
    """Yield what is wrong with the conditions of the rules; names of which `unsure` holds are passed over."""
    for name, table in _tables(read, "rules").items():
        when = table.get("when")
        if isinstance(when, str) and 0 < len(when) <= 2000:
            for message in expression_errors(when, features, unsure):
                yield Invalid("", f"policy.rules.{name}.when", message)


def code_errors(read: Mapping[str, Any], texts: Collection[str]) -> Iterator[Invalid]:
    """Reason codes of lists and rules that have no text."""
    missing: dict[str, str] = {}
    for kind in ("lists", "rules"):
        for name, table in _tables(read, kind).items():
            code = table.get("code")
            if isinstance(code, str) and code not in texts and code not in BUILT_IN_TEXTS:
                missing.setdefault(code, f"policy.{kind}.{name}")
    for code, user in missing.items():
        yield Invalid("", f"reasons.texts.{code}", f"is required, as {user} uses it")


def threshold_errors(policy: PolicySettings) -> Iterator[Invalid]:
    """Thresholds in the wrong order."""
    if policy.review_at > policy.block_at:
        message = f"must be at most block_at ({policy.block_at!r}; is {policy.review_at!r})"
        yield Invalid("", "policy.review_at", message)


def _tables(read: Mapping[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Return the declarations below `policy.<kind>` that are tables at all."""
    policy = read.get("policy")
    declared = policy.get(kind) if isinstance(policy, dict) else None
    tables = declared if isinstance(declared, dict) else {}
    return {name: table for name, table in tables.items() if isinstance(table, dict)}
