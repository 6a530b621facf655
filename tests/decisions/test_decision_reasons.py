"""Reasons of any decision: codes of crosses and of values, the strongest first, and the path before them."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.config.conditions import Condition
from headrace.operators.decisions.reasons import Coded, Reasons, codes_of_values
from headrace.operators.policy import Verdict

NAMES = ("amount", "orders")
CROSSES: list[Coded] = [
    ("high", [Condition("amount", ">=", 100.0)]),
    ("new", [Condition("orders", "<", 3.0), Condition("amount", "!=", 7.0)]),
    ("high", ()),
]
REVIEW = Verdict("review", "model", "model")


def told(
    contributions: Any,
    values: tuple[float, ...] = (100.0, 0.0),
    verdict: Verdict = REVIEW,
    codes: list[Coded] = CROSSES,
    count_max: int = 3,
    contribution_min: float = 0.1,
) -> dict[str, Any]:
    reasons = Reasons(NAMES)
    reasons.configure(codes, count_max, contribution_min)
    decision: dict[str, Any] = {}
    codes_told = reasons.tell(decision, verdict, contributions, values)
    assert [each["code"] for each in decision["reasons"]] == list(codes_told)
    return decision


def pairs(decision: dict[str, Any]) -> list[tuple[str, float | None]]:
    return [(each["code"], each["contribution"]) for each in decision["reasons"]]


def test_the_strongest_come_first_and_one_code_adds_up():
    assert pairs(told((0.5, 0.9, 0.70004))) == [("high", 1.2), ("new", 0.9)]
    assert "policy" not in told((0.5, 0.9, 0.7))


def test_of_equal_ones_the_first_declared_comes_first():
    assert pairs(told((0.5, 0.5, 0.0))) == [("high", 0.5), ("new", 0.5)]


@pytest.mark.parametrize(
    ("values", "codes"),
    [((99.0, 0.0), ["new", "high"]), ((7.0, 0.0), ["high"]), ((100.0, 3.0), ["high"])],
)
def test_a_code_is_reported_only_where_its_text_is_true(values, codes):
    assert [code for code, _ in pairs(told((0.5, 2.0, 0.5), values))] == codes


def test_no_more_than_asked_for_and_none_that_is_too_small():
    assert pairs(told((0.5, 0.9, 0.0), count_max=1)) == [("new", 0.9)]
    assert pairs(told((0.05, 0.9, 0.0))) == [("new", 0.9)]
    assert pairs(told((0.5, 0.9, 0.0), count_max=0)) == []


def test_many_small_ones_are_a_combination():
    assert pairs(told((0.03, 0.04, 0.02))) == [("combination", 0.09)]


def test_codes_of_values_are_their_names():
    assert pairs(told((0.2, 0.4), codes=codes_of_values(NAMES))) == [("orders", 0.4), ("amount", 0.2)]


def test_codes_of_the_path_come_before_the_models():
    verdict = Verdict("block", "cost", "cost", ("expected_cost",))
    decision = told((0.5, 0.0, 0.0), verdict=verdict)
    assert pairs(decision) == [("expected_cost", None), ("high", 0.5)]
    assert decision["policy"] == "cost"


def test_where_the_model_had_no_say_its_reasons_are_not_told():
    verdict = Verdict("block", "rule", "rule.large", ("large",))
    assert told(None, verdict=verdict) == {
        "reasons": [{"code": "large", "contribution": None}],
        "policy": "rule.large",
    }


def test_contributions_are_one_for_each_code():
    with pytest.raises(ValueError, match="zip"):
        told((0.5, 0.9))
