"""Who is stalled among processes that wait for each other, and who only seems to."""

from __future__ import annotations

import pytest

from headrace.runtime.liveness import Beat, Liveness, Pulse, WatchedTime

LIMIT_S = 30.0
DECIDING = Beat(running=True)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Watch:
    """Two processes and their launcher, which looks every half second."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.liveness = Liveness(range(2), LIMIT_S, self.clock)

    def pass_time(self, seconds: float, *beats: Beat | None, grows: bool = True) -> None:
        """Let time pass in which each process tells a beat, or nothing; `still_s` grows with it."""
        for step in range(round(seconds * 2)):
            self.clock.now += 0.5
            for name, beat in enumerate(beats):
                if beat is not None:
                    still_s = beat.still_s + (step + 1) * 0.5 * grows
                    self.liveness.heard(name, Beat(still_s, beat.inside, beat.running))
            self.liveness.stalled()


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_one_that_is_not_heard_is_noticed_and_then_frozen_and_the_others_are_not(watch):
    watch.pass_time(5, DECIDING, DECIDING, grows=False)
    waits = Beat(running=True)
    watch.pass_time(9, waits, None)
    assert watch.liveness.stalled() == {}
    watch.pass_time(2, Beat(9.0, running=True), None)
    assert (list(watch.liveness.stalled()), dict(watch.liveness.frozen())) == ([1], {})
    watch.pass_time(20, Beat(11.0, running=True), None)
    assert list(watch.liveness.frozen()) == [1]
    watch.pass_time(0.5, DECIDING, DECIDING, grows=False)
    assert watch.liveness.stalled() == {}


def test_a_step_that_does_not_end_is_to_blame_though_its_process_is_heard(watch):
    watch.pass_time(31, Beat(running=True), Beat(inside=True, running=True))
    assert list(watch.liveness.frozen()) == [1]


def test_where_nobody_is_in_a_step_and_all_stand_still_all_are_to_blame(watch):
    watch.pass_time(29, DECIDING, DECIDING)
    assert dict(watch.liveness.frozen()) == {}
    watch.pass_time(3, Beat(29.0, running=True), Beat(29.0, running=True))
    assert sorted(watch.liveness.frozen()) == [0, 1]


def test_a_recovery_and_a_drain_take_as_long_as_they_take(watch):
    watch.pass_time(3600, Beat(inside=True), Beat())
    assert watch.liveness.stalled() == {}
    watch.pass_time(100, None, Beat())  # its machine code is being loaded, which holds its threads up
    assert dict(watch.liveness.frozen()) == {}
    watch.pass_time(25, None, Beat())
    assert list(watch.liveness.frozen()) == [0]


def test_one_that_is_being_loaded_is_given_four_times_as_long(watch):
    watch.pass_time(119, Beat(), None)
    assert dict(watch.liveness.frozen()) == {}
    watch.pass_time(3, Beat(), None)
    assert list(watch.liveness.frozen()) == [1]


def test_who_watched_nobody_blames_nobody(watch):
    watch.pass_time(5, DECIDING, DECIDING, grows=False)
    watch.clock.now += 600.0  # the launcher was stopped itself
    watch.liveness.heard(0, DECIDING)
    assert watch.liveness.stalled() == {}
    watch.pass_time(0.5, DECIDING, DECIDING, grows=False)
    assert watch.liveness.stalled() == {}


def test_a_pulse_tells_for_how_long_the_flow_has_not_moved():
    clock = Clock()
    pulse = Pulse(clock)
    pulse.running = True
    pulse.enter()
    assert pulse.feel() == Beat(0.0, inside=True, running=True)
    for _ in range(4):
        clock.now += 0.5
        beat = pulse.feel()
    assert beat == Beat(2.0, inside=True, running=True)
    pulse.move()
    clock.now += 0.5
    assert pulse.feel().still_s == 0.0
    pulse.leave()
    clock.now += 100.0  # all of the process was stopped: its flow could not move
    assert pulse.feel() == Beat(0.0, inside=False, running=True)
    clock.now += 100.0
    assert pulse.feel().still_s == 1.0


def test_what_comes_before_a_flow_decides_is_no_time_for_which_it_stood_still():
    clock = Clock()
    pulse = Pulse(clock)
    for _ in range(120):  # it is compiled, or recovers
        clock.now += 0.5
        assert pulse.feel().still_s == 0.0
    pulse.running = True
    assert pulse.feel() == Beat(0.0, inside=False, running=True)
    clock.now += 0.5
    assert pulse.feel().still_s == 0.5


def test_watched_time_stands_while_nobody_looks():
    clock = Clock()
    watched = WatchedTime(clock)
    for step, seconds in ((0.5, 0.5), (1.0, 1.5), (50.0, 2.5), (0.0, 2.5)):
        clock.now += step
        assert watched.look() == seconds
