"""One decision of a flow: what it says of an event, what waits for the truth, and what is learned of it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from ...config.decision_flow import DecisionSettings
from ...config.decision_target import ASKING_ID, ELAPSED
from ..events.decode import unexpected
from ..models import NotLearned
from ..policy import DecisionPolicy, Verdict
from .attribution_baseline import LOOK_EVERY, AttributionBaseline
from .detail import slot_code
from .inputs import Inputs
from .judged import Evaluated, FeaturesFed, Judged
from .pending import ASSUMED, UNLABELLED, Early, EarlyOutcomes, Held
from .reasons import Coded, Reasons
from .target import Telling, join_key, parts_of
from .waiting import TOLD, Waiting, WaitingRow

__all__ = ["Decision"]

_COUNTED: Final = (
    "failed",
    "targets_matched",
    "targets_corrected",
    "targets_repeated",
    "targets_early",
    "targets_ahead",
    "targets_too_late",
    "targets_assumed",
    "targets_missing",
    "targets_not_learned",
)


class Decision(ABC):
    """A decision's model, policy and memory; computing changes nothing, committing can't fail.

    Parameters
    ----------
    name
        As it is declared.
    settings
        Its declaration.
    inputs
        What its model reads.
    entities
        Those whose rows are kept with what waits, in the order of the rows.
    served
        How many numbers go out with each.
    policy
        From what the model says to an action.
    reasons
        Why.
    fed
        Features that its target feeds, and the conditions that they ask of the event; None for none.

    Attributes
    ----------
    counts
        What it has counted since its first input.
    evaluated
        How decisions turned out, until somebody takes it away.
    learn
        Whether its model learns.
    """

    def __init__(
        self,
        name: str,
        settings: DecisionSettings,
        inputs: Inputs,
        entities: Sequence[str],
        served: int,
        policy: DecisionPolicy,
        reasons: Reasons,
        fed: FeaturesFed | None,
    ) -> None:
        self.name, self.settings, self.inputs, self.policy, self._fed = name, settings, inputs, policy, fed
        self.reasons = reasons
        self.counts = dict.fromkeys((*_COUNTED, *settings.actions), 0)
        self.evaluated: list[Evaluated] = []
        self.learn = True
        self.baseline = AttributionBaseline(len(inputs.names))
        target = settings.target
        self._key_of: Callable[[Any], str | None] | None = None
        keyed = False
        if target is not None:
            self._key_of = join_key(target.asking_fields)
            keyed = target.asking_fields != (ASKING_ID,)
        typecode = slot_code(inputs.shape.slots) if inputs.by_slots else "d"
        self._entities = tuple(entities)
        self.waiting = Waiting(len(entities), len(inputs.names), typecode, served, keyed=keyed)
        self.early = EarlyOutcomes(0, 0)
        self.describe("", None)

    @property
    def levels(self) -> tuple[float, ...]:
        """Of the quantiles that go out, ascending; empty for a score."""
        return ()

    def configure(self, settings: DecisionSettings, codes: Iterable[Coded], *, learn: bool) -> None:
        """Take over a declaration of the same shape; it holds from the next input on.

        Parameters
        ----------
        settings
            The declaration.
        codes
            Reason codes of the inputs, in their order.
        learn
            Whether its model learns.
        """
        self.settings, self.learn = settings, learn
        scope = replace(self.policy.scope, actions=settings.actions)
        self.policy.configure(settings.policy, scope, shadow=settings.shadow)
        self.reasons.configure(codes, settings.reasons.count_max, settings.reasons.contribution_min)
        target = settings.target
        if target is None:
            return
        self._within_ms, self._correct_ms = target.within_ms, target.correct_ms
        self._otherwise, self._elapsed = target.otherwise, target.value == ELAPSED
        self.waiting.rows_max = target.waiting_max
        self.waiting.age_ms_max = target.within_ms + target.correct_ms
        self.early.outcomes_max, self.early.age_ms_max = target.early_max, target.early_ms

    # -- what it says

    def judge(
        self, event: Any, values: Sequence[float], slots: Sequence[int], day_ms: int, overdue: bool
    ) -> Judged:
        """Say what is done with an event; whatever is raised, it is the fallback, and nothing has changed.

        Parameters
        ----------
        event
            The one that asks.
        values, slots
            Its features, and the active slot of each cross.
        day_ms
            Its time, which gives the day of a capacity; negative if it isn't accepted.
        overdue
            Whether it has waited for longer than the policy allows.
        """
        try:
            return self._judge(event, values, slots, day_ms, overdue)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it takes no other decision with it
            why = unexpected(error).message
            verdict, fields = self._fallback(why, event, values, day_ms, overdue)
            said: dict[str, Any] = {}
            codes = self.reasons.tell(said, verdict, None, values)
            return Judged(verdict, fields, said, codes, None, 0.0, (), ())

    def _fallback(
        self, why: str, event: Any, values: Sequence[float], day_ms: int, overdue: bool
    ) -> tuple[Verdict, dict[str, Any]]:
        """Say what is done without the model, and what goes out beside the action."""
        return self.policy.fallback(why, event, values, day_ms, overdue), {}

    @abstractmethod
    def _judge(
        self, event: Any, values: Sequence[float], slots: Sequence[int], day_ms: int, overdue: bool
    ) -> Judged:
        """See `judge`; may raise anything."""

    def describe(self, version: str, party: str | None) -> None:
        """Take over what each line says beside the decision.

        Parameters
        ----------
        version
            Of the model, as configured.
        party
            The asking event's field that names whom it is about; None without one.
        """
        self.version, self._party_field = version, party

    def said(self, event: Any, judged: Judged) -> dict[str, Any]:
        """Return what goes out; it is to be encoded before the next decision is asked."""
        said: dict[str, Any] = {"decision_id": f"{self.name}:{event.event_id}", "event_id": event.event_id}
        if self._party_field is not None:
            party = getattr(event, self._party_field)
            if party is not None:
                said[self._party_field] = party
        said |= {"event_time": event.event_time, "kind": self.name, "action": judged.verdict.action}
        said |= judged.fields
        said |= {"reasons": judged.said["reasons"], "model": self.version, "version": 1}
        if "policy" in judged.said:
            said["policy"] = judged.said["policy"]
        return said

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
        """Take in what goes out; nothing of it fails."""
        counts, action = self.counts, judged.verdict.action
        counts[action] = counts.get(action, 0) + 1
        for code in judged.codes:
            name = "reason_" + code
            counts[name] = counts.get(name, 0) + 1
        self.policy.commit(judged.verdict, day_ms)
        if judged.inputs is None:
            counts["failed"] += 1
            return
        if judged.contributions and not number % LOOK_EVERY:
            self.baseline.take(judged.contributions)
        if self._key_of is None:
            return
        key = self._key_of(event)
        if key is None:
            counts["targets_missing"] += 1
            return
        self.waiting.wait(
            event.event_id,
            key,
            at_ms,
            number,
            rows,
            flags,
            self._to_wait(judged),
            judged.score,
            judged.served,
            censored=action in self.settings.censors,
        )
        if self.early.waiting:
            self._take_early(key, at_ms)

    def _to_wait(self, judged: Judged) -> Sequence[Any] | bytes:
        """Return what the model read, as it waits for the target."""
        return judged.inputs or ()

    def _take_early(self, key: str, at_ms: int) -> None:
        """Let what came before its decision tell now; what happened before it tells nothing of it."""
        early = self.early.waiting.get(key)
        if early is not None and (early.event_time >= at_ms or self.settings.target.names_the_asking):  # type: ignore[union-attr]
            self.early.take(key)
            self._tell_later(Telling(key, early.label, early.event_time))

    # -- what it is told

    def tell(self, telling: Telling, now_ms: int) -> None:
        """Take in what an event tells whose time has come.

        Raises
        ------
        NotLearned
            If the model can't learn it; then nothing has changed.
        """
        places = self.waiting.places_of(telling.key)
        if not places:
            self.counts["targets_early"] += 1
            self.early.wait(telling.key, Early(telling.value, telling.time_ms), now_ms)
            return
        changed = False
        for place in tuple(places):
            try:
                self._tell_place(place, telling)
            except NotLearned:
                # The first failure of an event is its own; what comes behind one that was learned is counted.
                if not changed:
                    raise
                self.counts["targets_not_learned"] += 1
            changed = True

    def hold(self, telling: Telling, number: int) -> None:
        """Keep what an event tells whose time the clock has not reached."""
        self.counts["targets_ahead"] += 1
        self.early.hold(Held(telling.time_ms, number, telling.key, telling.value))

    def _tell_later(self, telling: Telling) -> None:
        """Take in what came with an earlier input; what can't be learned has no effect."""
        try:
            self.tell(telling, telling.time_ms)
        except NotLearned:
            self.counts["targets_not_learned"] += 1

    def _tell_place(self, place: int, telling: Telling) -> None:
        time_ms, _, _, _, _, state = self.waiting.head(place)
        value = telling.value
        if self._elapsed:
            value = (telling.time_ms - time_ms) / self.settings.unit_ms
        if not math.isfinite(value):
            self.counts["targets_missing"] += 1
            return
        if state == UNLABELLED:
            if telling.time_ms - time_ms > self._within_ms:
                self.counts["targets_too_late"] += 1
                return
            self._take_first(place, value, telling.time_ms, TOLD)
            self.counts["targets_matched"] += 1
            return
        row = self.waiting.at(place)
        if not self._corrects(row, value, telling.time_ms):
            return
        self._learn(place, row, value)
        self.counts["targets_corrected"] += 1
        if self._fed is not None:
            old, new = int(row.value), int(value)
            self._fed.relabel(row.rows, row.number, row.flags >> 1, row.time_ms, old, new)
        self.waiting.tell(place, value, telling.time_ms)

    def _take_first(self, place: int, value: float, told_ms: int, state: int) -> None:
        """Learn from the first that is told of a decision, or assumed of it, and note it down.

        Raises
        ------
        NotLearned
            If the model can't learn it; then nothing has changed.
        """
        row = self.waiting.at(place)
        self._learn(place, row, value)
        self._feed(row, value)
        self.waiting.tell(place, value, told_ms, assumed=state == ASSUMED)

    def _corrects(self, row: WaitingRow, value: float, time_ms: int) -> bool:
        """Whether a value changes what is known already."""
        if not self._correct_ms or row.value == value:
            self.counts["targets_repeated"] += 1
            return False
        if row.state != ASSUMED and time_ms - row.told_ms > self._correct_ms:
            self.counts["targets_too_late"] += 1
            return False
        return True

    def _feed(self, row: WaitingRow, value: float) -> None:
        if self._fed is not None:
            self._fed.label(row.rows, row.number, row.flags >> 1, row.time_ms, int(value))

    def _learn(self, place: int, row: WaitingRow, value: float) -> None:
        """Let the model learn.

        Raises
        ------
        NotLearned
            If it can't; then nothing has changed.
        """
        if self.learn:
            self._teach(row, value)
        event_id = self.waiting.id_at(place)
        self.evaluated.append(Evaluated(self.name, event_id, self.levels, row.served, value))

    @abstractmethod
    def _teach(self, row: WaitingRow, value: float) -> None:
        """Teach the model one example; see `_learn`."""

    # -- what time brings

    def reached(self, now_ms: int) -> None:
        """Take in one, if any, whose time the clock has reached."""
        held = self.early.reached(now_ms)
        if held is not None:
            self._tell_later(Telling(held.about, held.label, held.event_time))

    def advance(self, now_ms: int, future_skew_ms: int) -> None:
        """Do what has become due; it is bounded."""
        if self._key_of is None:
            return
        self.waiting.expire(now_ms, future_skew_ms)
        self.early.expire(now_ms)
        if self._otherwise is not None:
            for place in self.waiting.take_due_places(now_ms, self._within_ms):
                self._assume(place, self._otherwise, now_ms)

    def _assume(self, place: int, value: float, now_ms: int) -> None:
        try:
            self._take_first(place, value, now_ms, ASSUMED)
        except NotLearned:
            self.counts["targets_not_learned"] += 1
            return
        self.counts["targets_assumed"] += 1

    def put_back(self, to_ms: int) -> None:
        """Let nothing wait from after a time."""
        self.waiting.put_back(to_ms)
        self.early.put_back(to_ms)
        self.policy.put_back(to_ms)

    def forget(self, event_ids: Collection[str], keys: Collection[str]) -> None:
        """Forget decisions by their events, and what waits under some keys."""
        self.waiting.forget(event_ids)
        gone = dict.fromkeys(keys)
        for key in self.early.about():
            if any(part in gone for part in parts_of(key)):
                gone[key] = None
        self.early.forget(gone)

    # -- the state as a whole

    @abstractmethod
    def _save_model(self) -> dict[str, bytes]: ...

    @abstractmethod
    def _load_model(self, blobs: Mapping[str, bytes]) -> None: ...

    def save(self) -> dict[str, bytes | array[int] | array[float]]:
        """Return the state as named blobs."""
        head = {
            "counts": dict(sorted(self.counts.items())),
            "baseline": self.baseline.save(),
            "conditions": self._conditions,
            "entities": self._entities,
        }
        return {
            "head": msgspec.msgpack.encode(head),
            "policy": self.policy.save(),
            "early": self.early.save(),
            **{f"model/{name}": blob for name, blob in self._save_model().items()},
            **{f"waiting/{name}": blob for name, blob in self.waiting.save().items()},
        }

    def load(self, blobs: Mapping[str, bytes]) -> None:
        """Take over a state that `save` gave.

        Raises
        ------
        ValueError
            If a part of it doesn't fit.
        """
        head = msgspec.msgpack.decode(blobs["head"])
        self.counts.update(head["counts"])
        self.baseline.load(head["baseline"])
        self.policy.load(blobs["policy"])
        self.early.load(blobs["early"])
        self._load_model(_under("model/", blobs))
        entities: list[str] = head["entities"]
        places = {each: number for number, each in enumerate(entities)}
        rows = None if entities == list(self._entities) else [places.get(each) for each in self._entities]
        self.waiting.load(_under("waiting/", blobs), rows, len(entities))
        before, now = head["conditions"], self._conditions
        if list(now) != before:
            numbers = {each: number for number, each in enumerate(now)}
            self.waiting.move_flags({at: numbers[each] for at, each in enumerate(before) if each in numbers})

    def take_compiled(self, label: Callable[..., None] | None, _slots: array[int] | None, /) -> None:
        """Go on in machine code, where that is there: the twin of what has been done before.

        Takes what lets features take in what the target tells, None where none is fed; and where compiled
        features leave the slots of an event that asks, None where they read none.
        """
        if self._fed is not None and label is not None:
            self._fed = self._fed._replace(label=label)

    @property
    def _conditions(self) -> tuple[str, ...]:
        """What the bits of the flags of decisions that wait stand for."""
        return () if self._fed is None else self._fed.conditions


def _under(prefix: str, blobs: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name.removeprefix(prefix): blob for name, blob in blobs.items() if name.startswith(prefix)}
