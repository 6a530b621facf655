"""The index keeps its limits, and forgets what it is to forget."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.config.recommend import EngineSettings
from headrace.operators.recommend.engine import SOURCES, Engine
from headrace.operators.recommend.lists import Graded, ListWindow, PendingLists
from headrace.operators.recommend.spread import Spread

HOUR_MS = 3_600_000


def engine(**limits: object) -> Engine:
    return Engine(EngineSettings.model_validate(limits))


def test_an_item_without_room_is_forgotten_with_all_that_names_it():
    small = engine(items_max=2)
    numbers = [small.number_of(each) for each in ("a", "b")]
    for item in numbers:
        small.take("s1", item, 1000)
    small.number_of("a")
    third = small.number_of("c")  # b was idle for longest
    assert len(small) == 2
    assert small.known("b") is None
    assert small.name_of(numbers[1]) == ""
    assert third not in numbers
    assert numbers[1] not in small.rank("s1").items


def test_a_session_without_room_no_longer_speaks_for_items():
    small = engine(sessions_max=2)
    a, b, c = map(small.number_of, ("a", "b", "c"))
    for session, item in (("s1", a), ("s1", b), ("s2", c), ("s3", a)):
        small.take(session, item, 1000)
    assert small.history("s1") == []
    ranked = small.rank("s3")
    assert SOURCES[ranked.sources[ranked.items.index(b)]] == "next_clicks"


def test_an_item_is_counted_once_a_session():
    index = engine()
    a, b = map(index.number_of, ("a", "b"))
    for item in (a, b, a, b, a, b):
        index.take("s1", item, 1000)
    index.take("s2", a, 1000)
    ranked = index.rank("s2", excluded=(a,))
    place = ranked.items.index(b)
    assert (SOURCES[ranked.sources[place]], ranked.anchors[place], ranked.support[place]) == (
        "neighbours",
        a,
        1,
    )


def test_what_is_trending_cools_down():
    index = engine(trending_half_life_hours=1.0)
    old, new = map(index.number_of, ("old", "new"))
    for _ in range(8):
        index.take("s1", old, 0 + HOUR_MS)
    assert index.trending(2) == [old]
    index.take("s2", new, 6 * HOUR_MS)
    assert index.trending(2) == [new, old]
    assert index.trending(2, lambda item: item != new) == [old]


def test_heat_survives_years_of_cooling():
    index = engine(trending_half_life_hours=1.0)
    item = index.number_of("a")
    for day in range(400):
        index.take(f"s{day}", item, (1 + day) * 24 * HOUR_MS)
    assert index.trending(1) == [item]
    assert np.isfinite(index._unit)


def test_scores_are_shares_in_falling_order():
    index = engine()
    for session in range(20):
        for step in range(4):
            index.take(f"s{session}", index.number_of(f"i{(session * step) % 9}"), 1000)
    ranked = index.rank("s3")
    assert ranked.scores == sorted(ranked.scores, reverse=True)
    assert sum(ranked.scores) == pytest.approx(1.0)


def test_the_ranker_learns_which_source_to_trust():
    index = engine()
    before = index._weights[0].copy()
    a, b, *others = map(index.number_of, "abcdef")
    for session in range(50):
        index.take(f"s{session}", others[session % 4], 1000)
        index.take(f"s{session}", a, 1000)
        index.rank(f"s{session}", excluded=(a,))
        index.learn_next(f"s{session}", b)
        index.take(f"s{session}", b, 1000)
    assert not index.learn_next("nobody", b)
    assert index._weights[0, SOURCES.index("next_clicks")] > before[SOURCES.index("next_clicks")]


# -- judging


def test_lists_without_room_are_dropped_oldest_first():
    lists = PendingLists()
    lists.configure(2, 60.0)
    for number in range(4):
        lists.put(f"s{number}", 1000, [number])
    assert len(lists) == 2
    assert lists.of("s1") is None
    assert lists.dropped_by_limit == 2
    twin = PendingLists()
    twin.load(lists.save())
    assert twin.save() == lists.save()


def test_the_window_forgets_the_oldest_lists():
    window = ListWindow(2)
    assert window.quality() is None
    window.extend([Graded(0, 5, new=True), Graded(1, 20, new=False)])
    twin = window.copy()
    window.extend([Graded(3, 10, new=False)])
    quality = window.quality()
    assert (quality.hit_rate, quality.mrr, quality.ndcg) == (1.0, pytest.approx(2 / 3), 0.75)
    assert (quality.length, quality.new_hit_rate, quality.lists) == (15.0, None, 2)
    assert twin.quality().hit_rate == 0.5


# -- spread


def test_lists_that_prefer_popular_items_are_told():
    spread, heat = Spread(3), {1: 10.0, 2: 20.0, 3: 1.0}
    spread.note([1, 2], 3, 1000, heat.get)
    spread.note([], 3, 1500, heat.get)
    spread.note([3], 1, 2000, heat.get)
    assert spread.popularity == (8.0, 5.5)
    assert (spread.shown_since(0), spread.shown_since(1500)) == (3, 1)
    spread.note([4], 4, 3000, heat.get)
    assert spread.shown_since(0) == 3  # the one shown longest ago made room
    twin = Spread(3)
    twin.load(spread.save())
    assert twin.save() == spread.save()
    assert twin.popularity == spread.popularity


def test_a_source_that_knows_nothing_of_an_item_never_speaks_for_it():
    index = engine()
    a, b, c = map(index.number_of, "abc")
    for place, item in enumerate((a, b, a, c, a, b)):
        index.learn_next("s1", item)
        index.take("s1", item, 1000 + place)
        index.rank("s1", (item,))
    index._weights[:] = -1.0  # what speaks for an item then lowers it, and saying nothing would be better
    ranked = index.rank("s1", (b,))
    found = index._find(index._sessions["s1"]).weights
    for item, source in zip(ranked.items, ranked.sources, strict=True):
        assert item in found[source]


def test_what_the_ranker_learns_from_is_what_it_ranked_by():
    index = engine()
    a, b = map(index.number_of, "ab")
    for item in (a, b, a):
        index.take("s1", item, 1000)
    before = index.rank("s1")
    assert index.learn_next("s1", b)
    after = index.rank("s1")
    assert after.scores[after.items.index(b)] > before.scores[before.items.index(b)]
