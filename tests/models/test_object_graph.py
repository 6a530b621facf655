"""Estimators as data: what is made again is what was saved, and nothing but listed classes can be named."""

from __future__ import annotations

import sys
from collections import OrderedDict, defaultdict, deque
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift, stats

from headrace.operators.models.object_graph import Unsaved, decode_graph, encode_graph

PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=8),
)
KEYS = st.one_of(st.integers(), st.text(max_size=4), st.tuples(st.text(max_size=2), st.integers()))
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(KEYS, inner, max_size=4),
        st.sets(KEYS, max_size=4),
        st.frozensets(KEYS, max_size=4),
    ),
    max_leaves=24,
)


def told(value: Any) -> Any:
    """A value with the kinds of all that is in it, whatever the order of a set; one NaN is another."""
    if isinstance(value, dict):
        return [(told(key), told(each)) for key, each in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [told(each) for each in value]
    if isinstance(value, set | frozenset):
        return type(value), sorted(map(repr, value))
    return repr(value)


def again(value: Any) -> Any:
    return decode_graph(encode_graph(value))


@settings(max_examples=300, deadline=None)
@given(value=VALUES)
def test_plain_values_come_back_as_they_were(value: Any) -> None:
    assert told(again(value)) == told(value)
    assert encode_graph(again(value)) == encode_graph(value)


def test_shared_and_circular_references_are_kept() -> None:
    shared: list[Any] = [1]
    ring: dict[str, Any] = {"shared": shared, "again": (shared, shared)}
    ring["itself"] = [ring]
    made = again(ring)
    assert made["itself"][0] is made
    assert made["again"][0] is made["again"][1] is made["shared"]


def test_containers_keep_their_kind_and_order() -> None:
    value = {
        "ordered": OrderedDict([("b", 1), ("a", 2)]),
        "counts": defaultdict(int, {(1, "x"): 2}),
        "limits": defaultdict(partial(tuple, (0.0, 1.0))),
        "last": deque([1, 2], maxlen=2),
    }
    made = again(value)
    assert made == value
    assert list(made["ordered"]) == ["b", "a"]
    assert (made["counts"]["new"], made["limits"]["new"], made["last"].maxlen) == (0, (0.0, 1.0), 2)


@pytest.mark.parametrize("kind", ["float64", "float32", "int8", "uint64", "bool", "complex128"])
def test_numbers_of_numpy_keep_their_kind(kind: str) -> None:
    scalar, array = np.dtype(kind).type(1), np.arange(6).reshape(2, 3).astype(kind)
    made_scalar, made_array = again((scalar, array))
    assert (type(made_scalar), made_scalar) == (type(scalar), scalar)
    assert made_array.dtype == array.dtype
    assert (made_array == array).all()
    made_array[0] = 0  # it can be written to


def test_random_choices_go_on() -> None:
    chance = Random(3)
    chance.gauss(0.0, 1.0)
    made = again(chance)
    assert [made.gauss(0.0, 1.0), made.random()] == [chance.gauss(0.0, 1.0), chance.random()]


class Stranger:
    """Of no class that may be saved."""


@pytest.mark.parametrize(
    "value", [Stranger(), [{"deep": (Stranger(),)}], print, Stranger, stats.Quantile(0.5)]
)
def test_what_is_not_listed_is_not_saved(value: object) -> None:
    with pytest.raises(ValueError, match="no class that a model may be made of"):
        encode_graph(value)


def test_a_key_that_is_told_by_more_than_its_value_is_not_saved() -> None:
    with pytest.raises(ValueError, match="is a key"):
        encode_graph({stats.Mean(): 1})


def forged(names: list[str], shapes: list[Any], fixed: list[Any], shells: list[Any], root: Any) -> bytes:
    return msgspec.msgpack.encode((names, shapes, fixed, shells, root))


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "subprocess:Popen",
        "builtins:eval",
        "builtins:exec",
        "headrace.cli.app:main",
        "this:s",
        "no_module:x",
    ],
)
def test_no_other_name_is_looked_up(name: str) -> None:
    sys.modules.pop("this", None)
    instance = forged([name], [[0, "field"]], [], [[14, 0, [1]]], [0])
    named = forged([name], [], [[4, 0]], [], [-1])
    called = forged([name], [], [[4, 0], [5, [-1], ["touch /tmp/x"], [[], []]]], [], [-2])
    for saved in (instance, named, called):
        with pytest.raises(Unsaved, match="no class that a model may be made of"):
            decode_graph(saved)
    assert "this" not in sys.modules


@pytest.mark.parametrize(
    "saved",
    [
        b"",
        b"\x80\x05K\x01.",
        forged(["builtins:int"], [[0, "real"]], [], [[14, 0, [1]]], [0]),  # no fields
        forged(["river.stats.mean:Mean"], [[0, "__class__"]], [], [[14, 0, [1]]], [0]),
        forged(["river.stats.mean:Mean"], [], [], [[13, 0, None, [1], [1]]], [0]),  # no dictionary
        forged(["river.stats.mean:Mean"], [[0, "n"]], [], [[14, 0, [1, 2]]], [0]),  # too many
        forged([], [], [], [[99]], [0]),
        forged([], [], [[99]], [], [-1]),
        forged([], [], [[0, [[-1]]]], [], [-1]),  # a tuple in itself
        forged([], [], [[7, "O", [1], b"12345678"]], [], [-1]),  # an array of objects
        forged([], [], [[5, 1, [], [[], []]]], [], [-1]),  # calls a number
        forged([], [], [], [], [7]),
        forged([], [], [[8, [0.002, 32, 5, 5, 10], b"\xff" * 40]], [], [-1]),  # a window that Rust can't read
    ],
)
def test_what_was_not_written_so_is_refused(saved: bytes) -> None:
    with pytest.raises(Unsaved):
        decode_graph(saved)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_bytes_are_refused_or_made_into_listed_classes(data: st.DataObject) -> None:
    detector = drift.ADWIN()
    for number in range(40):
        detector.update(number % 3)
    saved = bytearray(encode_graph([detector, stats.Mean(), {"a": (1, 2)}, Random(1)]))
    for _ in range(data.draw(st.integers(1, 4))):
        saved[data.draw(st.integers(0, len(saved) - 1))] = data.draw(st.integers(0, 255))
    with suppress(Unsaved):
        decode_graph(bytes(saved))
