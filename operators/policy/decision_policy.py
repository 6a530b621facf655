"""The policy of a declared decision: settings, lists, capacities and kill switch, and what changes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import UNSET, msgpack
from msgspec.structs import replace

from ...config.decision_policy import (
    CAPACITY_USED_CODE,
    ActionCapacity,
    DecisionPolicySettings,
    PolicyScope,
)
from .capacity import Capacity, DecidedDays, TakenDays, days_in, left_of, share_of
from .commands import Command, ReloadList
from .composed import composed
from .contents import Contents, digests_of, loaded, reloaded, saved, still_declared
from .paths import counts_by_path
from .verdict import Verdict, traced

__all__ = ["DecisionPolicy"]

_FORMAT: Final = 1
_DAYS_REMEMBERED: Final = ActionCapacity.model_fields["days_remembered_max"].default
_REASON_CHARS_MAX: Final = 200
_LOOKS_AT_SCORE: Final = ("model", "cost", "ladder", "capacity")


class DecisionPolicy:
    """Decides which of the declared actions is taken, given what the model says.

    Deterministic: no clock, no random number. `decide` writes nothing; `commit` counts what was decided. It
    holds nothing of a customer: entries of lists are the operator's.

    The first that applies decides: kill switch, deadline, lists, rules, and else cost, ladder or thresholds.
    Whoever said so, the day's capacity for the action is looked at then, and last the limit or promise is put
    in.

    Parameters
    ----------
    name
        The decision's.
    settings
        Of its policy.
    scope
        What the decision declares.
    shadow
        Whether what is decided is not carried out: it uses no capacity of what is.
    shard, shards
        Which shard this is, of how many: capacities are dealt out over them.

    Attributes
    ----------
    decide
        `(event, values, said, time_ms, overdue) -> Verdict`: `values` are the features in the order of
        `scope.features`, NaN where missing; `said` is the score, or an estimate's quantiles in the order of
        `scope.quantiles`; `time_ms` is the event time, which gives the day of a capacity, or negative if it
        isn't accepted: then there is no capacity to be had; `overdue` tells that it waited longer than the
        deadline allows. With a ladder, `last_limit` comes behind: what the same entity was granted last, None
        for nothing yet.
    settings, scope, shadow
        In force.
    plain
        The verdict, always the same object, of most events: the first action, of which nothing but the score
        has to be said. With costs or a ladder no event gets it.
    counts
        Verdicts by `Verdict.counter`, and in shadow `shadow.<action>`.
    """

    decide: Callable[..., Verdict]
    plain: Verdict

    def __init__(
        self,
        name: str,
        settings: DecisionPolicySettings,
        scope: PolicyScope,
        *,
        shadow: bool = False,
        shard: int = 0,
        shards: int = 1,
    ) -> None:
        self.name = name
        self.counts: dict[str, int] = {}
        self.kill_switch = False
        self._shard, self._shards = shard, shards
        self._contents: Contents = {}
        self._taken: dict[str, TakenDays] = {}
        self._shadow_taken: dict[str, TakenDays] = {}
        self._decided = DecidedDays(_DAYS_REMEMBERED)
        self.configure(settings, scope, shadow=shadow)

    def configure(
        self, settings: DecisionPolicySettings, scope: PolicyScope, *, shadow: bool = False
    ) -> None:
        """Take over a configuration; it holds from the next event on.

        Counts, used capacity and the kill switch stay as they are. So does the content of a list, unless the
        configuration has no list of that name and key any more.
        """
        self.settings, self.scope, self.shadow = settings, scope, shadow
        self._day_of = days_in(settings.zone)
        self._no_values = (math.nan,) * len(scope.features)
        self._top_limit = max((limit for _, limit in settings.ladder or ()), default=0.0)
        # What was taken is carried over: a configuration that is changed at noon must not give the day's
        # capacity out a second time.
        self._contents = still_declared(self._contents, settings.lists)
        self._taken, self._shadow_taken = self._days_of(self._taken), self._days_of(self._shadow_taken)
        self._per_day = {
            action: share_of(capacity.per_day_max, self._shard, self._shards)
            for action, capacity in settings.capacity.items()
        }
        # One list of days for all capacities, as long as the one that looks back longest wants it.
        self._decided.configure(
            max((each.days_remembered_max for each in settings.capacity.values()), default=_DAYS_REMEMBERED)
        )
        self._compose()

    def _days_of(self, before: Mapping[str, TakenDays]) -> dict[str, TakenDays]:
        """Return where actions are counted: the first, which most events get, if it has a capacity."""
        capacities = self.settings.capacity
        days_of = {action: capacity.days_remembered_max for action, capacity in capacities.items()}
        days: dict[str, TakenDays] = {}
        for place, action in enumerate(self.scope.actions):
            # Counted also without a capacity, so that one that is configured at noon knows of the morning.
            if place or action in capacities:
                days_max = days_of.get(action, _DAYS_REMEMBERED)
                days[action] = before.get(action) or TakenDays(days_max)
                days[action].configure(days_max)
        return days

    def _compose(self) -> None:
        settings, scope = self.settings, self.scope
        contents = {name: content.entries for name, (_, content) in self._contents.items()}
        capacities = {
            action: Capacity(
                self._per_day[action],
                each.otherwise,
                self._days(action),
                CAPACITY_USED_CODE,
                said={"action": action},
            )
            for action, each in settings.capacity.items()
        }
        self.plain, self.decide, self._decide_failed = composed(
            settings, scope, contents, capacities, killed=self.kill_switch
        )
        self._uncounted = None if self.shadow or capacities else self.plain

    def _days(self, action: str) -> tuple[TakenDays, ...]:
        """Where an action counts: what is really done always, what is done in shadow only there."""
        real = self._taken[action]
        return (real, self._shadow_taken[action]) if self.shadow else (real,)

    # -- deciding

    def fallback(
        self,
        reason: str,
        event: Any,
        values: Sequence[float],
        time_ms: int,
        overdue: bool,
        last_limit: float | None = None,
    ) -> Verdict:
        """Decide on an event of which the model said nothing, as it failed.

        What goes before the model still does: kill switch, deadline, lists and rules, for which its numbers
        are missing.

        Parameters
        ----------
        reason
            Why; its beginning is told in the trace.
        event, time_ms, overdue, last_limit
            As for `decide`.
        values
            The features; empty if there are none: they are missing then.
        """
        # Rules find features by their index: where none were computed, as many missing ones stand for them.
        verdict = self._decide_failed(event, values or self._no_values, time_ms, overdue, last_limit)
        return replace(verdict, trace=traced(verdict, failed=reason[:_REASON_CHARS_MAX]))

    def wants_reasons(self, verdict: Verdict) -> bool:
        """Whether the model's reasons are to be told: it had a say, and it didn't say the best there is."""
        if verdict.path not in _LOOKS_AT_SCORE:
            return False
        return verdict.action != self.scope.actions[0] or (
            verdict.limit is not None and verdict.limit < self._top_limit
        )

    # -- what changes it

    def commit(self, verdict: Verdict, time_ms: int) -> None:
        """Count a verdict, and the capacity that it uses; `time_ms` as given to `decide`."""
        counts, counter = self.counts, verdict.counter
        counts[counter] = counts.get(counter, 0) + 1
        # Most events get this one, and there is nothing more to count of it.
        if verdict is not self._uncounted:
            self._take(verdict.action, time_ms)

    def _take(self, action: str, time_ms: int) -> None:
        taken = self._taken
        if self.shadow:
            counter = f"shadow.{action}"
            self.counts[counter] = self.counts.get(counter, 0) + 1
            taken = self._shadow_taken
        if self._per_day:
            self._decided.add(self._day_of(time_ms))
        if action in taken:
            taken[action].take(self._day_of(time_ms))

    def put_back(self, to_ms: int) -> None:
        """Forget what was counted on days after that of a time."""
        day = self._day_of(to_ms)
        self._decided.put_back(day)
        for taken in (self._taken, self._shadow_taken):
            for days in taken.values():
                days.put_back(day)

    def command(self, command: Command) -> None:
        """Apply a command; one that is refused, or with which anything is raised, changes nothing.

        Lists are called by the decision's name and theirs, with a dot between.

        Raises
        ------
        ValueError
            If it is for another decision, there is no such list, the content is larger than it may be, or it
            isn't what the digest says.
        """
        # `_compose` assigns only what was put together whole, so that these two are all that needs to be put
        # back.
        before = self.kill_switch, self._contents
        try:
            self._apply(command)
            self._compose()
        except Exception:
            self.kill_switch, self._contents = before
            raise

    def _apply(self, command: Command) -> None:
        if isinstance(command, ReloadList):
            # Neither a decision's name nor a list's has a dot in it.
            decision, _, name = command.name.partition(".")
            lists = self.settings.lists if decision == self.name else {}
            self._contents = reloaded(self._contents, lists, name, command)
        elif command.decision is not UNSET and command.decision != self.name:
            raise ValueError(f"there is no decision {command.decision} in the configuration")
        else:
            self.kill_switch = command.on

    # -- what is asked of it

    @property
    def digests(self) -> dict[str, str]:
        """Digest of each list's content in force; a list that never got a content is not in it."""
        return {f"{self.name}.{name}": digest for name, digest in digests_of(self._contents).items()}

    def paths(self) -> dict[str, int]:
        """Verdicts by path, shadow counts left out."""
        return counts_by_path(self.counts)

    def unused(self, day: int) -> dict[str, int]:
        """For each action with a capacity, how often this shard can still take it on a day.

        Days are counted from the epoch, in the policy's zone. What is decided in shadow uses nothing.
        """
        return {
            action: left_of(per_day, (self._taken[action],), day) for action, per_day in self._per_day.items()
        }

    def decided_days(self) -> list[int]:
        """Days on which this shard decided while there was a capacity, those remembered, oldest first."""
        return self._decided.save()

    # -- the state as a whole

    def save(self) -> bytes:
        """Return the state: lists' contents, what was taken by day, kill switch, counts."""
        state = {
            "format": _FORMAT,
            "kill_switch": self.kill_switch,
            "lists": saved(self._contents),
            "taken": {action: days.save() for action, days in self._taken.items()},
            "shadow_taken": {action: days.save() for action, days in self._shadow_taken.items()},
            "decided_days": self._decided.save(),
            "counts": dict(sorted(self.counts.items())),
        }
        return msgpack.encode(state)

    def load(self, blob: bytes) -> None:
        """Take over a state that `save` gave; what the configuration doesn't have is dropped.

        Raises
        ------
        ValueError
            If it was saved in another format.
        """
        state: Mapping[str, Any] = msgpack.decode(blob)
        if state["format"] != _FORMAT:
            raise ValueError(f"policy saved in format {state['format']}, not {_FORMAT}")
        self.kill_switch, self.counts = state["kill_switch"], dict(state["counts"])
        self._contents = loaded(state["lists"], self.settings.lists)
        for key, taken in (("taken", self._taken), ("shadow_taken", self._shadow_taken)):
            for action, days in taken.items():
                days.load(state[key].get(action, (-1, ())))
        self._decided.load(state["decided_days"])
        self._compose()
