"""The state machine of a shard: one input after another, each to what goes out and what is remembered.

`FraudShard.apply` is deterministic and single-threaded: given the same inputs in the same order, state and
outputs are the same, byte for byte. It computes first and commits then, so that an input that fails leaves
the state as it was and becomes a dead letter.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from orjson import dumps

from headrace.config.fraud_flow import FraudSettings
from headrace.journal.records import Kind
from headrace.kinds.fraud.actions import ACTIONS
from headrace.kinds.fraud.erasure import forget
from headrace.kinds.fraud.outcomes import Outcomes
from headrace.kinds.fraud.reasons import Reasons
from headrace.kinds.fraud.refusals import other_currency
from headrace.operators.decisions.attribution_baseline import LOOK_EVERY, AttributionBaseline
from headrace.operators.decisions.detail import slot_code
from headrace.operators.decisions.pending import (
    EarlyOutcomes,
    Held,
    Pending,
)
from headrace.operators.decisions.scoring import PlainScorer, Scorer
from headrace.operators.decisions.scoring_compiled import CompiledScorer, compiled_scorer
from headrace.operators.events.contract import FRAUD_ID, Click, Event, Outcome, Payment
from headrace.operators.events.decode import Undecodable, canonical_digest
from headrace.operators.features import FeatureSet
from headrace.operators.models import Model, ModelShape, NotLearned, Teacher, build_model
from headrace.operators.policy import APPROVAL, Policy
from headrace.shard.base import DAY_MS, HOUR_MS, MachineBase, under, version_of
from headrace.shard.clock import Timing
from headrace.shard.commands import Erase, KillSwitch, ReloadList
from headrace.shard.decision_line import ENCODING
from headrace.shard.machine import Held as HeldNow
from headrace.shard.machine import Output, Position

__all__ = ["FraudShard", "shape_of"]

_ADVANCE_EVERY_INPUTS: Final = 16
_SWEEP_EVERY_INPUTS: Final = 64
_SWEEP_ROWS: Final = 64
_NOTHING: Final = b""
_DECIDED: Final = int(Kind.DECIDED)
_APPLIED_KIND: Final = int(Kind.APPLIED)  # kinds up to it are of inputs that were of use
_APPLIED: Final = (int(Kind.APPLIED), _NOTHING, _NOTHING)
_APPROVED: Final[dict[str, Any]] = {
    "decision_id": "",
    "event_id": "",
    "customer_id": "",
    "event_time": 0,
    "kind": "fraud",
    "action": "approve",
    "score": 0.0,
    "reasons": (),
    "model": "",
    "version": 1,
}
_COUNTED: Final = (
    *ACTIONS,
    "repeats",
    "payments_late",
    "payments_ahead",
    "clicks_late",
    "clicks_ahead",
    "events_without_effect",
    "outcomes_matched",
    "outcomes_early",
    "outcomes_ahead",
    "outcomes_repeated",
    "outcomes_corrected",
    "outcomes_too_late_to_correct",
    "outcomes_assumed",
    "outcomes_withheld",
    "outcomes_not_learned",
    "commands",
)
_AHEAD: Final = Timing.AHEAD
_NO_DAY_MS: Final = -1
_NO_CODES: Final[Sequence[str]] = ()
_ON_TIME: Final = Timing.ON_TIME


def shape_of(settings: FraudSettings) -> dict[str, Any]:
    """Return what a saved state depends on; a state goes on only with a configuration of the same shape."""
    kept = settings.model_dump(mode="json", include={"flow", "entities", "features", "bins", "crosses"})
    entities = {name: entity["key"] for name, entity in kept.pop("entities").items()}
    crosses = {name: cross["of"] for name, cross in kept.pop("crosses").items()}
    return {**kept, "entities": entities, "crosses": crosses, "model": settings.model.name}


class FraudShard(MachineBase):
    """Decides on payments, and learns from their outcomes.

    Parameters
    ----------
    settings
        The configuration in force.
    shard
        Its number among the shards of the flow.
    learn
        Whether the model learns; features that outcomes feed move on in any case.
    model
        One that is there already; not given: a new one, as configured.
    """

    def __init__(
        self, settings: FraudSettings, *, shard: int = 0, learn: bool = True, model: Model | None = None
    ) -> None:
        super().__init__(_COUNTED)
        self.features = FeatureSet(settings.entities, settings.features, settings.bins, settings.crosses)
        groups = self.features.groups
        shape = ModelShape(
            slot_names=tuple(group.name for group in groups),
            group_offsets=tuple(group.offset for group in groups),
            slots=self.features.slots,
            value_names=self.features.names,
        )
        self.model = model or build_model(settings.model.name, settings.model.parameters, shape)
        self._teacher = Teacher(self.model, one_by_one=True)
        self._takes_slots = self.model.takes == "slots"
        names = groups if self._takes_slots else self.features.names
        self.reasons = Reasons(settings, self.features.names, by_cross=self._takes_slots)
        self.policy = Policy(settings, shard=shard, shards=settings.flow.shards)
        self.baseline = AttributionBaseline(len(self.reasons.codes))
        self._payment_ids = self.ids["payment"]
        self.pending = Pending(
            len(settings.entities), len(names), slot_code(shape.slots) if self._takes_slots else "d", 1, 0
        )
        self.early = EarlyOutcomes(0, 0)
        self.outcomes = Outcomes(
            self.features, self.pending, self.early, self._teacher, self.clock, self.counts
        )
        self._outcome = self.outcomes.apply
        self.evaluated = self.outcomes.evaluated
        self._unmoved: list[Payment] = []
        self._update_click = self.features.update_click
        parts = (self.features, self.model, self.baseline, self.pending)
        self._scored_with = parts
        self._score_with(compiled_scorer(*parts) or PlainScorer(*parts))
        self.configure(settings, learn=learn)

    @property
    def compiled(self) -> bool:
        """Whether it scores in machine code."""
        return isinstance(self._scorer, CompiledScorer)

    def take_compiled(self) -> None:
        """Score in machine code from here on, where that is there by now."""
        if not self.compiled:
            self._score_with(compiled_scorer(*self._scored_with) or self._scorer)

    def _score_with(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self.outcomes.in_machine_code = scorer.learn if isinstance(scorer, CompiledScorer) else None

    def configure(self, settings: FraudSettings, *, learn: bool) -> None:
        """Take over a configuration of the same shape; it holds from the next input on."""
        self.settings, self.learn = settings, learn
        self._currency = settings.flow.currency
        self.policy.configure(settings)
        time = settings.time
        self._configure_base(settings)
        self._payment_class = self.contract.types["payment"].cls
        self._unmoved = list(map(self.contract.adopt, self._unmoved))
        self._unmoved_max = max(time.quorum_min, time.quorum_alone_events)
        self._future_skew_ms = round(time.future_skew_hours_max * HOUR_MS)
        self.outcomes.configure(settings.outcomes, learn=learn)
        for name, entity in settings.entities.items():
            table = self.features.tables[name]
            table.entities_max, table.idle_ms_max = entity.entities_max, round(entity.idle_days_max * DAY_MS)
        configured = [shape_of(settings), settings.model.model_dump(mode="json")]
        self.reasons.take_over(settings)
        self.version = version_of(settings.model.name, configured)
        self._approval = _APPROVED | {"model": self.version}
        self._explained = self.model.cheap_explain

    # -- one input

    def apply(
        self, event: Event | Undecodable, payload: bytes, position: Position, *, overdue: bool = False
    ) -> Output:
        """Apply one input.

        Parameters
        ----------
        event
            The decoded input, or why it is none.
        payload
            Its original bytes.
        position
            Where it comes from.
        overdue
            Whether it waited longer than its limit before it was applied.
        """
        if event.__class__ is self._payment_class:
            output = self._payment(event, payload, position, overdue)  # type: ignore[arg-type]  # a payment
        elif isinstance(event, Undecodable):
            return self._dead(event, payload, position)
        else:
            output = self._other(event, payload, position)
        if output[0] > _APPLIED_KIND:
            return output  # what was of no use must not bring forward what becomes due every so many inputs
        self.number = number = self.number + 1
        # The vote is over: the clock has followed these payments, or refused them.
        if self._unmoved and not self.clock.votes:
            self._settle_ahead()
        if self.early.ahead:
            self.outcomes.take_reached()
        if not number % _ADVANCE_EVERY_INPUTS:
            self._advance(number)
        return output

    # -- payments

    def _payment(self, payment: Payment, payload: bytes, position: Position, overdue: bool) -> Output:
        if payment.currency != self._currency:
            return self._dead(other_currency(payment, self._currency), payload, position)
        memory = self._payment_ids
        # As `_digest_if_new`, written out: it would be one more call for each payment.
        try:
            digest = canonical_digest(payment)
        except Exception as error:  # noqa: BLE001  # whatever it is, nothing has changed
            return self._raised(error, payload, position)
        if payment.event_id in memory.ids:
            known = self._known(memory, payment, digest, payload, position)
            if known is not None:
                return known
        return self._decide(payment, payload, position, digest, overdue)

    def _decide(
        self, payment: Payment, payload: bytes, position: Position, digest: int, overdue: bool
    ) -> Output:
        clock, scorer, policy = self.clock, self._scorer, self.policy
        event_id, time, before = payment.event_id, payment.event_time, clock.now
        votes = clock.votes
        try:
            timing = clock.observe(time, payment.customer_id)
            now = clock.now
            seen_at = time if timing is _ON_TIME or not now else now
            score = scorer.score(payment, seen_at)
            # A time that isn't accepted names no day of which there are reviews.
            day_at = time if timing is not _AHEAD or not now else _NO_DAY_MS
            verdict = policy.decide(payment, scorer.values, score, day_at, overdue)
            action = verdict.action
            if action != "approve" or verdict.would:
                scorer.explain()
            # Filling one mapping in over and over is cheaper than making one.
            decision = self._approval
            decision["decision_id"] = FRAUD_ID + event_id
            decision["event_id"] = event_id
            decision["customer_id"] = payment.customer_id
            decision["event_time"] = time
            decision["score"] = score
            codes = _NO_CODES
            if verdict is not APPROVAL:
                decision = decision.copy()
                decision["action"] = action
                codes = self.reasons.tell(decision, verdict, scorer.contributions, scorer.values)
            line = dumps(decision, None, ENCODING)
            detail = scorer.detail() + verdict.trace
        except Exception as error:  # noqa: BLE001  # whatever it is, only the clock has changed
            clock.take_back(before, votes, time, payment.customer_id)
            if not isinstance(error, ArithmeticError | ValueError):
                return self._raised(error, payload, position)
            return self._dead(Undecodable("unfit", f"no score: {error}", None), payload, position)
        # From here on nothing fails.
        self.counts[action] += 1
        for code in codes:
            self._count("reason_" + code)
        policy.commit(verdict, day_at)
        number = self.number + 1
        if self._explained and not number % LOOK_EVERY:
            self.baseline.take(scorer.contributions)
        self._payment_ids.add(event_id, digest, now or time)
        on_time = timing is _ON_TIME
        # A payment ahead of the clock waits for its outcome from now on, not from a time that may never come.
        at = time if time < now or not now else now
        scorer.take(payment, seen_at, at, number, score, blocked=action == "block", moves=on_time)
        if not on_time:
            self._not_on_time(payment, timing)
        if self.early.waiting:
            self.outcomes.take_waiting(event_id)
        return _DECIDED, line, detail

    def _not_on_time(self, payment: Payment, timing: Timing) -> None:
        self._count(f"payments_{timing.name.lower()}")
        if timing is Timing.AHEAD:
            self._unmoved.append(payment)
            del self._unmoved[: -max(self._unmoved_max, self.clock.quorum)]

    def _settle_ahead(self) -> None:
        """Move the state by the payments whose step ahead was accepted after all; forget the others."""
        # Read once more: since the payment was decided upon, others have moved what it reads.
        for payment in self._unmoved:
            if payment.event_time <= self.clock.now:
                values, _, _, rows = self.features.read(payment, payment.event_time)
                self.features.update(payment, payment.event_time, values, self.number, rows)
        self._unmoved.clear()

    # -- outcomes and other events

    def _other(self, event: Event, payload: bytes, position: Position) -> Output:
        memory, clock = self._ids_by_class[event.__class__], self.clock
        digest = self._digest_if_new(memory, event, payload, position)
        if not isinstance(digest, int):
            return digest
        now, votes, party = clock.now, clock.votes, self.contract.party(event) or ""
        timing = clock.observe(event.event_time, party)
        try:
            if isinstance(event, Outcome) and timing is not _AHEAD:
                self._outcome(event.about, event.label, event.event_time)
            else:
                self._use(event, timing)
        except NotLearned as error:
            clock.take_back(now, votes, event.event_time, party)
            return self._raised(error.cause, payload, position)
        memory.add(event.event_id, digest, clock.now or event.event_time)
        return _APPLIED

    def _use(self, event: Event, timing: Timing) -> None:
        """Let an event have its effect that is no outcome whose time has come."""
        if isinstance(event, Click):
            self._click(event, timing)
        elif isinstance(event, Outcome):
            # Its time may be wrong: it is learned from once the clock has got there.
            self.early.hold(Held(event.event_time, self.number + 1, event.about, event.label))
            self._count("outcomes_ahead")
        else:
            self._count("events_without_effect")

    def _click(self, click: Click, timing: Timing) -> None:
        if self._update_click is None:
            self._count("events_without_effect")
        elif timing is _ON_TIME:
            self._update_click(click, click.event_time, self.number + 1)
        else:
            self._count(f"clicks_{timing.name.lower()}")

    # -- what time brings

    def _advance(self, number: int) -> None:
        """Do what has become due by the clock, once it is started; it is bounded."""
        now = self.clock.now
        if not now:
            return
        self.outcomes.advance(now, self._future_skew_ms)
        if not number % _SWEEP_EVERY_INPUTS:
            self.features.sweep(now, _SWEEP_ROWS)

    @property
    def lists(self) -> Mapping[str, str]:
        """Digest of the content of each of the policy's lists that has one."""
        return self.policy.digests

    moved_by = ("payment", "click")

    @property
    def kill_switch(self) -> bool:
        """Whether every payment gets the same action."""
        return self.policy.kill_switch

    def entities(self) -> dict[str, int]:
        """How many entities it knows, by kind."""
        return {name: len(table) for name, table in self.features.tables.items()}

    def holdings(self) -> dict[str, Any]:
        """How much it holds now, part by part."""
        return {
            "pending": len(self.pending),
            "early_outcomes": len(self.early),
            "entities": self.entities(),
        }

    def held(self) -> HeldNow:
        """How much it holds now."""
        return HeldNow(
            len(self.pending), sum(self.entities().values()), self.early.unmatched + len(self.early)
        )

    # -- the state as a whole

    def save(self) -> dict[str, bytes | array[int] | array[float]]:
        """Return the state as named blobs."""
        head = {
            **self._base_head(),
            "typical": self.baseline.save(),
            "unmoved": [msgspec.msgpack.encode(payment) for payment in self._unmoved],
        }
        blobs: dict[str, bytes | array[int] | array[float]] = {
            "head": msgspec.msgpack.encode(head),
            "model": self.model.save(),
            "policy": self.policy.save(),
            "early": self.early.save(),
        }
        blobs |= self._saved_ids()
        blobs |= {f"pending/{name}": blob for name, blob in self.pending.save().items()}
        blobs |= {f"features/{name}": blob for name, blob in self.features.save().items()}
        return blobs

    def load(self, blobs: Mapping[str, bytes]) -> None:
        """Take over a state that `save` gave.

        Raises
        ------
        ValueError
            If the model's or the policy's part doesn't fit.
        """
        head = msgspec.msgpack.decode(blobs["head"])
        self._load_base(head, blobs)
        self.baseline.load(head["typical"])
        self._unmoved = [self.contract.revive("payment", payment) for payment in head["unmoved"]]
        self.model.load(blobs["model"])
        self._teacher.forget()
        self.policy.load(blobs["policy"])
        self.early.load(blobs["early"])
        self.pending.load(under("pending/", blobs))
        self.features.load(under("features/", blobs))

    # -- commands

    def _policy_command(self, command: KillSwitch | ReloadList) -> None:
        self.policy.command(command)

    def _put_back(self, to_ms: int) -> int:
        self.pending.put_back(to_ms)
        self.early.put_back(to_ms)
        self.policy.put_back(to_ms)
        return self.features.put_back(to_ms)

    def _erase(self, command: Erase) -> None:
        gone = forget(command, self.settings, self.features, self.pending, self.early, self.ids)
        self._unmoved = [payment for payment in self._unmoved if payment.event_id not in gone]
        for name in (command.customer_id, *command.keys.get("session_id", ())):
            self.clock.forget(name)
