"""What the cost benchmark compares with: charges by the truth, and the best pair of thresholds."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from headrace.config.policy import CostSettings, PolicySettings
from headrace.operators.policy import act
from headrace.operators.policy.cost import expected_costs

COST = CostSettings(review_cost=3.0, review_catch_share=0.7, fraud_loss_fixed=5.0)
ACTIONS = ("approve", "review", "block")


@pytest.fixture(scope="module")
def cost(benchmark_named):
    return benchmark_named("cost")


def test_charges_are_the_expected_costs_of_who_knows_the_truth(cost):
    amount, fraud = np.array([10.0, 10.0, 0.0]), np.array([True, False, True])
    charged = cost.charges(COST, amount, fraud)
    expected = [expected_costs(COST)(float(y), a) for y, a in zip(fraud, amount, strict=True)]
    assert np.allclose(charged.T, expected)


@pytest.mark.parametrize("seed", range(5))
def test_no_pair_of_thresholds_costs_less_than_the_best(cost, seed):
    rng = np.random.default_rng(seed)
    scores = rng.choice([0.0, 0.1, 0.2, 0.35, 0.5, 0.8], size=60)
    fraud = rng.random(60) < scores
    charged = cost.charges(COST, rng.exponential(40.0, 60), fraud)

    def total(review_at: float, block_at: float) -> float:
        policy = PolicySettings(review_at=review_at, block_at=block_at)
        return sum(float(charged[ACTIONS.index(act(policy, s)), n]) for n, s in enumerate(scores))

    best = cost.best_thresholds(charged, scores)
    edges = [*np.unique(scores).tolist(), 1.0]
    assert best.cost == pytest.approx(min(total(*pair) for pair in product(edges, edges)))
    assert total(best.review_at, best.block_at) == pytest.approx(best.cost)
