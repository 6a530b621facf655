"""Makes the declared decisions of the past once more under another configuration, beside those of then."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from headrace.config.decision_flow import DecisionFlowSettings
from headrace.journal.records import Kind, Record
from headrace.kinds.decisions.machine import DecisionShard
from headrace.operators.decisions.judged import Evaluated
from headrace.replay.past import Past
from headrace.replay.walk import Progress, Walk, Walked, why_not

__all__ = ["DecisionPairs", "DecisionsReplayed", "decide_again"]

_DECIDED: Final = int(Kind.DECIDED)


@dataclass(slots=True)
class DecisionPairs:
    """A decision that both configurations made, n times.

    Attributes
    ----------
    levels
        Of the quantiles, ascending; empty for a score.
    actions
        How often an action of then became an action of now.
    compared
        How many pairs there are.
    changed
        How many have other numbers.
    time_ms
        Event time of each pair that was evaluated.
    old, new
        Its numbers, side by side.
    values
        What was told of it.
    """

    levels: tuple[float, ...] = ()
    actions: Counter[tuple[str, str]] = field(default_factory=Counter)
    compared: int = 0
    changed: int = 0
    time_ms: array[int] = field(default_factory=lambda: array("q"))
    old: array[float] = field(default_factory=lambda: array("d"))
    new: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))


@dataclass(slots=True, kw_only=True)
class DecisionsReplayed(Walked):
    """What came of deciding again.

    Attributes
    ----------
    pairs
        By decision.
    added, removed
        Decisions that only the new configuration declares, and that only the old one made.
    first_ms, last_ms
        Event times of the first and the last pair; 0 without any.
    model
        Of the new configuration, as its decisions have it.
    """

    pairs: dict[str, DecisionPairs]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    first_ms: int
    last_ms: int
    model: str


def decide_again(
    past: Past, settings: DecisionFlowSettings, *, learn: bool = True, progress: Progress | None = None
) -> DecisionsReplayed:
    """Decide all that a past holds under a configuration, from an empty state.

    Parameters
    ----------
    past
        What was.
    settings
        The other configuration.
    learn
        Whether its models learn.
    progress
        Told of bytes and records.

    Raises
    ------
    JournalDamaged
        At the first byte that is not what was written.
    """
    run = _Run(past, settings, learn=learn)
    run.through(progress)
    return run.replayed()


def _numbers(decision: dict[str, Any]) -> tuple[float, ...] | None:
    """Return what a line says; None where the decision had failed."""
    if "quantiles" in decision:
        return tuple(decision["quantiles"].values())
    return (decision["score"],) if "score" in decision else None


class _Run(Walk[DecisionShard]):
    """The shards under the other configuration, and what is noted beside them."""

    def __init__(self, past: Past, settings: DecisionFlowSettings, *, learn: bool) -> None:
        shards = range(settings.flow.shards)
        super().__init__(past, [DecisionShard(settings, shard=number, learn=learn) for number in shards])
        self.pairs: dict[str, DecisionPairs] = {}
        self.old_only: Counter[str] = Counter()
        self.removed: dict[str, None] = {}
        self._waiting: dict[tuple[str, str], tuple[int, tuple[float, ...]]] = {}
        self._first_ms = self._last_ms = 0

    def input(self, record: Record, event: Any) -> None:
        """Decide again, and let what is told meet both decisions."""
        kind, out, _ = self.apply(record, event)
        if record.kind == kind == _DECIDED:
            self._both(record.output, out)
        elif record.kind == _DECIDED:
            self.old_only[why_not(kind, out)] += 1
        elif kind == _DECIDED:
            self.noted["new_only"] += 1
        for evaluated in self._evaluated():
            self._evaluate(evaluated)

    def _evaluated(self) -> Iterator[Evaluated]:
        for state in self.states:
            yield from state.evaluated
            state.evaluated.clear()

    def _both(self, old_lines: bytes, new_lines: bytes) -> None:
        # By their kind: the other configuration may declare more decisions, or fewer, or in another order.
        new = {each["kind"]: each for each in map(orjson.loads, new_lines.splitlines())}
        for old in map(orjson.loads, old_lines.splitlines()):
            name = old["kind"]
            if name not in new:
                self.removed[name] = None
                continue
            self._pair(name, old, new[name])

    def _pair(self, name: str, old: dict[str, Any], new: dict[str, Any]) -> None:
        pairs = self.pairs.setdefault(name, DecisionPairs(self.states[0].decisions[name].levels))
        before, after, time_ms = _numbers(old), _numbers(new), new["event_time"]
        pairs.compared += 1
        pairs.actions[old["action"], new["action"]] += 1
        pairs.changed += before != after
        self._first_ms = min(self._first_ms or time_ms, time_ms)
        self._last_ms = max(self._last_ms, time_ms)
        # Estimates of other levels than now can't be compared number by number.
        if before is not None and len(before) == max(len(pairs.levels), 1):
            self._waiting[name, new["event_id"]] = time_ms, before

    def _evaluate(self, evaluated: Evaluated) -> None:
        waited = self._waiting.pop((evaluated.name, evaluated.event_id), None)
        if waited is None:
            return
        pairs, (time_ms, before) = self.pairs[evaluated.name], waited
        pairs.time_ms.append(time_ms)
        pairs.old.extend(before)
        pairs.new.extend(evaluated.served)
        pairs.values.append(evaluated.value)

    def replayed(self) -> DecisionsReplayed:
        """Everything that was gathered."""
        declared = self.states[0].settings.decisions
        return DecisionsReplayed(
            pairs=self.pairs,
            added=tuple(name for name in declared if name not in self.pairs),
            removed=tuple(self.removed),
            first_ms=self._first_ms,
            last_ms=self._last_ms,
            model=self.states[0].version,
            old_only=dict(sorted(self.old_only.items())),
            new_only=self.noted["new_only"],
            **self.walked(),
        )
