"""The plain reference does what its paper says, where that can be worked out by hand."""

from __future__ import annotations

from math import log

import pytest

from headrace.operators.recommend.vmis import PlainVmis


def index(clicks: str, **limits: int) -> PlainVmis:
    """From words such as `1a`: session 1 clicks item a."""
    found = PlainVmis(**limits)
    for session, item in clicks.split():
        found.take(session, item)
    return found


def test_similarity_counts_shared_items_by_how_late_they_stand():
    # Session 9 holds a, b: the later b counts 2/2, the earlier a 1/2.
    assert index("1a 1b 2b 3a 9a 9b").neighbours("9") == [("1", 1.5), ("2", 1.0), ("3", 0.5)]


def test_an_item_weighs_similarity_by_place_by_rarity():
    weights = index("1b 1c 9a 9b").weights("9")
    # Four pairs; b is matched at the first place from the end, so that the session counts 0.9.
    assert weights == pytest.approx({"b": 0.9 * log(4 / 2), "c": 0.9 * log(4 / 1)})


def test_an_item_clicked_many_times_is_counted_once_a_session():
    once, often = index("1a 1b 2a 2c 9a"), index("1a 1b 1a 1b 1b 1b 2a 2c 9a")
    assert often.weights("9") == once.weights("9")


def test_a_click_is_in_the_very_next_slate_and_makes_its_whole_session_newer():
    plain = index("1a 1b 2a 2c 9a")
    assert plain.neighbours("9") == [("2", 1.0), ("1", 1.0)]
    plain.take("1", "d")
    assert plain.neighbours("9") == [("1", 1.0), ("2", 1.0)]
    assert "d" in plain.rank("9")


def test_only_the_newest_sessions_are_looked_at():
    clicks = " ".join(f"{session}a" for session in "12345") + " 9a"
    assert [other for other, _ in index(clicks, sample_max=2).neighbours("9")] == ["5", "4"]
    assert [other for other, _ in index(clicks, neighbours_max=3).neighbours("9")] == ["5", "4", "3"]


def test_only_the_end_of_a_session_is_looked_at():
    plain = index("1a 2b 9a 9b", looked_at_max=1)
    assert [other for other, _ in plain.neighbours("9")] == ["2"]


def test_what_is_excluded_is_not_listed_and_no_slate_is_longer_than_asked():
    plain = index("1a 1b 1c 1d 9a")
    assert plain.rank("9", 2, ("a", "c")) == ["b", "d"]
    assert plain.rank("9", 1, ("a",)) == ["b"]
    assert plain.rank("unknown") == []
