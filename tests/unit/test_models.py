"""The checks that every model passes, and the fused models against River's."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from headrace.operators.models import MODELS, Model, ModelShape, build_model, model_mistakes
from headrace.operators.models.registry import reference
from hypothesis import given, settings
from hypothesis import strategies as st

SHAPE = ModelShape(("a", "b", "c"), (0, 4, 9), 16, ("x", "y", "z"))
SMALL = {"river_adaptive_random_forest": {"trees": 3}}
Example = tuple[tuple[float, ...], int]


def built(name: str) -> Model:
    return build_model(name, SMALL.get(name, {}), SHAPE)


def examples(model: Model, count: int, seed: int = 7) -> list[Example]:
    chance, found = random.Random(seed), []
    for _ in range(count):
        label = int(chance.random() < 0.2)
        slots = (chance.randrange(2) + 2 * label, 4 + chance.randrange(5), 9 + chance.randrange(7))
        values = (chance.random() + label, chance.gauss(0, 1), math.nan if chance.random() < 0.1 else 1.0)
        found.append((slots if model.takes == "slots" else values, label))
    return found


def run(model: Model, taken: list[Example]) -> list[float]:
    scores = []
    for features, label in taken:
        scores.append(model.score(features))
        model.learn(features, label)
    return scores


@pytest.mark.parametrize("name", MODELS)
def test_two_runs_are_equal(name: str) -> None:
    one, other = built(name), built(name)
    taken = examples(one, 800)
    assert run(one, taken) == run(other, taken)


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_probabilities_and_start_at_the_base_rate(name: str) -> None:
    model = built(name)
    taken = examples(model, 800)
    assert model.score(taken[0][0]) == pytest.approx(0.01)
    assert all(0.0 <= score <= 1.0 for score in run(model, taken))


@pytest.mark.parametrize("name", MODELS)
def test_it_learns(name: str) -> None:
    model = built(name)
    run(model, examples(model, 3000))
    fresh = examples(model, 400, seed=8)
    frauds = [model.score(features) for features, label in fresh if label]
    others = [model.score(features) for features, label in fresh if not label]
    ranked_right = sum((fraud > other) + (fraud == other) / 2 for fraud in frauds for other in others)
    assert ranked_right / (len(frauds) * len(others)) > 0.7  # the area under the ROC curve


@pytest.mark.parametrize("name", MODELS)
def test_scoring_and_explaining_change_nothing(name: str) -> None:
    one, other = built(name), built(name)
    taken = examples(one, 400)
    for features, label in taken:
        other.score(features)
        other.explain(features)
        other.score(features)
        one.learn(features, label)
        other.learn(features, label)
    assert [one.score(features) for features, _ in taken] == [other.score(features) for features, _ in taken]


@pytest.mark.parametrize("name", MODELS)
def test_saved_and_loaded_goes_on_equal(name: str) -> None:
    model, loaded = built(name), built(name)
    taken = examples(model, 1300)
    run(model, taken[:800])
    loaded.load(model.save())
    assert run(model, taken[800:]) == run(loaded, taken[800:])


@pytest.mark.parametrize("name", MODELS)
def test_another_models_state_is_refused(name: str) -> None:
    model = built(name)
    other = built("logistic_sgd" if name != "logistic_sgd" else "logistic_ftrl")
    saved = other.save()
    if name.startswith("river"):
        saved = built("river_logistic_sgd" if name != "river_logistic_sgd" else "river_logistic_ftrl").save()
    with pytest.raises(ValueError, match="saved by"):
        model.load(saved)


@pytest.mark.parametrize("name", MODELS)
def test_memory_is_bounded(name: str) -> None:
    model = built(name)
    run(model, examples(model, 3000))
    assert model.size_bytes() < 4 * 2**20


@pytest.mark.parametrize("name", MODELS)
def test_explains_each_part(name: str) -> None:
    model = built(name)
    taken = examples(model, 2000)
    run(model, taken)
    fraud = next(features for features, label in taken if label)
    contributions = model.explain(fraud)
    assert len(contributions) == 3
    assert all(map(math.isfinite, contributions))
    if model.takes == "slots":
        assert contributions[0] > max(contributions[1:])


@pytest.mark.parametrize("algorithm", ["sgd", "adagrad", "ftrl"])
@settings(max_examples=25, deadline=None)
@given(
    stream=st.lists(
        st.tuples(st.integers(0, 3), st.integers(4, 8), st.integers(9, 15), st.integers(0, 1)), max_size=120
    ),
    base_rate=st.floats(0.001, 0.9),
)
def test_fused_twins_equal_rivers(
    algorithm: str, stream: list[tuple[int, int, int, int]], base_rate: float
) -> None:
    fused = build_model(f"logistic_{algorithm}", {"base_rate": base_rate}, SHAPE)
    rivers = build_model(f"river_logistic_{algorithm}", {"base_rate": base_rate}, SHAPE)
    for *slots, label in stream:
        assert fused.score(slots) == pytest.approx(rivers.score(slots), rel=1e-12, abs=1e-12)
        fused.learn(slots, label)
        rivers.learn(slots, label)
        assert fused.explain(slots) == pytest.approx(rivers.explain(slots), rel=1e-12, abs=1e-12)


def test_fused_equals_river_over_a_long_stream() -> None:
    for algorithm in ("sgd", "adagrad", "ftrl"):
        fused, rivers = built(f"logistic_{algorithm}"), built(f"river_logistic_{algorithm}")
        taken = examples(fused, 5000)
        assert run(fused, taken) == pytest.approx(run(rivers, taken), rel=1e-12, abs=1e-12)


def test_mistakes_are_listed_at_once() -> None:
    found = model_mistakes("logistic_sgd", {"lr": -1, "speed": 3, "base_rate": "x"})
    assert [key for key, _ in found] == ["parameters.lr", "parameters.speed", "parameters.base_rate"]
    assert model_mistakes("nothing", {})[0][0] == "name"
    with pytest.raises(ValueError, match=r"parameters\.lr"):
        build_model("logistic_sgd", {"lr": -1}, SHAPE)


SCRIPT = """
import sys; sys.path.insert(0, {folder!r})
from test_models import built, examples, run, MODELS
for name in MODELS:
    model = built(name)
    print(name, run(model, examples(model, 500))[-20:])
"""


def test_hash_seed_does_not_matter() -> None:
    script = SCRIPT.format(folder=str(Path(__file__).parent))
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert outputs[0].count(b"\n") == len(MODELS)


def test_river_is_not_imported_for_the_default() -> None:
    script = "import sys, headrace.operators.models, headrace.operators.shard; sys.exit('river' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_reference_page_is_not_stale() -> None:
    page = Path(__file__).parents[2] / "docs" / "models.md"
    assert page.read_text() == reference()
