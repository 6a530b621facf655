"""Finds processes that are stalled: those that are no longer heard, and those whose flow does not move."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["BEAT_S", "Beat", "Liveness", "Pulse", "WatchedTime"]

BEAT_S: Final = 0.2
"""So often a process says that it lives, seconds."""

_GAP_S: Final = 1.0
# Loading the program and its machine code holds up all threads of a process, on a busy machine for long.
_UNHURRIED: Final = 4.0
_NOTICED_SHARE: Final = 1 / 3


class WatchedTime:
    """A clock that stands while its owner does: who was stopped itself can't say that others were.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._last, self._watched = clock, clock(), 0.0

    def look(self) -> float:
        """Seconds of all looks so far, of which none counts for more than one second."""
        now = self._clock()
        # A gap says that the watcher itself was stopped, or the machine slept; nobody knows what others did
        # meanwhile.
        self._watched += min(now - self._last, _GAP_S)
        self._last = now
        return self._watched


@dataclass(frozen=True, slots=True)
class Beat:
    """What a process tells of itself.

    Attributes
    ----------
    still_s
        Seconds for which its flow's thread has not moved.
    inside
        Whether the flow's thread is in a step of ours, so that nobody else holds it up.
    running
        Whether it decides: a recovery and a drain may take their time.
    """

    still_s: float = 0.0
    inside: bool = False
    running: bool = False


class Pulse:
    """Moves with the flow's thread, and is felt by another one.

    Attributes
    ----------
    running
        Whether the flow decides.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.running = False
        self._moves, self._inside = 0, False
        self._watched = WatchedTime(clock)
        self._felt, self._felt_at = 0, 0.0

    def enter(self) -> None:
        """Note that the flow's thread begins a step."""
        self._moves += 1
        self._inside = True

    def leave(self) -> None:
        """Note that the step has ended."""
        self._moves += 1
        self._inside = False

    def move(self) -> None:
        """Note that the step waits for something outside, and sees to it."""
        self._moves += 1

    def feel(self) -> Beat:
        """How the flow's thread is; asked again and again by one other thread."""
        now, moves = self._watched.look(), self._moves
        # Before it decides nothing moves it: compiling and recovering are no time for which it was stalled.
        if moves != self._felt or not self.running:
            self._felt, self._felt_at = moves, now
        return Beat(now - self._felt_at, self._inside, self.running)


class Liveness:
    """Evaluates heartbeats of some processes that work together.

    Until one decides, and when it has been told to stop, it may take four times as long.

    When one is stalled the others soon wait for it. So a process is to blame only if nothing is heard of
    it, or its flow is in a step that doesn't end; if none is, and all are stalled, all are.

    Parameters
    ----------
    names
        Of the processes.
    seconds_max
        For how long one may be stalled.
    clock
        Monotonic seconds.
    """

    def __init__(
        self, names: Iterable[int], seconds_max: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = seconds_max
        self._time = WatchedTime(clock)
        self._heard: dict[int, float] = dict.fromkeys(names, 0.0)
        self._beats: dict[int, Beat] = {}

    def heard(self, name: int, beat: Beat) -> None:
        """Note that a process has told of itself."""
        self._heard[name], self._beats[name] = self._time.look(), beat

    def stalled(self) -> Mapping[int, float]:
        """Return processes that are to blame for a third of the limit or more, with the seconds of it.

        What came in meanwhile is to be `heard` before.
        """
        noticed = self._limit * _NOTICED_SHARE
        blamed = self._blamed()
        return {name: seconds for name, seconds in blamed.items() if seconds >= noticed}

    def frozen(self) -> Mapping[int, float]:
        """Of them, those beyond the limit."""
        return {name: seconds for name, seconds in self._blamed().items() if seconds > self._limit}

    def _blamed(self) -> dict[int, float]:
        now = self._time.look()
        blamed: dict[int, float] = {}
        for name, at in self._heard.items():
            beat = self._beats.get(name)
            if beat is None or not beat.running:
                blamed[name] = (now - at) / _UNHURRIED
            else:
                # Outside of its steps a process waits for the others; only inside is it to blame for standing
                # still.
                blamed[name] = now - at + (beat.still_s if beat.inside else 0.0)
        noticed = self._limit * _NOTICED_SHARE
        if all(seconds < noticed for seconds in blamed.values()) and self._all_wait():
            # Nobody is in a step of ours, so what is stalled is the engine between the processes.
            return {name: beat.still_s for name, beat in self._beats.items()}
        return blamed

    def _all_wait(self) -> bool:
        return len(self._beats) == len(self._heard) and all(
            beat.running and not beat.inside for beat in self._beats.values()
        )
