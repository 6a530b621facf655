"""What is wrong between settings that are each well-formed, such as a name that nothing declares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any, Final

from headrace.errors import Invalid

from .base import did_you_mean
from .event_errors import event_errors
from .fraud_flow import FraudSettings, ModelSettings
from .kafka import kafka_errors
from .policy import code_errors, rule_errors, threshold_errors
from .recommend import NETWORK, RankerSettings
from .recommend_flow import RecommendSettings, recommend_errors
from .tables import RunSettings, TimeSettings

__all__ = ["Broken", "ModelErrors", "errors_of_models", "references", "validation_errors"]

_CLICK_KEYS: Final = ("session_id", "customer_id")
ModelErrors = Callable[[str, Mapping[str, object]], Iterable[tuple[str, str]]]


def errors_of_models(settings: RunSettings, model_errors: ModelErrors) -> list[Invalid]:
    """Find what is wrong with the models that settings name; `file` is left empty."""
    return [
        Invalid("", f"{table}.{key}", message)
        for table, model in _models(settings)
        for key, message in model_errors(model.name, model.parameters)
    ]


def _models(settings: RunSettings) -> Iterator[tuple[str, ModelSettings | RankerSettings]]:
    """Yield the tables that name a registered model."""
    if isinstance(settings, FraudSettings):
        yield "model", settings.model
    elif isinstance(settings, RecommendSettings) and settings.ranker.name != NETWORK:
        yield "ranker", settings.ranker


class Broken:
    """Names in declarations that are misshapen; they count as declared, for nothing more is known of them."""

    def __init__(self, places: Sequence[tuple[str, ...]] = ()) -> None:
        self._places = {place[:2] for place in places}

    def hides(self, section: str, name: str) -> bool:
        """Whether the name may be declared in a part that is misshapen."""
        return (section,) in self._places or (section, name) in self._places

    def hides_any(self, section: str) -> bool:
        """Whether anything of a section is misshapen."""
        return any(place[0] == section for place in self._places)


def validation_errors(settings: RunSettings) -> list[Invalid]:
    """Find what is wrong between settings that are each well-formed; `file` is left empty."""
    return list(references(settings, Broken()))


def references(
    settings: RunSettings, broken: Broken, read: Mapping[str, Any] | None = None
) -> Iterator[Invalid]:
    """Find validation errors between declarations; the policy's also in those that are misshapen."""
    if isinstance(settings, FraudSettings):
        yield from _fraud_errors(settings, broken, read)
    elif isinstance(settings, RecommendSettings):
        yield from _time_errors(settings.time, broken)
        yield from recommend_errors(settings)
    yield from event_errors(settings.events, lambda name: broken.hides("events", name))
    if not broken.hides_any("kafka"):
        yield from kafka_errors(settings.kafka)


def _fraud_errors(
    settings: FraudSettings, broken: Broken, read: Mapping[str, Any] | None
) -> Iterator[Invalid]:
    read = settings.model_dump(include={"policy"}) if read is None else read
    yield from _feature_errors(settings, broken)
    yield from _bin_errors(settings, broken)
    yield from _cross_errors(settings, broken)
    yield from rule_errors(read, settings.features, lambda name: broken.hides("features", name))
    yield from _text_errors(settings, broken, read)
    yield from _limit_errors(settings, broken)


def _unknown(key: str, what: str, name: str, known: Iterable[str]) -> Invalid:
    return Invalid("", key, f"there is no {what} {name}{did_you_mean(name, list(known))}")


def _feature_errors(settings: FraudSettings, broken: Broken) -> Iterator[Invalid]:
    # In the order of the file: a feature may only use earlier ones, so one pass computes all, and no cycle
    # can be written.
    before: set[str] = set()
    for name, declaration in settings.features.items():
        entity = getattr(declaration, "entity", None)
        if entity and entity not in settings.entities and not broken.hides("entities", entity):
            yield _unknown(f"features.{name}.entity", "entity", entity, settings.entities)
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
    return _unknown(path, "feature", referred, settings.features)


def _bin_errors(settings: FraudSettings, broken: Broken) -> Iterator[Invalid]:
    for name, declaration in settings.bins.items():
        if declaration.of not in settings.features and not broken.hides("features", declaration.of):
            yield _unknown(f"bins.{name}.of", "feature", declaration.of, settings.features)


def _cross_errors(settings: FraudSettings, broken: Broken) -> Iterator[Invalid]:
    for name, declaration in settings.crosses.items():
        for referred in declaration.of:
            if referred not in settings.bins and not broken.hides("bins", referred):
                yield _unknown(f"crosses.{name}.of", "bin", referred, settings.bins)
        if len(set(declaration.of)) < len(declaration.of):
            yield Invalid("", f"crosses.{name}.of", "names a bin twice")
        for condition in declaration.report_if:
            if condition.name not in settings.features and not broken.hides("features", condition.name):
                yield _unknown(f"crosses.{name}.report_if", "feature", condition.name, settings.features)


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


def _time_errors(time: TimeSettings, broken: Broken) -> Iterator[Invalid]:
    if any(broken.hides("time", key) for key in TimeSettings.model_fields):
        return
    if time.future_skew_hours_max > 24.0 * time.allowed_lateness_days:
        yield Invalid(
            "",
            "time.future_skew_hours_max",
            f"must be at most allowed_lateness_days ({24.0 * time.allowed_lateness_days!r} hours), so that no"
            f" step of one event makes the present late (is {time.future_skew_hours_max!r})",
        )
    if time.quorum_alone_events < time.quorum_min:
        yield Invalid(
            "",
            "time.quorum_alone_events",
            f"must be at least quorum_min ({time.quorum_min}), so that one sender is not"
            f" accepted sooner than several (is {time.quorum_alone_events})",
        )


def _limit_errors(settings: FraudSettings, broken: Broken) -> Iterator[Invalid]:
    yield from _time_errors(settings.time, broken)
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
