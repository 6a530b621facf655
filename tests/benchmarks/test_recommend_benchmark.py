"""How the benchmark of slates evaluates, and compares two methods."""

from __future__ import annotations

from math import log2

import msgspec
import pytest

from headrace.operators.events.contract import Click


@pytest.fixture(scope="module")
def modules(benchmark_named):
    return benchmark_named("_next_clicks"), benchmark_named("recommend")


@pytest.fixture(scope="module")
def protocol(modules):
    return modules[0]


@pytest.fixture(scope="module")
def benchmark(modules):
    return modules[1]


def clicks(words: str) -> list[Click]:
    return [
        Click(event_id=f"k-{place}", event_time=1_600_000_000_000 + place, session_id=session, item_id=item)
        for place, (session, item) in enumerate(words.split())
    ]


class Always:
    """A method that always slates the same, but for what is left out."""

    def answer(self, click, excluded):
        return [item for item in "abc" if item not in excluded]


def evaluated(protocol, ranks, sessions=None, new=True):
    sessions = sessions or [str(place) for place in range(len(ranks))]
    return protocol.Evaluated(sessions, list(ranks), [new] * len(ranks))


def test_measures_are_means_over_all_evaluated(protocol):
    quality = evaluated(protocol, [1, 4, 0, 0]).quality()
    assert quality == pytest.approx((0.5, (1 + 1 / 4) / 4, (1 + 1 / log2(5)) / 4, 4))
    assert protocol.Evaluated().quality() == (0.0, 0.0, 0.0, 0)


def test_a_list_is_evaluated_by_the_next_click_of_its_own_session(benchmark):
    found, asked = benchmark.evaluate(clicks("1a 2x 1c 2a 1a"), Always(), "current")
    assert found.sessions == ["1", "2", "1"]
    assert found.ranks == [2, 1, 1]  # c after a was left out; a; a again after c
    assert found.new == [True, True, False]
    assert asked == [0, 1, 2]


def test_with_seen_items_left_out_only_new_ones_are_evaluated(benchmark):
    found, _ = benchmark.evaluate(clicks("1a 1b 1a 1c"), Always(), "seen")
    assert (found.ranks, found.new) == ([1, 1], [True, True])


def test_the_current_item_can_stay(benchmark):
    found, _ = benchmark.evaluate(clicks("1a 1a"), Always(), "nothing")
    assert found.ranks == [1]


def test_the_last_file_is_evaluated_or_half_of_one(benchmark, tmp_path):
    files = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for path, words in zip(files, ("1a 1b 1c 1d", "2a 2b"), strict=True):
        path.write_bytes(b"\n".join(map(msgspec.json.encode, clicks(words))) + b"\n")
    assert [click.item_id for click in benchmark.read(files, 100)[0]] == list("abcdab")
    assert benchmark.read(files, 100)[1] == 4
    assert benchmark.read(files[:1], 100)[1] == 2
    assert len(benchmark.read(files, 1)[0]) == 2


class TestBootstrap:
    def test_a_method_gains_nothing_over_itself(self, protocol):
        ranks = evaluated(protocol, [1, 0, 3, 20, 0])
        assert protocol.bootstrap(ranks, ranks) == ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))

    def test_its_gain_is_the_difference_of_the_means_inside_its_interval(self, protocol):
        better, base = evaluated(protocol, [1, 2, 0, 5] * 50), evaluated(protocol, [2, 0, 0, 5] * 50)
        hits, places = protocol.bootstrap(better, base)
        assert hits.mean == pytest.approx(0.25)
        assert places.mean == pytest.approx(better.quality()[1] - base.quality()[1])
        # The standard error of a share of 0.25 over 200 is 0.031.
        assert (hits.low, hits.high) == pytest.approx((0.19, 0.31), abs=0.015)

    def test_clicks_of_one_session_are_drawn_together(self, protocol):
        ranks = [1, 0] * 100
        apart = protocol.bootstrap(evaluated(protocol, ranks), evaluated(protocol, [0] * 200))[0]
        sessions = [str(place % 2) for place in range(200)]
        together = protocol.bootstrap(
            evaluated(protocol, ranks, sessions), evaluated(protocol, [0] * 200, sessions)
        )[0]
        assert (together.low, together.high) == (0.0, 1.0)
        assert apart.high - apart.low < 0.2

    def test_it_needs_the_same_clicks(self, protocol):
        with pytest.raises(ValueError, match="same clicks"):
            protocol.bootstrap(evaluated(protocol, [1]), evaluated(protocol, [1, 2]))
