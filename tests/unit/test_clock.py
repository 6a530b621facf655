"""The shard's clock and its guard against broken ones."""

from headrace.operators.clock import EventClock, Timing

HOUR = 3_600_000
START = 1_600_000_000_000


def started(agree: int = 3) -> EventClock:
    clock = EventClock(24 * HOUR, 48 * HOUR, agree)
    for step in range(agree):
        clock.observe(START + step)
    return clock


def test_starts_only_when_events_agree() -> None:
    clock = EventClock(24 * HOUR, 48 * HOUR, 3)
    assert clock.observe(START + 9000 * HOUR) is Timing.AHEAD
    assert [clock.observe(START + step) for step in range(3)] == [Timing.AHEAD, Timing.AHEAD, Timing.ON_TIME]
    assert clock.now == START + 2


def test_one_broken_clock_moves_nothing() -> None:
    clock = started()
    before = clock.now
    assert clock.observe(before + 1000 * HOUR) is Timing.AHEAD
    assert clock.observe(before + 1) is Timing.ON_TIME
    assert clock.observe(before + 1000 * HOUR) is Timing.AHEAD
    assert clock.now == before + 1


def test_a_quiet_time_ends_when_events_agree() -> None:
    clock = started()
    later = clock.now + 1000 * HOUR
    assert [clock.observe(later + step) for step in range(3)] == [Timing.AHEAD, Timing.AHEAD, Timing.ON_TIME]
    assert clock.now == later + 2


def test_late_is_beyond_the_limit_only() -> None:
    clock = started()
    assert clock.observe(clock.now - 24 * HOUR) is Timing.ON_TIME
    assert clock.observe(clock.now - 24 * HOUR - 1) is Timing.LATE
    assert clock.observe(clock.now) is Timing.ON_TIME


def test_saved_and_loaded_goes_on() -> None:
    clock = started()
    clock.observe(clock.now + 1000 * HOUR)
    other = EventClock(24 * HOUR, 48 * HOUR, 3)
    other.load(clock.save())
    later = clock.now + 1000 * HOUR + 5
    assert [other.observe(later), other.observe(later)] == [Timing.AHEAD, Timing.ON_TIME]
