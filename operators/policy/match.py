"""Lists and rules compiled into one function, of which the first that applies decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from .compiled import function_of
from .expression import PARAMETERS, Names
from .lists import ListLike, list_lines
from .rules import RuleLike, rule_lines
from .verdict import Decider, Verdict

__all__ = ["Match", "compile_match", "with_match"]

Match: TypeAlias = Callable[[Any, Sequence[float], Any], Verdict | None]


def compile_match(
    lists: Mapping[str, ListLike],
    rules: Mapping[str, RuleLike],
    contents: Mapping[str, Sequence[str]],
    features: Sequence[str],
    names: Names = Names(),  # noqa: B008 - it can't be changed
) -> Match | None:
    """Return a function from event, features and what the model says to the verdict of a list or rule.

    None if there are neither.

    Parameters
    ----------
    lists, rules
        In the order in which they are tried, lists first.
    contents
        Entries by the list's name; a list without content is empty.
    features
        Names of the features, in the order of their values.
    names
        Names that the rules may use beside.

    Raises
    ------
    ValueError
        If a rule's condition is not in the language.
    """
    scope: dict[str, Any] = {}
    lines = list_lines(lists, contents, scope, names.vocabulary.id_lists) + rule_lines(
        rules, features, scope, names
    )
    return function_of("match", PARAMETERS, [*lines, "return None"], scope) if lines else None


def with_match(match: Match, then: Decider) -> Decider:
    """Decide by the list or rule that applies, else go on."""

    def decide(event: Any, values: Sequence[float], score: Any, time_ms: int, overdue: bool) -> Verdict:
        return match(event, values, score) or then(event, values, score, time_ms, overdue)

    return decide
