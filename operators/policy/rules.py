"""Hard rules, compiled into one function."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from headrace.config.policy import RuleSettings
from headrace.operators.events import Payment
from headrace.operators.policy.expression import PARAMETERS, source_of
from headrace.operators.policy.verdict import Decider, Verdict, trace_of

__all__ = ["Match", "compile_rules", "with_rules"]

Match: TypeAlias = Callable[[Payment, tuple[float, ...]], Verdict | None]


def compile_rules(rules: Mapping[str, RuleSettings], features: Sequence[str]) -> Match:
    """A function that gives the verdict of the first rule that applies, or None.

    Parameters
    ----------
    rules
        In the order in which they are tried.
    features
        Names of the features, in the order of their values.

    Raises
    ------
    ValueError
        If a rule's condition is not in the language.
    """
    names: dict[str, Any] = {"__builtins__": {}, "nan": math.nan}
    lines = [f"def match({PARAMETERS}):"]
    for number, (name, rule) in enumerate(rules.items()):
        lines += [f"    if {source_of(rule.when, features)}:", f"        return r{number}"]
        names[f"r{number}"] = Verdict(
            rule.action, "rule", f"rule.{name}", (rule.code,), None, trace_of("rule", rule=name)
        )
    exec(compile("\n".join([*lines, "    return None"]), "<rules>", "exec"), names)
    match: Match = names["match"]
    return match


def with_rules(match: Match, then: Decider) -> Decider:
    """Decide by the first rule that applies, else go on."""

    def decide(
        payment: Payment, values: tuple[float, ...], score: float, time_ms: int, overdue: bool
    ) -> Verdict:
        return match(payment, values) or then(payment, values, score, time_ms, overdue)

    return decide
