"""What every registered model must pass: each check takes what builds a new one, and raises when it fails."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import pytest

from headrace.operators.models import Model, ModelShape, build_model

SHAPE = ModelShape(("a", "b", "c"), (0, 4, 9), 16, ("u", "v", "w", "x", "y", "z"))
# Small enough to be quick, and to reach their limits.
SMALL = {
    "river_hoeffding_adaptive_tree": {"grace_period": 50, "depth_max": 5},
    "river_arf": {"n_models": 2, "depth_max": 5},
    "river_half_space_trees": {"window": 100, "height": 6},
}
SIZE_BYTES_MAX = 4 * 2**20

Build = Callable[[], Model]
Example = tuple[tuple[float, ...], int]


def built(name: str) -> Model:
    return build_model(name, SMALL.get(name, {}), SHAPE)


def examples(takes: str, count: int, *, seed: int = 7, drift: int = 0) -> list[Example]:
    """A stream in which the first part tells the label; with `drift` it tells the opposite after so many."""
    chance, found = random.Random(seed), []
    for number in range(count):
        label = int(chance.random() < 0.2)
        told = label ^ (number // drift % 2) if drift else label
        slots = (chance.randrange(2) + 2 * told, 4 + chance.randrange(5), 9 + chance.randrange(7))
        values = [chance.gauss(2.0 * told, 1.0), *(chance.gauss(0.0, 1.0) for _ in range(4)), 1.0]
        missing = [math.nan if chance.random() < 0.1 else value for value in values]
        found.append((slots if takes == "slots" else tuple(missing), label))
    return found


def run(model: Model, taken: Sequence[Example]) -> list[float]:
    """Score, then learn, each in turn."""
    scores = []
    for features, label in taken:
        scores.append(model.score(features))
        model.learn(features, label)
    return scores


def check_two_runs_are_equal(build: Build) -> None:
    one, other = build(), build()
    taken = examples(one.takes, 1200, drift=400)
    assert run(one, taken) == run(other, taken)


def check_starts_at_the_base_rate(build: Build) -> None:
    model = build()
    for features, _ in examples(model.takes, 20):
        assert model.score(features) == pytest.approx(0.01, rel=1e-9)


def check_scores_are_probabilities(build: Build) -> None:
    model = build()
    scores = run(model, examples(model.takes, 1500, drift=300))
    assert all(type(score) is float and 0.0 <= score <= 1.0 for score in scores)


def check_learns(build: Build) -> None:
    model = build()
    run(model, examples(model.takes, 2500))
    fresh = examples(model.takes, 400, seed=8)
    frauds = [model.score(features) for features, label in fresh if label]
    others = [model.score(features) for features, label in fresh if not label]
    ranked_right = sum((fraud > other) + (fraud == other) / 2 for fraud in frauds for other in others)
    assert ranked_right / (len(frauds) * len(others)) > 0.7  # the area under the ROC curve


def check_scoring_and_explaining_change_nothing(build: Build) -> None:
    one, other = build(), build()
    taken = examples(one.takes, 600)
    for features, label in taken:
        score, contributions = other.score_explained(features)
        assert (score, list(contributions)) == (other.score(features), other.explain(features))
        one.learn(features, label)
        other.learn(features, label)
    assert [one.score(features) for features, _ in taken] == [other.score(features) for features, _ in taken]


def check_saved_and_loaded_goes_on_equal(build: Build) -> None:
    model, loaded = build(), build()
    taken = examples(model.takes, 1300, drift=600)
    run(model, taken[:800])
    run(loaded, taken[:50])  # what it had learned itself is gone
    loaded.load(model.save())
    assert [loaded.explain(features) for features, _ in taken[:20]] == [
        model.explain(features) for features, _ in taken[:20]
    ]
    assert run(model, taken[800:]) == run(loaded, taken[800:])


def check_saving_changes_nothing(build: Build) -> None:
    one, other = build(), build()
    taken = examples(one.takes, 600)
    run(one, taken[:300])
    run(other, taken[:300])
    one.save()
    one.size_bytes()
    assert run(one, taken[300:]) == run(other, taken[300:])


def check_damaged_state_is_refused(build: Build) -> None:
    model = build()
    run(model, examples(model.takes, 50))
    saved = model.save()
    taken = examples(model.takes, 20)
    before = [model.score(features) for features, _ in taken]
    for damaged in (b"", b"nothing", saved[:-1], saved[: len(saved) // 2], saved + b"\0"):
        with pytest.raises(ValueError):
            model.load(damaged)
    assert [model.score(features) for features, _ in taken] == before


def check_explains_each_part(build: Build) -> None:
    model = build()
    taken = examples(model.takes, 2000)
    run(model, taken)
    found = [model.explain(features) for features, label in taken if label]
    assert {len(contributions) for contributions in found} == {len(taken[0][0])}
    assert all(math.isfinite(part) for contributions in found for part in contributions)
    if model.takes == "slots":
        assert all(contributions[0] > max(contributions[1:]) for contributions in found)
    else:
        assert all(
            part == 0.0
            for features, _ in taken[:50]
            for value, part in zip(features, model.explain(features), strict=True)
            if value != value
        )


def check_memory_is_bounded(build: Build) -> None:
    model = build()
    sizes = []
    for start in range(4):
        for features, label in examples(model.takes, 5000, seed=start, drift=900):
            model.learn(features, label)
        sizes.append(model.size_bytes())
    assert max(sizes) < SIZE_BYTES_MAX


CHECKS = [
    check_two_runs_are_equal,
    check_starts_at_the_base_rate,
    check_scores_are_probabilities,
    check_learns,
    check_scoring_and_explaining_change_nothing,
    check_saved_and_loaded_goes_on_equal,
    check_saving_changes_nothing,
    check_damaged_state_is_refused,
    check_explains_each_part,
]
