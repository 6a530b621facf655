"""A decision that estimates a probability, and does something at it."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from ...config.decision_flow import DecisionSettings, ScoreSettings
from ..models import Calibration, Model, NotLearned, Provisional, Teacher, build_model
from ..policy import DecisionPolicy, Verdict
from .decision import Decision
from .inputs import Inputs
from .judged import Evaluated, FeaturesFed, Judged
from .last_limits import LastLimits
from .reasons import Coded, Reasons
from .score_compiled import CompiledScore, compiled_score
from .waiting import WaitingRow

__all__ = ["Score"]

_NO_CODES: Sequence[str] = ()
_PLAIN: Final[dict[str, Any]] = {"reasons": ()}
_LABELS: Final = (0.0, 1.0)


class Score(Decision):
    """A probability from a model, calibrated by recent outcomes, and the policy's action at it.

    Parameters
    ----------
    name, settings, inputs, entities, policy, fed
        See `Decision`.
    reasons
        See `Decision`.
    party
        Whom an event is about: what limits are given to.
    model
        One that is there already; None for a new one, as declared.
    """

    settings: ScoreSettings

    def __init__(
        self,
        name: str,
        settings: ScoreSettings,
        inputs: Inputs,
        entities: Sequence[str],
        policy: DecisionPolicy,
        reasons: Reasons,
        fed: FeaturesFed | None,
        party: Callable[[Any], str | None],
        model: Model | None = None,
    ) -> None:
        self._party = party
        self.model = model or build_model(settings.model.name, settings.model.parameters, inputs.shape)
        self._teacher = Teacher(self.model, one_by_one=True)
        self._teach_one = self._teacher.learning_one()
        calibration = settings.calibration
        self.calibration = Calibration(
            outcomes=calibration.outcomes_max,
            refit_every=calibration.refit_every,
            label_min=calibration.label_min,
        )
        self._calibrated = calibration.method != "none"
        target = settings.target
        told = None if target is None else target.provisional
        self._provisional = None if told is None else Provisional(int(told))
        self.last_limits = LastLimits(1)
        self._blank = (0.0,) * len(inputs.names)
        self._compiled: CompiledScore | None = None
        super().__init__(name, settings, inputs, entities, 1, policy, reasons, fed)

    def configure(self, settings: DecisionSettings, codes: Iterable[Coded], *, learn: bool) -> None:
        """See `Decision.configure`."""
        super().configure(settings, codes, learn=learn)
        assert isinstance(settings, ScoreSettings)
        # What counts provisionally is learned with weights, which machine code doesn't know.
        self._learns_compiled = learn and self._provisional is None
        self._with_limits = settings.policy.ladder is not None
        self.last_limits.entries_max = settings.limits_max

    def take_compiled(self, label: Callable[..., None] | None, slots: array[int] | None, /) -> None:
        """See `Decision.take_compiled`."""
        super().take_compiled(label, None)
        if slots is not None:
            means = self.baseline.means
            self._compiled = compiled_score(self.model, self.inputs, means, self.waiting, slots)

    def describe(self, version: str, party: str | None) -> None:
        """See `Decision.describe`."""
        super().describe(version, party)
        self._line = dict[str, Any]()

    def said(self, event: Any, judged: Judged) -> dict[str, Any]:
        """See `Decision.said`."""
        field = self._party_field
        party = None if field is None else getattr(event, field)
        if judged.said is not _PLAIN or self._with_limits or (field is not None and party is None):
            return super().said(event, judged)
        # Filling the first one in over and over is cheaper than making more: all have the same fields.
        line = self._line
        if not line:
            line = self._line = super().said(event, judged)
        line["decision_id"], line["event_id"] = f"{self.name}:{event.event_id}", event.event_id
        line["event_time"], line["action"] = event.event_time, judged.verdict.action
        line["score"] = judged.served[0]
        if field is not None:
            line[field] = party
        return line

    def _judge(
        self, event: Any, values: Sequence[float], slots: Sequence[int], day_ms: int, overdue: bool
    ) -> Judged:
        model, compiled, calibration = self.model, self._compiled, self.calibration
        inputs: Sequence[Any]
        contributions: Sequence[float]
        score: float
        singles: memoryview | None = None
        if compiled is not None:
            # What machine code has found stays until the next event: whoever keeps any of it copies it.
            offset, slope = (calibration.offset, calibration.slope) if self._calibrated else (0.0, 1.0)
            raw = compiled.weigh(compiled.address, compiled.model.intercept, offset, slope)
            score, inputs = compiled.served[0], compiled.inputs
            contributions, singles = compiled.contributions, compiled.singles
        else:
            inputs = self.inputs.pick(values, slots)
            if model.cheap_explain:
                raw, weights = model.score_explained(inputs)
                contributions = self.baseline.against(weights)
            else:
                raw, contributions = model.score(inputs), self._blank
            score = calibration.apply(raw) if self._calibrated else raw
        fields: dict[str, Any] = {"score": score}
        if self._with_limits:
            last = self.last_limits.of(self._party(event))
            verdict = self.policy.decide(event, values, score, day_ms, overdue, last)
            fields["limit"] = verdict.limit
        else:
            verdict = self.policy.decide(event, values, score, day_ms, overdue)
        if verdict is self.policy.plain:
            return Judged(verdict, fields, _PLAIN, _NO_CODES, inputs, raw, (score,), contributions, singles)
        told = self.policy.wants_reasons(verdict)
        if told and not model.cheap_explain:
            contributions = tuple(model.explain(inputs))
        said: dict[str, Any] = {}
        codes = self.reasons.tell(said, verdict, contributions if told else None, values)
        return Judged(verdict, fields, said, codes, inputs, raw, (score,), contributions, singles)

    def _fallback(
        self, why: str, event: Any, values: Sequence[float], day_ms: int, overdue: bool
    ) -> tuple[Verdict, dict[str, Any]]:
        if not self._with_limits:
            return super()._fallback(why, event, values, day_ms, overdue)
        # A limit that the model can't look at now stays what it was.
        last = self.last_limits.of(self._party(event))
        verdict = self.policy.fallback(why, event, values, day_ms, overdue, last)
        return verdict, {"limit": verdict.limit}

    def commit(
        self,
        judged: Judged,
        event: Any,
        at_ms: int,
        day_ms: int,
        number: int,
        rows: Sequence[int],
        flags: int,
    ) -> None:
        """See `Decision.commit`."""
        super().commit(judged, event, at_ms, day_ms, number, rows, flags)
        if self._provisional is not None and judged.inputs is not None and self.learn:
            self._teach_provisionally(self._provisional, judged)
        if judged.verdict.limit is not None:
            self.last_limits.take(self._party(event), judged.verdict.limit)

    def _to_wait(self, judged: Judged) -> Sequence[Any] | bytes:
        """See `Decision._to_wait`."""
        return super()._to_wait(judged) if self._compiled is None else self._compiled.packed()

    def _take_first(self, place: int, value: float, told_ms: int, state: int) -> None:
        """See `Decision._take_first`."""
        compiled, waiting = self._compiled, self.waiting
        if compiled is None or not self._learns_compiled or value not in _LABELS:
            super()._take_first(place, value, told_ms, state)
            return
        model, label, score = compiled.model, int(value), waiting.head(place)[3]
        model.intercept = compiled.learn(
            compiled.address, waiting.address(place), label, state, told_ms, value, model.intercept
        )
        self.calibration.learn(score, label)
        served = waiting.served_at(place)
        self.evaluated.append(Evaluated(self.name, waiting.id_at(place), (), served, value))
        if self._fed is not None:
            self._feed(waiting.at(place), value)

    def _teach_provisionally(self, provisional: Provisional, judged: Judged) -> None:
        """Learn as if nothing came; where the model can't, it is as it was, and that is counted."""
        label, weight = provisional.label, provisional.first(judged.score)
        try:
            self._teacher.teach(((judged.inputs or (), label, weight),))
        except NotLearned:
            self.counts["targets_not_learned"] += 1
            return
        self.calibration.learn(judged.score, label, weight)

    def forget(self, event_ids: Collection[str], keys: Collection[str]) -> None:
        """See `Decision.forget`."""
        super().forget(event_ids, keys)
        self.last_limits.forget(keys)

    def _teach(self, row: WaitingRow, value: float) -> None:
        if value not in _LABELS:
            raise NotLearned(ValueError(f"the label must be 0 or 1 (is {value!r})"))
        label = int(value)
        if self._provisional is not None:
            self._teach_after(self._provisional, row, label)
            return
        try:
            self._teach_one(row.inputs, label)
        except Exception as error:
            if self._teacher.untouched_by(error):
                raise NotLearned(error) from error
            raise
        self.calibration.learn(row.score, label)

    def _teach_after(self, provisional: Provisional, row: WaitingRow, label: int) -> None:
        """Learn what makes up for what was learned before."""
        before = provisional.save()
        weight = provisional.then(label, learned_before=True)
        if weight:
            try:
                self._teacher.teach(((row.inputs, label, weight),))
            except NotLearned:
                provisional.load(before)
                raise
            # Of those that were told alone, what comes late would be missing for as long.
            self.calibration.learn(row.score, label, weight)

    def _save_model(self) -> dict[str, bytes]:
        return {
            "model": self.model.save(),
            "calibration": self.calibration.save(),
            "limits": self.last_limits.save(),
            **({} if self._provisional is None else {"provisional": self._provisional.save()}),
        }

    def _load_model(self, blobs: Mapping[str, bytes]) -> None:
        self.model.load(blobs["model"])
        self._teacher.forget()
        self.calibration.load(blobs["calibration"])
        self.last_limits.load(blobs["limits"])
        if self._provisional is not None and "provisional" in blobs:
            self._provisional.load(blobs["provisional"])
