"""Hard rules, each a line of source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .expression import Names, source_of
from .verdict import Verdict, trace_of

__all__ = ["RuleLike", "rule_lines"]


class RuleLike(Protocol):
    """Settings of a rule."""

    @property
    def when(self) -> str:
        """The condition."""

    @property
    def action(self) -> str:
        """What an event that meets it gets."""

    @property
    def code(self) -> str:
        """Its reason code."""


def rule_lines(
    rules: Mapping[str, RuleLike], features: Sequence[str], scope: dict[str, Any], names: Names
) -> list[str]:
    """Lines that return the verdict of the first rule that applies.

    Parameters
    ----------
    rules
        In the order in which they are tried.
    features
        Names of the features, in the order of their values.
    scope
        Takes the globals of the lines, `rule0` and so on.
    names
        Names that conditions may use beside.

    Raises
    ------
    ValueError
        If a condition is not in the language.
    """
    lines = []
    for number, (name, rule) in enumerate(rules.items()):
        lines.append(f"if {source_of(rule.when, features, names)}: return rule{number}")
        scope[f"rule{number}"] = Verdict(
            rule.action, "rule", f"rule.{name}", (rule.code,), None, trace_of("rule", rule=name)
        )
    return lines
