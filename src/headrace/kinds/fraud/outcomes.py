"""Joins outcomes to the payments that they are about, and lets features and the model learn from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from headrace.config.fraud_flow import OutcomeSettings
from headrace.operators.decisions.pending import (
    ASSUMED,
    FRAUD,
    LEGITIMATE,
    UNLABELLED,
    Early,
    EarlyOutcomes,
    Pending,
)
from headrace.operators.features import FeatureSet
from headrace.operators.models import NotLearned, Teacher
from headrace.shard.base import DAY_MS
from headrace.shard.clock import EventClock

__all__ = ["Evaluated", "Outcomes"]

_LABEL_STATE: Final = (LEGITIMATE, FRAUD)
# Places in what `Pending.fields` gives.
_TIME_MS, _NUMBER, _LABELLED_MS, _SCORE, _FLAGS, _LABEL = range(6)

Evaluated = tuple[float, int]
"""A score and how its payment turned out."""


class Outcomes:
    """What is done with an outcome whose time has come; each payment is learned from once for each label.

    Parameters
    ----------
    features
        Those that outcomes feed move on.
    pending, early
        Payments without an outcome, and outcomes without a payment.
    teacher
        Of the model.
    clock
        Event time.
    counts
        By name, the machine's; there from the beginning.

    Attributes
    ----------
    learn
        Whether the model learns.
    in_machine_code
        `CompiledScorer.learn`, where there is one: it does with a first outcome what is done here otherwise.
    evaluated
        Scores and how their payments turned out, until somebody takes note of them.
    """

    def __init__(
        self,
        features: FeatureSet,
        pending: Pending,
        early: EarlyOutcomes,
        teacher: Teacher,
        clock: EventClock,
        counts: dict[str, int],
    ) -> None:
        self._features, self.pending, self.early = features, pending, early
        self._teacher, self._teach = teacher, teacher.learning_one()
        self._clock, self._counts = clock, counts
        self.learn = True
        self.in_machine_code: Callable[[int, int, int, int], None] | None = None
        self.evaluated: list[Evaluated] = []

    def configure(self, settings: OutcomeSettings, *, learn: bool) -> None:
        """Take over a configuration; it holds from the next input on."""
        self.learn = learn
        self.pending.rows_max = settings.pending_max
        self.pending.age_ms_max = round(settings.pending_days_max * DAY_MS)
        self.early.outcomes_max = settings.early_max
        self.early.age_ms_max = round(settings.early_days_max * DAY_MS)
        self._correction_ms = round(settings.correction_days_max * DAY_MS)
        self._withhold_blocked = settings.withhold_blocked
        after = settings.legitimate_after_days
        self._legitimate_after_ms = None if after is None else round(after * DAY_MS)

    def apply(self, about: str, label: int, time_ms: int) -> None:
        """Apply an outcome whose time has come.

        Raises
        ------
        NotLearned
            If the model can't learn it; then nothing has changed.
        """
        pending = self.pending
        place = pending.index.get(about)
        if place is None:
            self._counts["outcomes_early"] += 1
            self.early.wait(about, Early(label, time_ms), self._clock.now)
            return
        head = pending.head(place)
        if self._withhold_blocked and head[_FLAGS] & 1:
            self._counts["outcomes_withheld"] += 1
            return
        if head[_LABEL] == UNLABELLED:
            if self._learns_in_machine_code(place, head[_SCORE], label, time_ms, _LABEL_STATE[label]):
                self._counts["outcomes_matched"] += 1
                return
        elif not self._corrects(head, place, label, time_ms):
            return
        fields = pending.fields(place)
        rows, features = fields[pending.rows_from : pending.features_from], fields[pending.features_from :]
        # The model first: it is what may fail, and nothing else has changed yet.
        self._learn(features, fields[_SCORE], label)
        # From here on nothing fails.
        if fields[_LABEL] == UNLABELLED:
            self._counts["outcomes_matched"] += 1
            self._features.label(rows, fields[_NUMBER], fields[_FLAGS] >> 1, fields[_TIME_MS], label)
        else:
            self._counts["outcomes_corrected"] += 1
            before = int(fields[_LABEL] == FRAUD)
            self._features.relabel(
                rows, fields[_NUMBER], fields[_FLAGS] >> 1, fields[_TIME_MS], before, label
            )
        pending.label_at(place, _LABEL_STATE[label], time_ms)

    def _apply_earlier(self, about: str, label: int, time_ms: int) -> None:
        """Apply an outcome that came with an earlier input; one that can't be learned has no effect."""
        try:
            self.apply(about, label, time_ms)
        except NotLearned:
            self._counts["outcomes_not_learned"] += 1

    def _corrects(self, head: tuple[Any, ...], place: int, label: int, time_ms: int) -> bool:
        """Whether an outcome changes the label that its payment has already."""
        labelled, state = head[_LABEL], _LABEL_STATE[label]
        if labelled == state or (labelled == ASSUMED and not label):
            self._counts["outcomes_repeated"] += 1
            self.pending.label_at(place, state, time_ms)
            return False
        if time_ms - head[_LABELLED_MS] > self._correction_ms and labelled != ASSUMED:
            self._counts["outcomes_too_late_to_correct"] += 1
            return False
        return True

    def _learns_in_machine_code(self, place: int, score: float, label: int, time_ms: int, state: int) -> bool:
        """Do all that a first outcome leads to, if there is machine code for it."""
        learn = self.in_machine_code
        if learn is None or not self.learn:
            return False
        try:
            learn(place, label, time_ms, state)
        except Exception as error:
            if self._teacher.untouched_by(error):
                raise NotLearned(error) from error
            raise
        self.evaluated.append((score, label))
        return True

    def _learn(self, features: tuple[float, ...], score: float, label: int) -> None:
        if self.learn:
            try:
                self._teach(features, label)
            except Exception as error:
                if self._teacher.untouched_by(error):
                    raise NotLearned(error) from error
                raise
        self.evaluated.append((score, label))

    def take_waiting(self, event_id: str) -> None:
        """Apply the outcome that came before its payment, if there is one."""
        early = self.early.take(event_id)
        if early is not None:
            self._apply_earlier(event_id, early.label, early.event_time)

    # -- what time brings

    def take_reached(self) -> None:
        """Apply one outcome, if any, whose time the clock has reached."""
        held = self.early.reached(self._clock.now)
        if held is not None:
            self._apply_earlier(held.about, held.label, held.event_time)

    def advance(self, now: int, future_skew_ms: int) -> None:
        """Do what has become due.

        Parameters
        ----------
        now
            Event time, milliseconds since the epoch.
        future_skew_ms
            How far an event may be ahead of it.
        """
        self.pending.expire(now, future_skew_ms)
        self.early.expire(now)
        if self._legitimate_after_ms is not None:
            self._assume(now, self._legitimate_after_ms)

    def _assume(self, now: int, after_ms: int) -> None:
        for event_id in self.pending.take_due(now, after_ms):
            row = self.pending.row(event_id)
            if row is None:
                continue
            place = self.pending.index[event_id]
            try:
                learned = self._learns_in_machine_code(place, row.score, 0, now, ASSUMED)
                if not learned:
                    self._learn(row.features, row.score, 0)
            except NotLearned:
                self._counts["outcomes_not_learned"] += 1
                continue
            self._counts["outcomes_assumed"] += 1
            if learned:
                continue
            self._features.label(row.rows, row.number, row.flags, row.time_ms, 0)
            self.pending.label(event_id, ASSUMED, now)
