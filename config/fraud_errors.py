"""What is wrong between the settings of the fraud flow that are each well-formed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import Invalid

from .overlay import EXTENDS
from .policy import code_errors, rule_errors, threshold_errors
from .references import Broken, time_errors, unknown

if TYPE_CHECKING:
    from .fraud_flow import FraudSettings

__all__ = ["fraud_errors", "nothing_to_decide_with"]

_CLICK_KEYS: Final = ("session_id", "customer_id")
# Their model is a sum of one weight for each cross.
_OVER_CROSSES: Final = ("logistic_", "river_logistic_")


def fraud_errors(
    settings: FraudSettings, broken: Broken, read: Mapping[str, Any] | None
) -> Iterator[Invalid]:
    """Yield validation errors between declarations; the policy's also in those that are misshapen."""
    read = settings.model_dump(include={"policy"}) if read is None else read
    yield from _feature_errors(settings, broken)
    yield from _bin_errors(settings, broken)
    yield from _cross_errors(settings, broken)
    yield from rule_errors(read, settings.features, lambda name: broken.hides("features", name))
    yield from _text_errors(settings, broken, read)
    yield from _limit_errors(settings, broken)


def _feature_errors(settings: FraudSettings, broken: Broken) -> Iterator[Invalid]:
    # In the order of the file: a feature may only use earlier ones, so one pass computes all, and no cycle
    # can be written.
    before: set[str] = set()
    for name, declaration in settings.features.items():
        entity = getattr(declaration, "entity", None)
        if entity and entity not in settings.entities and not broken.hides("entities", entity):
            yield unknown(f"features.{name}.entity", "entity", entity, settings.entities)
        yield from _click_errors(name, declaration, settings)
        for referred in declaration.refers_to:
            if referred not in before and not broken.hides("features", referred):
                yield _not_before(name, declaration, referred, settings)
        before.add(name)


def _click_errors(name: str, declaration: Any, settings: FraudSettings) -> Iterator[Invalid]:
    """Yield what is wrong with a feature that clicks feed, or that takes in what only clicks have."""
    value = getattr(declaration, "value", None)
    if getattr(declaration, "on", "payment") != "click":
        if value == "item_id":
            yield Invalid(
                "", f"features.{name}.value", 'a payment has no item_id; with on = "click" there is'
            )
        return
    if declaration.when:
        yield Invalid("", f"features.{name}.when", "not supported for clicks, which have no features")
    wanted = "item_id" if declaration.kind == "distinct" else "price"
    if value is not None and value != wanted:
        yield Invalid("", f"features.{name}.value", f"of a click it can only be {wanted} (is {value!r})")
    entity = settings.entities.get(declaration.entity)
    if entity is not None and entity.key not in _CLICK_KEYS:
        keys = " or ".join(_CLICK_KEYS)
        yield Invalid("", f"features.{name}.entity", f"a click names no {entity.key}; its key must be {keys}")


def _not_before(name: str, declaration: Any, referred: str, settings: FraudSettings) -> Invalid:
    key = next((key for key in ("value", "over") if getattr(declaration, key, None) == referred), "when")
    path = f"features.{name}.{key}"
    if referred == name:
        return Invalid("", path, "a feature can't refer to itself")
    if referred in settings.features:
        return Invalid("", path, f"{referred} must be declared before {name}, as it is computed from it")
    return unknown(path, "feature", referred, settings.features)


def _bin_errors(settings: FraudSettings, broken: Broken) -> Iterator[Invalid]:
    for name, declaration in settings.bins.items():
        if declaration.of not in settings.features and not broken.hides("features", declaration.of):
            yield unknown(f"bins.{name}.of", "feature", declaration.of, settings.features)


def _cross_errors(settings: FraudSettings, broken: Broken) -> Iterator[Invalid]:
    for name, declaration in settings.crosses.items():
        for referred in declaration.of:
            if referred not in settings.bins and not broken.hides("bins", referred):
                yield unknown(f"crosses.{name}.of", "bin", referred, settings.bins)
        if len(set(declaration.of)) < len(declaration.of):
            yield Invalid("", f"crosses.{name}.of", "names a bin twice")
        for condition in declaration.report_if:
            if condition.name not in settings.features and not broken.hides("features", condition.name):
                yield unknown(f"crosses.{name}.report_if", "feature", condition.name, settings.features)


def _text_errors(settings: FraudSettings, broken: Broken, read: Mapping[str, Any]) -> Iterator[Invalid]:
    if broken.hides("reasons", "texts"):
        return
    # Reversed, so that of several crosses with one code the first is the one that is named.
    users = {declaration.code: name for name, declaration in reversed(settings.crosses.items())}
    for code, name in reversed(users.items()):
        if code not in settings.reasons.texts:
            yield Invalid("", f"reasons.texts.{code}", f"is required, as crosses.{name} uses it")
    yield from code_errors(read, {*settings.reasons.texts, *users})


def _slots(settings: FraudSettings) -> int:
    """Slots of all crosses, a missing value counted as one more range."""
    sizes = {name: len(declaration.edges) + 2 for name, declaration in settings.bins.items()}
    return sum(prod(sizes.get(name, 1) for name in cross.of) for cross in settings.crosses.values())


def _limit_errors(settings: FraudSettings, broken: Broken) -> Iterator[Invalid]:
    yield from time_errors(settings.time, broken)
    policy, outcomes = settings.policy, settings.outcomes
    slots = _slots(settings)
    if slots > settings.model.slots_max:
        yield Invalid("", "model.slots_max", f"is {settings.model.slots_max}, but the crosses need {slots}")
    if not (broken.hides("policy", "review_at") or broken.hides("policy", "block_at")):
        yield from threshold_errors(policy)
    if outcomes.legitimate_after_days and outcomes.legitimate_after_days > outcomes.pending_days_max:
        yield Invalid(
            "",
            "outcomes.legitimate_after_days",
            f"must be at most pending_days_max ({outcomes.pending_days_max!r}), as payments wait no longer",
        )


def nothing_to_decide_with(settings: FraudSettings) -> Iterator[Invalid]:
    """Say where a fraud configuration would give every payment the same action."""
    policy = settings.policy
    if policy.lists or policy.rules:
        return
    hint = f'{EXTENDS} = "fraud" at the head of the file takes the shipped ones'
    if not settings.features:
        yield Invalid("", "features", f"there are none, and neither lists nor rules; {hint}")
    elif not settings.crosses and settings.model.name.startswith(_OVER_CROSSES):
        yield Invalid(
            "",
            "crosses",
            f"there are none, so that {settings.model.name} gives every payment the same score, and neither"
            f" lists nor rules; {hint}",
        )
