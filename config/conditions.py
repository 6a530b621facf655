"""Conditions on features, as declarations and rules write them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BeforeValidator, Field, InstanceOf, PlainSerializer, Strict

__all__ = ["Condition", "Operator", "When"]

# ASCII alone, or \d would take the digits of all scripts.
_CONDITION: Final = re.compile(
    r"\s*([a-z][a-z0-9_]*)\s*(>=|<=|==|!=|>|<)\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*", re.ASCII
)
Operator = Literal[">", ">=", "<", "<=", "==", "!="]


class Condition(NamedTuple):
    """A comparison of a feature with a number, written `amount_ratio > 4`.

    Attributes
    ----------
    name
        The feature.
    op
        `>`, `>=`, `<`, `<=`, `==` or `!=`.
    number
        What it is compared with.
    """

    name: str
    op: Operator
    number: float

    def __str__(self) -> str:
        return f"{self.name} {self.op} {self.number!r}"


def _parse_condition(given: Any) -> Any:
    if isinstance(given, Condition):
        return given
    match = _CONDITION.fullmatch(given) if isinstance(given, str) else None
    if not match:
        raise ValueError(f"must be a feature, a comparison and a number, such as 'ratio > 4' (is {given!r})")
    return Condition(match[1], match[2], float(match[3]))  # type: ignore[arg-type]  # as the pattern says


When = Annotated[
    tuple[
        Annotated[InstanceOf[Condition], BeforeValidator(_parse_condition), PlainSerializer(str)],
        ...,
    ],
    Strict(strict=False),
    Field(max_length=8),
]
