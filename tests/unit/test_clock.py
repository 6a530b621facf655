"""The shard's clock and its guard against broken ones."""

import pytest

from headrace.operators.clock import EventClock, Timing

HOUR = 3_600_000
START = 1_600_000_000_000
ALONE = 6
AHEAD, LATE, ON_TIME = Timing.AHEAD, Timing.LATE, Timing.ON_TIME


def clock_of(agree: int = 3) -> EventClock:
    return EventClock(48 * HOUR, 24 * HOUR, agree, ALONE)


def started(agree: int = 3) -> EventClock:
    clock = clock_of(agree)
    for step in range(agree):
        clock.observe(START + step, "a")
    return clock


def said(clock: EventClock, *events: tuple[int, str]) -> list[Timing]:
    return [clock.observe(time_ms, name) for time_ms, name in events]


def test_starts_only_when_events_agree_whoever_they_are_of() -> None:
    clock = clock_of()
    assert clock.observe(START + 9000 * HOUR, "a") is AHEAD
    assert said(clock, *[(START, "a")] * 3) == [AHEAD, AHEAD, ON_TIME]
    assert clock.now == START


def test_one_broken_clock_moves_nothing() -> None:
    clock = started()
    before = clock.now
    far = before + 1000 * HOUR
    assert said(clock, (far, "a"), (before + 1, "b"), (far, "c"), (before + 1, "b"), (far, "d")) == [
        AHEAD, ON_TIME, AHEAD, ON_TIME, AHEAD,
    ]  # fmt: skip
    assert clock.now == before + 1


@pytest.mark.parametrize("name", ["a", ""])
def test_one_sender_alone_is_not_several(name: str) -> None:
    clock = started()
    far = clock.now + 700_000 * HOUR
    assert said(clock, *[(far, name)] * 1000) == [AHEAD] * 1000
    assert clock.now == START + 2


def test_a_quiet_time_ends_when_different_customers_agree() -> None:
    clock = started()
    later = clock.now + 1000 * HOUR
    assert said(clock, (later, "a"), (later + 2, "b"), (later + 3, "a"), (later + 1, "c")) == [
        AHEAD, AHEAD, AHEAD, ON_TIME,
    ]  # fmt: skip
    assert clock.now == later + 3


def test_a_quiet_time_of_a_single_customer_ends_when_its_times_have_risen_often_enough() -> None:
    clock = started()
    later = clock.now + 1000 * HOUR
    rising = [(later + step, "a") for step in range(ALONE - 1)]
    assert said(clock, *rising, (later, "a"), (later + ALONE - 2, "a")) == [AHEAD] * (ALONE + 1)
    assert clock.observe(later + ALONE, "a") is ON_TIME
    assert clock.now == later + ALONE


def test_those_who_disagree_begin_anew() -> None:
    clock = started()
    later, far = clock.now + 1000 * HOUR, clock.now + 700_000 * HOUR
    assert said(clock, (later, "a"), (later, "b"), (far, "c"), (far, "d"), (later, "e")) == [AHEAD] * 5
    assert clock.agreeing is not None
    assert clock.agreeing.names == ("e",)


def test_late_is_beyond_the_limit_only() -> None:
    clock = started()
    now = clock.now
    assert said(clock, (now - 48 * HOUR, "a"), (now - 48 * HOUR - 1, "a"), (now, "a")) == [
        ON_TIME, LATE, ON_TIME,
    ]  # fmt: skip


def test_a_step_that_one_event_makes_leaves_the_present_on_time() -> None:
    clock = started()
    now = clock.now
    assert said(clock, (now + 24 * HOUR, "a"), (now + 1, "b")) == [ON_TIME, ON_TIME]


def test_a_name_is_forgotten_but_not_what_was_said_under_it() -> None:
    clock = started()
    far = clock.now + 1000 * HOUR
    said(clock, (far + 1, "a"), (far + 2, "b"))
    clock.forget("a")
    assert "a" not in str(clock.save()["agreeing"])
    assert said(clock, (far + 3, "c"), (far + 4, "d")) == [AHEAD, ON_TIME]
    clock.forget("b")


def test_saved_and_loaded_goes_on() -> None:
    clock = started()
    far = clock.now + 1000 * HOUR
    said(clock, (far, "a"), (far + 1, "b"))
    other = clock_of()
    other.load(clock.save())
    assert said(other, (far + 2, "b"), (far, "c")) == [AHEAD, ON_TIME]
    assert other.now == far + 2
    clock.load(other.save())
    assert clock.save() == {"now": far + 2, "agreeing": None}
