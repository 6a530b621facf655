"""Hard rules, each a line of source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...config.policy import RuleSettings
from .expression import source_of
from .verdict import Verdict, trace_of

__all__ = ["rule_lines"]


def rule_lines(
    rules: Mapping[str, RuleSettings], features: Sequence[str], names: dict[str, Any]
) -> list[str]:
    """Lines that return the verdict of the first rule that applies.

    Parameters
    ----------
    rules
        In the order in which they are tried.
    features
        Names of the features, in the order of their values.
    names
        Takes the globals of the lines, `rule0` and so on.

    Raises
    ------
    ValueError
        If a condition is not in the language.
    """
    lines = []
    for number, (name, rule) in enumerate(rules.items()):
        lines.append(f"if {source_of(rule.when, features)}: return rule{number}")
        names[f"rule{number}"] = Verdict(
            rule.action, "rule", f"rule.{name}", (rule.code,), None, trace_of("rule", rule=name)
        )
    return lines
