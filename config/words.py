"""Says what is wrong with a value of a configuration, in words for whoever edits the file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .base import did_you_mean

__all__ = ["message_of", "shown"]

_SHOWN_CHARS_MAX: Final = 80
_NAME: Final = "a name is lower-case letters, digits and underscores, at most 64, the first a letter"
_TABLE: Final = "must be a table"
_PLAIN: Final = {
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "int_from_float": "must be an integer",
    "int_parsing": "must be an integer",
    "int_parsing_size": "must be an integer of less than 20 digits",
    "int_type": "must be an integer",
    "list_type": "must be a list, in square brackets",
    "string_type": "must be a text, in quotes",
    "string_unicode": "must be a text in UTF-8",
    "tuple_type": "must be a list, in square brackets",
    "dict_type": _TABLE,
    "model_attributes_type": _TABLE,
    "model_type": _TABLE,
}
"""For types of errors that pydantic has."""


def message_of(
    error: Mapping[str, Any], known: Sequence[str], kinds: Sequence[str], patterns: Mapping[str, str]
) -> str:
    """Return what a person is told of one of pydantic's errors.

    Parameters
    ----------
    error
        As `ValidationError.errors` gives it.
    known
        Keys that the table may have in which it is.
    kinds
        Kinds of features.
    patterns
        What the patterns for texts mean.
    """
    given, context, last = error.get("input"), error.get("ctx", {}), str(error["loc"][-1])
    of_type = str(error["type"])
    if last == "[key]":
        return _NAME
    ours = {
        "missing": "is required",
        "extra_forbidden": f"unknown key{did_you_mean(last, known)}",
        "union_tag_not_found": f"is required; kinds are {', '.join(kinds)}",
        "union_tag_invalid": f"no such kind of feature{did_you_mean(str(context.get('tag')), kinds)}",
        "value_error": str(context.get("error")),
    }
    if of_type in ours:
        return ours[of_type]
    if of_type in {"too_short", "too_long"}:
        return _count(of_type, context)
    if of_type == "string_pattern_mismatch" and context.get("pattern") in patterns:
        return f"must be {patterns[context['pattern']]}{_is(given)}"
    return f"{_PLAIN.get(of_type) or _pydantics(error)}{_is(given)}"


def shown(value: Any) -> str:
    """Return a value as a file would have it, cut where it is long."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    if type(value).__module__ == "datetime":
        text = str(value)
    return text if len(text) <= _SHOWN_CHARS_MAX else f"{text[: _SHOWN_CHARS_MAX - 1]}…"


def _is(given: Any) -> str:
    return "" if isinstance(given, dict | list) else f" (is {shown(given)})"


def _count(of_type: str, context: Mapping[str, Any]) -> str:
    limit = context["min_length" if of_type == "too_short" else "max_length"]
    entries = "entry" if limit == 1 else "entries"
    has = context.get("actual_length")
    return f"must have at {'least' if of_type == 'too_short' else 'most'} {limit} {entries}" + (
        "" if has is None else f" (has {has})"
    )


def _pydantics(error: Mapping[str, Any]) -> str:
    """Its own words, where they say what is to be done: `must be greater than 0`, `must be 'a' or 'b'`."""
    return re.sub(r"^\w+ should", "must", str(error["msg"]))
