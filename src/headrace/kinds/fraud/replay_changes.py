"""Decides the inputs of the past under another configuration, beside what was decided then."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
import orjson

from headrace.config.fraud_flow import FraudSettings, of_fraud
from headrace.journal.records import Kind, Record
from headrace.kinds.fraud.machine import FraudShard
from headrace.kinds.fraud.replay_rows import (
    UNKNOWN,
    Columns,
    Decided,
    Example,
    Ints,
    Outcomes,
    Payments,
    decided_of,
    example_of,
)
from headrace.ledger.keys import about_key
from headrace.operators.events.contract import Event, Outcome, Payment
from headrace.operators.events.decode import Undecodable
from headrace.operators.policy import read_declared
from headrace.replay.examples import Examples
from headrace.replay.past import Past
from headrace.replay.walk import Progress, Walk, Walked, why_not
from headrace.shard.commands import Command, ReloadList

__all__ = ["Replayed", "decide_again"]

_DECIDED: Final = int(Kind.DECIDED)
_APPLIED: Final = int(Kind.APPLIED)
_UNPAIRED_MAX: Final = 100_000  # decisions of one side that are held in case the other one comes later


@dataclass(slots=True, kw_only=True)
class Replayed(Walked):
    """What came of deciding again.

    Attributes
    ----------
    payments
        Those that both decided.
    examples
        By day (since the epoch, UTC) and by what they were chosen: `amount` or `score`, the change of the
        score; of each the largest, in falling order.
    delays_ms
        From each payment to its first outcome, milliseconds.
    withheld
        Outcomes that stood in the journal but that the configuration of the time left out, as the payment
        had been blocked; the new one doesn't see them either.
    lists_left_out
        Reloads of lists that were left out as the new configuration has another file for them.
    """

    payments: Payments
    examples: dict[int, dict[str, list[Example]]]
    delays_ms: Ints
    withheld: int
    lists_left_out: int


def decide_again(
    past: Past,
    settings: FraudSettings,
    *,
    learn: bool = True,
    examples_max: int = 10,
    progress: Progress | None = None,
) -> Replayed:
    """Decide everything that a past holds under a configuration, from an empty state.

    Inputs come in the order of the journals, decoded anew, and go to as many shards as the configuration
    has. Commands are carried out, and inputs that were overdue are so again. Of the policy's lists, those
    that both configurations declare with the same file and key have what the journal recorded; the others
    have what their files say now.

    Parameters
    ----------
    past
        What was.
    settings
        The other configuration.
    learn
        Whether its model learns.
    examples_max
        Changed decisions that are kept for each day, by amount and by score.
    progress
        Told of bytes and records.

    Raises
    ------
    ConfigError
        If the file of a list can't be read.
    JournalDamaged
        At the first byte that is not what was written.
    """
    run = _Run(past, settings, learn=learn, examples_max=examples_max)
    run.through(progress)
    return run.replayed()


# ---------------------------------------------------------------- the run


class _Run(Walk[FraudShard]):
    """The shards under the other configuration, and what is noted beside them."""

    def __init__(self, past: Past, settings: FraudSettings, *, learn: bool, examples_max: int) -> None:
        shards = range(settings.flow.shards)
        super().__init__(past, [FraudShard(settings, shard=number, learn=learn) for number in shards])
        self.settings = settings
        self.columns, self.outcomes, self.examples = Columns(), Outcomes(), Examples(examples_max)
        self.customers: dict[str, int] = {}
        self.old_only: dict[str, tuple[Decided, str]] = {}
        self.new_only: dict[str, tuple[Payment, Decided]] = {}
        self.unheld: Counter[str] = Counter()
        self.hidden: set[str] = set()
        self.recorded_lists = self._set_up_lists()

    def _set_up_lists(self) -> frozenset[str]:
        """Give lists their first content; names of those whose content the journal tells."""
        policies = self.past.policies
        for number, state in enumerate(self.states if policies else ()):
            state.policy.load(policies[min(number, len(policies) - 1)])
        declared = self.settings.policy.lists
        recorded = of_fraud(self.past.configurations[-1].settings).policy.lists
        told = frozenset(
            name
            for name, each in declared.items()
            if name in recorded and (recorded[name].file, recorded[name].key) == (each.file, each.key)
        )
        for name, each in declared.items():
            if name not in told:
                content = read_declared(each)
                command = ReloadList(name=name, entries=content.entries, digest=content.digest)
                for state in self.states:
                    state.policy.command(command)
        return told

    def leaves_out(self, command: Command) -> bool:
        """Leave the contents of lists out that the journal has for another file."""
        left_out = isinstance(command, ReloadList) and command.name not in self.recorded_lists
        self.noted["lists_left_out"] += left_out
        return left_out

    def input(self, record: Record, event: Event | Undecodable) -> None:
        """Decide on the next input."""
        if isinstance(event, Outcome) and record.kind == _APPLIED:
            if event.about in self.hidden:
                self.noted["withheld"] += 1
                return
            self.outcomes.add(event)
        old = decided_of(record.output) if record.kind == _DECIDED else None
        if old is not None and self._hides(old):
            self._hide(orjson.loads(old.line)["event_id"])
        kind, line, _ = self.apply(record, event)
        new = decided_of(line) if kind == _DECIDED else None
        if old is None and new is None:
            return
        if isinstance(event, Payment):
            self._pair(event, old, new, line, kind)
        elif old is not None:
            self._hold_old(orjson.loads(old.line)["event_id"], old, why_not(kind, line))

    def _hide(self, event_id: str) -> None:
        """Keep the outcome of a payment from the model, also if it came before the payment."""
        self.hidden.add(event_id)
        self.noted["withheld"] += sum(state.early.take(event_id) is not None for state in self.states)

    # -- both sides of a payment

    def _pair(
        self, payment: Payment, old: Decided | None, new: Decided | None, line: bytes, kind: int
    ) -> None:
        event_id = payment.event_id
        if old is not None and new is not None:
            self._both(payment, old, new)
        elif old is not None:
            # Decided on another of its inputs: under other settings a payment may be decided as a retry, or
            # the other way round.
            held = self.new_only.pop(event_id, None)
            if held is not None:
                self._both(held[0], old, held[1])
            else:
                self._hold_old(event_id, old, why_not(kind, line))
        elif new is not None:
            before = self.old_only.pop(event_id, None)
            if before is not None:
                self._both(payment, before[0], new)
            # Those that can't be held any longer are still counted.
            elif len(self.new_only) < _UNPAIRED_MAX:
                self.new_only[event_id] = payment, new
            else:
                self.noted["new_only"] += 1

    def _hides(self, old: Decided) -> bool:
        """Whether the configuration of the time kept the outcome of what it had decided from the model."""
        if not old.stopped:
            return False
        settings = of_fraud(self.past.configuration_at(self.ordinal - 1).settings)
        return settings.outcomes.withhold_blocked

    def _hold_old(self, event_id: str, old: Decided, reason: str) -> None:
        if len(self.old_only) < _UNPAIRED_MAX:
            self.old_only[event_id] = old, reason
        else:
            self.unheld[reason] += 1

    def _both(self, payment: Payment, old: Decided, new: Decided) -> None:
        customer = self.customers.setdefault(payment.customer_id, len(self.customers))
        self.columns.add(payment, customer, old, new, payment.event_id in self.hidden)
        if old.action != new.action:
            sizes = {"amount": payment.amount, "score": abs(new.score - old.score)}
            self.examples.add(payment.event_time, sizes, (payment, old.line, new.line))

    # -- the end

    def replayed(self) -> Replayed:
        """Everything that was gathered."""
        noted, columns = self.noted, self.columns
        keys = np.array(columns.key, dtype=np.uint64)
        label, outcome_ms, there = self.outcomes.join(keys)
        time_ms, hidden = _ints(columns.time_ms), np.array(columns.hidden, dtype=np.bool_)
        old_only = self.unheld + Counter(reason for _, reason in self.old_only.values())
        seen, labels = there & ~hidden, self._labels()
        return Replayed(
            payments=Payments(
                time_ms=time_ms,
                amount=np.array(columns.amount),
                customer=_ints(columns.customer),
                old_action=_ints(columns.old_action),
                new_action=_ints(columns.new_action),
                old_score=np.array(columns.old_score),
                new_score=np.array(columns.new_score),
                stopped=np.array(columns.stopped, dtype=np.bool_),
                label=np.where(seen, label, UNKNOWN),
            ),
            examples=self.examples.days(lambda change: example_of(change, labels)),
            delays_ms=(outcome_ms - time_ms)[seen],
            old_only=dict(sorted(old_only.items())),
            new_only=noted["new_only"] + len(self.new_only),
            withheld=noted["withheld"],
            lists_left_out=noted["lists_left_out"],
            **self.walked(),
        )

    def _labels(self) -> dict[str, int]:
        """Labels of the examples that have one."""
        ids = [each[0].event_id for each in self.examples.kept() if each[0].event_id not in self.hidden]
        keys = np.array(list(map(about_key, ids)), dtype=np.uint64)
        label, _, there = self.outcomes.join(keys)
        return {
            each: int(found)
            for each, found, known in zip(ids, label.tolist(), there.tolist(), strict=True)
            if known
        }


def _ints(column: array[int]) -> Ints:
    return np.array(column, dtype=np.int64)
