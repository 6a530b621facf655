"""Measures and their bootstrap against slow and obvious versions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.config.policy import CostSettings
from headrace.kinds.fraud.replay_quality import MEASURES, Evaluated, charges, compare, measure, recall_curve
from headrace.operators.policy.cost import expected_costs

COST = CostSettings(review_cost=3.0, review_catch_share=0.7, fraud_loss_fixed=5.0)
FRAUDS_OF_EACH = 20


def evaluated(rows) -> Evaluated:
    """Payments from rows of customer, fraud, amount, old action, new action, old score, new score."""
    columns = list(zip(*rows, strict=True)) or [()] * 7
    kinds = (np.int64, bool, float, np.int64, np.int64, float, float)
    return Evaluated(*(np.array(column, dtype=kind) for column, kind in zip(columns, kinds, strict=True)))


def slowly(rows, score_at: int, action_at: int) -> dict[str, float | None]:
    """The measures of one side, by their definitions."""
    flagged = [row for row in rows if row[action_at] > 0]
    frauds = [row for row in rows if row[1]]
    hits = sum(row[1] for row in flagged)
    cost = 0.0
    for row in rows:
        cost += expected_costs(COST)(float(row[1]), row[2])[row[action_at]]
    average, found_before = 0.0, 0
    for threshold in sorted({row[score_at] for row in rows}, reverse=True):
        above = [row for row in rows if row[score_at] >= threshold]
        found = sum(row[1] for row in above)
        average += (found - found_before) * found / len(above)
        found_before = found
    return {
        "precision": hits / len(flagged) if flagged else None,
        "recall": hits / len(frauds) if frauds else None,
        "average_precision": average / len(frauds) if frauds else None,
        "cost": cost,
    }


ROWS = st.lists(
    st.tuples(
        st.integers(0, 6),
        st.booleans(),
        st.sampled_from([0.0, 1.0, 12.5, 300.0]),
        st.integers(0, 2),
        st.integers(0, 2),
        st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]),
        st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]),
    ),
    max_size=25,
)


@given(ROWS)
@settings(max_examples=200, deadline=None)
def test_measures_are_their_definitions(rows):
    found = measure(evaluated(rows), COST)
    assert tuple(found) == MEASURES
    sides = {"old": slowly(rows, 5, 3), "new": slowly(rows, 6, 4)}
    for name, compared in found.items():
        assert compared.old.value == pytest.approx(sides["old"][name])
        assert compared.new.value == pytest.approx(sides["new"][name])
        if sides["old"][name] is not None and sides["new"][name] is not None:
            difference = sides["new"][name] - sides["old"][name]
            assert compared.difference.value == pytest.approx(difference, abs=1e-9)
        else:
            assert compared.difference.value is None


@given(ROWS)
@settings(max_examples=25, deadline=None)
def test_intervals_are_those_of_resampled_customers(rows):
    """Each draw is laid out as a list of payments and measured by the definitions."""
    resamples = 40
    found = compare(evaluated(rows), COST, resamples=resamples)
    random = np.random.default_rng(20_260_101)
    numbers = sorted({row[0] for row in rows})
    draws: dict[str, list[tuple[float | None, float | None]]] = {name: [] for name in MEASURES}
    for _ in range(resamples if numbers else 0):
        drawn = random.integers(len(numbers), size=len(numbers)).tolist()
        again = [row for at in drawn for row in rows if row[0] == numbers[at]]
        old, new = slowly(again, 5, 3), slowly(again, 6, 4)
        for name in MEASURES:
            draws[name].append((old[name], new[name]))
    for name, pairs in draws.items():
        both = [(old, new) for old, new in pairs if old is not None and new is not None]
        differences = [new - old for old, new in both]
        of = found[name].difference
        if of.value is None or not differences:
            assert of.low is None
            continue
        low, high = np.quantile(differences, [0.025, 0.975])
        assert (of.low, of.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))


def clustered(customers: int) -> list[tuple]:
    """Each customer's payments have one outcome, and one old action, which blocks three frauds in four."""
    rows = []
    for customer in range(customers):
        fraud, right = customer % 2 == 0, customer % 8 < 6
        rows += [(customer, fraud, 10.0, 2 if right else 0, 2, 0.5, 0.9)] * FRAUDS_OF_EACH
    return rows


def width(found) -> float:
    return found["recall"].old.high - found["recall"].old.low


def test_customers_are_drawn_not_payments():
    rows = clustered(16)
    together = compare(evaluated(rows), COST, resamples=400)
    apart = [(number, *row[1:]) for number, row in enumerate(rows)]
    assert width(together) > 3 * width(compare(evaluated(apart), COST, resamples=400))
    assert together["recall"].old.value == 0.75


def test_the_difference_of_two_equal_sides_is_nothing_at_all():
    rows = [(*row[:4], row[3], row[5], row[5]) for row in clustered(10)]
    for compared in compare(evaluated(rows), COST, resamples=100).values():
        assert compared.difference == (0.0, 0.0, 0.0)
        assert compared.old == compared.new


def test_the_draws_are_the_same_each_time():
    rows = clustered(12)
    assert compare(evaluated(rows), COST, resamples=50) == compare(evaluated(rows), COST, resamples=50)


def test_each_draw_is_told_and_none_are_made_without_payments():
    told = []
    compare(evaluated(clustered(4)), COST, resamples=7, progress=told.append)
    assert told == [1] * 7
    nothing = compare(evaluated([]), COST, resamples=7, progress=told.append)
    assert told == [1] * 7
    assert nothing["recall"].old == (None, None, None)
    assert nothing["cost"].new.value == 0.0


def test_charges_are_the_expected_costs_of_who_knows_the_truth():
    amount, fraud = np.array([10.0, 10.0, 0.0]), np.array([True, False, True])
    expected = [expected_costs(COST)(float(y), a) for y, a in zip(fraud, amount, strict=True)]
    assert charges(COST, amount, fraud).T.tolist() == [list(each) for each in expected]


def test_the_curve_ends_with_all_frauds_and_has_few_points():
    random = np.random.default_rng(1)
    scores, fraud = random.random(5000), random.random(5000) < 0.2
    curve = recall_curve(fraud, scores)
    assert len(curve) == 200
    assert curve[-1][0] == 1.0
    assert [point[0] for point in curve] == sorted(point[0] for point in curve)
    recall, precision = curve[50]
    threshold = sorted(scores[fraud], reverse=True)[round(recall * fraud.sum()) - 1]
    assert precision == pytest.approx(fraud[scores >= threshold].mean())
    assert recall_curve(np.zeros(3, dtype=bool), np.ones(3)) == []
