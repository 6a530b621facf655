"""Rules against a plain evaluator, the language against nasty text, lists and capacity against plain ones."""

from __future__ import annotations

import ast
import math
import operator
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from headrace.config.expression import NUMBER_FIELDS, OPTIONAL_FIELDS, TEXT_FIELDS, expression_errors
from headrace.config.fraud_flow import FraudSettings
from headrace.operators.events.contract import Payment
from headrace.operators.policy import KillSwitch, Policy, ReloadList, list_content
from headrace.operators.policy.expression import PARAMETERS, source_of

pytestmark = pytest.mark.property

DAY = 86_400_000
FEATURES = ("ratio", "count", "age")
TEXTS = ("a", "b", "it's", "")
NUMBERS = (0.0, 1.0, 2.0, 0.5, 1e18, 13.0)


class Seen(NamedTuple):
    """What an expression is evaluated on: numbers and texts by name, None where missing."""

    payment: Payment
    values: tuple[float, ...]

    def number(self, name: str) -> float | None:
        if name in FEATURES:
            return present(float(self.values[FEATURES.index(name)]))
        time = self.payment.event_time
        fields = {
            "amount": self.payment.amount,
            "hour_of_day": time // 3_600_000 % 24,
            "day_of_week": (time // DAY + 3) % 7,
        }
        return float(fields[name])


def present(number: float) -> float | None:
    return None if math.isnan(number) else number


Number = tuple[str, Callable[[Seen], float | None]]
Text = tuple[str, Callable[[Seen], str | None]]
Condition = tuple[str, Callable[[Seen], bool]]
ARITHMETIC = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
EQUALITY = {"==": operator.eq, "!=": operator.ne}


def number_leaf(name: str) -> Number:
    return name, lambda seen: seen.number(name)


def text_leaf(name: str) -> Text:
    return name, lambda seen: getattr(seen.payment, name)


def calculated(left: Number, op: str, right: Number) -> Number:
    def value(seen: Seen) -> float | None:
        one, other = left[1](seen), right[1](seen)
        if one is None or other is None or (op == "/" and other == 0):
            return None
        return present(ARITHMETIC[op](one, other))

    return f"({left[0]} {op} {right[0]})", value


def negated(of: Number) -> Number:
    def value(seen: Seen) -> float | None:
        found = of[1](seen)
        return None if found is None else -found

    return f"(-{of[0]})", value


def compared(left: Any, op: str, right: Any) -> Condition:
    def value(seen: Seen) -> bool:
        one, other = left[1](seen), right[1](seen)
        return one is not None and other is not None and bool((ORDER | EQUALITY)[op](one, other))

    return f"({left[0]} {op} {right[0]})", value


def chained(a: Number, first: str, b: Number, second: str, c: Number) -> Condition:
    left, right = compared(a, first, b)[1], compared(b, second, c)[1]
    return f"({a[0]} {first} {b[0]} {second} {c[0]})", lambda seen: left(seen) and right(seen)


def member(of: Any, inside: bool, members: list[Any]) -> Condition:
    def value(seen: Seen) -> bool:
        found = of[1](seen)
        return found is not None and (found in members) is inside

    written = "".join(f"{each!r}, " for each in members)
    return f"({of[0]} {'in' if inside else 'not in'} ({written}))", value


def missing(of: Any) -> Condition:
    return f"missing({of[0]})", lambda seen: of[1](seen) is None


def joined(left: Condition, word: str, right: Condition) -> Condition:
    def value(seen: Seen) -> bool:
        one, other = left[1](seen), right[1](seen)
        return one and other if word == "and" else one or other

    return f"({left[0]} {word} {right[0]})", value


numbers = st.recursive(
    st.sampled_from((*FEATURES, *NUMBER_FIELDS)).map(number_leaf)
    | st.sampled_from(NUMBERS).map(lambda number: (repr(number), lambda _: number)),
    lambda inner: st.builds(calculated, inner, st.sampled_from("+-*/"), inner) | inner.map(negated),
    max_leaves=5,
)
texts = st.sampled_from(TEXT_FIELDS).map(text_leaf) | st.sampled_from(TEXTS).map(
    lambda text: (repr(text), lambda _: text)
)
equal_or_not = st.sampled_from(["==", "!="])
any_order = st.sampled_from([*ORDER, *EQUALITY])
conditions = st.recursive(
    st.builds(compared, numbers, any_order, numbers)
    | st.builds(compared, texts, equal_or_not, texts)
    | st.builds(chained, numbers, any_order, numbers, any_order, numbers)
    | st.builds(member, numbers, st.booleans(), st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=3))
    | st.builds(member, texts, st.booleans(), st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3))
    | st.builds(missing, numbers | texts),
    lambda inner: (
        st.builds(joined, inner, st.sampled_from(["and", "or"]), inner)
        | inner.map(lambda of: (f"(not {of[0]})", lambda seen: not of[1](seen)))
    ),
    max_leaves=6,
)
optional = st.none() | st.sampled_from(["a", "b", "it's"])
payments = st.builds(
    Payment,
    event_id=st.just("p"),
    event_time=st.integers(0, 4_000_000_000_000),
    customer_id=st.sampled_from(["a", "it's"]),
    merchant_id=st.sampled_from(["a", "b"]),
    amount=st.sampled_from([0.0, 0.5, 13.0, 1e12]),
    currency=st.just("EUR"),
    **dict.fromkeys(OPTIONAL_FIELDS, optional),
)
value = st.sampled_from([math.nan, 0, 1, 2, 0.5, 1e300, -1e300, math.inf, 2**32])
seens = st.builds(Seen, payments, st.tuples(value, value, value))


def compiled(text: str) -> Callable[..., Any]:
    names: dict[str, Any] = {"__builtins__": {}, "nan": math.nan}
    exec(f"def f({PARAMETERS}): return {source_of(text, FEATURES)}", names)
    return names["f"]  # type: ignore[no-any-return]


@settings(max_examples=400, deadline=None)
@given(conditions, st.lists(seens, min_size=1, max_size=5))
def test_compiled_is_what_a_plain_evaluator_says(condition: Condition, looked_at: list[Seen]) -> None:
    text, expected = condition
    assert expression_errors(text, FEATURES) == []
    function = compiled(text)
    for seen in looked_at:
        found = function(seen.payment, seen.values)
        assert found is expected(seen), text


TOKENS = r"""amount ratio ip p v t nan d0 missing __import__ open exec __builtins__ rule0 find0 True None
lambda if else for in not and or is ( ) [ ] { } . , : := == != < > + - * / ** ~ % @ ' " # ; = 1 0 'a' \
('a',) __class__ f'{p}' await yield missing(ip) 1e9"""
NASTY = st.lists(st.sampled_from([*TOKENS.split(), "\n", "\0", "\ufb01", "\uff11"]), max_size=12).map(
    " ".join
)
ALLOWED = (
    *(
        ast.Expression,
        ast.BoolOp,
        ast.And,
        ast.Or,
        ast.UnaryOp,
        ast.Not,
        ast.USub,
        ast.UAdd,
        ast.BinOp,
        ast.Add,
    ),
    *(
        ast.Sub,
        ast.Mult,
        ast.Div,
        ast.Mod,
        ast.FloorDiv,
        ast.Compare,
        ast.Eq,
        ast.NotEq,
        ast.Lt,
        ast.LtE,
        ast.Gt,
    ),
    *(ast.GtE, ast.In, ast.NotIn, ast.Is, ast.IsNot, ast.Name, ast.Load, ast.Store, ast.Constant, ast.Tuple),
    *(ast.IfExp, ast.NamedExpr),
)


def assert_harmless(source: str) -> None:
    """Of what the source may do, it looks up features and fields, and calls nothing."""
    for node in ast.walk(ast.parse(source, mode="eval")):
        if isinstance(node, ast.Attribute):
            assert isinstance(node.value, ast.Name)
            assert node.value.id == "p"
            assert node.attr in (*TEXT_FIELDS, "amount", "event_time")
        elif isinstance(node, ast.Subscript):
            assert ast.unparse(node.value) == "v"
            assert isinstance(node.slice, ast.Constant)
        else:
            assert isinstance(node, ALLOWED), ast.dump(node)


@settings(max_examples=600, deadline=None)
@given(NASTY | st.text(max_size=40) | conditions.map(lambda condition: condition[0]), seens)
def test_any_text_is_refused_or_harmless(text: str, seen: Seen) -> None:
    if expression_errors(text, FEATURES):
        event("refused")
        return
    event("accepted")
    assert_harmless(source_of(text, FEATURES))
    found = compiled(text)(seen.payment, seen.values)
    assert found is True or found is False


def capacity_settings(per_day: int, days: int, *, shadow: bool = False) -> FraudSettings:
    capacity = {"reviews_per_day_max": per_day, "otherwise": "block", "days_remembered_max": days}
    rules = {"often": {"when": "amount > 90", "action": "review", "code": "kill_switch"}}
    policy = {"review_at": 0.5, "block_at": 0.9, "capacity": capacity, "shadow": shadow, "rules": rules}
    return FraudSettings.model_validate({"policy": policy})


def paid(time: int, amount: float = 1.0) -> Payment:
    return Payment(
        event_id="p", event_time=time, customer_id="c", merchant_id="m", amount=amount, currency="EUR"
    )


arrivals = st.lists(
    st.tuples(
        st.integers(0, 6),
        st.integers(0, DAY - 1),
        st.sampled_from([0.1, 0.6, 0.6, 0.6, 0.95]),
        st.sampled_from([1.0, 100.0]),
        st.sampled_from(["", "", "", "", "save", "shadow", "live", "forgetful", "mindful"]),
    ),
    max_size=80,
)


@settings(max_examples=200, deadline=None)
@given(arrivals, st.integers(0, 7), st.integers(1, 3))
def test_reviews_of_a_day_are_never_more_than_allowed(
    arrived: list[tuple[int, int, float, float, str]], per_day: int, shards: int
) -> None:
    """Whatever the order, across restarts, shards, shadow mode, and days that had to be forgotten."""
    policies = [Policy(capacity_settings(per_day, 3), shard=each, shards=shards) for each in range(shards)]
    days, shadow, reviewed = 3, False, Counter[int]()
    for number, (day, at, score, amount, happens) in enumerate(arrived):
        shard, time = number % shards, day * DAY + at
        shadow = {"shadow": True, "live": False}.get(happens, shadow)
        days = {"forgetful": 1, "mindful": 5}.get(happens, days)
        settings_now = capacity_settings(per_day, days, shadow=shadow)
        policies[shard].configure(settings_now)
        if happens == "save":
            again = Policy(settings_now, shard=shard, shards=shards)
            again.load(policies[shard].save())
            policies[shard] = again
        policy = policies[shard]
        before = policy.save()
        verdict = policy.decide(paid(time, amount), (), score, time, False)
        assert policy.save() == before
        policy.commit(verdict, time)
        reviewed[day] += verdict.action == "review"
        if shadow:
            assert verdict.action == "approve"
            assert verdict.would is not None
    assert all(count <= per_day for count in reviewed.values()), reviewed


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=60), st.integers(0, 9), st.integers(1, 4))
def test_no_review_is_withheld_while_the_days_are_remembered(
    days: list[int], per_day: int, shards: int
) -> None:
    policies = [Policy(capacity_settings(per_day, 10), shard=each, shards=shards) for each in range(shards)]
    reviewed = Counter[int]()
    for day in [each for each in days for _ in range(per_day * shards)]:
        for policy in policies:
            verdict = policy.decide(paid(day * DAY), (), 0.6, day * DAY, False)
            policy.commit(verdict, day * DAY)
            reviewed[day] += verdict.action == "review"
    assert all(reviewed[day] == per_day for day in days)
    unused = [sum(policy.unused(day) or 0 for policy in policies) for day in range(10)]
    assert unused == [0 if day in days else per_day for day in range(10)]


LISTED = {
    name: {"file": "x", "key": key, "action": action, "code": "kill_switch"}
    for name, key, action in (
        ("first", "ip", "approve"),
        ("second", "customer_id", "block"),
        ("third", "ip", "review"),
    )
}
few = st.sets(st.sampled_from("abcd"), max_size=4)


@settings(max_examples=200, deadline=None)
@given(st.tuples(few, few, few), st.sampled_from("abcd"), st.none() | st.sampled_from("abcd"), st.booleans())
def test_the_first_list_that_has_the_payment_decides(
    entries: tuple[set[str], set[str], set[str]], customer: str, ip: str | None, reload_twice: bool
) -> None:
    policy = Policy(FraudSettings.model_validate({"policy": {"lists": LISTED}}))
    for name, values in zip(LISTED, entries, strict=True):
        content = list_content(values)
        if reload_twice:
            everything = list_content("abcd")
            policy.command(ReloadList(name, *everything))
        policy.command(ReloadList(name, *content))
    policy.command(KillSwitch(on=False))
    payment = Payment(
        event_id="p",
        event_time=1,
        customer_id=customer,
        merchant_id="m",
        amount=1.0,
        currency="EUR",
        ip=ip,
    )
    looked_up = [ip, customer, ip]
    expected = next(
        (f"list.{name}" for name, values, of in zip(LISTED, entries, looked_up, strict=True) if of in values),
        "model",
    )
    assert policy.decide(payment, (), 0.0, 1, False).counter == expected
