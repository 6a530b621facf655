"""The state machine of a flow whose events and decisions are declared.

For an input everything is computed that may fail: features, each decision that its type asks for, and what
it tells decisions that wait. Only then does the state change, so that an input with which something is raised
leaves it as it was.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from orjson import dumps

from headrace.config.decision_flow import TABLES, DecisionFlowSettings
from headrace.journal.records import Kind
from headrace.kinds.decisions.building import build_decisions, codes_for
from headrace.kinds.decisions.detail import pack_detail
from headrace.kinds.decisions.erasure import forget
from headrace.kinds.decisions.shape import declared, versions
from headrace.operators.decisions.decision import Decision
from headrace.operators.decisions.judged import Judged
from headrace.operators.decisions.target import Telling, join_key, value_of
from headrace.operators.events.declared import Contract, contract_of
from headrace.operators.events.decode import Undecodable
from headrace.operators.features import features_over, take_compiled
from headrace.operators.models import NotLearned
from headrace.operators.policy.conditions import condition_of
from headrace.shard.base import HOUR_MS, MachineBase, under
from headrace.shard.clock import Timing
from headrace.shard.commands import Erase, KillSwitch, ReloadList
from headrace.shard.decision_line import ENCODING
from headrace.shard.machine import Held, Output, Position

__all__ = ["DecisionShard"]

_ADVANCE_EVERY_INPUTS: Final = 16
_SWEEP_EVERY_INPUTS: Final = 64
_SWEEP_ROWS: Final = 64
_NOTHING: Final = b""
_DECIDED: Final = int(Kind.DECIDED)
_APPLIED_KIND: Final = int(Kind.APPLIED)
_AHEAD: Final = Timing.AHEAD
_ON_TIME: Final = Timing.ON_TIME
_NO_DAY_MS: Final = -1
_COUNTED: Final = ("repeats", "events_late", "events_ahead", "events_without_effect", "commands")
# What one input asked for, and what of it goes out.
_Judgements = list[tuple[Decision, Judged]]


@dataclass(slots=True)
class _Target:
    """What events of a type tell the decisions of one kind that wait for them."""

    decision: Decision
    key_of: Callable[[Any], str | None]
    value_of: Callable[[Any], float]
    when: Callable[[Any], bool] | None


@dataclass(slots=True)
class _OfType:
    """What is done with events of one type."""

    name: str
    decisions: list[Decision] = field(default_factory=list)
    targets: list[_Target] = field(default_factory=list)
    read: Callable[..., Any] | None = None
    update: Callable[..., Any] | None = None


class DecisionShard(MachineBase):
    """Decides what is declared, on the events that ask for it, and learns from those that tell.

    Parameters
    ----------
    settings
        The configuration in force.
    shard
        Its number among the shards of the flow.
    learn
        Whether models learn; features move on in any case.
    """

    def __init__(self, settings: DecisionFlowSettings, *, shard: int = 0, learn: bool = True) -> None:
        super().__init__(_COUNTED)
        self.shard = shard
        self.evaluated: list[Any] = []
        self._unmoved: list[Any] = []
        self._of: dict[type, _OfType] = {}
        self._build(settings)
        self.configure(settings, learn=learn)

    def _build(self, settings: DecisionFlowSettings) -> None:
        """Build what declarations say, as it is before any input."""
        self.contract = contract_of(settings.events)
        self.features = features_over(settings, self.contract)
        self._compiled = take_compiled(self.features)
        self.decisions = build_decisions(settings, self.contract, self.features, shard=self.shard)
        self._declared = declared(settings)
        if self._compiled:
            self._take_compiled_decisions()

    @property
    def compiled(self) -> bool:
        """Whether features are read, and moved on, in machine code."""
        return self._compiled

    def take_compiled(self) -> None:
        """Read features, and move them on, in machine code from here on, where that is there by now."""
        if self._compiled or not take_compiled(self.features):
            return
        self._compiled = True
        for of in self._of.values():
            of.read, of.update = self.features.read.get(of.name), self.features.update.get(of.name)
        self._take_compiled_decisions()

    def _take_compiled_decisions(self) -> None:
        """Let decisions go on in machine code, over the memory of compiled features."""
        for name, decision in self.decisions.items():
            slots = self.features.slots_of.get(decision.settings.on)
            decision.take_compiled(self.features.label_of.get(name), slots)

    def configure(self, settings: DecisionFlowSettings, *, learn: bool) -> None:
        """Take over a configuration; it holds from the next input on.

        What it adds starts empty, what it doesn't declare any more is dropped, the rest goes on.
        """
        if declared(settings) != self._declared:
            kept = {name: bytes(blob) for name, blob in self._save_parts().items()}
            # Events of the old contract are of other classes.
            self._unmoved = self._again(contract_of(settings.events), self._unmoved)
            self._build(settings)
            self._load_parts(kept)
        self.settings, self.learn = settings, learn
        time = settings.time
        self._configure_base(settings)
        self._unmoved_max = max(time.quorum_min, time.quorum_alone_events)
        self._future_skew_ms = round(time.future_skew_hours_max * HOUR_MS)
        self.features.configure(settings.entities)
        told = versions(settings)
        for name, decision in self.decisions.items():
            of = settings.decisions[name]
            decision.configure(of, codes_for(settings, decision.inputs), learn=learn)
            decision.describe(told[name], self._party_field(of.on))
            decision.evaluated = self.evaluated
        self.version = ",".join(told.values())
        self._of = {cls: self._of_type(kind.name) for cls, kind in self.contract.by_class.items()}
        self._several = any(len(of.decisions) > 1 for of in self._of.values())

    def _of_type(self, name: str) -> _OfType:
        """Gather what is done with events of a type."""
        kind = self.contract.types[name]
        found = _OfType(name, read=self.features.read.get(name), update=self.features.update.get(name))
        for decision in self.decisions.values():
            if decision.settings.on == name:
                found.decisions.append(decision)
            target = decision.settings.target
            if target is not None and target.on == name:
                when = None if target.when is None else condition_of(target.when, kind.fields)
                found.targets.append(
                    _Target(decision, join_key(target.telling_fields), value_of(target), when)
                )
        return found

    def _party_field(self, name: str) -> str | None:
        """Return which field of a type names whom its events are about."""
        fields = self.contract.types[name].fields
        return next((each for each in ("customer_id", "session_id") if each in fields), None)

    def _again(self, contract: Contract, events: Sequence[Any]) -> list[Any]:
        """Return events as another contract decodes them, without those that it refuses."""
        decoded = contract.decode(_encoded(events))
        return [event for event in decoded if event.__class__ in contract.by_class]

    # -- one input

    def apply(self, event: Any, payload: bytes, position: Position, *, overdue: bool = False) -> Output:
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
        if isinstance(event, Undecodable):
            return self._dead(event, payload, position)
        memory = self._ids_by_class[event.__class__]
        digest = self._digest_if_new(memory, event, payload, position)
        if not isinstance(digest, int):
            return digest
        output = self._use(event, payload, position, digest, overdue=overdue)
        if output[0] > _APPLIED_KIND:
            return output  # what was of no use must not bring forward what becomes due every so many inputs
        self.number = number = self.number + 1
        if self._unmoved and not self.clock.votes:
            self._settle_ahead()
        for decision in self.decisions.values():
            if decision.early.ahead:
                decision.reached(self.clock.now)
        if not number % _ADVANCE_EVERY_INPUTS:
            self._advance(number)
        return output

    def _use(self, event: Any, payload: bytes, position: Position, digest: int, *, overdue: bool) -> Output:
        of, clock = self._of[event.__class__], self.clock
        time, before, votes = event.event_time, clock.now, clock.votes
        party = self.contract.party(event) or ""
        try:
            timing = clock.observe(time, party)
            now = clock.now
            seen_at = time if timing is _ON_TIME or not now else now
            # A time that isn't accepted names no day of a capacity.
            day_at = time if timing is not _AHEAD or not now else _NO_DAY_MS
            values, slots, flags, rows = of.read(event, seen_at) if of.read else _UNREAD
            judgements = [
                (decision, decision.judge(event, values, slots, day_at, overdue)) for decision in of.decisions
            ]
            lines, shadowed = _lines(event, judgements)
            detail = pack_detail(values, judgements, shadowed) if judgements else _NOTHING
            tellings = [(each.decision, telling) for each in of.targets if (telling := _telling(each, event))]
            if timing is not _AHEAD:
                # Learning is the last that may fail, and what it changes it takes back itself.
                self._tell(tellings, now)
        except NotLearned as error:
            clock.take_back(before, votes, time, party)
            return self._raised(error.cause, payload, position)
        except Exception as error:  # noqa: BLE001  # whatever it is, only the clock has changed
            clock.take_back(before, votes, time, party)
            return self._raised(error, payload, position)
        # From here on nothing fails.
        number = self.number + 1
        self.ids[of.name].add(event.event_id, digest, now or time)
        if of.update is not None and timing is _ON_TIME:
            rows = of.update(event, seen_at, values, number, rows)
        at = time if time < now or not now else now
        for decision, judged in judgements:
            decision.commit(judged, event, at, day_at, number, rows, flags)
            self._count(judged.verdict.action)
            for code in judged.codes:
                self._count("reason_" + code)
        if timing is not _ON_TIME:
            self._not_on_time(event, of, timing)
            if timing is _AHEAD:
                for decision, telling in tellings:
                    decision.hold(telling, number)
        if not (judgements or tellings or of.update):
            self._count("events_without_effect")
        return (_DECIDED if lines else _APPLIED_KIND), lines, detail

    def _tell(self, tellings: Sequence[tuple[Decision, Telling]], now: int) -> None:
        """Tell decisions how they turned out; only the first that can't learn it makes a dead letter."""
        told = False
        for decision, telling in tellings:
            try:
                decision.tell(telling, now)
            except NotLearned:
                if not told:
                    raise
                decision.counts["targets_not_learned"] += 1
            told = True

    def _not_on_time(self, event: Any, of: _OfType, timing: Timing) -> None:
        self._count(f"events_{timing.name.lower()}")
        if timing is _AHEAD and of.update is not None:
            self._unmoved.append(event)
            del self._unmoved[: -max(self._unmoved_max, self.clock.quorum)]

    def _settle_ahead(self) -> None:
        """Move the state by the events whose step ahead was accepted after all; forget the others."""
        for event in self._unmoved:
            of, time = self._of[event.__class__], event.event_time
            if time <= self.clock.now and of.read is not None and of.update is not None:
                values, _, _, rows = of.read(event, time)
                of.update(event, time, values, self.number, rows)
        self._unmoved.clear()

    # -- what time brings

    def _advance(self, number: int) -> None:
        """Do what has become due by the clock, once it is started; it is bounded."""
        now = self.clock.now
        if not now:
            return
        for decision in self.decisions.values():
            decision.advance(now, self._future_skew_ms)
        if not number % _SWEEP_EVERY_INPUTS:
            self.features.sweep(now, _SWEEP_ROWS)

    # -- what is asked of it

    @property
    def several(self) -> bool:
        """Whether an event may get several decisions."""
        return self._several

    @property
    def lists(self) -> Mapping[str, str]:
        """Digest of the content of each list and table that has one, by its decision's name and its own."""
        tables = self.features.lookup_tables.items()
        found = {f"{TABLES}.{name}": table.digest for name, table in tables if table.digest}
        for decision in self.decisions.values():
            found |= decision.policy.digests
        return found

    @property
    def moved_by(self) -> Sequence[str]:
        """Types of the events that move windows."""
        return tuple(of.name for of in self._of.values() if of.update is not None)

    def entities(self) -> dict[str, int]:
        """How many entities it knows, by kind."""
        return {name: len(table) for name, table in self.features.tables.items()}

    def holdings(self) -> dict[str, Any]:
        """How much it holds now, part by part."""
        return {
            "pending": sum(len(each.waiting) for each in self.decisions.values()),
            "waiting": {name: len(each.waiting) for name, each in self.decisions.items()},
            "early": {name: len(each.early) for name, each in self.decisions.items()},
            "entities": self.entities(),
        }

    def held(self) -> Held:
        """How much it holds now."""
        return Held(
            sum(len(each.waiting) for each in self.decisions.values()),
            sum(self.entities().values()),
            sum(each.early.unmatched + len(each.early) for each in self.decisions.values()),
        )

    # -- the state as a whole

    def save(self) -> dict[str, bytes | array[int] | array[float]]:
        """Return the state as named blobs."""
        head = {
            **self._base_head(),
            "unmoved": _encoded(self._unmoved),
        }
        return {"head": msgspec.msgpack.encode(head), **self._saved_ids(), **self._save_parts()}

    def _save_parts(self) -> dict[str, bytes | array[int] | array[float]]:
        """Return what features and decisions hold, by their names."""
        blobs: dict[str, bytes | array[int] | array[float]] = {
            f"features/{name}": blob for name, blob in self.features.save().items()
        }
        for name, decision in self.decisions.items():
            blobs |= {f"decisions/{name}/{part}": blob for part, blob in decision.save().items()}
        return blobs

    def load(self, blobs: Mapping[str, bytes]) -> None:
        """Take over a state that `save` gave.

        A decision that it doesn't have starts empty, one that isn't declared any more is dropped.

        Raises
        ------
        ValueError
            If a part of it doesn't fit.
        """
        head = msgspec.msgpack.decode(blobs["head"])
        self._load_base(head, blobs)
        self._unmoved = list(self.contract.decode(head["unmoved"]))
        self._load_parts(blobs)

    def _load_parts(self, blobs: Mapping[str, bytes]) -> None:
        """Take over features and decisions, of which some may be new, and some gone."""
        self.features.load(under("features/", blobs))
        for name, decision in self.decisions.items():
            saved = under(f"decisions/{name}/", blobs)
            if saved:
                decision.load(saved)

    # -- commands

    def _policy_command(self, command: KillSwitch | ReloadList) -> None:
        """Let a command change the policy that it names, or all of them.

        Raises
        ------
        ValueError
            If there is no such list, or its content is refused.
        """
        if isinstance(command, KillSwitch):
            self._switch(command)
            return
        declared_as = self.settings.lists.get(command.name)
        if declared_as is None:
            known = ", ".join(self.settings.lists) or "none"
            raise ValueError(f"there is no list {command.name} in the configuration; there are {known}")
        of, _, name = command.name.partition(".")
        if of != TABLES:
            self.decisions[of].policy.command(command)
            return
        count, limit = len(command.entries), declared_as.entries_max
        if count > limit:
            raise ValueError(f"table {name} may have {limit} entries (entries_max), not {count}")
        self.features.lookup_tables[name].replace(command.entries, command.digest)

    def _switch(self, command: KillSwitch) -> None:
        """Turn the switch of one decision, or of all."""
        if command.decision is msgspec.UNSET:
            named = list(self.decisions.values())
        elif command.decision in self.decisions:
            named = [self.decisions[command.decision]]
        else:
            known = ", ".join(self.decisions)
            raise ValueError(f"there is no decision {command.decision}; there are {known}")
        for decision in named:
            decision.policy.command(command)

    @property
    def kill_switch(self) -> bool:
        """Whether an operator has put a fixed action in the place of any decision."""
        return any(each.policy.kill_switch for each in self.decisions.values())

    def _put_back(self, to_ms: int) -> int:
        for decision in self.decisions.values():
            decision.put_back(to_ms)
        return self.features.put_back(to_ms)

    def _erase(self, command: Erase) -> None:
        gone = forget(command, self.settings, self.features, self.decisions, self.ids)
        self._unmoved = [
            event
            for event in self._unmoved
            if event.event_id not in gone.get(self._of[event.__class__].name, ())
        ]
        for name in (command.customer_id, *command.keys.get("session_id", ())):
            self.clock.forget(name)


_UNREAD: Final = ((), (), 0, ())


def _lines(event: Any, judgements: _Judgements) -> tuple[bytes, list[bytes]]:
    """Return the lines that go out, one behind the other, and those of decisions that only watch."""
    out, shadowed = b"", list[bytes]()
    for decision, judged in judgements:
        line = dumps(decision.said(event, judged), None, ENCODING)
        if decision.settings.shadow:
            shadowed.append(line)
        else:
            out += line
    return out, shadowed


def _encoded(events: Sequence[Any]) -> list[bytes]:
    """Return events as lines."""
    return [msgspec.json.encode(event) for event in events]


def _telling(target: _Target, event: Any) -> Telling | None:
    """Return what an event tells; None where it doesn't meet the condition, or names nothing."""
    if target.when is not None and not target.when(event):
        return None
    key = target.key_of(event)
    return None if key is None else Telling(key, target.value_of(event), event.event_time)
