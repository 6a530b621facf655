"""The check suite on every registered model; the fused ones against River's; the registry and its page."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.operators.models import MODELS, ModelShape, build_model, model_errors, reference
from headrace.operators.models.saved import Origin

HERE = Path(__file__).parents[1] / "support"
sys.path.insert(0, str(HERE))
from model_checks import CHECKS, SHAPE, Build, built, check_memory_is_bounded, examples, run  # noqa: E402

ALGORITHMS = ("sgd", "adagrad", "ftrl")
TREES = ("river_hoeffding_adaptive_tree", "river_arf")
near = partial(pytest.approx, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("name", MODELS)
def test_model(name: str, check: Callable[[Build], None]) -> None:
    check(lambda: built(name))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in TREES else []) for name in MODELS]
)
def test_memory_is_bounded(name: str) -> None:
    check_memory_is_bounded(lambda: built(name))


# Strong rates take log-odds past every cut-off of River's in a few steps, and one group's slot repeats there.
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@settings(max_examples=60, deadline=None)
@given(
    stream=st.lists(
        st.tuples(st.integers(0, 3), st.integers(4, 5), st.integers(9, 15), st.integers(0, 1)), max_size=80
    ),
    base_rate=st.floats(1e-6, 1.0 - 1e-6),
    rate=st.sampled_from([1e-3, 0.05, 0.2, 1.0, 5.0]),
    eps=st.sampled_from([1e-12, 1e-8, 1.0]),
    l1=st.sampled_from([0.0, 0.3, 2.0]),
    l2=st.sampled_from([0.0, 1.0]),
)
def test_fused_twins_equal_rivers(
    algorithm: str,
    stream: list[tuple[int, ...]],
    base_rate: float,
    rate: float,
    eps: float,
    l1: float,
    l2: float,
) -> None:
    own = {
        "sgd": {"lr": rate},
        "adagrad": {"lr": rate, "eps": eps},
        "ftrl": {"alpha": rate, "l1": l1, "l2": l2},
    }
    parameters = {"base_rate": base_rate, "intercept_lr": rate / 10, **own[algorithm]}
    fused: Any = build_model(f"logistic_{algorithm}", parameters, SHAPE)
    rivers: Any = build_model(f"river_logistic_{algorithm}", parameters, SHAPE)
    for *slots, label in stream:
        assert fused.score(slots) == near(rivers.score(slots))
        fused.learn(slots, label)
        rivers.learn(slots, label)
        assert fused.intercept == near(rivers.estimator.intercept)
        weights = rivers.estimator.weights
        assert fused.weights == near([float(weights.get(slot, 0.0)) for slot in range(SHAPE.slots)])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_fused_equals_river_over_a_long_stream(algorithm: str) -> None:
    fused, rivers = built(f"logistic_{algorithm}"), built(f"river_logistic_{algorithm}")
    taken = examples("slots", 6000, drift=1000)
    assert run(fused, taken) == near(run(rivers, taken))


@pytest.mark.parametrize(
    "log_odds", [-1e6, -800.0, -30.5, -29.5, -18.5, -17.5, 0.0, 17.5, 18.5, 29.5, 30.5, 800.0]
)
@pytest.mark.parametrize("label", [0, 1])
def test_fused_equals_river_at_the_cut_offs(log_odds: float, label: int) -> None:
    fused: Any = built("logistic_sgd")
    rivers: Any = built("river_logistic_sgd")
    fused.intercept = rivers.estimator.intercept = log_odds
    assert fused.score((0, 4, 9)) == near(rivers.score((0, 4, 9)))
    fused.learn((0, 4, 9), label)
    rivers.learn((0, 4, 9), label)
    assert fused.explain((0, 4, 9)) == pytest.approx(rivers.explain((0, 4, 9)), rel=1e-12, abs=0.0)


@pytest.mark.parametrize("name", MODELS)
def test_state_of_any_other_model_is_refused(name: str) -> None:
    model = built(name)
    for other in MODELS:
        if other != name:
            with pytest.raises(ValueError, match=f"saved by {MODELS[other].__name__}, not"):
                model.load(built(other).save())


@pytest.mark.parametrize("name", MODELS)
def test_state_of_another_shape_is_refused(name: str) -> None:
    others = {
        "slots": [
            replace(SHAPE, slot_names=("a", "b", "d")),
            replace(SHAPE, group_offsets=(0, 5, 9)),
            replace(SHAPE, slots=17),
            ModelShape(("a", "b"), (0, 4), 9, ()),
        ],
        "values": [replace(SHAPE, value_names=SHAPE.value_names[::-1]), replace(SHAPE, value_names=("u",))],
    }
    model = built(name)
    for shape in others[model.takes]:
        with pytest.raises(ValueError, match="saved by a model of"):
            model.load(build_model(name, {}, shape).save())


def test_a_model_that_reads_slots_may_change_its_values() -> None:
    saved = build_model("logistic_sgd", {}, replace(SHAPE, value_names=())).save()
    built("logistic_sgd").load(saved)


@pytest.mark.parametrize("name", [name for name in MODELS if name.startswith("river_")])
def test_another_rivers_state_is_refused_unopened(name: str) -> None:
    model: Any = built(name)
    origin: Origin = msgspec.structs.replace(model._origin, library="River 0.1.0")
    with pytest.raises(ValueError, match=r"saved by River 0\.1\.0, not River \d"):
        model.load(origin.seal(b"no pickle"))


@pytest.mark.parametrize("name", TREES)
def test_trees_stay_within_their_depth(name: str) -> None:
    heights = []
    for depth_max in (2, 20):
        model: Any = build_model(name, {"depth_max": depth_max, "grace_period": 20, "seed": 3}, SHAPE)
        if name == "river_arf":
            model.estimator.n_models = 1
        for features, label in examples("values", 1500):
            model.learn(features, label ^ (features[1] > 0))
        trees = model.estimator if name == "river_arf" else [model.estimator]
        heights.append(max(tree.height for tree in trees))
    assert heights[0] <= 3 < heights[1]


def test_half_space_trees_learn_nothing_from_frauds() -> None:
    one, other = built("river_half_space_trees"), built("river_half_space_trees")
    taken = examples("values", 600)
    run(one, taken)
    run(other, [example for example in taken if not example[1]])
    assert [one.score(features) for features, _ in taken] == [other.score(features) for features, _ in taken]


def test_mistakes_are_listed_at_once() -> None:
    found = model_errors("logistic_sgd", {"lr": -1, "speed": 3, "base_rate": "x", "intercept_lr": math.nan})
    keys = ["parameters.lr", "parameters.speed", "parameters.base_rate", "parameters.intercept_lr"]
    assert [key for key, _ in found] == keys
    assert "it has lr, base_rate, intercept_lr" in dict(found)["parameters.speed"]
    assert [key for key, _ in model_errors("nothing", {"lr": -1})] == ["name"]
    with pytest.raises(ValueError, match=r"parameters\.lr.*; parameters\.speed"):
        build_model("logistic_sgd", {"lr": -1, "speed": 3}, SHAPE)


@pytest.mark.parametrize(
    ("value", "fits"), [(3, True), (3.0, False), (True, False), ("3", False), (0, False)]
)
def test_whole_numbers_must_be_whole(value: object, fits: bool) -> None:
    assert (model_errors("river_arf", {"n_models": value}) == []) is fits


SCRIPT = """
import hashlib, sys
sys.path.insert(0, {folder!r})
from headrace.operators.models import MODELS
from model_checks import built, examples, run
for name in MODELS:
    model = built(name)
    print(name, run(model, examples(model.takes, 900))[-300:])
    if not name.startswith("river"):
        print(hashlib.sha256(model.save()).hexdigest())
"""


def test_hash_seed_does_not_matter() -> None:
    command = [sys.executable, "-c", SCRIPT.format(folder=str(HERE))]
    started = [
        subprocess.Popen(command, env={**os.environ, "PYTHONHASHSEED": seed}, stdout=subprocess.PIPE)
        for seed in ("1", "2")
    ]
    one, other = (process.communicate()[0] for process in started)
    assert one == other
    assert one.count(b"\n") == len(MODELS) + len(ALGORITHMS)


def test_river_is_not_imported_for_the_default() -> None:
    script = (
        "import sys; from headrace.operators.models import *; import headrace.kinds.fraud.machine;"
        "build_model('logistic_adagrad', {}, ModelShape(('a',), (0,), 2, ()));"
        "sys.exit('river' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_reference_page_is_not_stale() -> None:
    assert (HERE.parents[1] / "docs" / "models.md").read_text() == reference(), "run: headrace reference"
