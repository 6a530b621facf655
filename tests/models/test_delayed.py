"""Learning before outcomes are known: weights in models, and that the estimated rate becomes the true one."""

from __future__ import annotations

import heapq
import math
import random
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.operators.models import MODELS, ModelShape, Provisional, build_model, takes_weights

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from model_checks import SHAPE, built, examples

WEIGHTED = [name for name in MODELS if takes_weights(name)]
near = partial(pytest.approx, rel=1e-12, abs=1e-12)
GROUPS = ModelShape(("a", "b"), (0, 5), 10, ())


def sigmoid(odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-odds))


def true_rate(slots: tuple[int, int]) -> float:
    return sigmoid(-3.0 + 0.6 * slots[0] + 0.2 * (slots[1] - 5))


class Stream:
    """Examples that are learned at once as if nothing came, and once more when something does.

    Parameters
    ----------
    weighted
        Whether the weights are used; otherwise each example counts 1 each time.
    delay
        Mean time until an outcome that differs, in examples.
    label
        The provisional label.
    wait
        Examples that come before one is first learned.
    """

    def __init__(
        self,
        *,
        weighted: bool,
        delay: float,
        label: int = 0,
        wait: int = 0,
        name: str = "logistic_adagrad",
        **parameters: float,
    ) -> None:
        start = {"base_rate": 0.9 if label else 0.1, "intercept_lr": 0.0}
        self.model: Any = build_model(name, {**start, **parameters}, GROUPS)
        self.provisional = Provisional(label)
        self.weighted, self.delay, self.wait = weighted, delay, wait
        self.said: list[tuple[float, float]] = []

    def run(self, count: int, seed: int = 5) -> None:
        chance, due, learned = random.Random(seed), [], set()
        for now in range(count):
            while due and due[0][0] <= now:
                _, event, slots, is_outcome = heapq.heappop(due)
                if is_outcome:
                    self._then(slots, learned_before=event in learned)
                    learned.add(event)
                elif event not in learned:
                    self._first(slots)
                    learned.add(event)
            slots = (chance.randrange(5), 5 + chance.randrange(5))
            rate = true_rate(slots)
            self.said.append((self._other(self.model.score(slots)), rate))
            if chance.random() < rate:
                heapq.heappush(due, (now + chance.expovariate(1.0 / self.delay), now, slots, True))
            heapq.heappush(due, (now + self.wait, now, slots, False))

    def _other(self, score: float) -> float:
        return 1.0 - score if self.provisional.label else score

    def _first(self, slots: tuple[int, int]) -> None:
        weight = self.provisional.first(self.model.score(slots))
        self.model.learn(slots, self.provisional.label, weight if self.weighted else 1.0)

    def _then(self, slots: tuple[int, int], *, learned_before: bool) -> None:
        other = 1 - self.provisional.label
        weight = self.provisional.then(other, learned_before=learned_before)
        self.model.learn(slots, other, weight if self.weighted else 1.0)

    def off(self, begin: int) -> float:
        """Mean estimated rate over the mean true one, of the examples since."""
        rows = self.said[begin:]
        return sum(said for said, _ in rows) / sum(rate for _, rate in rows)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize(("delay", "wait"), [(10, 0), (1000, 0), (1000, 300), (100, 300)])
def test_the_estimated_rate_becomes_the_true_one(delay: int, wait: int, label: int) -> None:
    """Outcomes come late, and for most examples never."""
    stream = Stream(weighted=True, delay=delay, label=label, wait=wait)
    stream.run(24_000)
    assert stream.off(10_000) == pytest.approx(1.0, abs=0.06)


def test_each_inputs_rate_becomes_the_true_one() -> None:
    stream = Stream(weighted=True, delay=500)
    stream.run(40_000)
    for first in range(5):
        said, rates = zip(
            *((stream.model.score((first, second)), true_rate((first, second))) for second in range(5, 10)),
            strict=True,
        )
        assert sum(said) / sum(rates) == pytest.approx(1.0, abs=0.15)


def test_without_weights_the_rate_stays_too_low() -> None:
    stream = Stream(weighted=False, delay=500)
    stream.run(24_000)
    assert stream.off(10_000) < 0.9


@pytest.mark.parametrize("label", [0, 1])
def test_where_nothing_ever_comes_estimates_go_to_the_provisional_label(label: int) -> None:
    stream = Stream(weighted=True, delay=1e9, label=label)
    stream.run(3000)
    assert max(said for said, _ in stream.said[2000:]) < 0.02
    assert max(said for said, _ in stream.said) <= 0.1 + 1e-9  # where it began


@pytest.mark.parametrize("name", ["logistic_sgd", "logistic_ftrl"])
def test_other_models_become_right_as_well(name: str) -> None:
    faster = {"l2": 0.0, "alpha": 0.5} if "ftrl" in name else {}
    stream = Stream(weighted=True, delay=200, name=name, **faster)
    stream.run(12_000)
    assert stream.off(6000) == pytest.approx(1.0, abs=0.1)


@given(st.floats(0.001, 0.999), st.floats(0.0, 1.0), st.integers(0, 1))
def test_the_expected_gradient_is_0_where_the_score_is_right_and_nowhere_else(rate, early, label) -> None:
    """`rate` and `early` of the label that differs; gradients of the log loss by its log-odds."""
    provisional = Provisional(label)
    provisional._early = early

    def gradient(score: float) -> float:
        first = provisional.first(1.0 - score if label else score)
        return (score - 1.0) * rate + score * first * (1.0 - rate * early)

    assert gradient(rate) == pytest.approx(0.0, abs=1e-12)
    assert gradient(rate * 0.9) < 0.0 < gradient(rate + 0.1 * (1.0 - rate))


def test_the_share_that_comes_early_is_counted_and_saved() -> None:
    provisional = Provisional(0)
    for number in range(3000):
        assert provisional.then(1, learned_before=bool(number % 4)) == 1.0
        assert provisional.then(0, learned_before=True) == 0.0
        assert provisional.then(0, learned_before=False) == 1.0
    assert provisional._early == pytest.approx(0.25, abs=0.01)
    assert provisional.first(0.5) == pytest.approx(0.5 / (1.0 - 0.125), abs=0.01)
    loaded = Provisional(0)
    loaded.load(provisional.save())
    assert loaded.save() == provisional.save()
    assert loaded.first(0.3) == provisional.first(0.3)


def test_a_sure_score_has_a_weight() -> None:
    provisional = Provisional(0)
    assert (provisional.first(0.0), provisional.first(1.0)) == (1.0, 0.0)
    provisional.then(1, learned_before=False)
    assert provisional.first(1.0) == 1.0


def test_what_is_no_label_or_state_is_refused() -> None:
    with pytest.raises(ValueError, match="must be 0 or 1"):
        Provisional(2)
    provisional = Provisional(0)
    saved = provisional.save()
    for damaged in (b"", b"nothing", saved[:-1], saved + b"\0", Provisional(1).save()):
        with pytest.raises(ValueError):
            provisional.load(damaged)


# ---------------------------------------------------------------- weights in models


def test_models_say_whether_they_take_weights() -> None:
    assert set(MODELS) - set(WEIGHTED) == {"river_arf", "river_half_space_trees"}


@pytest.mark.parametrize("name", WEIGHTED)
def test_weight_1_is_no_weight(name: str) -> None:
    one: Any = built(name)
    other: Any = built(name)
    for features, label in examples(one.takes, 300):
        one.learn(features, label)
        other.learn(features, label, 1.0)
    taken = examples(one.takes, 100, seed=8)
    assert [one.score(features) for features, _ in taken] == [other.score(features) for features, _ in taken]


@pytest.mark.parametrize("name", WEIGHTED)
def test_a_higher_weight_teaches_more(name: str) -> None:
    moved = []
    for weight in (0.25, 1.0, 4.0):
        model: Any = built(name)
        taken = examples(model.takes, 50)
        for features, _ in taken:
            model.learn(features, 0)
        features = taken[0][0]
        before = model.score(features)
        for _ in range(5):
            model.learn(features, 1, weight)
        moved.append(model.score(features) - before)
    assert 0.0 < moved[0] < moved[1] < moved[2]


@pytest.mark.parametrize("algorithm", ["sgd", "adagrad", "ftrl"])
@given(
    stream=st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(4, 8), st.integers(9, 15), st.integers(0, 1), st.floats(0.0, 3.0)
        ),
        max_size=40,
    )
)
def test_weighted_twins_equal_rivers(algorithm: str, stream: list[Any]) -> None:
    fused: Any = build_model(f"logistic_{algorithm}", {}, SHAPE)
    rivers: Any = build_model(f"river_logistic_{algorithm}", {}, SHAPE)
    for *slots, label, weight in stream:
        fused.learn(slots, label, weight)
        rivers.learn(slots, label, weight)
        assert fused.intercept == near(rivers.estimator.intercept)
        assert fused.score(slots) == near(rivers.score(slots))
