"""What is wrong between the parts of a decision's policy, and what the decision declares."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from headrace.errors import Invalid

from .base import did_you_mean
from .decision_policy import DECISION_TEXTS, PolicyScope
from .expression import expression_errors

__all__ = ["action_errors", "deadline_errors", "policy_errors"]

_WHEN_CHARS_MAX: Final = 2000
_BY_SCORE: Final = ("thresholds", "cost", "ladder")
_KEY_TYPES: Final = ("id", "text")


def action_errors(where: str, actions: Sequence[str], censors: Iterable[str]) -> Iterator[Invalid]:
    """Yield what is wrong with a decision's actions.

    Parameters
    ----------
    where
        The decision's table, such as `decisions.fraud`.
    actions
        In their order.
    censors
        Those that hide the outcome.
    """
    if len(set(actions)) < len(actions):
        yield Invalid("", f"{where}.actions", "names an action twice")
    for name in censors:
        if name not in actions:
            yield Invalid("", f"{where}.censors", f"there is no action {name}{did_you_mean(name, actions)}")


def deadline_errors(read: Mapping[str, Any]) -> Iterator[Invalid]:
    """Yield decisions, of settings as they were read, whose deadline is not that of the first.

    An input is overdue or not, for all that is decided on it.
    """
    first: tuple[str, int] | None = None
    for name, decision in _tables(read.get("decisions")):
        wait = _table(_table(decision, "policy"), "deadline").get("wait_ms_max")
        if not isinstance(wait, int):
            continue
        if first is not None and wait != first[1]:
            message = f"must be that of {first[0]} ({first[1]}), as a flow has one deadline (is {wait})"
            yield Invalid("", f"decisions.{name}.policy.deadline.wait_ms_max", message)
        first = first or (name, wait)


def policy_errors(
    where: str,
    policy: Mapping[str, Any],
    scope: PolicyScope,
    *,
    texts: Collection[str] | None = None,
    unsure: Callable[[str], bool] = lambda _name: False,
) -> Iterator[Invalid]:
    """Yield what is wrong with a policy whose parts are each well-formed, or are left out.

    Parameters
    ----------
    where
        Its table, such as `decisions.fraud.policy`.
    policy
        The table as it was read: what has not the right shape is passed over, as that is told already.
    scope
        What it may speak of. Without actions nothing is said of them.
    texts
        Reason codes that have a text; None if that isn't known.
    unsure
        Tells names that may be features or fields, but whose declarations can't be read.
    """
    # Raw tables, and not settings, so that a mistake in one rule hides none in another.
    checker = _Checker(where, policy, scope, unsure)
    yield from checker.forms()
    yield from checker.thresholds()
    yield from checker.cost()
    yield from checker.capacity()
    yield from checker.fallbacks()
    yield from checker.lists()
    yield from checker.rules()
    if texts is not None:
        yield from checker.codes(texts)


class _Checker:
    """Goes through the parts of one policy."""

    def __init__(
        self, where: str, policy: Mapping[str, Any], scope: PolicyScope, unsure: Callable[[str], bool]
    ) -> None:
        self._where, self._policy, self._scope, self._unsure = where, policy, scope, unsure
        self._vocabulary = scope.vocabulary

    def forms(self) -> Iterator[Invalid]:
        """Keys that don't go with the decision's kind, or with each other."""
        # Two of them would leave one without an effect, which nobody notices before it costs money.
        given = [key for key in _BY_SCORE if self._policy.get(key)]
        if self._scope.kind == "estimate":
            for key in (*given, *(key for key in ("raise_at_most",) if self._has(key))):
                yield self._invalid(key, "an estimate has no score; rules can look at promise")
            if self._has("promise"):
                yield from self._level(self._policy["promise"], "promise")
        else:
            for key in given[1:]:
                yield self._invalid(key, f"can't stand beside {given[0]}: both say what a score leads to")
            if self._has("raise_at_most") and not self._policy.get("ladder"):
                yield self._invalid("raise_at_most", "needs a ladder, whose limits are raised")
            if self._has("promise"):
                yield self._invalid("promise", "only an estimate promises something")
            if self._policy.get("ladder") and len(self._scope.actions) == 1:
                yield self._invalid(
                    "ladder", "needs two actions: the first for a limit above 0, the last for 0"
                )

    def thresholds(self) -> Iterator[Invalid]:
        """Actions and order of the thresholds."""
        actions = self._scope.actions
        thresholds = _table(self._policy, "thresholds")
        for name in thresholds:
            yield from self._action(name, f"thresholds.{name}")
            if actions and name == actions[0]:
                yield self._invalid(
                    f"thresholds.{name}", "the first action is what is done below all thresholds"
                )
        before: tuple[str, float] | None = None
        for name in actions[1:]:
            bound = thresholds.get(name)
            if isinstance(bound, bool) or not isinstance(bound, int | float):
                continue
            if before is not None and bound < before[1]:
                message = f"must be at least that of {before[0]} ({before[1]!r}; is {bound!r})"
                yield self._invalid(f"thresholds.{name}", message)
            before = name, bound

    def cost(self) -> Iterator[Invalid]:
        """Names in the table of costs."""
        cost = _table(self._policy, "cost")
        of, numbers = cost.get("of"), (*self._scope.features, *self._vocabulary.numbers)
        if isinstance(of, str) and of not in numbers and not self._unsure(of):
            yield self._invalid("cost.of", f"there is no number {of}{did_you_mean(of, numbers)}")
        for name, _ in _tables(cost.get("actions")):
            yield from self._action(name, f"cost.actions.{name}")

    def capacity(self) -> Iterator[Invalid]:
        """Actions of capacities, and whether what is done otherwise comes to an end."""
        otherwise = {}
        for name, table in _tables(self._policy.get("capacity")):
            yield from self._action(name, f"capacity.{name}")
            other = table.get("otherwise")
            if isinstance(other, str):
                otherwise[name] = other
                yield from self._action(other, f"capacity.{name}.otherwise")
        for name in otherwise:
            # Each member of a circle finds it; the first that is declared tells.
            circle = _circle(name, otherwise)
            if circle and name == min(circle, key=[*otherwise].index):
                way = " → ".join((*circle, name))
                yield self._invalid(f"capacity.{name}.otherwise", f"leads back to {name}: {way}")

    def fallbacks(self) -> Iterator[Invalid]:
        """Actions that are taken without a look at the event."""
        for key in ("deadline", "kill_switch"):
            yield from self._action(_table(self._policy, key).get("action"), f"{key}.action")
        yield from self._action(self._policy.get("fallback"), "fallback")

    def lists(self) -> Iterator[Invalid]:
        """Actions and keys of lists."""
        for name, table in _tables(self._policy.get("lists")):
            yield from self._consequence(table, f"lists.{name}")
            key = table.get("key")
            fields = [key] if isinstance(key, str) else key if isinstance(key, list | tuple) else []
            yield from self._key([each for each in fields if isinstance(each, str)], f"lists.{name}.key")

    def rules(self) -> Iterator[Invalid]:
        """Actions and conditions of rules."""
        for name, table in _tables(self._policy.get("rules")):
            when = table.get("when")
            if isinstance(when, str) and 0 < len(when) <= _WHEN_CHARS_MAX:
                for message in expression_errors(when, self._scope.features, self._unsure, self._vocabulary):
                    yield self._invalid(f"rules.{name}.when", message)
            yield from self._consequence(table, f"rules.{name}")

    def codes(self, texts: Collection[str]) -> Iterator[Invalid]:
        """Reason codes of lists and rules that have no text."""
        missing: dict[str, str] = {}
        for kind in ("lists", "rules"):
            for name, table in _tables(self._policy.get(kind)):
                code = table.get("code")
                if isinstance(code, str) and code not in texts and code not in DECISION_TEXTS:
                    missing.setdefault(code, f"{self._where}.{kind}.{name}")
        for code, user in missing.items():
            yield Invalid("", f"reasons.texts.{code}", f"is required, as {user} uses it")

    # -- parts of these

    def _consequence(self, table: Mapping[str, Any], key: str) -> Iterator[Invalid]:
        """Yield what is wrong with what a list or rule leads to."""
        action, limit = table.get("action"), table.get("limit")
        yield from self._action(action, f"{key}.action")
        if limit is not None and not self._policy.get("ladder"):
            yield self._invalid(f"{key}.limit", "needs a ladder")
        elif limit is not None and self._scope.actions and action == self._scope.actions[-1]:
            yield self._invalid(f"{key}.limit", f"{action} always has the limit 0")
        elif limit == 0 and self._scope.actions and action == self._scope.actions[0]:
            yield self._invalid(f"{key}.limit", f"{action} needs a limit above 0")
        if table.get("promise") is not None and self._scope.kind != "estimate":
            yield self._invalid(f"{key}.promise", "only an estimate promises something")
        elif table.get("promise") is not None:
            yield from self._level(table["promise"], f"{key}.promise")

    def _key(self, fields: Sequence[str], key: str) -> Iterator[Invalid]:
        # Entries are texts: a number could be written in many ways, of which one would match.
        known = [name for name, field in self._scope.fields.items() if field.type in (*_KEY_TYPES, "ids")]
        for name in fields:
            field = self._scope.fields.get(name)
            if self._unsure(name):
                continue
            if field is None:
                yield self._invalid(key, f"there is no field {name}{did_you_mean(name, known)}")
            elif name not in known:
                yield self._invalid(key, f"must be of type id or text, but {name} is of type {field.type}")
            elif field.type == "ids" and len(fields) > 1:
                yield self._invalid(key, f"{name} has several values, and must be looked up alone")
        if len(set(fields)) < len(fields):
            yield self._invalid(key, "names a field twice")

    def _level(self, level: Any, key: str) -> Iterator[Invalid]:
        if isinstance(level, float) and level not in self._scope.quantiles:
            known = ", ".join(map(repr, self._scope.quantiles))
            yield self._invalid(
                key, f"must be one of the quantiles that are estimated: {known} (is {level!r})"
            )

    def _action(self, name: Any, key: str) -> Iterator[Invalid]:
        actions = self._scope.actions
        if isinstance(name, str) and actions and name not in actions:
            yield self._invalid(key, f"there is no action {name}{did_you_mean(name, actions)}")

    def _has(self, key: str) -> bool:
        return self._policy.get(key) is not None

    def _invalid(self, key: str, message: str) -> Invalid:
        return Invalid("", f"{self._where}.{key}", message)


def _circle(name: str, leads_to: Mapping[str, str]) -> list[str]:
    """Return the names on the way from one back to itself; empty if there is no such way."""
    way, at = [name], leads_to[name]
    while at in leads_to and at not in way:
        way.append(at)
        at = leads_to[at]
    return way if at == name else []


def _tables(declared: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return the entries that are tables at all."""
    for name, table in declared.items() if isinstance(declared, Mapping) else ():
        if isinstance(table, Mapping):
            yield name, table


def _table(read: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    table = read.get(key)
    return table if isinstance(table, Mapping) else {}
