"""The watermark of a shard, guarded against senders whose clocks run ahead."""

from __future__ import annotations

from enum import IntEnum
from math import ceil
from typing import Any, Final, NamedTuple, TypeAlias

__all__ = ["PARTIES_MAX", "EventClock", "Timing", "Votes"]

PARTIES_MAX: Final = 1024
"""How many names of a stretch of time are remembered: the first ones."""

_FOR_EACH_AGAINST: Final = 8


class Timing(IntEnum):
    """How an event's time stands to the shard's clock."""

    ON_TIME = 0
    LATE = 1
    AHEAD = 2


class Votes(NamedTuple):
    """What events have said of a step that one event alone may not make.

    Attributes
    ----------
    latest_ms, highest_ms
        The time of the last of them, and the highest.
    events
        How many they are.
    rising
        How many of them each had a higher time than all before it.
    names
        Of whom they are; fewer than the quorum.
    against
        Events since the first of them that were not ahead.
    """

    latest_ms: int
    highest_ms: int
    events: int
    rising: int
    names: tuple[str, ...]
    against: int = 0

    def with_event(self, time_ms: int, name: str) -> Votes:
        """One event more."""
        return Votes(
            time_ms,
            max(time_ms, self.highest_ms),
            self.events + 1,
            self.rising + (time_ms > self.highest_ms),
            self.names if name in self.names else (*self.names, name),
            self.against,
        )


_LastParty: TypeAlias = tuple[int, str, bool, dict[str, None], dict[str, None], int, int]
"""Of whom an event was that let the clock listen, at what time, and whether the name was new; what was heard
in both stretches before, and until when the clock did not listen, and did not turn."""


class EventClock:
    """The watermark: the highest event time accepted, milliseconds since the epoch; 0 before the first.

    By itself it never goes back. A future-skew guard holds a time that runs ahead of it by more than
    `future_skew_ms_max`: it is accepted only when a quorum of names says so, by events of which each is
    within `future_skew_ms_max` of the one before it. The quorum is a share of the names that were heard
    within the last `future_skew_ms_max`, and at least `agree_events`. So one broken sender must not expire
    everything that waits, though it speaks for many customers.
    Where fewer names speak, events with rising times do, `alone_events` for each `agree_events` of
    the quorum, so that a stream with a single customer goes on after a silence. An event that isn't ahead
    ends the vote, unless there are eight times as many for it.

    Before the first time that is accepted nothing can be expired wrongly: then `agree_events` events are
    enough, whoever they are of.

    Parameters
    ----------
    late_ms_max
        Events older than the clock by more than this are late.
    future_skew_ms_max
        The largest step that one event alone may make, in milliseconds.
    agree_events
        Names whose events must agree on a larger step at least; 1 with a share of 0 accepts every event.
    alone_events
        Events that are accepted though they are of fewer names.
    agree_share
        Share of the names heard of late that must agree, 0 to 1; with 0 any event that isn't ahead ends a
        vote.

    Attributes
    ----------
    votes : Votes | None
        What the last events say of a larger step, if they are ahead.
    parties : dict[str, None]
        Who was heard in the present stretch of `future_skew_ms_max`.
    accepted, refused : int
        Larger steps that were accepted, and votes that came to nothing.
    behind, late : int
        Events that were older than the clock, and older by more than `late_ms_max`, since the clock was made;
        they are no part of its state.
    behind_ms_max : int
        By how much one of them was at most, milliseconds.
    """

    __slots__ = (
        "_agree",
        "_alone",
        "_before",
        "_future_skew_ms",
        "_last_party",
        "_late_ms",
        "_listen_at",
        "_share",
        "_stepped_from",
        "_turn_at",
        "accepted",
        "behind",
        "behind_ms_max",
        "late",
        "now",
        "parties",
        "refused",
        "votes",
    )

    def __init__(
        self,
        late_ms_max: int,
        future_skew_ms_max: int,
        agree_events: int,
        alone_events: int = 16,
        agree_share: float = 0.0,
    ) -> None:
        self.configure(late_ms_max, future_skew_ms_max, agree_events, alone_events, agree_share)
        self.now = 0
        self.votes: Votes | None = None
        self.accepted = self.refused = 0
        self.behind = self.late = self.behind_ms_max = 0
        self.parties: dict[str, None] = {}
        self._before: dict[str, None] = {}  # who was heard in the stretch before
        self._listen_at = self._turn_at = 0
        # What an event that is taken back has changed, where it isn't told by what its caller knows.
        self._stepped_from: tuple[int, Votes | None, int, int] | None = None
        self._last_party: _LastParty | None = None

    def configure(
        self,
        late_ms_max: int,
        future_skew_ms_max: int,
        agree_events: int,
        alone_events: int,
        agree_share: float = 0.0,
    ) -> None:
        """Change the limits; they hold from the next event on."""
        self._late_ms, self._future_skew_ms = late_ms_max, future_skew_ms_max
        self._agree, self._alone, self._share = agree_events, alone_events, agree_share

    def observe(self, time_ms: int, name: str) -> Timing:
        """Take in an event's time and say how it stands to the clock, which moves when it is accepted.

        Parameters
        ----------
        time_ms
            The event's time, milliseconds since the epoch.
        name
            Of whom it is; events that name nobody share the empty name.
        """
        now = self.now
        if time_ms <= now:
            if self.votes is not None:
                self._disagree(self.votes)
            if time_ms == now:
                return Timing.ON_TIME
            self.behind += 1
            self.behind_ms_max = max(self.behind_ms_max, now - time_ms)
            if time_ms >= now - self._late_ms:
                return Timing.ON_TIME
            self.late += 1
            return Timing.LATE
        if now and time_ms - now <= self._future_skew_ms:
            if self.votes is not None:
                self._disagree(self.votes)
            self.now = time_ms
            # Names that are known, or too many to be kept, write nothing here: a comparison and a look-up at
            # most.
            if time_ms >= self._listen_at and (name not in self.parties or time_ms >= self._turn_at):
                self._hear(time_ms, name)
            return Timing.ON_TIME
        return self._jump(time_ms, name)

    def _hear(self, time_ms: int, name: str) -> None:
        """Remember a name; listen no more until the present stretch ends, or begin the next one."""
        # Two stretches are kept, the present one and the one before, as a sketch of who speaks within the
        # last `future_skew_ms_max`. So a quorum is a share of the usual speakers, at one dictionary look-up
        # an event.
        heard = self.parties
        turn_at, is_new = self._turn_at, name not in heard
        self._last_party = time_ms, name, is_new, heard, self._before, self._listen_at, turn_at
        heard[name] = None
        if time_ms >= turn_at:
            self._before, self.parties = heard, {}
            self._listen_at, self._turn_at = time_ms, time_ms + self._future_skew_ms
        elif len(heard) >= PARTIES_MAX:
            self._listen_at = turn_at

    def _jump(self, time_ms: int, name: str) -> Timing:
        before = self.votes
        self._stepped_from = self.now, before, self.accepted, self.refused
        # Votes must agree on about one time: a sender that jumps about never gathers any.
        if before is None or abs(time_ms - before.latest_ms) > self._future_skew_ms:
            self.refused += before is not None
            said = Votes(time_ms, time_ms, 1, 1, (name,))
        else:
            said = before.with_event(time_ms, name)
        if not self._is_quorate(said):
            self.votes = said
            return Timing.AHEAD
        self.accepted += self.now > 0
        self.now, self.votes = said.highest_ms, None
        return Timing.ON_TIME

    def _disagree(self, said: Votes) -> None:
        """Take in that an event isn't ahead."""
        self._stepped_from = self.now, said, self.accepted, self.refused
        # One event of the present doesn't end a vote of many, or a single sender with a slow clock could hold
        # everybody in the past; but where the present goes on as usual, the step is refused.
        against = said.against + 1
        if self._share and against * _FOR_EACH_AGAINST <= said.events:
            self.votes = said._replace(against=against)
            return
        self.votes = None
        self.refused += 1

    def take_back(self, now: int, votes: Votes | None, time_ms: int, name: str) -> None:
        """Undo the last `observe`, of an input that has failed.

        Parameters
        ----------
        now, votes
            The attributes as they were before it.
        time_ms, name
            What it was given.
        """
        # Nobody else was heard at that time, as the clock stood below it.
        said = self._last_party
        if said is not None and now < time_ms and said[:2] == (time_ms, name):
            _, _, is_new, self.parties, self._before, self._listen_at, self._turn_at = said
            self._last_party = None
            if is_new:
                del self.parties[name]
        if self._stepped_from is not None and self._stepped_from[:2] == (now, votes):
            self.accepted, self.refused = self._stepped_from[2:]
        self.now, self.votes = now, votes

    @property
    def quorum(self) -> int:
        """How many names must agree on a larger step."""
        return max(self._agree, ceil(self._share * max(len(self.parties), len(self._before))))

    def _is_quorate(self, said: Votes) -> bool:
        if not self.now:
            return said.events >= self._agree
        # Rising times stand in for further names: a replayed or copied event has the same time again, while a
        # stream that goes on after a silence has later ones.
        quorum = self.quorum
        return len(said.names) >= quorum or said.rising * self._agree >= self._alone * quorum

    def set(self, time_ms: int) -> None:
        """Put the clock to a time, because somebody knows better; what was agreed on so far is forgotten."""
        self.now, self.votes, self._stepped_from, self._last_party = time_ms, None, None, None
        self._listen_at, self._turn_at = time_ms, time_ms + self._future_skew_ms

    def forget(self, name: str) -> None:
        """Remove a name; what was said under it stays."""
        self.parties.pop(name, None)
        self._before.pop(name, None)
        if self.votes is not None:
            names = tuple(each for each in self.votes.names if each != name)
            self.votes = self.votes._replace(names=names)

    def save(self) -> dict[str, Any]:
        """Return the state as plain values."""
        return {
            "now": self.now,
            "agreeing": None if self.votes is None else list(self.votes),
            "heard": [list(self.parties), list(self._before), self._listen_at, self._turn_at],
            "steps": [self.accepted, self.refused],
        }

    def load(self, saved: dict[str, Any]) -> None:
        """Take over a saved state; one of an earlier version knows nobody that was heard."""
        self.now, votes, self._stepped_from = saved["now"], saved["agreeing"], None
        self.votes = self._last_party = None
        if votes:
            latest_ms, highest_ms, events, rising, names, *against = votes
            self.votes = Votes(latest_ms, highest_ms, events, rising, tuple(names), *against)
        heard, before, self._listen_at, self._turn_at = saved.get("heard", ((), (), 0, 0))
        self.parties, self._before = dict.fromkeys(heard), dict.fromkeys(before)
        self.accepted, self.refused = saved.get("steps", (0, 0))
