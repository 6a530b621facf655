"""Decides the inputs of the past under another configuration, beside what was decided then."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from headrace.config.settings import FraudSettings
from headrace.operators.codec import decode_one
from headrace.operators.commands import ReloadList, decode_command
from headrace.operators.events import Outcome, Payment
from headrace.operators.journal import COMMAND, CONTROL_SOURCE, OVERDUE, Kind, Record
from headrace.operators.ledger_keys import about_key
from headrace.operators.policy import read_list
from headrace.operators.replay_past import Past
from headrace.operators.replay_rows import (
    UNKNOWN,
    Columns,
    Decided,
    Example,
    Examples,
    Ints,
    Outcomes,
    Payments,
    decided_of,
)
from headrace.operators.routing import shard_of
from headrace.operators.shard import FraudShard

__all__ = ["Replayed", "decide_again"]

_DECIDED: Final = int(Kind.DECIDED)
_APPLIED: Final = int(Kind.APPLIED)
_DEAD: Final = int(Kind.DEAD)
_UNPAIRED_MAX: Final = 100_000  # decisions of one side that are held in case the other one comes later
_CLEAR_EVERY: Final = 4096

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Replayed:
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
    inputs, ordinal_first, ordinal_next
        How many inputs there were, and their range.
    now_ms
        The latest clock of a shard in the end, milliseconds since the epoch.
    erased, erased_decisions
        Erased records, and how many of them had been decided.
    old_only
        Decided then but not now: how many, by the reason code of the dead letter, or `repeat`.
    new_only
        Decided now but not then.
    withheld
        Outcomes that stood in the journal but that the configuration of the time left out, as the payment
        had been blocked; the new one doesn't see them either.
    commands, commands_refused, lists_left_out
        Commands that were applied, that the new configuration refused, and reloads of lists that were left
        out as the new configuration has another file for them.
    counts
        What the new shards counted.
    """

    payments: Payments
    examples: dict[int, dict[str, list[Example]]]
    delays_ms: Ints
    inputs: int
    ordinal_first: int
    ordinal_next: int
    now_ms: int
    erased: int
    erased_decisions: int
    old_only: dict[str, int]
    new_only: int
    withheld: int
    commands: int
    commands_refused: int
    lists_left_out: int
    counts: dict[str, int]


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
    for record in past.inputs(progress):
        run.take(record)
    return run.replayed()


# ---------------------------------------------------------------- the run


class _Run:
    """The shards under the other configuration, and what is noted beside them."""

    def __init__(self, past: Past, settings: FraudSettings, *, learn: bool, examples_max: int) -> None:
        self.past, self.settings = past, settings
        count = settings.flow.shards
        self.states = [FraudShard(settings, shard=number, learn=learn) for number in range(count)]
        for state in self.states:
            state.source_names = {CONTROL_SOURCE: "control"}
        self.columns, self.outcomes, self.examples = Columns(), Outcomes(), Examples(examples_max)
        self.customers: dict[str, int] = {}
        self.old_only: dict[str, tuple[Decided, str]] = {}
        self.new_only: dict[str, tuple[Payment, Decided]] = {}
        self.unheld: Counter[str] = Counter()
        self.hidden: set[str] = set()
        self.noted: Counter[str] = Counter()
        self.ordinal = past.ordinal_first
        self.recorded_lists = self._set_up_lists()

    def _set_up_lists(self) -> frozenset[str]:
        """Give lists their first content; names of those whose content the journal tells."""
        policies = self.past.policies
        for number, state in enumerate(self.states if policies else ()):
            state.policy.load(policies[min(number, len(policies) - 1)])
        declared, recorded = self.settings.policy.lists, self.past.configurations[-1].settings.policy.lists
        told = frozenset(
            name
            for name, each in declared.items()
            if name in recorded and (recorded[name].file, recorded[name].key) == (each.file, each.key)
        )
        for name, each in declared.items():
            if name not in told:
                content = read_list(Path(each.file), each.entries_max)
                command = ReloadList(name=name, entries=content.entries, digest=content.digest)
                for state in self.states:
                    state.policy.command(command)
        return told

    def take(self, record: Record) -> None:
        """Decide on the next input."""
        self.noted["inputs"] += 1
        self.ordinal = record.ordinal + 1
        if record.erased:
            self.noted["erased"] += 1
            self.noted["erased_decisions"] += record.kind == _DECIDED
        elif record.flags & COMMAND:
            self._command(record)
        else:
            self._input(record)
        if not self.noted["inputs"] % _CLEAR_EVERY:
            for state in self.states:
                state.graded.clear()

    def _command(self, record: Record) -> None:
        command, position = decode_command(record.input), (record.source, record.offset, record.line)
        if isinstance(command, ReloadList) and command.name not in self.recorded_lists:
            self.noted["lists_left_out"] += 1
            return
        kinds = [state.command(command, record.input, position)[0] for state in self.states]
        self.noted["commands_refused" if _DEAD in kinds else "commands"] += 1

    def _input(self, record: Record) -> None:
        event = decode_one(record.input, self.settings.input.line_bytes_max)
        if isinstance(event, Outcome) and record.kind == _APPLIED:
            if event.about in self.hidden:
                self.noted["withheld"] += 1
                return
            self.outcomes.add(event)
        old = decided_of(record.output) if record.kind == _DECIDED else None
        if old is not None and self._hides(old):
            self._hide(orjson.loads(old.line)["event_id"])
        kind, line = self._apply(record, event)
        new = decided_of(line) if kind == _DECIDED else None
        if old is None and new is None:
            return
        if isinstance(event, Payment):
            self._pair(event, old, new, line, kind)
        elif old is not None:
            self._hold_old(orjson.loads(old.line)["event_id"], old, _reason(kind, line))

    def _hide(self, event_id: str) -> None:
        """Keep the outcome of a payment from the model, also if it came before the payment."""
        self.hidden.add(event_id)
        self.noted["withheld"] += sum(state.early.take(event_id) is not None for state in self.states)

    def _apply(self, record: Record, event: Any) -> tuple[int, bytes]:
        """What becomes of an input; of one that goes to all shards, what the first makes of it."""
        position, overdue = (record.source, record.offset, record.line), bool(record.flags & OVERDUE)
        number = shard_of(event, len(self.states)) if len(self.states) > 1 else 0
        states: Iterable[FraudShard] = self.states if number is None else (self.states[number],)
        outputs = [state.apply(event, record.input, position, overdue=overdue) for state in states]
        return outputs[0][:2]

    # -- both sides of a payment

    def _pair(
        self, payment: Payment, old: Decided | None, new: Decided | None, line: bytes, kind: int
    ) -> None:
        event_id = payment.event_id
        if old is not None and new is not None:
            self._both(payment, old, new)
        elif old is not None:
            held = self.new_only.pop(event_id, None)
            if held is not None:
                self._both(held[0], old, held[1])
            else:
                self._hold_old(event_id, old, _reason(kind, line))
        elif new is not None:
            before = self.old_only.pop(event_id, None)
            if before is not None:
                self._both(payment, before[0], new)
            elif len(self.new_only) < _UNPAIRED_MAX:
                self.new_only[event_id] = payment, new
            else:
                self.noted["new_only"] += 1

    def _hides(self, old: Decided) -> bool:
        """Whether the configuration of the time kept the outcome of what it had decided from the model."""
        if not old.stopped:
            return False
        return self.past.configuration_at(self.ordinal - 1).settings.outcomes.withhold_blocked

    def _hold_old(self, event_id: str, old: Decided, reason: str) -> None:
        if len(self.old_only) < _UNPAIRED_MAX:
            self.old_only[event_id] = old, reason
        else:
            self.unheld[reason] += 1

    def _both(self, payment: Payment, old: Decided, new: Decided) -> None:
        customer = self.customers.setdefault(payment.customer_id, len(self.customers))
        self.columns.add(payment, customer, old, new, payment.event_id in self.hidden)
        if old.action != new.action:
            self.examples.add(payment, old, new)

    # -- the end

    def replayed(self) -> Replayed:
        """Everything that was gathered."""
        noted, columns = self.noted, self.columns
        keys = np.array(columns.key, dtype=np.uint64)
        label, outcome_ms, there = self.outcomes.join(keys)
        time_ms, hidden = _ints(columns.time_ms), np.array(columns.hidden, dtype=np.bool_)
        old_only = self.unheld + Counter(reason for _, reason in self.old_only.values())
        seen = there & ~hidden
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
            examples=self.examples.days(self._labels()),
            delays_ms=(outcome_ms - time_ms)[seen],
            inputs=noted["inputs"],
            ordinal_first=self.past.ordinal_first,
            ordinal_next=self.ordinal,
            now_ms=max(state.clock.now for state in self.states),
            erased=noted["erased"],
            erased_decisions=noted["erased_decisions"],
            old_only=dict(sorted(old_only.items())),
            new_only=noted["new_only"] + len(self.new_only),
            withheld=noted["withheld"],
            commands=noted["commands"],
            commands_refused=noted["commands_refused"],
            lists_left_out=noted["lists_left_out"],
            counts=_summed([state.counts for state in self.states]),
        )

    def _labels(self) -> dict[str, int]:
        """Labels of the examples that have one."""
        ids = [each for each in self.examples.event_ids() if each not in self.hidden]
        keys = np.array(list(map(about_key, ids)), dtype=np.uint64)
        label, _, there = self.outcomes.join(keys)
        return {
            each: int(found)
            for each, found, known in zip(ids, label.tolist(), there.tolist(), strict=True)
            if known
        }


def _reason(kind: int, line: bytes) -> str:
    return str(orjson.loads(line)["reason"]) if kind == _DEAD else "repeat"


def _ints(column: array[int]) -> Ints:
    return np.array(column, dtype=np.int64)


def _summed(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))
