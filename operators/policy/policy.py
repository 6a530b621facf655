"""The policy in force: settings, lists, reviews given out and the kill switch, composed to one decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import msgpack

from ...config.fraud_flow import FraudSettings
from ...config.lists import ListContent, list_content
from ...config.policy import DEADLINE_CODE, KILL_SWITCH_CODE, CapacitySettings, DeadlineSettings
from ..events.contract import Payment
from .capacity import DecidedDays, ReviewDays, left_of, share_of, with_capacity
from .commands import Command, KillSwitch, ReloadList
from .cost import by_cost
from .match import compile_match, with_match
from .thresholds import by_thresholds
from .verdict import DAY_MS, Action, Decider, Verdict, trace_of, traced

__all__ = ["Policy"]

_FORMAT: Final = 1
_DAYS_REMEMBERED: Final = CapacitySettings.model_fields["days_remembered_max"].default


class Policy:
    """Decides what is done with a payment, given its score.

    Deterministic: no clock, no random number. `decide` writes nothing; `commit` counts what was decided.

    The first that applies decides: kill switch, deadline, lists, rules, and else cost or thresholds. If that
    says review, the day's capacity is looked at, whoever said so. Shadow mode comes last, over everything.

    Parameters
    ----------
    settings
        The configuration in force.
    shard, shards
        Which shard this is, of how many: review capacity is dealt out over them.

    Attributes
    ----------
    decide
        `(payment, values, score, time_ms, overdue) -> Verdict`: `values` are the features in the order of
        declaration, NaN where missing; `time_ms` is the payment's event time, which gives the day of a
        review, or negative if it isn't accepted: then there is no review to be had; `overdue` tells that it
        waited longer than `[policy.deadline]` allows.
    counts
        Verdicts by `Verdict.counter`, and in shadow mode `shadow.<action>` for what would have been done.
    """

    decide: Decider

    def __init__(self, settings: FraudSettings, *, shard: int = 0, shards: int = 1) -> None:
        self.counts: dict[str, int] = {}
        self.kill_switch = False
        self._shard, self._shards = shard, shards
        self._contents: dict[str, tuple[str, ListContent]] = {}
        self._reviews, self._shadow_reviews = ReviewDays(_DAYS_REMEMBERED), ReviewDays(_DAYS_REMEMBERED)
        self._decided = DecidedDays(_DAYS_REMEMBERED)
        self.configure(settings)

    def configure(self, settings: FraudSettings) -> None:
        """Take over a configuration; it holds from the next payment on.

        Counts, used capacity and the kill switch stay as they are. So does the content of a list, unless the
        configuration has no list of that name and key any more.
        """
        policy = settings.policy
        self._settings, self._features = policy, tuple(settings.features)
        self._contents = {
            name: (key, content)
            for name, (key, content) in self._contents.items()
            if name in policy.lists and policy.lists[name].key == key
        }
        capacity = policy.capacity
        self._per_day = (
            share_of(capacity.reviews_per_day_max, self._shard, self._shards) if capacity else None
        )
        for days in (self._reviews, self._shadow_reviews, self._decided):
            days.configure(capacity.days_remembered_max if capacity else _DAYS_REMEMBERED)
        self._compose()

    # -- how a decision is put together

    def _compose(self) -> None:
        policy, decide = self._settings, self._path()
        if policy.capacity and self._per_day is not None:
            decide = with_capacity(self._per_day, policy.capacity.otherwise, self._days, decide)
        self.decide = _in_shadow(decide) if policy.shadow else decide

    def _path(self) -> Decider:
        policy = self._settings
        if self.kill_switch:
            return _always(_fallback(policy.kill_switch.action, "kill_switch", KILL_SWITCH_CODE))
        decide = by_cost(policy.cost) if policy.cost else by_thresholds(policy.review_at, policy.block_at)
        contents = {name: content.entries for name, (_, content) in self._contents.items()}
        match = compile_match(policy, contents, self._features)
        if match is not None:
            decide = with_match(match, decide)
        return _with_deadline(policy.deadline, decide) if policy.deadline else decide

    @property
    def _days(self) -> tuple[ReviewDays, ...]:
        """Where reviews count: those done always, those that shadow mode would have asked for only in it."""
        return (self._reviews, self._shadow_reviews) if self._settings.shadow else (self._reviews,)

    # -- what changes it

    def commit(self, verdict: Verdict, time_ms: int) -> None:
        """Count a verdict that goes out, and the review that it takes; `time_ms` as given to `decide`."""
        counts, counter = self.counts, verdict.counter
        counts[counter] = counts.get(counter, 0) + 1
        if self._per_day is not None:
            self._decided.add(time_ms // DAY_MS)
        if verdict.would is not None:
            shadow = f"shadow.{verdict.would}"
            counts[shadow] = counts.get(shadow, 0) + 1
            if verdict.would == "review":
                self._shadow_reviews.take(time_ms // DAY_MS)
        elif verdict.action == "review":
            self._reviews.take(time_ms // DAY_MS)

    def put_back(self, to_ms: int) -> None:
        """Forget what was counted on days after that of a time."""
        for days in (self._reviews, self._shadow_reviews, self._decided):
            days.put_back(to_ms // DAY_MS)

    def command(self, command: Command) -> None:
        """Apply a command; one that is refused, or with which anything is raised, changes nothing.

        Raises
        ------
        ValueError
            If there is no such list, the content is larger than it may be, or isn't what the digest says.
        """
        before = self.kill_switch, self._contents
        try:
            if isinstance(command, KillSwitch):
                self.kill_switch = command.on
            else:
                self._reload(command)
            self._compose()
        except Exception:
            self.kill_switch, self._contents = before
            raise

    def _reload(self, command: ReloadList) -> None:
        declared = self._settings.lists.get(command.name)
        if declared is None:
            raise ValueError(f"there is no list {command.name} in the configuration")
        content = list_content(command.entries)
        if content.digest != command.digest:
            raise ValueError(f"the entries for list {command.name} are not those that its digest was made of")
        count, limit = len(content.entries), declared.entries_max
        if count > limit:
            raise ValueError(f"list {command.name} may have {limit} entries (entries_max), not {count}")
        self._contents = {**self._contents, command.name: (declared.key, content)}

    # -- what is asked of it

    @property
    def digests(self) -> dict[str, str]:
        """Digest of each list's content in force; a list that never got a content is not in it."""
        return {name: content.digest for name, (_, content) in self._contents.items()}

    def paths(self) -> dict[str, int]:
        """Verdicts by path, shadow counts left out."""
        by_path: dict[str, int] = {}
        for counter, count in self.counts.copy().items():
            path = counter.partition(".")[0]
            if path != "shadow":
                by_path[path] = by_path.get(path, 0) + count
        return by_path

    def unused(self, day: int) -> int | None:
        """Reviews left to this shard on a day (days since the epoch, UTC); None without a capacity.

        What shadow mode would have asked for uses none.
        """
        return None if self._per_day is None else left_of(self._per_day, (self._reviews,), day)

    def decided_days(self) -> list[int]:
        """Days on which this shard decided while there was a capacity, those remembered, oldest first."""
        return self._decided.save()

    # -- the state as a whole

    def save(self) -> bytes:
        """Return the state: lists' contents, reviews by day, kill switch, counts."""
        state = {
            "format": _FORMAT,
            "kill_switch": self.kill_switch,
            "lists": {
                name: [key, content.entries] for name, (key, content) in sorted(self._contents.items())
            },
            "reviews": self._reviews.save(),
            "shadow_reviews": self._shadow_reviews.save(),
            "decided_days": self._decided.save(),
            "counts": dict(sorted(self.counts.items())),
        }
        return msgpack.encode(state)

    def load(self, saved: bytes) -> None:
        """Take over a state that `save` gave; lists that the configuration doesn't have are dropped.

        Raises
        ------
        ValueError
            If it was saved in another format.
        """
        state: Mapping[str, Any] = msgpack.decode(saved)
        if state["format"] != _FORMAT:
            raise ValueError(f"policy saved in format {state['format']}, not {_FORMAT}")
        self.kill_switch, self.counts = state["kill_switch"], dict(state["counts"])
        self._contents = {
            name: (key, list_content(entries))
            for name, (key, entries) in state["lists"].items()
            if name in self._settings.lists and self._settings.lists[name].key == key
        }
        self._reviews.load(state["reviews"])
        self._shadow_reviews.load(state["shadow_reviews"])
        self._decided.load(state.get("decided_days", ()))  # states that are older have none
        self._compose()


def _fallback(action: Action, path: str, code: str) -> Verdict:
    return Verdict(action, path, path, (code,), None, trace_of(path))


def _always(verdict: Verdict) -> Decider:
    def decide(
        _payment: Payment, _values: Sequence[float], _score: float, _time_ms: int, _overdue: bool
    ) -> Verdict:
        return verdict

    return decide


def _with_deadline(deadline: DeadlineSettings, then: Decider) -> Decider:
    fallback = _fallback(deadline.action, "deadline", DEADLINE_CODE)

    def decide(
        payment: Payment, values: Sequence[float], score: float, time_ms: int, overdue: bool
    ) -> Verdict:
        return fallback if overdue else then(payment, values, score, time_ms, overdue)

    return decide


def _in_shadow(then: Decider) -> Decider:
    """Approve everything, and say what would have been done."""

    def decide(
        payment: Payment, values: Sequence[float], score: float, time_ms: int, overdue: bool
    ) -> Verdict:
        verdict = then(payment, values, score, time_ms, overdue)
        would = verdict.action
        trace = traced(verdict, would=would)
        return Verdict("approve", verdict.path, verdict.counter, verdict.codes, would, trace)

    return decide
