"""Since when messages wait: which timestamps are accepted, and who is overdue by them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from headrace.journal.known_sources import KnownSources, source_note
from headrace.shard.waiting import NEVER, MessageAges, Skewed, by_waiting, sample

NOW = 1_700_000_000_000
FLOW = NOW - 1_000_000
"""When the state came to know the topic."""


def ages() -> MessageAges:
    return MessageAges({7: FLOW}, skew_ms_max=1000)


def test_a_message_waits_since_its_timestamp():
    """D-WAIT-1: a backlog too, whatever it waited for."""
    times = [NOW - 100_000, NOW - 3, NOW]
    seen = ages()
    assert seen.since(7, times, 0, NOW) == times
    assert seen.since(7, times, NOW - 100_500, NOW) == times
    assert seen.skewed == Skewed(0, 0)


@pytest.mark.parametrize(
    ("time_ms", "since_ms", "skewed"),
    [
        (NOW + 900, NOW, Skewed(0, 0)),
        (NOW + 1001, NOW, Skewed(1, 0)),
        (NOW * 2, NOW, Skewed(1, 0)),
        (NOW - 2900, NOW - 2900, Skewed(0, 0)),
        (NOW - 3001, NOW, Skewed(0, 1)),
        (0, NOW, Skewed(0, 1)),
        (-1, NOW, Skewed(0, 0)),
    ],
)
def test_a_wrong_clock_is_not_accepted_and_counted(time_ms, since_ms, skewed):
    """D-WAIT-2: nor does it touch the messages beside it."""
    seen = ages()
    assert seen.since(7, [NOW - 50, time_ms, NOW - 40], NOW - 2000, NOW) == [NOW - 50, since_ms, NOW - 40]
    assert seen.skewed == skewed


def test_nobody_waits_for_what_is_older_than_the_flow():
    """D-WAIT-3."""
    seen = ages()
    assert seen.since(7, [FLOW - 1, FLOW, -1, NOW + 5000], 0, NOW) == [NEVER, FLOW, NOW, NOW]
    assert seen.since(8, [1, NOW], 0, NOW) == [1, NOW]  # of a topic that earlier versions came to know
    assert seen.skewed == Skewed(1, 0)


def test_a_partition_that_was_added_is_as_old_as_its_topic():
    """D-WAIT-3: the messages of an added partition were waited for, while nobody read it."""
    known = KnownSources()
    known.take(source_note(0, "kafka:in/0", "id", 100))
    known.take(source_note(1, "kafka:in/1", "id", 900))
    known.take(source_note(2, "kafka:other/0", "id", 500))
    known.take(source_note(3, "kafka:old/0", "id"))
    assert known.known_since_ms() == {0: 100, 1: 100, 2: 500, 3: 0}
    again = KnownSources()
    again.load(known.header())
    for note in known.notes():
        assert not again.take(note)
    assert not again.take(source_note(0, "kafka:in/0", "id", 999))
    assert again.known_since_ms() == known.known_since_ms()


def test_overdue_is_told_message_by_message():
    since = [NOW, 5, 5, NEVER, NOW, 6]
    assert list(by_waiting(range(6), since, 100)) == [
        *((range(1), False), (range(1, 3), True), (range(3, 5), False), (range(5, 6), True))
    ]
    assert list(by_waiting([0, 4], since, 100)) == [([0, 4], False)]
    assert list(by_waiting([3], since, 100)) == [([3], False)]
    assert list(by_waiting([1, 5], since, 100)) == [([1, 5], True)]


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 31, 32, 33, 512])
def test_a_sample_is_even_and_small(count):
    some = list(sample(range(count)))
    assert len(some) <= 16
    assert some[:1] == list(range(count))[:1]
    assert len({later - earlier for earlier, later in pairwise(some)}) <= 1
