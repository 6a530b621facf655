"""Estimators: what every one must pass, and the registry."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.operators.models import (
    ESTIMATORS,
    build_estimator,
    estimator_errors,
    reference,
    unbuilt_model,
)

HERE = Path(__file__).parents[1] / "support"
sys.path.insert(0, str(HERE))
from estimating import SHAPE, SHARES, around_100, built, run, slots_of  # noqa: E402
from judging import below, pinball  # noqa: E402

NAMES = pytest.mark.parametrize("name", ESTIMATORS)


@NAMES
def test_two_runs_are_equal(name: str) -> None:
    assert run(built(name), around_100, 800) == run(built(name), around_100, 800)


@NAMES
def test_learns_where_the_number_lies(name: str) -> None:
    estimator = built(name)
    run(estimator, around_100, 3000)
    low, high = (estimator.estimate((slot, 5, 10))[1] for slot in (0, 3))
    assert low == pytest.approx(100.0, rel=0.15)
    assert high == pytest.approx(100.0 * math.exp(0.6), rel=0.15)


@NAMES
def test_learns_where_the_number_spreads(name: str) -> None:
    estimator = built(name)
    run(estimator, lambda chance, _, slots: 100.0 + (1.0 + 9.0 * (slots[1] == 8)) * chance.gauss(0, 1), 4000)
    narrow, wide = (estimator.estimate((1, slot, 10)) for slot in (5, 8))
    assert wide[2] - wide[0] > 4.0 * (narrow[2] - narrow[0])


@NAMES
def test_one_spread_where_spreads_do_not_learn(name: str) -> None:
    estimator = built(name, spread_lr=0.0)
    run(estimator, around_100, 500)
    assert set(estimator.spreads) == {0.0}


@NAMES
def test_loses_little_against_the_true_quantiles(name: str) -> None:
    rows = run(built(name), around_100, 6000)[3000:]
    chance, true = random.Random(3), []
    for number in range(6000):
        slots = slots_of(chance)
        value = around_100(chance, number, slots)
        middle = 100.0 * math.exp(0.2 * slots[0])
        true.append((value, [middle * math.exp(0.3 * z) for z in (-1.2816, 0.0, 1.2816)]))
    assert pinball(rows, SHARES) < 1.06 * pinball(true[3000:], SHARES)


@NAMES
def test_untrained_one_says_what_it_was_told(name: str) -> None:
    served = built(name, initial=50.0).estimate((0, 4, 9))
    assert all(map(math.isfinite, served))
    assert served[0] < served[1] < served[2]
    assert served[1] == pytest.approx(50.0, rel=0.02)
    assert all(map(math.isfinite, built(name).estimate((0, 4, 9))))


@NAMES
def test_the_first_outcome_sets_the_unit(name: str) -> None:
    estimator = built(name)
    estimator.learn((0, 4, 9), 4e6, estimator.estimate((0, 4, 9)))
    low, middle, high = estimator.estimate((1, 5, 10))
    assert low < middle < high < 4e8
    assert middle == pytest.approx(4e6, rel=0.1)


@NAMES
def test_the_unit_does_not_matter(name: str) -> None:
    """Of positive numbers far above the offset; seconds or hours times 2 ** 20 then say the same."""
    by = 2.0**20

    def larger(chance: random.Random, number: int, slots: tuple[int, ...]) -> float:
        return by * around_100(chance, number, slots)

    ones = run(built(name, initial=1024.0), around_100, 600)
    others = run(built(name, initial=1024.0 * by, **({"offset": by} if "log" in name else {})), larger, 600)
    for (_, one), (_, other) in zip(ones, others, strict=True):
        assert [by * said for said in one] == pytest.approx(other, rel=1e-6)


@NAMES
def test_saved_and_loaded_goes_on_equal(name: str) -> None:
    estimator, loaded = built(name, residuals=100), built(name, residuals=100)
    run(estimator, around_100, 700)
    run(loaded, around_100, 30, seed=5)
    loaded.load(estimator.save())
    assert run(estimator, around_100, 300, seed=4) == run(loaded, around_100, 300, seed=4)
    assert estimator.save() == loaded.save()


@NAMES
def test_saving_and_estimating_change_nothing(name: str) -> None:
    one, other = built(name), built(name)
    run(one, around_100, 200)
    run(other, around_100, 200)
    one.size_bytes()
    assert one.explained((1, 5, 10))[0] == one.estimate((1, 5, 10))
    assert one.save() == other.save()


@NAMES
def test_what_inputs_add_makes_the_location(name: str) -> None:
    estimator = built(name)
    run(estimator, around_100, 1500)
    _, added = estimator.explained((3, 5, 10))
    assert len(added) == 3
    assert all(type(part) is float for part in added)
    assert added[0] > max(added[1:])  # it is the first input that tells


@NAMES
def test_fewer_residuals_keep_the_newest(name: str) -> None:
    estimator = built(name, residuals=400)
    run(estimator, around_100, 1001)
    fewer = built(name, residuals=50)
    fewer.load(estimator.save())
    assert len(fewer.held._sorted) == 50
    ring, place = estimator.held._ring, estimator.held._place
    assert list(fewer.held._ring) == list(ring[place:] + ring[:place])[-50:]
    run(fewer, around_100, 100)
    assert len(fewer.held._sorted) == 50


@NAMES
def test_damaged_state_is_refused(name: str) -> None:
    estimator = built(name)
    run(estimator, around_100, 50)
    saved, before = estimator.save(), estimator.estimate((0, 4, 9))
    for damaged in (b"", b"nothing", saved[:-1], saved[: len(saved) // 2], saved + b"\0"):
        with pytest.raises(ValueError):
            estimator.load(damaged)
    assert (estimator.save(), estimator.estimate((0, 4, 9))) == (saved, before)


@NAMES
def test_state_of_anything_else_is_refused(name: str) -> None:
    estimator = built(name)
    for other in ESTIMATORS:
        if other != name:
            with pytest.raises(ValueError, match="saved by"):
                estimator.load(built(other).save())
    for shape in (replace(SHAPE, slots=17), replace(SHAPE, group_offsets=(0, 5, 9))):
        with pytest.raises(ValueError, match="saved by a model of"):
            estimator.load(build_estimator(name, {}, shape, SHARES).save())
    with pytest.raises(ValueError, match=r"quantile 0\.95"):
        estimator.load(build_estimator(name, {}, SHAPE, (0.1, 0.5, 0.95)).save())


@NAMES
@pytest.mark.parametrize(
    ("value", "served", "weight", "message"),
    [
        (math.nan, (1.0, 2.0, 3.0), 1.0, "number must"),
        (math.inf, (1.0, 2.0, 3.0), 1.0, "number must"),
        (1e16, (1.0, 2.0, 3.0), 1.0, "number must"),
        (1.0, (1.0, 2.0), 1.0, "2 quantiles were served, not 3"),
        (1.0, (1.0, math.nan, 3.0), 1.0, "must be finite"),
        (1.0, None, -1.0, "weight must"),
        (1.0, None, math.nan, "weight must"),
    ],
)
def test_what_cannot_be_learned_changes_nothing(name, value, served, weight, message) -> None:
    estimator = built(name)
    run(estimator, around_100, 50)
    before = estimator.save()
    with pytest.raises(ValueError, match=message):
        estimator.learn((0, 4, 9), value, served, weight)
    with pytest.raises(IndexError):
        estimator.learn((0, 4, 99), 1.0, None)
    assert estimator.atomic
    assert estimator.save() == before


def test_a_logarithm_takes_no_negative_number() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        built("log_location_scale").learn((0, 4, 9), -0.5)


@NAMES
def test_weight_0_teaches_nothing_and_more_teaches_more(name: str) -> None:
    moved = []
    for weight in (0.0, 0.5, 1.0, 3.0):
        estimator = built(name)
        run(estimator, around_100, 100)
        before = estimator.estimate((0, 4, 9))[1]
        estimator.learn((0, 4, 9), 500.0, weight=weight)
        moved.append(estimator.estimate((0, 4, 9))[1] - before)
    assert moved[0] == 0.0
    assert moved == sorted(set(moved))


@NAMES
def test_memory_is_bounded(name: str) -> None:
    estimator = built(name, residuals=200)
    sizes = []
    for start in range(3):
        run(estimator, around_100, 1000, seed=start)
        sizes.append(estimator.size_bytes())
    assert sizes[1] == sizes[2] < 20_000
    assert len(estimator.held._ring) == len(estimator.held._sorted) == 200


@NAMES
@pytest.mark.parametrize("wild", [1e12, 0.0])
def test_a_wild_number_moves_estimates_little(name: str, wild: float) -> None:
    estimator = built(name)
    run(estimator, around_100, 300)
    before = estimator.estimate((1, 5, 10))
    estimator.learn((0, 4, 9), wild)  # no input in common
    assert estimator.estimate((1, 5, 10)) == pytest.approx(before, rel=0.12)


# ---------------------------------------------------------------- whatever comes

VALUES = st.one_of(
    st.sampled_from([0.0, 1.0, 1e-300, 1e15, 7.0]), st.floats(0.0, 1e15), st.floats(0.0, 100.0)
)
SLOTS = st.tuples(st.integers(0, 3), st.integers(4, 8), st.integers(9, 15))


@pytest.mark.property
@settings(max_examples=60)
@given(
    name=st.sampled_from(sorted(ESTIMATORS)),
    stream=st.lists(st.tuples(SLOTS, VALUES, st.floats(0.0, 1e6), st.integers(0, 10_000)), max_size=60),
    cut=st.integers(0, 60),
    residuals=st.integers(20, 30),
    negative=st.booleans(),
)
def test_whatever_comes_it_is_finite_rises_and_is_saved(name, stream, cut, residuals, negative) -> None:
    parameters = {"residuals": residuals, "location_lr": 10.0, "coverage_rate": 0.5}
    one, other = built(name, **parameters), built(name, **parameters)
    sign = -1.0 if negative and name == "location_scale" else 1.0
    for number, (slots, value, weight, pending) in enumerate(stream):
        served = one.estimate(slots)
        assert all(map(math.isfinite, served))
        assert list(served) == sorted(served)
        assert all(map(math.isfinite, one.explained(slots)[1]))
        one.learn(slots, sign * value, served, weight, pending)
        other.learn(slots, sign * value, served, weight, pending)
        if number == cut:
            other = built(name, **parameters)
            other.load(one.save())
    assert one.save() == other.save()
    assert len(one.held._sorted) <= residuals
    assert sorted(one.held._ring) == one.held._sorted


# ---------------------------------------------------------------- the registry


def test_mistakes_are_listed_at_once() -> None:
    found = estimator_errors("location_scale", {"clip": -1, "speed": 3, "residuals": 20.5, "offset": 1.0})
    assert [key for key, _ in found] == [
        f"parameters.{key}" for key in ("clip", "speed", "residuals", "offset")
    ]
    assert "whole number" in dict(found)["parameters.residuals"]
    assert "there are location_scale, log_location_scale" in estimator_errors("nothing", {})[0][1]
    with pytest.raises(ValueError, match=r"parameters\.clip.*; quantiles must"):
        build_estimator("location_scale", {"clip": -1}, SHAPE, (0.5, 0.5))


@pytest.mark.parametrize("quantiles", [(), (0.0, 0.5), (0.5, 1.0), (0.5, 0.5), (0.9, 0.1), (math.nan,)])
def test_quantiles_must_rise_between_0_and_1(quantiles: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="quantiles must be between 0 and 1 and rise"):
        build_estimator("location_scale", {}, SHAPE, quantiles)


@pytest.mark.parametrize("quantiles", [(0.5,), (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)])
def test_any_number_of_quantiles_is_held(quantiles: tuple[float, ...]) -> None:
    rows = run(build_estimator("log_location_scale", {}, SHAPE, quantiles), around_100, 5000)[2000:]
    for head, share in enumerate(quantiles):
        assert below(rows, head) == pytest.approx(share, abs=0.02)


@NAMES
def test_an_unbuilt_one_loads_anything(name: str) -> None:
    model: Any = unbuilt_model(name)
    model.load(b"anything")
    assert (model.takes, model.cheap_explain) == ("slots", True)


@NAMES
def test_the_reference_has_each_parameter(name: str) -> None:
    section = reference().split(f"## `{name}`")[1].split("\n## ")[0]
    assert "| `coverage_rate` | 0.005 | 0 | 0.5 |" in section
    assert ("`offset`" in section) is (name == "log_location_scale")


SCRIPT = """
import sys
sys.path[:0] = {folders!r}
from estimating import around_100, built, run
from headrace.operators.models import ESTIMATORS
for name in ESTIMATORS:
    estimator = built(name)
    print(run(estimator, around_100, 300)[-20:], estimator.save().hex())
"""


def test_hash_seed_does_not_matter() -> None:
    command = [sys.executable, "-c", SCRIPT.format(folders=[str(HERE)])]
    one, other = (
        subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True)
        for seed in ("1", "2")
    )
    assert one.stdout == other.stdout
