"""The policy in force: settings, lists, reviews given out and the kill switch, composed to one decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import UNSET, msgpack

from ...config.fraud_flow import FraudSettings
from ...config.policy import DEADLINE_CODE, KILL_SWITCH_CODE, CapacitySettings
from .capacity import DecidedDays, TakenDays, left_of, review_capacity, share_of, with_capacity
from .commands import Command, ReloadList
from .contents import Contents, digests_of, loaded, reloaded, saved, still_declared
from .cost import by_cost
from .match import compile_match, with_match
from .paths import always, counts_by_path, fixed, with_deadline
from .thresholds import by_thresholds
from .verdict import DAY_MS, Decider, Verdict, traced

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
        self._contents: Contents = {}
        self._reviews, self._shadow_reviews = TakenDays(_DAYS_REMEMBERED), TakenDays(_DAYS_REMEMBERED)
        self._decided = DecidedDays(_DAYS_REMEMBERED)
        self.configure(settings)

    def configure(self, settings: FraudSettings) -> None:
        """Take over a configuration; it holds from the next payment on.

        Counts, used capacity and the kill switch stay as they are. So does the content of a list, unless the
        configuration has no list of that name and key any more.
        """
        policy = settings.policy
        self._settings, self._features = policy, tuple(settings.features)
        self._contents = still_declared(self._contents, policy.lists)
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
            capacity = review_capacity(self._per_day, policy.capacity.otherwise, self._days)
            decide = with_capacity({"review": capacity}, decide)
        self.decide = _in_shadow(decide) if policy.shadow else decide

    def _path(self) -> Decider:
        policy = self._settings
        if self.kill_switch:
            return always(fixed(policy.kill_switch.action, "kill_switch", KILL_SWITCH_CODE))
        decide = by_cost(policy.cost) if policy.cost else by_thresholds(policy.review_at, policy.block_at)
        contents = {name: content.entries for name, (_, content) in self._contents.items()}
        match = compile_match(policy.lists, policy.rules, contents, self._features)
        if match is not None:
            decide = with_match(match, decide)
        if policy.deadline is None:
            return decide
        return with_deadline(fixed(policy.deadline.action, "deadline", DEADLINE_CODE), decide)

    @property
    def _days(self) -> tuple[TakenDays, ...]:
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
            self._contents = reloaded(self._contents, self._settings.lists, command.name, command)
        elif command.decision is not UNSET:
            raise ValueError(
                f"decision: there is no decision {command.decision!r}; the kill switch is for all"
            )
        else:
            self.kill_switch = command.on

    # -- what is asked of it

    @property
    def digests(self) -> dict[str, str]:
        """Digest of each list's content in force; a list that never got a content is not in it."""
        return digests_of(self._contents)

    def paths(self) -> dict[str, int]:
        """Verdicts by path, shadow counts left out."""
        return counts_by_path(self.counts)

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
            "lists": saved(self._contents),
            "reviews": self._reviews.save(),
            "shadow_reviews": self._shadow_reviews.save(),
            "decided_days": self._decided.save(),
            "counts": dict(sorted(self.counts.items())),
        }
        return msgpack.encode(state)

    def load(self, blob: bytes) -> None:
        """Take over a state that `save` gave; lists that the configuration doesn't have are dropped.

        Raises
        ------
        ValueError
            If it was saved in another format.
        """
        state: Mapping[str, Any] = msgpack.decode(blob)
        if state["format"] != _FORMAT:
            raise ValueError(f"policy saved in format {state['format']}, not {_FORMAT}")
        self.kill_switch, self.counts = state["kill_switch"], dict(state["counts"])
        self._contents = loaded(state["lists"], self._settings.lists)
        self._reviews.load(state["reviews"])
        self._shadow_reviews.load(state["shadow_reviews"])
        self._decided.load(state.get("decided_days", ()))  # states that are older have none
        self._compose()


def _in_shadow(then: Decider) -> Decider:
    """Approve everything, and say what would have been done."""

    def decide(payment: Any, values: Sequence[float], score: float, time_ms: int, overdue: bool) -> Verdict:
        verdict = then(payment, values, score, time_ms, overdue)
        would = verdict.action
        trace = traced(verdict, would=would)
        return Verdict("approve", verdict.path, verdict.counter, verdict.codes, would, trace)

    return decide
