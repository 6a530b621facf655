"""The language of rules: what is refused, what a condition means, and what is missing."""

from __future__ import annotations

import ast
import math

import pytest

from headrace.config.expression import DEPTH_MAX, MEMBERS_MAX, NODES_MAX, expression_errors
from headrace.operators.events.contract import Payment
from headrace.operators.policy.expression import PARAMETERS, source_of

FEATURES = ("ratio", "count", "age")
FRIDAY_13 = 1_600_434_000_000  # 2020-09-18T13:00:00Z


def paid(**given: object) -> Payment:
    plain: dict[str, object] = {
        "event_id": "p-1",
        "event_time": FRIDAY_13,
        "customer_id": "c-1",
        "merchant_id": "m-1",
        "amount": 50.0,
        "currency": "EUR",
    }
    return Payment(**{**plain, **given})


def holds(text: str, values: tuple[float, ...] = (2.0, 3, math.nan), **given: object) -> bool:
    assert expression_errors(text, FEATURES) == []
    names = {"__builtins__": {}, "nan": math.nan}
    exec(f"def f({PARAMETERS}): return {source_of(text, FEATURES)}", names)
    found = names["f"](paid(**given), values)
    assert found is True or found is False
    return found


@pytest.mark.parametrize(
    "text",
    [
        "amount == 50",
        "amount > 49.5 and count >= 3",
        "amount > 100 or ratio == 2",
        "not amount > 50",
        "10 < amount <= 50",
        "50 > amount / 2 > 24 > count",
        "amount in (1, 50)",
        "amount not in (1, -50)",
        "-amount < -49 and +amount > 49",
        "amount - count * 10 == 20",
        "(amount + 1) / count == 17",
        "customer_id == 'c-1' and merchant_id != 'c-1'",
        "merchant_id in ('m-1', 'm-2')",
        'currency not in ("USD",)',
        "hour_of_day == 13 and day_of_week == 4",
        "amount > 1\n and count > 1",
        "amount > 1 or amount / 0 > 1 and ratio > 9",
    ],
)
def test_what_holds(text):
    assert holds(text)


@pytest.mark.parametrize(
    "text",
    [
        "amount != 50",
        "10 < amount < 50",
        "amount > 50 or count > 3",
        "not (amount == 50)",
        "customer_id == 'c-2'",
        "merchant_id not in ('m-1', 'm-2')",
    ],
)
def test_what_does_not_hold(text):
    assert not holds(text)


@pytest.mark.parametrize("op", ["<", "<=", ">", ">=", "==", "!=", "in", "not in"])
@pytest.mark.parametrize(
    "left",
    ["age", "-age", "age + 1", "amount / 0", "0 / (amount - 50)", "1 / (count - 3)", "(1 / 0) - (1 / 0)"],
)
def test_a_comparison_with_a_missing_number_is_false(left, op):
    right = "(1, 2)" if op.endswith("in") else "1"
    assert not holds(f"{left} {op} {right}")
    assert holds(f"not ({left} {op} {right})")
    assert holds(f"missing({left})")
    if not op.endswith("in"):
        assert not holds(f"1 {op} {left}")


@pytest.mark.parametrize("op", ["==", "!=", "in", "not in"])
@pytest.mark.parametrize("field", ["session_id", "order_id", "device_id", "ip"])
def test_a_comparison_with_an_absent_field_is_false(field, op):
    right = "('x', 'y')" if op.endswith("in") else "'x'"
    text = f"{field} {op} {right}"
    assert not holds(text)
    assert holds(f"missing({field})")
    assert holds(text, **{field: "x" if op in {"==", "in"} else "z1"})
    assert not holds(f"missing({field})", **{field: "x1"})


def test_two_absent_fields_are_neither_equal_nor_different():
    assert not holds("session_id == order_id")
    assert not holds("session_id != order_id")
    assert not holds("session_id != order_id", order_id="o")
    assert holds("session_id == order_id", session_id="o", order_id="o")
    assert holds("session_id != order_id", session_id="s", order_id="o")


def test_what_is_there_is_not_missing():
    assert not holds("missing(amount) or missing(customer_id) or missing(count) or missing('x')")


def test_a_feature_hides_a_field_of_its_name():
    names = {"__builtins__": {}}
    exec(f"def f({PARAMETERS}): return {source_of('amount == 7', ['amount'])}", names)
    assert names["f"](paid(), (7.0,))


def test_whole_numbers_do_not_grow_without_an_end():
    assert holds(" * ".join(["count"] * 28) + " * 0.5 > 1e18", (0.0, 10**30, 0.0))


def test_a_large_number_of_values_is_looked_up_in_one_step():
    members = ", ".join(f"'x{number}'" for number in range(MEMBERS_MAX))
    assert holds(f"ip in ({members})", ip="x200")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not an expression"),
        ("amount >", "not an expression: invalid syntax"),
        ("amount > > 1", "not an expression: invalid syntax at character 10"),
        ("amount > 1; amount", "not an expression"),
        ("amount = 1", "not an expression"),
        ("amount", "the whole must be a condition, but amount is a number"),
        ("'x'", "the whole must be a condition, but 'x' is a text"),
        ("1 and amount > 1", "each side of and must be a condition, but 1 is a number"),
        ("not amount", "what follows not must be a condition"),
        ("amout > 1", "there is no feature or field amout; did you mean amount?"),
        ("event_id == 'x'", "there is no feature or field event_id"),
        ("amount > 'x'", "amount is a number, but 'x' is a text"),
        ("customer_id == 3", "customer_id is a text, but 3 is a number"),
        ("customer_id > 'x'", "texts have no order here: customer_id is a text"),
        ("customer_id in (1, 2)", "customer_id is a text, but (1, 2) is a number"),
        ("amount in (1, 'x')", "the values of (1, 'x') are not all of one type"),
        ("amount in (count, 1)", "the values after in must be numbers or texts, not count"),
        ("amount in 1", "in needs values in parentheses"),
        ("amount in ()", "in needs values in parentheses"),
        ("amount in [1]", "in needs values in parentheses"),
        ("1 < amount in (1,)", "in can't be part of a chain"),
        ("(amount > 1) == (count > 1)", "a condition can't be compared: amount > 1"),
        ("'a' + 'b' == 'ab'", "arithmetic needs numbers, but 'a' is a text"),
        ("-customer_id == 1", "a sign needs numbers, but customer_id is a text"),
        ("(amount > 1) + 1 > 1", "arithmetic needs numbers, but amount > 1 is a condition"),
        ("missing()", "missing takes one value"),
        ("missing(amount, count)", "missing takes one value"),
        ("missing(x=amount)", "missing takes one value"),
        ("missing(amount > 1)", "a condition is never missing"),
        ("missing > 1", "there is no feature or field missing"),
        ("True", "not allowed: the value True"),
        ("amount > None", "not allowed: the value None"),
        ("amount > 1j", "not allowed: the value 1j"),
        ("ip == b'x'", "not allowed: the value b'x'"),
        ("amount > ...", "not allowed: the value Ellipsis"),
        ("amount > 1e999", "a number is larger than 1e+18"),
        ("amount > 10000000000000000000", "a number is larger than 1e+18"),
        (f"ip == '{'x' * 129}'", "a text is longer than 128 characters"),
        ("amount ** 2 > 1", "not allowed: the operator **"),
        ("amount % 2 > 1", "not allowed: the operator %"),
        ("amount // 2 > 1", "not allowed: the operator //"),
        ("amount << 2 > 1", "not allowed: LShift"),
        ("~amount > 1", "not allowed: Invert"),
        ("amount is 1", "not allowed: is; write =="),
        ("ip is not None", "not allowed: is not; write"),
        ("ip.real > 1", "not allowed: an attribute"),
        ("().__class__.__bases__", "not allowed: an attribute"),
        ("ip[0] == 'x'", "not allowed: a subscript"),
        ("__import__('os').system('x') == 0", "not allowed: a call"),
        ("open('x') == 1", "not allowed: a call open; there is only missing(…)"),
        ("missing(open('x'))", "not allowed: a call open"),
        ("(lambda: 1)() == 1", "not allowed: a call"),
        ("[x for x in (1,)] == 1", "not allowed: a comprehension"),
        ("(x := 1) > 0", "not allowed: an assignment"),
        ("amount > 1 if ip == 'x' else amount > 2", "not allowed: an if"),
        ("f'{amount}' == 'x'", "not allowed: an f-string"),
        ("(amount, 1) == 1", "not allowed: a tuple"),
        ("{1: 2} == 1", "not allowed: Dict"),
        ("await ip", "not allowed: Await"),
        ("(yield)", "not allowed: Yield"),
        ("p == 'x'", "there is no feature or field p"),
        ("nan > 1", "there is no feature or field nan"),
    ],
)
def test_what_is_refused(text, message):
    assert any(message in each for each in expression_errors(text, FEATURES)), expression_errors(
        text, FEATURES
    )


def test_every_mistake_of_an_expression_is_told():
    assert len(expression_errors("amout > 1 and ip > 'x' and ip.x and 3", FEATURES)) == 4


@pytest.mark.parametrize(
    "text",
    [
        "(" * 500 + "amount" + ")" * 500,
        "-" * 1900 + "amount > 1",
        "not " * 450 + "amount > 1",
        " + ".join(["amount"] * 400) + " > 1",
        "[" * 900,
        "amount" + ".x" * 900,
        " or ".join(["ip == 'x'"] * 180),
        "amount > " + "9" * 1900,
        "amount > 1\0",
    ],
)
def test_what_is_too_large_or_deep_is_refused_and_breaks_nothing(text):
    assert expression_errors(text, FEATURES)


def test_limits_are_as_wide_as_they_say():
    deep = "not " * (DEPTH_MAX - 4) + "amount > 1"
    assert expression_errors(deep, FEATURES) == []
    assert expression_errors("not not not " + deep, FEATURES) != []
    wide = " or ".join(["amount > 1"] * ((NODES_MAX - 1) // 4))
    assert expression_errors(wide, FEATURES) == []


@pytest.mark.parametrize("text", ["amount > 1and count > 1", r"ip == '\d'", "amount > 0x1or count > 1"])
def test_odd_spellings_bring_no_warnings(text):
    assert expression_errors(text, FEATURES) == []


def test_names_that_may_be_features_are_passed_over():
    assert expression_errors("lost > 1 and ip > lost", (), lambda name: name == "lost") != []
    assert expression_errors("lost > 1 and lost in (1, 2)", (), lambda name: name == "lost") == []


@pytest.mark.parametrize("text", ["ip.x == 1", "x > 1", "True", "[1] == 1"])
def test_source_is_never_made_of_what_is_not_in_the_language(text):
    with pytest.raises(ValueError, match=r"language|no feature"):
        source_of(text, FEATURES)


def test_texts_stay_texts():
    text = "ip == \"') or open('x') == ('\""
    tree = ast.parse(source_of(text, FEATURES), mode="eval")
    assert [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)] == [
        "') or open('x') == ('"
    ]
    assert holds(text, ip="') or open('x') == ('")
