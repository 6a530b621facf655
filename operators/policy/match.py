"""Lists and rules compiled into one function, of which the first that applies decides."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from ...config.policy import PolicySettings
from ..events.contract import Payment
from .expression import PARAMETERS
from .lists import list_lines
from .rules import rule_lines
from .verdict import Decider, Verdict

__all__ = ["Match", "compile_match", "with_match"]

Match: TypeAlias = Callable[[Payment, Sequence[float]], Verdict | None]


def compile_match(
    policy: PolicySettings, contents: Mapping[str, Sequence[str]], features: Sequence[str]
) -> Match | None:
    """Return a function from payment and features to the verdict of a list or rule.

    None if there are neither.

    Parameters
    ----------
    policy
        Declares the lists, which come first, and the rules.
    contents
        Entries by the list's name; a list without content is empty.
    features
        Names of the features, in the order of their values.

    Raises
    ------
    ValueError
        If a rule's condition is not in the language.
    """
    names: dict[str, Any] = {"__builtins__": {}, "nan": math.nan}
    lines = list_lines(policy.lists, contents, names) + rule_lines(policy.rules, features, names)
    if not lines:
        return None
    source = "\n    ".join([f"def match({PARAMETERS}):", *lines, "return None"])
    exec(compile(source, "<policy>", "exec"), names)
    match: Match = names["match"]
    return match


def with_match(match: Match, then: Decider) -> Decider:
    """Decide by the list or rule that applies, else go on."""

    def decide(
        payment: Payment, values: Sequence[float], score: float, time_ms: int, overdue: bool
    ) -> Verdict:
        return match(payment, values) or then(payment, values, score, time_ms, overdue)

    return decide
