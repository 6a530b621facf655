"""What a change of a flow means for those who send it events, and for those who read its decisions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple

import orjson

from .event_type import EventType, Field

__all__ = ["CONSUMERS", "SENDERS", "Change", "of_decisions", "of_events", "of_reasons"]

CONSUMERS: Final = "consumers"
SENDERS: Final = "senders"
_SHOWN_CHARACTERS_MAX: Final = 120
_NOT_COMPARED: Final = ("description", "title", "default", "$comment", "$schema")
_Schema = Mapping[str, Any]


class Change(NamedTuple):
    """One difference.

    Attributes
    ----------
    breaks
        Whether it breaks what somebody may rely on.
    whom
        Whom it is about: consumers of decisions, or senders of events.
    what
        The difference, for a person.
    """

    breaks: bool
    whom: str
    what: str


# -- decisions


def of_decisions(before: Mapping[str, _Schema], now: Mapping[str, _Schema]) -> Iterator[Change]:
    """Yield differences of decisions, given their schemas by name."""
    for name in before.keys() - now.keys():
        yield Change(True, CONSUMERS, f"decision {name}: is no longer made")
    # Who reads the topic meets it beside those that it knows, under a `kind` of its own.
    for name in now.keys() - before.keys():
        yield Change(False, CONSUMERS, f"decision {name}: is new on the topic of decisions")
    for name in before.keys() & now.keys():
        yield from _of_decision(f"decision {name}", before[name], now[name])


def _of_decision(named: str, before: _Schema, now: _Schema) -> Iterator[Change]:
    fields, required = now["properties"], set(now["required"])
    for field, was in before["properties"].items():
        if field not in fields:
            yield Change(True, CONSUMERS, f"{named}: {field} is gone")
            continue
        if field in before["required"] and field not in required:
            yield Change(True, CONSUMERS, f"{named}: {field} may be missing")
        yield from _of_values(f"{named}: {field}", was, fields[field])
    for field in fields.keys() - before["properties"].keys():
        yield Change(False, CONSUMERS, f"{named}: {field} is new")


def _of_values(named: str, was: _Schema, is_now: _Schema) -> Iterator[Change]:
    before, now = _form(was), _form(is_now)
    if before == now:
        return
    # Of an enumeration a reader has a case for each value: one that is new meets none, one less is no harm.
    if before.keys() == now.keys() == {"enum"}:
        for value in [each for each in now["enum"] if each not in before["enum"]]:
            yield Change(True, CONSUMERS, f"{named} may be {value}, which was not among its values")
        for value in [each for each in before["enum"] if each not in now["enum"]]:
            yield Change(False, CONSUMERS, f"{named} is no longer {value}")
        return
    yield Change(True, CONSUMERS, f"{named} has another form: {_shown(before)} → {_shown(now)}")


def _form(schema: Any) -> Any:
    """Return what a schema says of values, without words about them."""
    if isinstance(schema, Mapping):
        return {key: _form(value) for key, value in sorted(schema.items()) if key not in _NOT_COMPARED}
    return [_form(each) for each in schema] if isinstance(schema, list) else schema


def _shown(form: Any) -> str:
    text = orjson.dumps(form).decode()
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else f"{text[: _SHOWN_CHARACTERS_MAX - 1]}…"


def of_reasons(before: Collection[str], now: Collection[str]) -> Iterator[Change]:
    """Yield differences of reason codes."""
    for code in sorted({*before} - {*now}):
        yield Change(True, CONSUMERS, f"reason {code}: is no longer given")
    for code in sorted({*now} - {*before}):
        yield Change(False, CONSUMERS, f"reason {code}: is new")


# -- events


def of_events(before: Mapping[str, EventType], now: Mapping[str, EventType]) -> Iterator[Change]:
    """Yield differences of contracts, as far as they matter to who sends events."""
    for name in sorted(before.keys() - now.keys()):
        yield Change(True, SENDERS, f"event {name}: is no longer known, and goes to the dead letters")
    for name in sorted(now.keys() - before.keys()):
        yield Change(False, SENDERS, f"event {name}: is new")
    for name in sorted(before.keys() & now.keys()):
        yield from _of_event(f"event {name}", before[name].fields, now[name].fields)


def _of_event(named: str, before: Mapping[str, Field], now: Mapping[str, Field]) -> Iterator[Change]:
    # Senders know of paths only; what a field is called in the flow's file is nothing to them.
    was = {field.path: field for field in before.values()}
    is_now = {field.path: field for field in now.values()}
    for path in sorted({*was, *is_now}):
        at = f"{named}: {'.'.join(path)}"
        if path not in is_now:
            yield Change(False, SENDERS, f"{at} is no longer read")
        elif path in was:
            yield from _of_field(at, was[path], is_now[path])
        else:
            field = is_now[path]
            word = (
                "is required"
                if field.required
                else f"is read now, as {field.type}: what isn't one is a dead letter"
            )
            yield Change(field.required, SENDERS, f"{at} {word}")


def _of_field(at: str, was: Field, is_now: Field) -> Iterator[Change]:
    if was.type != is_now.type and (was.type, is_now.type) != ("integer", "number"):
        yield Change(True, SENDERS, f"{at} must be {is_now.type} (was {was.type})")
        return
    if was.required != is_now.required:
        word = "is required" if is_now.required else "may be missing"
        yield Change(is_now.required, SENDERS, f"{at} {word}")
    for value in [each for each in was.values if is_now.values and each not in is_now.values]:
        yield Change(True, SENDERS, f"{at} may no longer be {value}")
    if is_now.values and not was.values:
        yield Change(True, SENDERS, f"{at} must be one of {', '.join(map(str, is_now.values))}")
    if is_now.pattern not in (None, was.pattern):
        yield Change(True, SENDERS, f"{at} must match {is_now.pattern}")
    yield from _of_limits(at, was, is_now)


def _of_limits(at: str, was: Field, is_now: Field) -> Iterator[Change]:
    # A limit that wasn't there is that of the type, so that both are numbers wherever one is.
    if is_now.values:
        return
    for word, before, now, narrower in (
        ("least", was.minimum, is_now.minimum, (is_now.minimum or 0) > (was.minimum or 0)),
        ("most", was.maximum, is_now.maximum, (is_now.maximum or 0) < (was.maximum or 0)),
    ):
        if before is not None and now is not None and narrower:
            yield Change(True, SENDERS, f"{at} must be at {word} {now:g} (was {before:g})")
