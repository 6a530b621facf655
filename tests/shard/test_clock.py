"""The shard's clock and its guard against broken ones."""

import pytest

from headrace.shard.clock import EventClock, Timing

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
    assert clock.votes is not None
    assert clock.votes.names == ("e",)


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
    assert (clock.now, clock.votes, clock.accepted) == (far + 2, None, 1)


def busy(names: int, share: float = 0.75) -> EventClock:
    """A clock that has heard so many names within a day."""
    clock = EventClock(48 * HOUR, 24 * HOUR, 3, ALONE, share)
    for step in range(3 * names):
        clock.observe(START + step * HOUR // (3 * names), f"c{step % names}")
    return clock


def test_a_quorum_is_a_share_of_the_names_that_were_heard() -> None:
    for names, quorum in ((1, 3), (4, 3), (5, 4), (100, 75), (5000, 768)):
        assert busy(names).quorum == quorum


@pytest.mark.parametrize("share", [0.0, 0.3, 0.75, 1.0])
def test_as_many_as_the_quorum_move_it_and_fewer_do_not(share: float) -> None:
    clock = busy(200, share)
    before, far = clock.now, clock.now + 1000 * HOUR
    quorum = max(3, round(200 * share))
    assert said(clock, *[(far, f"x{number}") for number in range(quorum - 1)]) == [AHEAD] * (quorum - 1)
    assert clock.now == before
    assert clock.observe(far, "one more") is ON_TIME


def test_who_was_heard_is_of_late_only() -> None:
    clock = busy(100)
    for _ in range(60):  # a week with a single customer
        clock.observe(clock.now + 3 * HOUR, "a")
    assert clock.quorum == 3


def test_a_straggler_does_not_end_what_many_agree_on() -> None:
    clock = busy(200)
    before, far = clock.now, clock.now + 1000 * HOUR
    timings = [
        clock.observe(before if number % 12 == 11 else far + number, f"c{number % 200}")
        for number in range(200)
    ]
    assert clock.now > far
    assert ON_TIME in timings[150:]


def test_a_sender_among_others_ends_its_own_agreement() -> None:
    clock = busy(200)
    before, far = clock.now, clock.now + 1000 * HOUR
    for number in range(3000):
        clock.observe(before + number if number % 5 == 4 else far + number, f"c{number}")
    assert clock.now == before + 2999
    assert clock.refused > 100


def test_few_names_move_a_busy_clock_only_by_as_many_more_events() -> None:
    clock = busy(90)
    before, far = clock.now, clock.now + 1000 * HOUR
    needed = ALONE * clock.quorum // 3
    assert said(clock, *[(far + step, "a") for step in range(needed - 1)]) == [AHEAD] * (needed - 1)
    assert clock.now == before
    assert clock.observe(far + needed, "a") is ON_TIME


def test_what_was_heard_is_saved_and_a_state_without_it_is_read() -> None:
    clock = busy(50)
    said(clock, (clock.now + 1000 * HOUR, "a"))
    other = clock_of()
    other.configure(48 * HOUR, 24 * HOUR, 3, ALONE, 0.75)
    other.load(clock.save())
    assert (other.save(), other.quorum) == (clock.save(), 38)
    other.load({"now": START, "agreeing": [START + 9, START + 9, 1, 1, ["a"]]})
    assert (other.now, other.quorum) == (START, 3)
    assert other.votes is not None
    assert other.votes.against == 0


def test_a_name_that_was_heard_is_forgotten() -> None:
    clock = busy(5)
    clock.forget("c3")
    assert "c3" not in str(clock.save())


def test_set_it_goes_where_it_is_told() -> None:
    clock = busy(50)
    said(clock, (clock.now + 1000 * HOUR, "a"))
    for to in (START - 900 * HOUR, START + 900 * HOUR):
        clock.set(to)
        assert (clock.now, clock.votes) == (to, None)
        assert clock.observe(to + 1, "b") is ON_TIME
