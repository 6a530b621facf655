"""The shard's clock over any stream: what no sender can do to it, and that it goes on."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.shard import clock as clock_module
from headrace.shard.clock import EventClock, Timing

pytestmark = pytest.mark.property

HOUR = 3_600_000
START = 1_600_000_000_000
AGREE, ALONE = 3, 8
TIMES = st.one_of(
    st.integers(0, 100 * HOUR), st.integers(0, 30_000 * HOUR), st.sampled_from([0, HOUR, 9000 * HOUR])
)
EVENTS = st.lists(st.tuples(TIMES, st.sampled_from(["a", "b", "c", "d", ""])), max_size=80)


def started(agree: int = AGREE) -> EventClock:
    clock = EventClock(48 * HOUR, 24 * HOUR, agree, ALONE)
    for _ in range(agree):
        clock.observe(START, "a")
    return clock


@given(events=EVENTS)
def test_it_never_goes_back_and_a_lone_event_makes_no_large_step(events: list[tuple[int, str]]) -> None:
    clock = started()
    in_row: list[str] = []
    for offset, name in events:
        before = clock.now
        timing = clock.observe(START + offset, name)
        in_row = [*in_row, name] if START + offset > before + 24 * HOUR else []
        assert clock.now >= before
        if clock.now > before + 24 * HOUR:
            assert len(set(in_row)) >= AGREE or len(in_row) >= ALONE
            in_row = []
        assert (timing is Timing.LATE) == (START + offset < before - 48 * HOUR)
        assert timing is not Timing.AHEAD or clock.now == before
        assert clock.votes is None or len(clock.votes.names) < AGREE


@given(ahead=st.lists(st.integers(25 * HOUR, 9_000_000 * HOUR), max_size=60), rest=st.integers(1, 40))
def test_one_sender_among_others_makes_nothing_late(ahead: list[int], rest: int) -> None:
    clock = started()
    for place, offset in enumerate(ahead):
        assert clock.observe(clock.now + offset, "broken") is Timing.AHEAD
        if place % (ALONE - 1) == ALONE - 2:
            assert clock.observe(START + place, "b") is Timing.ON_TIME
    for step in range(rest):
        assert clock.observe(START + 60 + step, f"c{step}") is Timing.ON_TIME


@given(gap=st.integers(1, 100_000 * HOUR), names=st.lists(st.sampled_from("abc"), min_size=ALONE))
def test_after_any_silence_events_in_order_are_accepted_soon(gap: int, names: list[str]) -> None:
    clock = started()
    timings = [clock.observe(START + gap + step, name) for step, name in enumerate(names)]
    assert timings[ALONE - 1] is Timing.ON_TIME
    assert clock.now == START + gap + len(names) - 1


@given(events=EVENTS, data=st.data())
def test_saved_anywhere_it_goes_on_the_same(events: list[tuple[int, str]], data: Any) -> None:
    clock, stop = started(), data.draw(st.integers(0, len(events)))
    whole = [clock.observe(START + offset, name) for offset, name in events]
    first, second = started(), started()
    cut = [first.observe(START + offset, name) for offset, name in events[:stop]]
    second.load(msgspec.msgpack.decode(msgspec.msgpack.encode(first.save())))
    assert cut + [second.observe(START + offset, name) for offset, name in events[stop:]] == whole
    assert second.save() == clock.save()


@settings(deadline=None)
@given(
    events=EVENTS,
    steps=st.lists(st.integers(0, 20 * HOUR), max_size=30),
    agree=st.integers(1, 3),
    share=st.sampled_from([0.0, 0.75]),
    heard_max=st.integers(1, 4),
)
def test_an_event_that_is_taken_back_has_changed_nothing(
    events: list[tuple[int, str]], steps: list[int], agree: int, share: float, heard_max: int
) -> None:
    clock = EventClock(48 * HOUR, 24 * HOUR, agree, ALONE, share)
    at, stream = 0, list(events)
    for place, step in enumerate(steps):  # among any events, some that the clock accepts
        at += step
        stream.insert(2 * place, (at, "abcdefg"[place % 7]))
    with patch.object(clock_module, "PARTIES_MAX", heard_max):
        for offset, name in stream:
            before = clock.save()
            known = clock.now, clock.votes
            for other in ("x", name):
                for further in (0, offset, offset + 25 * HOUR, at + 5 * HOUR):
                    clock.observe(START + further, other)
                    clock.take_back(*known, START + further, other)
                    assert clock.save() == before
            clock.observe(START + offset, name)
