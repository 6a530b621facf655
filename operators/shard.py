"""The state machine of a shard: one input after another, each to what goes out and what is remembered.

`FraudShard.apply` is deterministic and single-threaded: given the same inputs in the same order, state and
outputs are the same, byte for byte. It computes first and commits then, so that an input that fails leaves
the state as it was and becomes a dead letter.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from headrace.config.settings import FraudSettings
from headrace.operators.clock import EventClock, Timing
from headrace.operators.codec import Undecodable, base64_text, canonical_digest, encode_dead_letter
from headrace.operators.detail import detail_struct
from headrace.operators.events import DeadLetter, Event, Outcome, Payment
from headrace.operators.features import FeatureSet
from headrace.operators.journal import Kind
from headrace.operators.models import Model, ModelShape, build_model
from headrace.operators.outcomes import (
    ASSUMED,
    FRAUD,
    LEGITIMATE,
    UNLABELLED,
    Early,
    EarlyOutcomes,
    Held,
    Pending,
)
from headrace.operators.policy import act
from headrace.operators.repeats import IdMemory, Known

__all__ = ["FraudShard", "Graded", "Output", "Position", "shape_of"]

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
_ADVANCE_EVERY_INPUTS: Final = 16
_SWEEP_ROWS: Final = 16
_NOTHING: Final = b""
_DECIDED: Final = int(Kind.DECIDED)
_USED: Final = (int(Kind.DECIDED), int(Kind.APPLIED))
_REPEAT: Final = (int(Kind.REPEAT), _NOTHING, _NOTHING)
_APPLIED: Final = (int(Kind.APPLIED), _NOTHING, _NOTHING)
_LABEL_STATE: Final = (LEGITIMATE, FRAUD)
_ID_TYPES: Final = ("payment", "outcome", "click", "cart", "order", "item")


Output = tuple[int, bytes, bytes]
"""What became of an input: its `Kind`, the line that goes out, and the detail that only the journal keeps."""


Position = tuple[int, int, int]
"""Where an input comes from: the source's number, byte offset and line there."""


class Graded(NamedTuple):
    """A score and how its payment turned out."""

    score: float
    label: int


def shape_of(settings: FraudSettings) -> dict[str, Any]:
    """What a saved state depends on; a state goes on only with a configuration of the same shape."""
    kept = settings.model_dump(mode="json", include={"flow", "entities", "features", "bins", "crosses"})
    entities = {name: entity["key"] for name, entity in kept.pop("entities").items()}
    return {**kept, "entities": entities, "model": settings.model.name}


class FraudShard:
    """Decides on payments, and learns from their outcomes.

    Parameters
    ----------
    settings
        The configuration in force.
    learn
        Whether the model learns; features that outcomes feed move on in any case.
    """

    def __init__(self, settings: FraudSettings, *, learn: bool = True) -> None:
        self.number = 0
        self.counts: Counter[str] = Counter()
        self.graded: list[Graded] = []
        self.source_names: Mapping[int, str] = {}
        self.features = FeatureSet(settings.entities, settings.features, settings.bins, settings.crosses)
        groups = self.features.groups
        shape = ModelShape(
            slot_names=tuple(group.name for group in groups),
            group_offsets=tuple(group.offset for group in groups),
            slots=self.features.slots,
            value_names=self.features.names,
        )
        self.model: Model = build_model(settings.model.name, settings.model.parameters, shape)
        self._takes_slots = self.model.takes == "slots"
        slot_code = "H" if shape.slots <= 0xFFFF else "I"
        names = groups if self._takes_slots else self.features.names
        self.codes = [group.code for group in groups] if self._takes_slots else list(self.features.names)
        self.clock = EventClock(0, 0, 1)
        self.ids = {name: IdMemory(1, 0) for name in _ID_TYPES}
        self.pending = Pending(
            len(settings.entities), len(names), slot_code if self._takes_slots else "d", 1, 0
        )
        self.early = EarlyOutcomes(0, 0)
        self._unmoved: list[Payment] = []
        self._detail = detail_struct(len(groups), shape.slots, len(names), len(self.features.names))
        self.configure(settings, learn=learn)

    def configure(self, settings: FraudSettings, *, learn: bool) -> None:
        """Take over a configuration of the same shape; it holds from the next input on."""
        self.settings, self.learn = settings, learn
        time, outcomes = settings.time, settings.outcomes
        self.clock.configure(
            round(time.late_days_max * DAY_MS), round(time.ahead_hours_max * HOUR_MS), time.ahead_agree_events
        )
        self._ahead_ms = round(time.ahead_hours_max * HOUR_MS)
        for memory in self.ids.values():
            memory.configure(settings.ids.memory_max, round(settings.ids.memory_days_max * DAY_MS))
        self.pending.rows_max = outcomes.pending_max
        self.pending.age_ms_max = round(outcomes.pending_days_max * DAY_MS)
        self.early.outcomes_max = outcomes.early_max
        self.early.age_ms_max = round(outcomes.early_days_max * DAY_MS)
        self._correction_ms = round(outcomes.correction_days_max * DAY_MS)
        after = outcomes.legitimate_after_days
        self._legitimate_after_ms = None if after is None else round(after * DAY_MS)
        for name, entity in settings.entities.items():
            table = self.features.tables[name]
            table.entities_max, table.idle_ms_max = entity.entities_max, round(entity.idle_days_max * DAY_MS)
        configured = [shape_of(settings), settings.model.model_dump(mode="json")]
        self.version = f"{settings.model.name}:{_digest(configured)[:8]}"
        self._explained = self.model.cheap_explain
        self._contribution_min = settings.reasons.contribution_min
        self._reasons_max = settings.reasons.count_max
        self._blank = (0.0,) * len(self.codes)

    # -- one input

    def apply(self, event: Event | Undecodable, payload: bytes, position: Position) -> Output:
        """Apply one input.

        Parameters
        ----------
        event
            The decoded input, or why it is none.
        payload
            Its original bytes.
        position
            Where it comes from.
        """
        if isinstance(event, Undecodable):
            return self._dead(event, payload, position)
        self.number += 1
        if isinstance(event, Payment):
            output = self._payment(event, payload, position)
        else:
            output = self._other(event, payload, position)
        if output[0] not in _USED:
            # What was of no use must not bring forward what becomes due every so many inputs.
            self.number -= 1
            return output
        if self._unmoved and not self.clock.agreeing:
            self._settle_ahead()
        if self.early.ahead:
            self._take_reached()
        if not self.number % _ADVANCE_EVERY_INPUTS:
            self._advance()
        return output

    def _dead(self, why: Undecodable, payload: bytes, position: Position) -> Output:
        self.counts[f"dead_{why.reason}"] += 1
        source, offset, line = position
        letter = DeadLetter(
            reason=why.reason,
            message=why.message,
            field=why.field,
            source=self.source_names.get(source, ""),
            offset=offset,
            line=line,
            payload_base64=base64_text(payload),
        )
        return (int(Kind.DEAD), encode_dead_letter(letter), _NOTHING)

    def _known(
        self, memory: IdMemory, event: Event, digest: int, payload: bytes, position: Position
    ) -> Output | None:
        known = memory.known(event.event_id, digest)
        if known is Known.NEW:
            return None
        if known is Known.REPEAT:
            self.counts["repeats"] += 1
            return _REPEAT
        message = f"event_id: {event.event_id!r} came before with other content"
        return self._dead(Undecodable("id_conflict", message, "event_id"), payload, position)

    # -- payments

    def _payment(self, payment: Payment, payload: bytes, position: Position) -> Output:
        if payment.currency != self.settings.flow.currency:
            message = (
                f"currency: this flow decides in {self.settings.flow.currency}, not {payment.currency!r}"
            )
            return self._dead(Undecodable("other_currency", message, "currency"), payload, position)
        memory, digest = self.ids["payment"], canonical_digest(payment)
        if payment.event_id in memory.ids:
            known = self._known(memory, payment, digest, payload, position)
            if known is not None:
                return known
        now, agreeing = self.clock.now, list(self.clock.agreeing) if self.clock.agreeing else []
        timing = self.clock.observe(payment.event_time)
        try:
            return self._decide(payment, timing, digest)
        except (ArithmeticError, ValueError) as error:
            self.clock.now, self.clock.agreeing = now, agreeing
            return self._dead(Undecodable("unfit", f"no score: {error}", None), payload, position)

    def _decide(self, payment: Payment, timing: Timing, digest: int) -> Output:
        event_id, time = payment.event_id, payment.event_time
        now = self.clock.now
        seen_at = time if timing is Timing.ON_TIME or not now else now
        values, slots, flags = self.features.read(payment, seen_at)
        read = slots if self._takes_slots else values
        score = self.model.score(read)
        action = act(self.settings.policy, score)
        contributions = self.model.explain(read) if self._explained or action != "approve" else self._blank
        line = orjson.dumps(
            {
                "decision_id": "fraud:" + event_id,
                "event_id": event_id,
                "event_time": time,
                "kind": "fraud",
                "action": action,
                "score": score,
                "reasons": self._reasons(contributions) if action != "approve" else [],
                "model": self.version,
                "version": 1,
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )
        detail = self._detail.pack(*slots, *contributions, *values)
        self._commit(payment, timing, digest, seen_at, values, flags, read, score, action == "block")
        self.counts[action] += 1
        return _DECIDED, line, detail

    def _reasons(self, contributions: Any) -> list[dict[str, Any]]:
        least = self._contribution_min
        if max(contributions, default=0.0) < least:
            return []
        by_code: dict[str, float] = {}
        for code, contribution in zip(self.codes, contributions, strict=True):
            if contribution >= least:
                by_code[code] = by_code.get(code, 0.0) + contribution
        strongest = sorted(by_code.items(), key=lambda item: -item[1])[: self._reasons_max]
        for code, _ in strongest:
            self.counts["reason_" + code] += 1
        return [{"code": code, "contribution": round(contribution, 4)} for code, contribution in strongest]

    def _commit(
        self,
        payment: Payment,
        timing: Timing,
        digest: int,
        seen_at: int,
        values: tuple[float, ...],
        flags: int,
        read: tuple[float, ...],
        score: float,
        blocked: bool,
    ) -> None:
        event_id, now = payment.event_id, self.clock.now
        self.ids["payment"].add(event_id, digest, now or payment.event_time)
        if timing is Timing.ON_TIME:
            rows = self.features.update(payment, seen_at, values, self.number)
        else:
            rows = self.features.rows(payment)
            self.counts[f"payments_{timing.name.lower()}"] += 1
            if timing is Timing.AHEAD:
                self._unmoved.append(payment)
        at = payment.event_time if not now or payment.event_time < now else now
        self.pending.add(event_id, at, self.number, rows, flags, read, score, blocked)
        if self.early.waiting:
            early = self.early.take(event_id)
            if early is not None:
                self._outcome(event_id, early.label, early.event_time)

    def _settle_ahead(self) -> None:
        """Move the state by the payments whose step ahead was believed after all; forget the others."""
        for payment in self._unmoved:
            if payment.event_time <= self.clock.now:
                values, _, _ = self.features.read(payment, payment.event_time)
                self.features.update(payment, payment.event_time, values, self.number)
        self._unmoved.clear()

    # -- outcomes and other events

    def _other(self, event: Event, payload: bytes, position: Position) -> Output:
        memory = self.ids[str(event.__struct_config__.tag)]
        digest = canonical_digest(event)
        if event.event_id in memory.ids:
            known = self._known(memory, event, digest, payload, position)
            if known is not None:
                return known
        timing = self.clock.observe(event.event_time)
        memory.add(event.event_id, digest, self.clock.now or event.event_time)
        if isinstance(event, Outcome):
            if timing is Timing.AHEAD:
                self.early.hold(Held(event.event_time, self.number, event.about, event.label))
                self.counts["outcomes_ahead"] += 1
            else:
                self._outcome(event.about, event.label, event.event_time)
        else:
            self.counts["events_without_effect"] += 1
        return _APPLIED

    def _outcome(self, about: str, label: int, time_ms: int) -> None:
        """Apply an outcome whose time has come."""
        row = self.pending.row(about)
        if row is None:
            self.counts["outcomes_early"] += 1
            self.early.wait(about, Early(label, time_ms), self.clock.now)
            return
        state = _LABEL_STATE[label]
        if row.label == UNLABELLED:
            self.counts["outcomes_matched"] += 1
            self.features.label(row.rows, row.number, row.flags, row.time_ms, label)
        elif row.label == state or (row.label == ASSUMED and not label):
            self.counts["outcomes_repeated"] += 1
            self.pending.label(about, state, time_ms)
            return
        elif time_ms - row.labelled_ms > self._correction_ms and row.label != ASSUMED:
            self.counts["outcomes_too_late_to_correct"] += 1
            return
        else:
            self.counts["outcomes_corrected"] += 1
            self.features.relabel(
                row.rows, row.number, row.flags, row.time_ms, int(row.label == FRAUD), label
            )
        self.pending.label(about, state, time_ms)
        self._learn(row.features, row.score, label)

    def _learn(self, features: tuple[float, ...], score: float, label: int) -> None:
        self.graded.append(Graded(score, label))
        if self.learn:
            self.model.learn(features, label)

    # -- what time brings

    def _advance(self) -> None:
        """Do what has become due by the clock, once it is started; it is bounded."""
        now = self.clock.now
        if not now:
            return
        self.pending.expire(now, self._ahead_ms)
        self.early.expire(now)
        if self._legitimate_after_ms is not None:
            self._assume(now, self._legitimate_after_ms)
        self.features.sweep(now, _SWEEP_ROWS)

    def _take_reached(self) -> None:
        """Apply one outcome, if any, whose time the clock has reached."""
        held = self.early.reached(self.clock.now)
        if held is not None:
            self._outcome(held.about, held.label, held.event_time)

    def _assume(self, now: int, after_ms: int) -> None:
        for event_id in self.pending.take_due(now, after_ms):
            row = self.pending.row(event_id)
            if row is not None:
                self.counts["outcomes_assumed"] += 1
                self.features.label(row.rows, row.number, row.flags, row.time_ms, 0)
                self.pending.label(event_id, ASSUMED, now)
                self._learn(row.features, row.score, 0)

    # -- the state as a whole

    def save(self) -> dict[str, bytes | array[int] | array[float]]:
        """The state as named blobs."""
        head = {
            "number": self.number,
            "counts": dict(sorted(self.counts.items())),
            "clock": self.clock.save(),
            "unmoved": [msgspec.msgpack.encode(payment) for payment in self._unmoved],
        }
        blobs: dict[str, bytes | array[int] | array[float]] = {
            "head": msgspec.msgpack.encode(head),
            "model": self.model.save(),
            "early": self.early.save(),
        }
        blobs |= {f"ids/{name}": memory.save() for name, memory in self.ids.items()}
        blobs |= {f"pending/{name}": blob for name, blob in self.pending.save().items()}
        blobs |= {f"features/{name}": blob for name, blob in self.features.save().items()}
        return blobs

    def load(self, blobs: Mapping[str, bytes]) -> None:
        """Take over a state that `save` gave.

        Raises
        ------
        ValueError
            If the model's part doesn't fit.
        """
        head = msgspec.msgpack.decode(blobs["head"])
        self.number, self.counts = head["number"], Counter(head["counts"])
        self.clock.load(head["clock"])
        self._unmoved = [msgspec.msgpack.decode(payment, type=Payment) for payment in head["unmoved"]]
        self.model.load(blobs["model"])
        self.early.load(blobs["early"])
        for name, memory in self.ids.items():
            memory.load(blobs[f"ids/{name}"])
        self.pending.load(_under("pending/", blobs))
        self.features.load(_under("features/", blobs))


def _digest(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _under(prefix: str, blobs: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name[len(prefix) :]: blob for name, blob in blobs.items() if name.startswith(prefix)}
