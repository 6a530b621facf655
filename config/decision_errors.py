"""What is wrong between the declarations of a flow of decisions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from headrace.errors import Invalid

from .base import did_you_mean
from .decision_flow import TABLES, DecisionFlowSettings, DecisionSettings, EstimateSettings, ScoreSettings
from .decision_policy import DECISION_TEXTS, PolicyScope
from .decision_policy_errors import action_errors, deadline_errors, policy_errors
from .decision_target import ELAPSED, TargetSettings
from .event_feature_errors import event_feature_errors
from .event_fields import DeclaredField, fields_of_type, known_types
from .expression import expression_errors
from .vocabulary import vocabulary_of

__all__ = ["Hides", "decision_flow_errors"]

_PARTY: Final = ("customer_id", "session_id")
_JOINED: Final = ("id", "text", "integer")
_TOLD: Final = ("number", "integer", "boolean")


class Hides(Protocol):
    """Tells what may be declared in a part that is misshapen."""

    def hides(self, section: str, name: str) -> bool:
        """Whether a name may be declared there."""


def decision_flow_errors(
    settings: DecisionFlowSettings, broken: Hides, read: Mapping[str, Any]
) -> Iterator[Invalid]:
    """Yield what is wrong between declarations that are each well-formed; `file` is left empty.

    Parameters
    ----------
    settings
        The flow's.
    broken
        Tells names in parts that are misshapen, of which nothing is said.
    read
        The settings as they were read: a policy is looked at also where parts of it are misshapen.
    """
    types = {name: fields_of_type(settings.events, name) for name in known_types(settings.events)}
    labelled = {
        name: each.on
        for name, each in settings.decisions.items()
        if isinstance(each, ScoreSettings) and each.target is not None
    }
    yield from event_feature_errors(settings, types, labelled, broken.hides)
    if not settings.decisions and not broken.hides("decisions", ""):
        yield Invalid("", "decisions", "there are none: declare what is decided, such as [decisions.eta]")
    declared = read.get("decisions")
    if TABLES in settings.decisions:
        yield Invalid("", f"decisions.{TABLES}", f"{TABLES} is what tables are called by; take another name")
    for name, decision in settings.decisions.items():
        table = declared.get(name) if isinstance(declared, Mapping) else None
        policy = table.get("policy", {}) if isinstance(table, Mapping) else {}
        yield from _Checker(settings, broken, name, decision).errors(policy)
    yield from deadline_errors(read)


class _Checker:
    """Goes through one decision."""

    def __init__(
        self, settings: DecisionFlowSettings, broken: Hides, name: str, decision: DecisionSettings
    ) -> None:
        self._settings, self._broken, self._decision = settings, broken, decision
        self._where = f"decisions.{name}"
        self._fields = fields_of_type(settings.events, decision.on)

    def errors(self, policy: Mapping[str, Any]) -> Iterator[Invalid]:
        """Yield all of them."""
        decision, settings = self._decision, self._settings
        yield from self._known(".on", "event type", decision.on, known_types(settings.events), "events")
        yield from self._party(decision.on)
        yield from action_errors(self._where, decision.actions, decision.censors)
        for each in decision.crosses or ():
            yield from self._known(".crosses", "cross", each, settings.crosses, "crosses")
        for each in decision.features or ():
            yield from self._known(".features", "feature", each, settings.features, "features")
        if decision.target is not None:
            yield from self._target(decision.target)
        scope = PolicyScope(
            kind=decision.kind,
            actions=decision.actions,
            features=tuple(settings.features),
            fields=self._fields,
            quantiles=decision.quantiles if isinstance(decision, EstimateSettings) else (),
        )
        texts = {*decision.reasons.texts, *DECISION_TEXTS}
        for invalid in policy_errors(
            f"{self._where}.policy",
            policy,
            scope,
            texts=texts,
            unsure=lambda name: self._broken.hides("features", name),
        ):
            key = invalid.key
            yield invalid._replace(key=f"{self._where}.{key}" if key.startswith("reasons.") else key)

    def _party(self, on: str) -> Iterator[Invalid]:
        """Say that an event could be about nobody, which each of several shards would decide then."""
        events = self._settings.events
        own = events[on].party if on in events else None
        names = (own,) if own else _PARTY
        known = on in known_types(events)
        if (
            self._settings.flow.shards > 1
            and known
            and not any(name in self._fields and self._fields[name].required for name in names)
        ):
            message = (
                f"with several shards each {on} must say whom it is about: {' or '.join(names)}, required"
            )
            yield self._invalid(".on", message)

    def _known(self, key: str, what: str, name: str, known: Iterable[str], section: str) -> Iterator[Invalid]:
        names = list(known)
        if name not in names and not self._broken.hides(section, name):
            yield self._invalid(key, f"there is no {what} {name}{did_you_mean(name, names)}")

    def _invalid(self, key: str, message: str) -> Invalid:
        return Invalid("", self._where + key, message)

    # -- targets

    def _target(self, target: TargetSettings) -> Iterator[Invalid]:
        known = known_types(self._settings.events)
        yield from self._known(".target.on", "event type", target.on, known, "events")
        if target.on not in known:
            return
        fields = fields_of_type(self._settings.events, target.on)
        for telling, asking in target.join.items():
            yield from self._field(f".target.join.{telling}", target.on, telling, fields, _JOINED)
            yield from self._field(
                f".target.join.{telling}", self._decision.on, asking, self._fields, _JOINED
            )
        if target.when is not None:
            for message in expression_errors(target.when, (), lambda _name: False, vocabulary_of(fields)):
                yield self._invalid(".target.when", message)
        yield from self._value(target, fields)
        yield from self._otherwise(target)

    def _field(
        self, key: str, of: str, name: str, fields: Mapping[str, DeclaredField], types: tuple[str, ...]
    ) -> Iterator[Invalid]:
        field = fields.get(name)
        if field is None:
            yield self._invalid(key, f"{of} has no field {name}{did_you_mean(name, list(fields))}")
        elif field.type not in types:
            wanted = " or ".join(types)
            yield self._invalid(key, f"must be of type {wanted}, but {name} of {of} is of type {field.type}")

    def _value(self, target: TargetSettings, fields: Mapping[str, DeclaredField]) -> Iterator[Invalid]:
        value, key = target.value, ".target.value"
        of_score = isinstance(self._decision, ScoreSettings)
        if not isinstance(value, str):
            if not math.isfinite(value) or (of_score and value not in {0.0, 1.0}):
                yield self._invalid(key, f"must be {'0 or 1' if of_score else 'finite'} (is {value!r})")
        elif value == ELAPSED:
            if of_score:
                yield self._invalid(key, "of a score it is 0 or 1; an elapsed time is for an estimate")
        else:
            found = list(self._field(key, target.on, value, fields, _TOLD))
            yield from found
            if not found and of_score and not _is_label(fields[value]):
                message = f"of a score it is 0 or 1: {value} must be boolean, or an integer from 0 to 1"
                yield self._invalid(key, message)

    def _otherwise(self, target: TargetSettings) -> Iterator[Invalid]:
        for key in ("otherwise", "provisional"):
            given = getattr(target, key)
            if given is not None and isinstance(self._decision, ScoreSettings) and given not in {0.0, 1.0}:
                yield self._invalid(f".target.{key}", f"of a score it is 0 or 1 (is {given!r})")
        if target.provisional is not None and not isinstance(self._decision, ScoreSettings):
            yield self._invalid(".target.provisional", "only a score can be learned before it is told")


def _is_label(field: DeclaredField) -> bool:
    """Whether a field can be 0 or 1 alone."""
    if field.type == "boolean":
        return True
    return field.type == "integer" and field.minimum == 0 and field.maximum == 1
