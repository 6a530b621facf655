"""Conditions on declared events: what each type of field may be asked, and what the model says."""

from __future__ import annotations

import math

import pytest
from declared_policies import ESTIMATE, FIELDS, NOON, SCORE, Asked, Given

from headrace.config.expression import expression_errors
from headrace.config.vocabulary import PAYMENT, Vocabulary, vocabulary_of
from headrace.operators.policy.expression import PARAMETERS, Names, number_source, source_of

FEATURES = ("orders", "age")
LEVELS = (0.1, 0.5, 0.9)
HOUR = 3_600_000


def holds(text: str, said: object = 0.5, scope=SCORE, **fields: object) -> bool:
    vocabulary = scope.vocabulary
    assert expression_errors(text, FEATURES, vocabulary=vocabulary) == []
    estimates = {"score": "q"} if scope is SCORE else {"promise": "q[2]"}
    names = {"__builtins__": {}, "nan": math.nan}
    exec(f"def f({PARAMETERS}): return {source_of(text, FEATURES, Names(vocabulary, estimates))}", names)
    found = names["f"](Asked(**fields), (2.0, math.nan), said)
    assert found is True or found is False
    return found


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("weight > 1 and weight < 3", {"weight": 2.0}),
        ("pieces == 3 and pieces / 2 == 1.5", {"pieces": 3}),
        ("pieces in (1, 3) and pieces not in (2,)", {"pieces": 3}),
        ("floor == 0 and channel == 'web'", {}),
        ("due - event_time > 3600 * 1000", {"due": NOON + HOUR + 1}),
        ("hour_of_day == 12", {}),
        ("gift and not known", {"gift": True}),
        ("not gift", {"gift": False}),
        ("not gift and missing(gift) and not missing(known)", {}),
        ("'a' in item_ids and 'z' not in item_ids", {"item_ids": ("a", "b")}),
        ("customer_id in item_ids", {"item_ids": ("c",)}),
        ("order_id in item_ids", {"item_ids": ("o",), "order_id": "o"}),
        ("missing(item_ids) and missing(weight) and missing(pieces) and missing(due)", {}),
        ("not missing(item_ids)", {"item_ids": ()}),
        ("country == 'DE' or missing(country)", {}),
        ("score > 0.4 and score * 2 == 1", {}),
    ],
)
def test_what_holds(text, fields):
    assert holds(text, **fields)


@pytest.mark.parametrize("op", ["<", "<=", ">", ">=", "==", "!=", "in", "not in"])
@pytest.mark.parametrize("left", ["weight", "pieces", "due", "-pieces", "weight + 1", "pieces * 0"])
def test_a_comparison_with_an_absent_number_is_false(left, op):
    right = "(1, 2)" if op.endswith("in") else "1"
    assert not holds(f"{left} {op} {right}")
    assert holds(f"missing({left})")
    if not op.endswith("in"):
        assert not holds(f"1 {op} {left}")


@pytest.mark.parametrize("text", ["gift", "'a' in item_ids", "'a' not in item_ids", "order_id in item_ids"])
def test_what_is_absent_is_not_met(text):
    assert not holds(text)
    assert holds(f"not ({text})")


def test_an_absent_text_is_in_no_list():
    assert not holds("order_id in item_ids", item_ids=("a",))
    assert not holds("order_id not in item_ids", item_ids=("a",))


def test_what_a_model_says():
    said = (1.0, 2.0, 4.0)
    assert holds("promise == 4 and quantile(0.1) == 1 and quantile(0.5) * 2 == promise", said, ESTIMATE)
    assert holds("missing(quantile(0.5))", (math.nan,) * 3, ESTIMATE)


def test_a_feature_hides_a_field():
    vocabulary = vocabulary_of({"gift": Given("boolean"), "ids": Given("ids"), "name": Given("text")})
    features = ("gift", "ids", "name")
    text = "gift > 1 and ids + name == 5 and not missing(gift)"
    assert expression_errors(text, features, vocabulary=vocabulary) == []
    names = {"__builtins__": {}, "nan": math.nan}
    exec(f"def f({PARAMETERS}): return {source_of(text, features, Names(vocabulary))}", names)
    assert names["f"](None, (2.0, 2.0, 3.0)) is True
    assert expression_errors("'a' in ids", features, vocabulary=vocabulary) != []


def test_a_field_with_a_default_is_always_there():
    absent = {"order_id", "country", "weight", "pieces", "due", "gift", "item_ids"}
    assert SCORE.vocabulary.optional == absent


def test_an_own_field_hides_a_number_of_the_calendar():
    vocabulary = vocabulary_of({"hour_of_day": Given("integer", required=True)})
    source = source_of("hour_of_day == 99 and day_of_week == 0", (), Names(vocabulary))
    assert "p.hour_of_day" in source
    assert "p.event_time" in source


def test_of_payments_the_names_are_what_they_were():
    declared = vocabulary_of(
        {
            **{name: Given("id", required=True) for name in ("customer_id", "merchant_id")},
            "amount": Given("number", required=True),
            **{name: Given("id") for name in ("session_id", "order_id", "device_id")},
            "ip": Given("text"),
            "currency": Given("text", required=True),
        }
    )
    assert set(declared.fields) == set(PAYMENT.fields)
    assert (declared.optional, declared.calendar) == (PAYMENT.optional, PAYMENT.calendar)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gift == 1", "a condition can't be compared: gift"),
        ("gift + 1 > 2", "arithmetic needs numbers, but gift is a condition"),
        ("missing(gift and known)", "missing takes a number or a text; a condition is never missing"),
        ("item_ids", "the whole must be a condition, but item_ids is a list of ids"),
        ("item_ids == item_ids", "a list of ids can only stand after in: item_ids"),
        ("item_ids == 'a'", "a list of ids can only stand after in: item_ids"),
        ("item_ids in ('a',)", "a list of ids can only stand after in: item_ids"),
        ("3 in item_ids", "3 is a number, but item_ids is a text"),
        ("'a' in country", "in needs values in parentheses"),
        ("country == 3", "country is a text, but 3 is a number"),
        ("due > '2026'", "due is a number, but '2026' is a text"),
        ("wieght > 1", "there is no feature or field wieght; did you mean weight?"),
        ("scor > 0.1", "did you mean score?"),
        ("promise > 1", "there is no feature or field promise"),
        ("quantile(0.5) > 1", "not allowed: a call quantile; there is only missing(…)"),
    ],
)
def test_what_is_refused(text, message):
    found = expression_errors(text, FEATURES, vocabulary=SCORE.vocabulary)
    assert any(message in each for each in found), found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("quantile(0.2) > 1", "quantile takes one level that is declared: 0.1, 0.5, 0.9"),
        ("quantile() > 1", "quantile takes one level"),
        ("quantile(0.1, 0.5) > 1", "quantile takes one level"),
        ("quantile(level=0.1) > 1", "quantile takes one level"),
        ("quantile(orders) > 1", "quantile takes one level"),
        ("quantil(0.1) > 1", "a call quantil; there are only missing(…) and quantile(…)"),
        ("score > 1", "there is no feature or field score"),
    ],
)
def test_what_is_refused_of_an_estimate(text, message):
    found = expression_errors(text, FEATURES, vocabulary=ESTIMATE.vocabulary)
    assert any(message in each for each in found), found


@pytest.mark.parametrize(("features", "fields"), [(("score",), {}), ((), {"score": Given("number")})])
def test_a_name_that_means_two_things_is_refused_where_it_is_used(features, fields):
    vocabulary = vocabulary_of({**FIELDS, **fields}, ("score",))
    message = "score is what the model gives, and of a field or feature too; rename that one"
    assert expression_errors("score > 1", features, vocabulary=vocabulary) == [message]
    assert expression_errors("amount > 1", features, vocabulary=vocabulary) == []


def test_the_source_of_a_number():
    vocabulary = Vocabulary(numbers=("a", "b"), optional=frozenset("b"))
    sources = [number_source(name, ("f",), Names(vocabulary)) for name in ("f", "a", "b")]
    assert sources == ["v[0]", "p.a", "(nan if p.b is None else p.b)"]
    with pytest.raises(ValueError, match="there is no number c"):
        number_source("c", ("f",), Names(vocabulary))


def test_a_rule_on_a_payment_is_written_as_before():
    text = "amount > 1 and ip == 'x' and hour_of_day < 5 and f != 2"
    written = "((p.amount > 1.0) and (p.ip == 'x') and ((p.event_time // 3600000 % 24) < 5.0)"
    assert source_of(text, ("f",)) == f"{written} and (v[0] < 2.0 or v[0] > 2.0))"
