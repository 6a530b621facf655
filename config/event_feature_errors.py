"""What is wrong between declared entities, features, bins and crosses over the events of a contract."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from headrace.errors import Invalid

from .base import did_you_mean
from .durations import UNIT_MS
from .event_reading import KEYS, NUMBERS, EventField, cross_features, is_number, key_fields, readable_on

__all__ = ["CONDITIONS_MAX", "event_feature_errors"]

CONDITIONS_MAX: Final = 31
"""Different conditions of the features that targets feed, of the decisions on one event type."""
_CATEGORIES: Final = ("id", "text", "integer", "boolean")
_TEXTS: Final = ("id", "text")
_SAID_TYPES: Final = {"category": _CATEGORIES, "ngrams": _TEXTS, "lookup": _TEXTS, "distinct": _TEXTS}

Types = Mapping[str, Mapping[str, EventField]]


def event_feature_errors(
    settings: Any,
    types: Types,
    labelled: Mapping[str, str],
    hides: Callable[[str, str], bool] = lambda _section, _name: False,
) -> Iterator[Invalid]:
    """Yield what is wrong between declarations that are each well-formed; `file` is left empty.

    Parameters
    ----------
    settings
        With `entities`, `features`, `bins`, `crosses`, and perhaps `tables` and `decisions`.
    types
        Fields of each event type, by name.
    labelled
        For each decision whose target is 0 or 1, the event type that asks for it.
    hides
        Tells, by section and name, what may be declared in a part that is misshapen; nothing is said of it.
    """
    yield from _Checker(settings, types, labelled, hides).errors()


class _Checker:
    """Goes through the declarations in their order."""

    def __init__(
        self, settings: Any, types: Types, labelled: Mapping[str, str], hides: Callable[[str, str], bool]
    ) -> None:
        self._settings, self._types, self._labelled, self._hides = settings, types, labelled, hides
        self._readable = {
            name: set(readable_on(settings.features, settings.entities, name, fields))
            for name, fields in types.items()
        }
        self._before: list[str] = []

    def errors(self) -> Iterator[Invalid]:
        """Yield all of them."""
        for name, entity in self._settings.entities.items():
            yield from self._entity(f"entities.{name}.key", entity)
        for name, declaration in self._settings.features.items():
            yield from self._feature(f"features.{name}", declaration)
            # After its own errors are found: a feature may name those before it, not itself.
            self._before.append(name)
        yield from self._too_many_conditions()
        for name, declaration in self._settings.bins.items():
            yield from self._bin(f"bins.{name}.of", declaration.of)
        for name, cross in self._settings.crosses.items():
            yield from self._cross(f"crosses.{name}", cross)
        for name, decision in getattr(self._settings, "decisions", {}).items():
            yield from self._asked(f"decisions.{name}", decision)

    def _unknown(
        self, key: str, what: str, name: str, known: Iterable[str], section: str
    ) -> Iterator[Invalid]:
        names = list(known)
        if name not in names and not self._hides(section, name):
            yield Invalid("", key, f"there is no {what} {name}{did_you_mean(name, names)}")

    def _said_types(self, names: Collection[str]) -> list[str]:
        """Event types that have all of some fields."""
        return [of for of, fields in self._types.items() if all(name in fields for name in names)]

    # -- entities

    def _entity(self, key: str, entity: Any) -> Iterator[Invalid]:
        by_type = entity.keys_by_type
        if by_type is None:
            fields = entity.fields_of("")
            of = self._said_types(fields)
            if not of:
                yield from self._no_field(key, fields)
            by_type = dict.fromkeys(of, fields)
        for of, fields in by_type.items():
            if of not in self._types:
                yield from self._unknown(key, "event type", of, self._types, "events")
            else:
                for field in fields:
                    yield from self._field(key, of, field, KEYS)
        # An entity is one key whatever event names it, and keys of different lengths never equal each other.
        widths = {len(fields) for fields in by_type.values()}
        if len(widths) > 1:
            yield Invalid("", key, "must be of as many fields in each event type")

    def _no_field(self, key: str, names: Collection[str]) -> Iterator[Invalid]:
        known = sorted({field for fields in self._types.values() for field in fields})
        missing = [name for name in names if name not in known]
        for name in missing:
            yield Invalid("", key, f"no event type has a field {name}{did_you_mean(name, known)}")
        if not missing:
            yield Invalid("", key, f"no event type has all of {', '.join(names)}")

    def _field(self, key: str, of: str, name: str, wanted: Collection[str]) -> Iterator[Invalid]:
        """Yield what is wrong with a field of an event type that must be of one of some types."""
        fields = self._types[of]
        if name not in fields:
            yield Invalid("", key, f"{of} has no field {name}{did_you_mean(name, list(fields))}")
        elif fields[name].type not in wanted:
            said = f"{name} of {of} is of type {fields[name].type}"
            yield Invalid("", key, f"must be a field of type {' or '.join(wanted)}, but {said}")

    # -- features

    def _feature(self, key: str, declaration: Any) -> Iterator[Invalid]:
        settings, entity = self._settings, getattr(declaration, "entity", None)
        if entity is not None:
            yield from self._unknown(f"{key}.entity", "entity", entity, settings.entities, "entities")
        if hasattr(declaration, "decision"):
            yield from self._told(key, declaration)
        elif getattr(declaration, "on", None) is not None:
            yield from self._fed(key, declaration)
        else:
            yield from self._of_any(key, declaration)
        if declaration.kind == "lookup":
            tables = getattr(settings, "tables", {})
            yield from self._unknown(f"{key}.table", "table", declaration.table, tables, "tables")
        yield from self._window(key, declaration)

    def _window(self, key: str, declaration: Any) -> Iterator[Invalid]:
        entity = self._settings.entities.get(getattr(declaration, "entity", None))
        window_ms = declaration.window_ms
        if entity is not None and window_ms is not None and window_ms > entity.idle_days_max * UNIT_MS["d"]:
            limit = f"entities.{declaration.entity}.idle_days_max ({entity.idle_days_max!r})"
            message = f"must not be longer than {limit}, after which the entity is forgotten"
            yield Invalid("", f"{key}.window", message)

    def _told(self, key: str, declaration: Any) -> Iterator[Invalid]:
        """Yield what is wrong with a feature that a decision's target feeds."""
        decision = declaration.decision
        if decision not in self._labelled:
            known = "decision with a target of 0 or 1"
            yield from self._unknown(f"{key}.decision", known, decision, self._labelled, "decisions")
            return
        of = self._labelled[decision]
        if of in self._types:
            yield from self._names_entity(key, declaration.entity, of)
            for condition in declaration.conditions:
                yield from self._number(f"{key}.when", condition.name, of)

    def _fed(self, key: str, declaration: Any) -> Iterator[Invalid]:
        """Yield what is wrong with a feature that events feed."""
        of = declaration.on
        if of not in self._types:
            yield from self._unknown(f"{key}.on", "event type", of, self._types, "events")
            return
        yield from self._names_entity(key, declaration.entity, of)
        if declaration.kind == "distance":
            for name in declaration.at:
                yield from self._field(f"{key}.at", of, name, NUMBERS)
            return
        if declaration.kind == "distinct":
            yield from self._field(f"{key}.value", of, declaration.value, _SAID_TYPES["distinct"])
        elif getattr(declaration, "value", None) is not None:
            yield from self._number(f"{key}.value", declaration.value, of)
        for condition in declaration.conditions:
            yield from self._number(f"{key}.when", condition.name, of)

    def _names_entity(self, key: str, entity: str, of: str) -> Iterator[Invalid]:
        declared = self._settings.entities.get(entity)
        if declared is not None and not key_fields(declared, of, self._types[of]):
            named = ", ".join(declared.fields_of(of)) or "key"
            yield Invalid("", f"{key}.entity", f"{of} doesn't name the entity {entity}: it has no {named}")

    def _number(self, key: str, name: str, of: str) -> Iterator[Invalid]:
        """Yield what is wrong with a number that events of a type must have, as a field or a feature."""
        if name in self._settings.features:
            yield from self._declared_before(key, name)
            # Not declared before is said already, and what can't be read would only follow from it.
            if name in self._before and name not in self._readable[of]:
                yield Invalid("", key, f"{name} can't be read of {of}, which hasn't what it takes")
        elif self._hides("features", name):
            return
        elif name in self._types[of]:
            yield from self._field(key, of, name, NUMBERS)
        else:
            known = [*self._before, *(each for each in self._types[of] if is_number(self._types[of], each))]
            yield Invalid("", key, f"there is no feature or number of {of} {name}{did_you_mean(name, known)}")

    def _declared_before(self, key: str, name: str) -> Iterator[Invalid]:
        if name in self._before:
            return
        feature = key.split(".")[1]
        if name == feature:
            yield Invalid("", key, "a feature can't refer to itself")
        else:
            message = f"{name} must be declared before {feature}, as it is computed from it"
            yield Invalid("", key, message)

    def _of_any(self, key: str, declaration: Any) -> Iterator[Invalid]:
        """Yield what is wrong with a feature that looks at the event alone, of whatever type."""
        kind = declaration.kind
        if kind == "field":
            yield from self._somewhere(f"{key}.value", declaration.value, NUMBERS)
        elif kind in _SAID_TYPES:
            yield from self._somewhere(f"{key}.value", declaration.value, _SAID_TYPES[kind])
        elif kind == "distance":
            for part, names in (("at", declaration.at), ("to", declaration.to)):
                for name in names:
                    yield from self._somewhere(f"{key}.{part}", name, NUMBERS)
        elif kind == "ratio":
            for part in ("value", "over"):
                name = getattr(declaration, part)
                if name in self._settings.features:
                    yield from self._declared_before(f"{key}.{part}", name)
                elif not self._hides("features", name):
                    yield from self._somewhere(f"{key}.{part}", name, NUMBERS, "feature or ")

    def _somewhere(
        self, key: str, name: str, wanted: Collection[str], or_else: str = ""
    ) -> Iterator[Invalid]:
        """Yield an error where no event type has a field, or one has it of a type that won't do."""
        of = self._said_types([name])
        for each in of:
            yield from self._field(key, each, name, wanted)
        if not of and not self._hides("events", ""):
            known = sorted(
                {each for fields in self._types.values() for each in fields if fields[each].type in wanted}
            )
            known += self._before if or_else else []
            yield Invalid("", key, f"there is no {or_else}field {name}{did_you_mean(name, known)}")

    def _too_many_conditions(self) -> Iterator[Invalid]:
        of: dict[str, set[str]] = {}
        for name, declaration in self._settings.features.items():
            on = self._labelled.get(getattr(declaration, "decision", ""))
            conditions = " and ".join(map(str, declaration.conditions))
            if on is not None and conditions:
                of.setdefault(on, set()).add(conditions)
                # At the first one too many, so that one message comes, not one for each that follows.
                if len(of[on]) == CONDITIONS_MAX + 1:
                    message = f"decisions on {on} have more than {CONDITIONS_MAX} different conditions"
                    yield Invalid("", f"features.{name}.when", message)

    # -- bins and crosses

    def _kind(self, name: str) -> str:
        """Return what a feature is to a model: `number`, `category` or `several`."""
        declaration = self._settings.features[name]
        if declaration.kind == "ngrams":
            return "several"
        if declaration.kind == "lookup":
            table = getattr(self._settings, "tables", {}).get(declaration.table)
            return "number" if table is None or table.holds == "number" else "category"
        if declaration.kind == "last" and declaration.value in self._settings.features:
            return self._kind(declaration.value)
        return "category" if declaration.kind == "category" else "number"

    def _bin(self, key: str, of: str) -> Iterator[Invalid]:
        features = self._settings.features
        if of not in features:
            yield from self._unknown(key, "feature", of, features, "features")
        elif self._kind(of) != "number":
            yield Invalid("", key, f"{of} is a category, which needs no bin: name it in a cross")

    def _cross(self, key: str, cross: Any) -> Iterator[Invalid]:
        features, bins = self._settings.features, self._settings.bins
        known = [*bins, *(name for name in features if self._kind(name) != "number")]
        wrong = False
        for name in cross.of:
            found = list(self._unknown(f"{key}.of", "bin or category", name, known, "bins"))
            if found and name in features:
                found = [Invalid("", f"{key}.of", f"{name} is a number: it needs a bin")]
            yield from found
            # What is between names is only looked at where all of them are there: else one mistake would be
            # told twice.
            wrong = wrong or name not in known or (name in bins and bins[name].of not in features)
        if len(set(cross.of)) < len(cross.of):
            yield Invalid("", f"{key}.of", "names a bin twice")
        several = [name for name in cross.of if name in features and name not in bins and not wrong]
        if len(cross.of) > 1 and any(self._kind(name) == "several" for name in several):
            yield Invalid("", f"{key}.of", "a feature of several slots must stand alone")
        for condition in cross.report_if:
            yield from self._unknown(f"{key}.report_if", "feature", condition.name, features, "features")
        if not wrong:
            # Each feature by itself may be readable of some type: it takes one type of which all are.
            together = set(cross_features(cross, bins))
            if not any(together <= readable for readable in self._readable.values()):
                names = ", ".join(sorted(together))
                yield Invalid("", f"{key}.of", f"no event type can be read all of {names}")

    # -- decisions

    def _asked(self, key: str, decision: Any) -> Iterator[Invalid]:
        """Yield what a decision names that can't be read of the events that ask for it."""
        readable, crosses = self._readable.get(decision.on), self._settings.crosses
        if readable is None:
            return
        for name in decision.features or ():
            if name in self._settings.features and name not in readable:
                yield Invalid("", f"{key}.features", f"{name} can't be read of {decision.on}")
        for name in decision.crosses or ():
            if name in crosses:
                missing = sorted(set(cross_features(crosses[name], self._settings.bins)) - readable)
                known = [each for each in missing if each in self._settings.features]
                if known:
                    message = f"{name} can't be read of {decision.on}, as {known[0]} can't"
                    yield Invalid("", f"{key}.crosses", message)
