"""The index keeps its limits, and forgets what it is to forget."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from headrace.config.recommend import EngineSettings, RankerSettings
from headrace.operators.recommend.coverage import Coverage
from headrace.operators.recommend.engine import Engine
from headrace.operators.recommend.kernels import SOURCE_NAMES
from headrace.operators.recommend.pointwise import Pointwise
from headrace.operators.recommend.slates import Evaluated, PendingSlates, SlateWindow

HOUR_MS = 3_600_000


def engine(**limits: object) -> Engine:
    return Engine(EngineSettings.model_validate(limits))


def test_an_item_without_room_is_forgotten_with_all_that_names_it():
    small = engine(items_max=2)
    numbers = [small.items.number_of(each) for each in ("a", "b")]
    for item in numbers:
        small.take("s1", item, 1000)
    small.items.number_of("a")
    third = small.items.number_of("c")  # b was idle for longest
    assert len(small) == 2
    assert small.items.known("b") is None
    assert small.items.name_of(numbers[1]) == ""
    assert third not in numbers
    assert numbers[1] not in small.rank("s1").items


def test_a_session_without_room_no_longer_speaks_for_items():
    small = engine(sessions_max=2)
    a, b, c = map(small.items.number_of, ("a", "b", "c"))
    for session, item in (("s1", a), ("s1", b), ("s2", c), ("s3", a)):
        small.take(session, item, 1000)
    assert small.history("s1") == []
    ranked = small.rank("s3")
    assert SOURCE_NAMES[ranked.sources[ranked.items.index(b)]] == "next_clicks"


def test_an_item_is_counted_once_a_session():
    index = engine()
    a, b = map(index.items.number_of, ("a", "b"))
    for item in (a, b, a, b, a, b):
        index.take("s1", item, 1000)
    index.take("s2", a, 1000)
    ranked = index.rank("s2", excluded=(a,))
    place = ranked.items.index(b)
    assert (SOURCE_NAMES[ranked.sources[place]], ranked.anchors[place], ranked.support[place]) == (
        "recent_neighbours",
        a,
        1,
    )


def test_what_is_trending_cools_down():
    index = engine(trending_half_life_hours=1.0)
    old, new = map(index.items.number_of, ("old", "new"))
    for _ in range(8):
        index.take("s1", old, 0 + HOUR_MS)
    assert index.trending(2) == [old]
    index.take("s2", new, 6 * HOUR_MS)
    assert index.trending(2) == [new, old]
    assert index.trending(2, lambda item: item != new) == [old]


def test_heat_survives_years_of_cooling():
    index = engine(trending_half_life_hours=1.0)
    item = index.items.number_of("a")
    for day in range(400):
        index.take(f"s{day}", item, (1 + day) * 24 * HOUR_MS)
    assert index.trending(1) == [item]
    assert 0.0 < index.heat(item) < 2.0
    index.take("s", item, 1_000_000 * 24 * HOUR_MS)
    assert index.heat(item) == 1.0


def test_scores_are_shares_in_falling_order():
    index = engine()
    for session in range(20):
        for step in range(4):
            index.take(f"s{session}", index.items.number_of(f"i{(session * step) % 9}"), 1000)
    ranked = index.rank("s3")
    assert ranked.scores == sorted(ranked.scores, reverse=True)
    assert sum(ranked.scores) == pytest.approx(1.0)


def test_the_ranker_learns_which_of_two_likely_items_is_clicked():
    index = engine()
    a, b, c, d, e = map(index.items.number_of, "abcde")
    for session in range(60):
        name, often = f"s{session}", (b, c)[session % 2]
        for item in (a, d, often, e):
            index.take(name, item, 1000 + session)
    first = 0.0
    for session in range(60):
        name = f"t{session}"
        for item in (a, d):
            index.take(name, item, 2000 + session)
        ranked = index.rank(name, (d,))
        share = ranked.scores[ranked.items.index(b)]
        first = share if session == 0 else first
        assert index.learn_next(name, b, new=True)
    assert share > 2 * first
    assert not index.learn_next("nobody", b, new=True)
    assert not index.learn_next("t1", b, new=True)  # a slate teaches once


# -- evaluating


def test_slates_without_room_are_dropped_oldest_first():
    slates = PendingSlates()
    slates.configure(2, 60.0)
    for number in range(4):
        slates.put(f"s{number}", 1000, [number])
    assert len(slates) == 2
    assert slates.of("s1") is None
    assert slates.dropped_by_limit == 2
    twin = PendingSlates()
    twin.load(slates.save())
    assert twin.save() == slates.save()


def test_the_window_forgets_the_oldest_slates():
    window = SlateWindow(2)
    assert window.quality() is None
    window.extend([Evaluated(0, 5, new=True), Evaluated(1, 20, new=False)])
    twin = window.copy()
    window.extend([Evaluated(3, 10, new=False)])
    quality = window.quality()
    assert (quality.hit_rate, quality.mrr, quality.ndcg) == (1.0, pytest.approx(2 / 3), 0.75)
    assert (quality.length, quality.new_hit_rate, quality.slates) == (15.0, None, 2)
    assert twin.quality().hit_rate == 0.5


# -- coverage


def test_slates_that_prefer_popular_items_are_told():
    coverage, heat = Coverage(3), {1: 10.0, 2: 20.0, 3: 1.0}
    coverage.note([1, 2], 3, 1000, heat.get)
    coverage.note([], 3, 1500, heat.get)
    coverage.note([3], 1, 2000, heat.get)
    assert coverage.popularity == (8.0, 5.5)
    assert (coverage.shown_since(0), coverage.shown_since(1500)) == (3, 1)
    coverage.note([4], 4, 3000, heat.get)
    assert coverage.shown_since(0) == 3  # the one shown longest ago made room
    twin = Coverage(3)
    twin.load(coverage.save())
    assert twin.save() == coverage.save()
    assert twin.popularity == coverage.popularity


def test_what_the_ranker_learns_from_is_what_it_ranked_by():
    index = engine()
    a, b = map(index.items.number_of, "ab")
    for item in (a, b, a):
        index.take("s1", item, 1000)
    before = index.rank("s1")
    index.take("s2", b, 1000)  # what comes between changes nothing of it
    assert index.learn_next("s1", b, new=False)
    after = index.rank("s1")
    assert after.scores[after.items.index(b)] > before.scores[before.items.index(b)]


# -- the index as it goes round


def walk(index: Engine, sessions: int, items: int, clicks: int, seed: int = 1) -> list[object]:
    """Random clicks, orders, returns and endings; what was ranked on the way."""
    draw, told = Random(seed), []
    for place in range(clicks):
        session, item = f"s{draw.randrange(sessions)}", index.items.number_of(f"i{draw.randrange(items)}")
        index.learn_next(session, item, new=item not in index.history(session))
        (index.follow if place % 17 == 0 else index.take)(session, item, 60_000 * place)
        if place % 29 == 0:
            index.bought([index.items.number_of(f"i{each}") for each in draw.sample(range(items), 3)])
        if place % 97 == 0:
            index.forget_session(session)
        told.append(index.rank(session, (item,), best=20))
    return told


SMALL = {
    "items_max": 120,
    "posting_blocks_max": 200,
    "chunks_max": 90,
    "sessions_max": 60,
    "order_lines_max": 30,
    "shown_max": 20,
}


def test_no_slate_names_an_item_that_was_dropped_or_left_out_or_comes_twice():
    index = engine(**SMALL)
    draw = Random(2)
    for place in range(3000):
        session, item = f"s{draw.randrange(200)}", index.items.number_of(f"i{draw.randrange(200)}")
        index.take(session, item, 60_000 * place)
        ranked = index.rank(session, (item,))
        names = [index.items.name_of(number) for number in ranked.items]
        assert "" not in names
        assert len(set(names)) == len(names)
        assert item not in ranked.items
        assert len(index) <= 120
    assert index.slates_dropped > 0


def test_a_session_of_many_clicks_keeps_its_past_across_chunks():
    index = engine()
    numbers = [index.items.number_of(f"i{place}") for place in range(30)]
    for number in numbers:
        index.take("long", number, 1000)
    assert index.history("long") == numbers
    index.take("other", numbers[25], 2000)
    ranked = index.rank("other", (numbers[25],))
    assert set(numbers[2:25]) <= set(ranked.items)  # so far as a neighbour is read back
    assert numbers[26] in ranked.items[:3]


def test_an_item_that_gets_the_place_of_another_inherits_nothing():
    index = engine(items_max=3)
    a, b, _ = map(index.items.number_of, "abc")
    for session in range(5):
        for item in (a, b):
            index.take(f"s{session}", item, 1000)
    index.bought([a, b])
    index.items.number_of("a")
    index.items.number_of("c")
    d = index.items.number_of("d")  # in the place of b
    assert d != b
    assert d & 0xFFFFFF == b & 0xFFFFFF
    index.take("s9", a, 1000)
    assert d not in index.rank("s9", (a,)).items
    assert index.heat(d) == 0.0
    assert index.heat(b, -1.0) == -1.0
    index.take("s8", a, 1000)
    index.take("s8", d, 1000)
    index.take("s9", a, 1000)
    assert d in index.rank("s9", (a, b)).items  # that what was there is left out says nothing of it


def test_an_erased_session_speaks_for_nothing():
    index = engine()
    a, b = map(index.items.number_of, "ab")
    for item in (a, b):
        index.take("s1", item, 1000)
    index.take("s2", a, 1000)
    assert index.rank("s2", (a,)).sources != []
    index.forget_session("s1")
    ranked = index.rank("s2", (a,))
    assert {SOURCE_NAMES[source] for source in ranked.sources} <= {"trending"}
    assert index.history("s1") == []


def test_a_click_that_is_accepted_later_teaches_as_if_it_had_been_from_the_start():
    index, twin = engine(), engine()
    for each in (index, twin):
        for session in ("s1", "s2"):
            for name in "abc":
                (each.take if each is twin else each.follow)(session, each.items.number_of(name), 1000)
    c = index.items.number_of("c")
    index.take("s3", index.items.number_of("a"), 1000)
    assert c not in index.rank("s3").items
    for session in ("s1", "s2"):
        for name in "abc":
            index.catch_up(session, index.items.number_of(name), 1000)
    twin.items.number_of("c")
    twin.take("s3", twin.items.number_of("a"), 1000)
    assert index.rank("s3").items == twin.rank("s3").items


def test_other_limits_hold_from_the_next_click_on_and_keep_what_fits():
    index = engine(**SMALL)
    walk(index, 100, 100, 500)
    larger = {name: 3 * size for name, size in SMALL.items()}
    before = index.rank("s1")
    index.configure(EngineSettings.model_validate(larger))
    assert index.rank("s1") == before
    index.configure(EngineSettings.model_validate({name: max(size // 3, 20) for name, size in SMALL.items()}))
    walk(index, 100, 100, 500, seed=3)
    assert len(index) == 40
    twin = Engine(index._settings)
    twin.load(index.save())
    assert walk(index, 100, 100, 100, seed=4) == walk(twin, 100, 100, 100, seed=4)
    assert index.save() == twin.save()


@pytest.mark.parametrize(
    "name", ["logistic_adagrad", "river_logistic_adagrad", "river_hoeffding_adaptive_tree"]
)
def test_any_registered_model_can_take_the_rankers_place(name):
    settings = RankerSettings(name=name, parameters={})
    index = Engine(EngineSettings(), Pointwise(settings))
    a, b, c, d = map(index.items.number_of, "abcd")
    for session in range(20):
        for item in (a, b, c) if session % 2 else (a, d, c):
            index.take(f"s{session}", item, 1000 + session)
    first = None
    for session in range(150):
        index.take(f"t{session}", a, 2000 + session)
        ranked = index.rank(f"t{session}", (a,))
        first = first or ranked
        assert index.learn_next(f"t{session}", c, new=True)
        assert not index.learn_next(f"t{session}", c, new=True)
    assert sum(ranked.scores) == pytest.approx(1.0)
    assert ranked.items[0] == c
    assert ranked.scores[0] > first.scores[first.items.index(c)]
    twin = Engine(EngineSettings(), Pointwise(settings))
    twin.load(index.save())
    for engine in (index, twin):
        engine.take("u", engine.items.known("a"), 3000)
    assert index.rank("u", (a,)) == twin.rank("u", (a,))
    assert index.save() == twin.save()


PLAIN = """
import sys
sys.path.insert(0, {tests!r})
from test_recommend_engine import SMALL, engine, walk
from headrace.operators.compiled.kernels import compiles
from hashlib import sha256
index = engine(**SMALL)
said = repr(walk(index, 150, 200, 600)).encode() + b"".join(index.save().values())
print(compiles(), sha256(said).hexdigest())
"""


def test_plain_python_computes_the_same_to_the_bit():
    pytest.importorskip("numba")
    told = {}
    for switch in ("0", "1"):
        ended = subprocess.run(
            [sys.executable, "-c", PLAIN.format(tests=str(Path(__file__).parent))],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "NUMBA_DISABLE_JIT": switch},
        )
        compiled, digest = ended.stdout.split()
        told[compiled] = digest
    assert set(told) == {"True", "False"}
    assert told["True"] == told["False"]
