"""Says of a line that is no event of a declared contract what was there, and what is known."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

import msgspec

from .decode import Undecodable
from .event_type import EventType, Field
from .nesting import nested_too_deep

__all__ = ["Refusals"]

SHOWN_CHARACTERS_MAX: Final = 80
KNOWN_SHOWN_MAX: Final = 20
_KEYS_LOOKED_AT_MAX: Final = 1000
_MEANT: Final = 0.7  # ios is not meant by windows
_CLOSE: Final = 0.75  # customer_id is not meant by order_id
_NOTHING: Final = object()
_PART: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_UNKNOWN_TYPE: Final = "unknown_type"
_MISSING: Final = "missing_field"


class Refusals:
    """Completes what the parser says.

    Parameters
    ----------
    types
        The contract's, by name.
    """

    def __init__(self, types: Mapping[str, EventType]) -> None:
        self._types = types

    def told(self, why: Undecodable, payload: bytes) -> Undecodable:
        """Add to a reason what stood in the line, and what might have."""
        if why.field is None:
            return why
        # Parsed anew: what the parser had read up to its error isn't given, and dead letters are few.
        line = _parsed(payload)
        if why.reason == _UNKNOWN_TYPE:
            return why._replace(message=f"{why.message}{self._of_type(line)}")
        event_type = self._types.get(_text(_at(line, "type")))
        if why.reason == _MISSING:
            return why._replace(message=f"{why.message}{_instead(line, why.field, event_type)}")
        found = _at(line, why.field)
        if found is _NOTHING:
            return why
        said = f" (is {_shown(found)})"
        field = _field_at(why.field, event_type)
        known = _meant(found, map(str, field.values)) if field is not None and field.values else ""
        return why._replace(message=f"{why.message}{said}{known}")

    def _of_type(self, line: Any) -> str:
        given = _at(line, "type")
        if given is _NOTHING:
            return _meant("", self._types)
        named = "" if isinstance(given, str) else f" (is {_shown(given)})"
        return named + _meant(given, self._types)


def _parsed(payload: bytes) -> Any:
    try:
        return _NOTHING if nested_too_deep(payload) else msgspec.json.decode(payload)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return _NOTHING


def _at(line: Any, path: str) -> Any:
    """Return what stands at a path as the parser names it: keys with dots, places of lists in brackets."""
    for key, place in _PART.findall(path):
        if key and isinstance(line, dict) and key in line:
            line = line[key]
        elif place and isinstance(line, list) and int(place) < len(line):
            line = line[int(place)]
        else:
            return _NOTHING
    return line


def _text(found: Any) -> str:
    return found if isinstance(found, str) else ""


def _shown(found: Any) -> str:
    """Return a value as JSON, cut where it is long."""
    text = msgspec.json.encode(found).decode()
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[: SHOWN_CHARACTERS_MAX - 1]}…"


def _field_at(path: str, event_type: EventType | None) -> Field | None:
    keys = tuple(key for key, _ in _PART.findall(path) if key)
    fields = () if event_type is None else event_type.fields.values()
    return next((field for field in fields if field.path == keys), None)


def _meant(given: Any, known: Iterable[str]) -> str:
    """Return the end of a message: the closest of what is known, and all of it."""
    names = list(known)
    close = (
        get_close_matches(given[:SHOWN_CHARACTERS_MAX], names, n=1, cutoff=_MEANT)
        if isinstance(given, str)
        else ()
    )
    some = ", ".join(names[:KNOWN_SHOWN_MAX])
    left = len(names) - KNOWN_SHOWN_MAX
    more = f" and {left} more" if left > 0 else ""
    return f"{f'; did you mean {close[0]}?' if close else ';'} known are {some}{more}"


def _instead(line: Any, path: str, event_type: EventType | None) -> str:
    """Return what stands in an object that lacks a field and is called much like it."""
    parent, _, name = path.rpartition(".")
    there = _at(line, parent)
    if not isinstance(there, dict) or event_type is None:
        return ""
    # What may stand beside the missing field, by the keys at the same depth.
    depth = len(parent.split(".")) if parent else 0
    known = {field.path[depth] for field in event_type.fields.values() if len(field.path) > depth}
    unknown = [key[:SHOWN_CHARACTERS_MAX] for key in list(there)[:_KEYS_LOOKED_AT_MAX] if key not in known]
    close = get_close_matches(name, unknown, n=1, cutoff=_CLOSE)
    return f"; there is {_shown(close[0])}, which is unknown" if close else ""
