"""Conditions on an event's own fields, compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...config.vocabulary import FieldLike, vocabulary_of
from .compiled import function_of
from .expression import PARAMETERS, Names, source_of

__all__ = ["condition_of"]


def condition_of(text: str, fields: Mapping[str, FieldLike]) -> Callable[[Any], bool]:
    """Return what tells whether an event meets a condition.

    Parameters
    ----------
    text
        In which no validation error was found.
    fields
        Of the event's type, by name.

    Raises
    ------
    ValueError
        If it isn't in the language after all.
    """
    source = source_of(text, (), Names(vocabulary_of(fields)))
    met = function_of("met", PARAMETERS, [f"return {source}"], {})
    return lambda event: bool(met(event, ()))
