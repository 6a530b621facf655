"""The toy's state machine: two decisions on each order, and a model that counts what came back."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

import orjson

from headrace.journal.records import Kind
from headrace.operators.events.contract import Event, Order, Outcome
from headrace.operators.events.decode import Undecodable
from headrace.shard.base import MachineBase, version_of
from headrace.shard.commands import Erase, KillSwitch, ReloadList
from headrace.shard.decision_line import ENCODING
from headrace.shard.machine import Held, Output, Position
from toy_kind.settings import ReturnsSettings

ACTIONS = ("ship", "check", "wrap", "plain")
_APPLIED = (int(Kind.APPLIED), b"", b"")


class Counted:
    """The model: what share of a customer's orders came back, as two orders say it that nobody made."""

    def __init__(self) -> None:
        self.customers: dict[str, list[int]] = {}  # orders, outcomes, and how many of these came back

    def score(self, customer: str) -> float:
        """Return the probability that the customer's next order comes back."""
        _, known, returned = self.customers.get(customer, (0, 0, 0))
        return (returned + 1) / (known + 2)


def shape_of(settings: ReturnsSettings) -> dict[str, Any]:
    """Return what a saved state depends on."""
    return settings.model_dump(mode="json", include={"flow"})


class ReturnsShard(MachineBase):
    """Decides on orders whether they are checked, and whether they are wrapped."""

    moved_by = ()
    several = True
    lists: Mapping[str, str] = {}  # never changed

    def __init__(self, settings: ReturnsSettings, *, shard: int = 0, learn: bool = True) -> None:
        del shard
        super().__init__((*ACTIONS, "repeats", "outcomes_matched", "outcomes_unmatched", "commands"))
        self.model, self.pending, self.kill_switch = Counted(), dict[str, tuple[str, float]](), False
        self.evaluated: list[tuple[float, int]] = []
        self.configure(settings, learn=learn)

    def configure(self, settings: ReturnsSettings, *, learn: bool) -> None:
        """Take over a configuration of the same shape."""
        self.settings, self.learn = settings, learn
        self._configure_base(settings)
        self.version = version_of("counted", settings.checks.model_dump(mode="json"))

    def apply(
        self, event: Event | Undecodable, payload: bytes, position: Position, *, overdue: bool = False
    ) -> Output:
        """Apply one input."""
        del overdue
        if isinstance(event, Undecodable):
            return self._dead(event, payload, position)
        memory, digest = self._ids_by_class[event.__class__], self.contract.digest(event)
        known = self._known(memory, event, digest, payload, position)
        if known is not None:
            return known
        self.clock.observe(event.event_time, self.contract.party(event) or "")
        memory.add(event.event_id, digest, self.clock.now or event.event_time)
        self.number += 1
        if isinstance(event, Order):
            return self._decide(event)
        if isinstance(event, Outcome):
            self._learn(event)
        else:
            self._count("events_without_effect")
        return _APPLIED

    def _decide(self, order: Order) -> Output:
        customer, checks = order.customer_id, self.settings.checks
        score, seen = self.model.score(customer), self.model.customers.setdefault(customer, [0, 0, 0])
        seen[0] += 1
        check = score >= checks.check_at and not self.kill_switch
        wrap = seen[0] % checks.wrap_every == 0
        lines = b"".join(
            self._line(order, *each)
            for each in (
                ("return", "check" if check else "ship", score),
                ("wrap", "wrap" if wrap else "plain"),
            )
        )
        self.pending[order.event_id] = customer, score
        if len(self.pending) > checks.pending_max:
            del self.pending[next(iter(self.pending))]
        return int(Kind.DECIDED), lines, orjson.dumps(seen)

    def _line(self, order: Order, name: str, action: str, score: float | None = None) -> bytes:
        self._count(action)
        decision = {
            "decision_id": f"{name}:{order.event_id}",
            "event_id": order.event_id,
            "customer_id": order.customer_id,
            "event_time": order.event_time,
            "kind": name,
            "action": action,
            **({} if score is None else {"score": score}),
            "reasons": (),
            "model": self.version,
            "version": 1,
        }
        return orjson.dumps(decision, option=ENCODING)

    def _learn(self, outcome: Outcome) -> None:
        if outcome.about not in self.pending:
            self._count("outcomes_unmatched")
            return
        customer, score = self.pending.pop(outcome.about)
        self._count("outcomes_matched")
        self.evaluated.append((score, outcome.label))
        if self.learn:
            seen = self.model.customers.setdefault(customer, [0, 0, 0])
            seen[1] += 1
            seen[2] += outcome.label

    def _policy_command(self, command: KillSwitch | ReloadList) -> None:
        if not isinstance(command, KillSwitch):
            raise ValueError("there are no lists")  # noqa: TRY004  # refused
        self.kill_switch = command.on

    def _erase(self, command: Erase) -> None:
        self.model.customers.pop(command.customer_id, None)
        self.clock.forget(command.customer_id)
        for event_id in command.events.get("order", ()):
            self.pending.pop(event_id, None)
        for kind, memory in self.ids.items():
            memory.forget(dict.fromkeys(command.events.get(kind, ())))

    def _put_back(self, to_ms: int) -> int:
        del to_ms
        return 0

    # -- what it holds

    def entities(self) -> dict[str, int]:
        """How many customers it knows."""
        return {"customer": len(self.model.customers)}

    def holdings(self) -> dict[str, Any]:
        """How much it holds now, part by part."""
        return {"pending": len(self.pending), "entities": self.entities()}

    def held(self) -> Held:
        """How much it holds now."""
        return Held(len(self.pending), len(self.model.customers), 0)

    def save(self) -> dict[str, bytes | array[int] | array[float]]:
        """Return the state as named blobs."""
        own = {"customers": self.model.customers, "pending": self.pending, "kill_switch": self.kill_switch}
        return {"head": orjson.dumps({**self._base_head(), **own}), **self._saved_ids()}

    def load(self, blobs: Mapping[str, bytes]) -> None:
        """Take over a state that `save` gave."""
        head = orjson.loads(bytes(blobs["head"]))
        self._load_base(head, blobs)
        self.model.customers, self.kill_switch = head["customers"], head["kill_switch"]
        self.pending = {
            event_id: (customer, score) for event_id, (customer, score) in head["pending"].items()
        }
