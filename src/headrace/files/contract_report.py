"""Holds a file against a flow's contract: what of it is unknown, what is missing, what a field can't have."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from headrace.config.events import NAME_PATTERN
from headrace.config.printable import printable
from headrace.config.tables import RunSettings
from headrace.files.lines import Lines
from headrace.operators.events.declared import Contract, EventType, contract_of
from headrace.operators.events.decode import Undecodable
from headrace.operators.events.timestamps import parse_time

__all__ = ["Decoded", "Fields"]

FIELDS_COUNTED_MAX: Final = 500
"""Unknown fields, and fields with wrong values, that are told apart; others are only counted."""
FIELDS_TOLD_MAX: Final = 30
KEYS_OF_A_LINE_MAX: Final = 500
DEPTH_MAX: Final = 4
EXAMPLES_MAX: Final = 3
SHOWN_CHARACTERS_MAX: Final = 60
EVENTS_SHOWN_MAX: Final = 3
EVENT_CHARACTERS_MAX: Final = 400
_NAMES: Final = {bool: "boolean", int: "integer", float: "number"}
_DECLARABLE: Final = ("text", "number", "integer", "boolean", "time", "ids")
_Path = tuple[str, ...]
_Key = tuple[str, str]  # a type and a path with dots


class Fields:
    """Which fields events have, beside what the contract knows."""

    def __init__(self, settings: RunSettings) -> None:
        self._types = contract_of(settings.events).types
        self._known = {name: _known(each) for name, each in self._types.items()}
        self._events: Counter[str] = Counter()
        self._unknown_types: Counter[str] = Counter()
        self._present: Counter[_Key] = Counter()
        self._unknown: dict[_Key, Counter[str]] = {}
        self._examples: dict[_Key, str] = {}
        self._wrong: dict[_Key, list[str]] = {}
        self._wrong_counts: Counter[_Key] = Counter()
        self._beyond = 0

    def take(self, lines: Lines) -> None:
        """Look at the next lines."""
        for payload, event in zip(lines.payloads, lines.events, strict=True):
            said = _object(payload, event)
            name = said.get("type")
            if not isinstance(name, str) or name not in self._types:
                self._take_type(name)
                continue
            self._events[name] += 1
            # A field whose value is null is as good as missing.
            present = {".".join(path): value for path, value in _leaves(said, ()) if value is not None}
            for path, value in present.items():
                self._take_field(name, path, value)
            if event.__class__ is Undecodable and event.field and event.reason == "invalid_field":
                self._take_wrong(name, event.field, _at(said, event.field))

    def _take_type(self, name: Any) -> None:
        if isinstance(name, str):
            if name in self._unknown_types or len(self._unknown_types) < FIELDS_COUNTED_MAX:
                self._unknown_types[name] += 1
            else:
                self._beyond += 1

    def _take_field(self, name: str, path: str, value: Any) -> None:
        key = name, path
        known = self._known[name]
        if path in known or path.split(".", 1)[0] in known:
            self._present[key] += 1
        elif key in self._unknown or len(self._unknown) < FIELDS_COUNTED_MAX:
            self._unknown.setdefault(key, Counter())[_type_of(value)] += 1
            self._examples.setdefault(key, _shown(value))
        else:
            self._beyond += 1

    def _take_wrong(self, name: str, field: str, value: Any) -> None:
        key = name, field.partition("[")[0]  # the elements of a list together
        if key not in self._wrong and len(self._wrong) >= FIELDS_COUNTED_MAX:
            self._beyond += 1
            return
        examples = self._wrong.setdefault(key, [])
        self._wrong_counts[key] += 1
        if len(examples) < EXAMPLES_MAX and _shown(value) not in examples:
            examples.append(_shown(value))

    def told(self) -> Iterator[tuple[str, str]]:
        """Say what is unknown, missing and wrong, a line for each field."""
        for name, count in self._unknown_types.most_common(FIELDS_TOLD_MAX):
            yield "unknown", f"type {printable(name)[:SHOWN_CHARACTERS_MAX]}: {count:,}"
        for (name, path), types in _most(self._unknown, lambda types: types.total()):
            of = f"{types.total():,} of {self._events[name]:,}"
            kinds = ", ".join(kind for kind, _ in types.most_common())
            yield "unknown", f"{_said(name, path)}: {of}, {kinds}, such as {self._examples[name, path]}"
        yield from self._declarations()
        yield from self._missing()
        for (name, path), examples in _most(self._wrong, lambda _: 0):
            count = self._wrong_counts[name, path]
            yield "wrong", f"{_said(name, path)}: {count:,}, such as {', '.join(examples)}"
        if self._beyond:
            yield "", f"and {self._beyond:,} times a field beyond the first {FIELDS_COUNTED_MAX}"

    def _declarations(self) -> Iterator[tuple[str, str]]:
        """Say how unknown fields would be declared, as a file would have it."""
        by_type: dict[str, list[str]] = {}
        for (name, path), types in self._unknown.items():
            kind = _declared_type(types)
            if kind is not None:
                by_type.setdefault(name, []).append(_declaration(path, kind))
        for name, declared in by_type.items():
            if declared := [each for each in declared if each]:
                yield "to declare", f"[events.{name}.fields]"
                yield from (("", each) for each in declared[:FIELDS_TOLD_MAX])

    def _missing(self) -> Iterator[tuple[str, str]]:
        for name, total in self._events.items():
            fields = self._types[name].fields.values()
            counts = {
                ".".join(field.path): total - self._present[name, ".".join(field.path)]
                for field in fields
                if field.type != "ids" or name != "order"
            }
            never = [path for path, missing in counts.items() if missing == total]
            partly = [
                f"{path} in {missing:,} of {total:,}"
                for path, missing in counts.items()
                if 0 < missing < total
            ]
            if never or partly:
                said = [*([f"{', '.join(never)} in all {total:,}"] if never else []), *partly]
                yield "missing", f"{name}: {'; '.join(said)}"


class Decoded:
    """The first events as the flow has them, of different types where there are some."""

    def __init__(self, settings: RunSettings) -> None:
        self._contract = contract_of(settings.events)
        self._first: dict[str, Any] = {}
        self._others: list[Any] = []

    def take(self, lines: Lines) -> None:
        """Look at the next lines."""
        if len(self._first) >= EVENTS_SHOWN_MAX:
            return
        for event in lines.events:
            if event.__class__ is Undecodable:
                continue
            name = self._contract.by_class[event.__class__].name
            if name not in self._first:
                self._first[name] = event
            elif len(self._others) < EVENTS_SHOWN_MAX:
                self._others.append(event)

    def told(self) -> Iterator[tuple[str, str]]:
        """Show them."""
        for event in [*self._first.values(), *self._others][:EVENTS_SHOWN_MAX]:
            yield "decoded", _event_shown(self._contract, event)


def _known(event_type: EventType) -> set[str]:
    """Paths of known fields; of a built-in type also what stands in them."""
    paths = {".".join(field.path) for field in event_type.fields.values()}
    return paths | {"type", "version"} | ({"items"} if event_type.name == "order" else set())


def _object(payload: bytes, event: Any) -> Mapping[str, Any]:
    # What can't be parsed has no fields, and why it can't is told by its reason.
    if event.__class__ is Undecodable and event.field is None:
        return {}
    try:
        said = orjson.loads(payload)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _leaves(said: Mapping[str, Any], above: _Path) -> Iterator[tuple[_Path, Any]]:
    """Yield values with the keys under which they stand, and objects that stand too deep as values."""
    for name, value in list(said.items())[:KEYS_OF_A_LINE_MAX]:
        # A key with a dot in it can't be a path's; quotes tell it from two keys.
        key = f'"{name}"' if "." in name else name
        if isinstance(value, dict) and value and len(above) < DEPTH_MAX - 1:
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key), value


def _at(said: Any, field: str) -> Any:
    for key in field.partition("[")[0].split("."):
        said = said.get(key) if isinstance(said, dict) else None
    return said


def _type_of(value: Any) -> str:
    """Return the type that a field with the value would be declared with, or what else it is."""
    if isinstance(value, str):
        return "time" if _is_time(value) else "text"
    if isinstance(value, list):
        return "ids" if value and all(isinstance(each, str) and each for each in value) else "list"
    return _NAMES.get(value.__class__, "object")


def _is_time(text: str) -> bool:
    try:
        parse_time(text)
    except ValueError:
        return False
    return True


def _declared_type(types: Counter[str]) -> str | None:
    """Return the type that fits all values; None where there is none."""
    seen = set(types)
    if seen == {"integer", "number"}:
        return "number"
    if seen <= {"text", "time"} and len(seen) > 1:
        return "text"
    (only, *others) = seen
    return only if not others and only in _DECLARABLE else None


def _declaration(path: str, kind: str) -> str:
    """Return a line that declares a field; empty where its keys can't be a path."""
    name = re.sub(r"[^a-z0-9_]+", "_", path.lower()).strip("_")
    if not re.match(NAME_PATTERN, name) or not path.isprintable() or any(each in path for each in '\\"`'):
        return ""
    where = "" if name == path else f', path = "{path}"'
    return f'{name} = {{ type = "{kind}"{where} }}'


def _said(name: str, path: str) -> str:
    return f"{name}.{printable(path)[:SHOWN_CHARACTERS_MAX]}"


def _shown(value: Any) -> str:
    text = printable(orjson.dumps(value).decode())
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[: SHOWN_CHARACTERS_MAX - 1]}…"


def _event_shown(contract: Contract, event: Any) -> str:
    """Return an event's fields as the flow has them, without those that are missing."""
    event_type = contract.by_class[event.__class__]
    values = {name: getattr(event, name) for name in event_type.fields}
    text = ", ".join(f"{name} {_shown(value)}" for name, value in values.items() if value is not None)
    shown = f"{event_type.name}: {text}"
    return shown if len(shown) <= EVENT_CHARACTERS_MAX else f"{shown[: EVENT_CHARACTERS_MAX - 1]}…"


def _most(found: Mapping[_Key, Any], count: Any) -> Sequence[tuple[_Key, Any]]:
    """Return the fields that are seen most, as many as are told."""
    return sorted(found.items(), key=lambda each: -count(each[1]))[:FIELDS_TOLD_MAX]
