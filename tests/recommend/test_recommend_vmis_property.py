"""The plain reference, moved by each click, against one that looks through all clicks anew for each slate."""

from __future__ import annotations

from math import log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.config.recommend import EngineSettings
from headrace.operators.recommend.engine import Engine
from headrace.operators.recommend.kernels import SOURCE_NAMES
from headrace.operators.recommend.vmis import PlainVmis

pytestmark = pytest.mark.property

CLICKS = st.lists(st.tuples(st.sampled_from("123456"), st.sampled_from("abcdefg")), min_size=1, max_size=60)
LIMITS = st.fixed_dictionaries(
    {"sample_max": st.integers(1, 6), "neighbours_max": st.integers(1, 6), "looked_at_max": st.integers(1, 7)}
)


def anew(
    clicks: list[tuple[str, str]], session: str, sample_max: int, neighbours_max: int, looked_at_max: int
) -> dict[str, float]:
    """Weights of items, from nothing but the clicks."""
    touched = {name: place for place, (name, _) in enumerate(clicks)}
    holds = {name: list(dict.fromkeys(i for s, i in clicks if s == name)) for name in touched}
    last = list(dict.fromkeys(i for s, i in reversed(clicks) if s == session))[:looked_at_max]
    others = sorted(
        (name for name in holds if name != session and set(holds[name]) & set(last)),
        key=lambda n: -touched[n],
    )[:sample_max]
    worth = {item: len(last) - place for place, item in enumerate(last)}
    alike = {name: sum(worth.get(item, 0) for item in holds[name]) for name in others}
    nearest = sorted(others, key=lambda n: (-alike[n], -touched[n]))[:neighbours_max]
    pairs = sum(map(len, holds.values()))
    weights: dict[str, float] = {}
    for name in nearest:
        place = 1 + next(place for place, item in enumerate(last) if item in holds[name])
        for item in holds[name]:
            held = sum(item in items for items in holds.values())
            weights[item] = weights.get(item, 0.0) + alike[name] / len(last) * (1 - 0.1 * place) * log(
                pairs / held
            )
    return weights


@given(clicks=CLICKS, limits=LIMITS)
def test_each_slate_is_that_of_an_index_made_anew(clicks, limits):
    plain = PlainVmis(**limits)
    for place, (session, item) in enumerate(clicks, 1):
        plain.take(session, item)
        assert plain.weights(session) == pytest.approx(anew(clicks[:place], session, **limits))


@settings(deadline=None)  # the first example may have to compile
@given(clicks=CLICKS)
def test_the_engine_finds_the_items_of_the_same_sessions(clicks):
    engine, plain = Engine(EngineSettings()), PlainVmis(looked_at_max=6)
    for session, item in clicks:
        number = engine.items.number_of(item)
        engine.take(session, number, 1000)
        plain.take(session, item)
        candidates = engine.rank(session).candidates
        room = engine._room_arrays
        spoken_for = (
            room["weight"].reshape(-1, len(SOURCE_NAMES))[:candidates, SOURCE_NAMES.index("neighbours")] > 0.0
        )
        found = {
            engine.items.name_of(engine.items.number_at[slot])
            for slot in room["item"][:candidates][spoken_for]
        }
        own = {engine.items.name_of(each) for each in engine.history(session)}
        assert found - own == set(plain.weights(session)) - own


@settings(deadline=None)
@given(clicks=CLICKS, cut=st.integers(0, 60))
def test_an_engine_loaded_at_any_click_goes_on_to_the_same_bytes(clicks, cut):
    whole, first = Engine(EngineSettings()), Engine(EngineSettings())
    for place, (session, item) in enumerate(clicks):
        if place == cut:
            blobs = first.save()
            first = Engine(EngineSettings())
            first.load(blobs)
        slates = []
        for engine in (whole, first):
            number = engine.items.number_of(item)
            engine.learn_next(session, number, new=number not in engine.history(session))
            engine.take(session, number, 1000 + place)
            slates.append(engine.rank(session, (number,)))
        assert slates[0] == slates[1]
    assert whole.save() == first.save()
