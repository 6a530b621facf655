"""Decisions wait for their targets by event id, or by another key that several may share."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.operators.decisions.pending import ASSUMED, UNLABELLED
from headrace.operators.decisions.waiting import TOLD, Waiting


def waiting(*, keyed: bool, rows_max: int = 100, age_ms_max: int = 1_000_000) -> Waiting:
    return Waiting(2, 3, "H", 2, keyed=keyed, rows_max=rows_max, age_ms_max=age_ms_max)


def add(to: Waiting, event_id: str, key: str, time_ms: int = 5, number: int = 1, **more: bool) -> None:
    censored = more.get("censored", False)
    to.wait(event_id, key, time_ms, number, (7, 8), 5, (1, 2, 3), 0.25, (0.5, 0.75), censored=censored)


def test_a_row_comes_back_as_it_was_kept():
    store = waiting(keyed=True)
    add(store, "e1", "k", censored=True)
    (place,) = store.places_of("k")
    row = store.at(place)
    assert (row.time_ms, row.number, row.told_ms, row.score, row.state) == (5, 1, 0, 0.25, UNLABELLED)
    assert (row.rows, row.inputs, row.served) == ((7, 8), (1, 2, 3), (0.5, 0.75))
    assert row.flags == 5 << 1 | 1
    assert math.isnan(row.value)


def test_several_wait_under_one_key_and_are_told_apart():
    store = waiting(keyed=True)
    for event_id in ("a", "b", "c"):
        add(store, event_id, "k" if event_id != "b" else "other")
    first, third = store.places_of("k")
    store.tell(first, 3.5, 20)
    store.tell(third, 4.5, 30, assumed=True)
    assert (store.at(first).state, store.at(first).value, store.at(first).told_ms) == (TOLD, 3.5, 20)
    assert (store.at(third).state, store.at(third).value) == (ASSUMED, 4.5)
    (second,) = store.places_of("other")
    assert store.at(second).state == UNLABELLED


def test_what_is_forgotten_or_dropped_waits_under_no_key():
    store = waiting(keyed=True, rows_max=2)
    add(store, "a", "k")
    add(store, "b", "k")
    add(store, "c", "k")
    assert [store.at(place).number for place in store.places_of("k")] == [1, 1]
    assert store.dropped_by_limit == 1
    store.forget(["b"])
    assert len(store.places_of("k")) == 1
    store.forget(["c", "nobody"])
    assert not store.places_of("k")
    assert b"k" not in store.save()["keys"]


def test_rows_of_another_size_are_refused():
    store = waiting(keyed=False)
    with pytest.raises(ValueError, match="another size"):
        store.load(Waiting(1, 3, "H", 2, keyed=False).save())


@given(
    st.booleans(),
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(0, 9), st.sampled_from("xyz")),
            st.tuples(st.just("forget"), st.integers(0, 9), st.just("")),
            st.tuples(st.just("expire"), st.integers(0, 60), st.just("")),
            st.tuples(st.just("tell"), st.integers(0, 9), st.sampled_from("xyz")),
            st.tuples(st.just("save"), st.just(0), st.just("")),
        ),
        max_size=60,
    ),
)
def test_it_does_as_a_plain_list_would(keyed, steps):
    store, plain = waiting(keyed=keyed, rows_max=6, age_ms_max=20), list[tuple[str, str, int, int]]()
    for number, (step, value, key) in enumerate(steps):
        event_id = f"e{value}"
        if step == "add" and event_id not in store.index:
            add(store, event_id, key if keyed else event_id, number, number)
            plain.append((event_id, key if keyed else event_id, number, UNLABELLED))
            plain = plain[-6:]
        elif step == "forget":
            store.forget([event_id])
            plain = [each for each in plain if each[0] != event_id]
        elif step == "expire":
            store.expire(value, 1000)
            plain = [each for each in plain if each[2] >= value - 20]
        elif step == "tell":
            wanted = key if keyed else event_id
            for place in store.places_of(wanted):
                store.tell(place, float(value), number)
            plain = [(*each[:3], TOLD) if each[1] == wanted else each for each in plain]
        elif step == "save":
            again = waiting(keyed=keyed, rows_max=6, age_ms_max=20)
            again.load(store.save())
            store = again
        found = [
            (event_id, each, store.at(place).time_ms, store.at(place).state)
            for each in dict.fromkeys(key for _, key, _, _ in plain)
            for place in store.places_of(each)
            for event_id in [next(known for known, at in store.index.items() if at == place)]
        ]
        assert sorted(found) == sorted(plain)
        assert len(store) == len(plain)
