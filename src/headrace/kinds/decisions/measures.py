"""The metrics that declared decisions have beside those of every run, each by decision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from headrace.kinds.decisions.machine import DecisionShard
from headrace.metrics.metric import Metric
from headrace.metrics.scrape import Reader, Sample, Scrape
from headrace.operators.decisions.decision import Decision
from headrace.shard.base import DAY_MS

__all__ = ["DECISION_METRICS"]

_SHADOW: Final = "shadow"
_TARGET_RESULTS: Final = (
    "matched",
    "corrected",
    "repeated",
    "too_late",
    "assumed",
    "missing",
    "not_learned",
)


def _machines(scrape: Scrape) -> list[DecisionShard]:
    return scrape.machines(DecisionShard)


def _decisions(scrape: Scrape) -> Iterator[tuple[str, list[Decision]]]:
    """Yield each decision's name, with its part in each shard."""
    machines = _machines(scrape)
    for name in machines[0].decisions if machines else ():
        yield name, [machine.decisions[name] for machine in machines]


def _counted(parts: list[Decision]) -> Counter[str]:
    """Return what the shards together have counted of a decision."""
    together: Counter[str] = Counter()
    for part in parts:
        # `copy` is one step to the interpreter's lock; iterating could meet a count that the flow adds.
        together.update(part.counts.copy())
    return together


def _made(scrape: Scrape) -> Iterator[Sample]:
    """By decision and action."""
    for name, parts in _decisions(scrape):
        counts = _counted(parts)
        yield from (((name, action), counts[action]) for action in parts[0].settings.actions)


def _targets(scrape: Scrape) -> Iterator[Sample]:
    """By decision, and by what became of what was told."""
    for name, parts in _decisions(scrape):
        counts = _counted(parts)
        yield from (((name, result), counts[f"targets_{result}"]) for result in _TARGET_RESULTS)
        yield (name, "unmatched"), sum(part.early.unmatched for part in parts)


def _held(scrape: Scrape) -> Iterator[Sample]:
    """By decision, and by what is waited for."""
    for name, parts in _decisions(scrape):
        counts = _counted(parts)
        yield (name, "decision"), counts["targets_early"]
        yield (name, "clock"), counts["targets_ahead"]


def _reasons(scrape: Scrape) -> Iterator[Sample]:
    """By decision and code."""
    for name, parts in _decisions(scrape):
        counts = _counted(parts)
        known = dict.fromkeys(code for code, _ in parts[0].reasons.codes)
        came = (key.removeprefix("reason_") for key in counts if key.startswith("reason_"))
        for code in dict.fromkeys((*known, *came)):
            yield (name, code), counts[f"reason_{code}"]


def _paths(scrape: Scrape) -> Iterator[Sample]:
    """By decision, by the part of its policy that decided, and the name of the list or rule."""
    for name, parts in _decisions(scrape):
        counts: Counter[str] = Counter()
        for part in parts:
            counts.update(part.policy.counts.copy())
        for counter, count in sorted(counts.items()):
            path, _, of = counter.partition(".")
            if path != _SHADOW:
                yield (name, path, of), count


def _unused(scrape: Scrape) -> Iterator[Sample]:
    """By shard, decision and action, on the day of the shard's clock; none without a capacity."""
    for number, shard in scrape.numbered():
        if isinstance(shard.state, DecisionShard):
            day = shard.state.clock.now // DAY_MS
            for name, decision in shard.state.decisions.items():
                for action, left in decision.policy.unused(day).items():
                    yield (number, name, action), left


def _summed(read_one: Callable[[Decision], float]) -> Reader:
    """Add a number of each shard up, by decision."""

    def read(scrape: Scrape) -> Iterator[Sample]:
        for name, parts in _decisions(scrape):
            yield (name,), sum(map(read_one, parts))

    return read


def _given_up(scrape: Scrape) -> Iterator[Sample]:
    """By decision and cause."""
    for name, parts in _decisions(scrape):
        yield (name, "age"), sum(part.waiting.expired_unlabelled for part in parts)
        yield (name, "limit"), sum(part.waiting.dropped_by_limit for part in parts)


def _evictions(scrape: Scrape) -> Iterator[Sample]:
    """By entity and cause."""
    machines = _machines(scrape)
    for name in machines[0].features.tables if machines else ():
        tables = [machine.features.tables[name] for machine in machines]
        yield (name, "idle"), sum(table.evicted_by_age for table in tables)
        yield (name, "limit"), sum(table.evicted_by_limit for table in tables)


def _figure(name: str) -> Reader:
    """Read a figure of the window's quality, of the decisions that have it."""

    def read(scrape: Scrape) -> Iterator[Sample]:
        # Of another kind's window a quality is one for all that it decides.
        quality = scrape.quality
        for decision, figures in quality.items() if isinstance(quality, Mapping) else ():
            value = figures.get(name)
            if value is not None:
                yield (decision,), value

    return read


def _quality(figure: str, help_text: str) -> Metric:
    return Metric(f"headrace_decision_{figure}", "gauge", help_text, ("decision",), "now", _figure(figure))


DECISION_METRICS: Final = (
    Metric(
        "headrace_decision_actions_total",
        "counter",
        "Decisions by name and action; those in shadow are counted too.",
        ("decision", "action"),
        "state",
        _made,
    ),
    Metric(
        "headrace_decision_failed_total",
        "counter",
        "Decisions that got the fallback as their model raised an error.",
        ("decision",),
        "state",
        _summed(lambda decision: decision.counts["failed"]),
    ),
    Metric(
        "headrace_decision_paths_total",
        "counter",
        "Decisions by the part of their policy that decided, and the name of the list or rule.",
        ("decision", "path", "name"),
        "state",
        _paths,
    ),
    Metric(
        "headrace_decision_reasons_total",
        "counter",
        "How often a code was among the reasons of a decision.",
        ("decision", "code"),
        "state",
        _reasons,
    ),
    Metric(
        "headrace_decision_capacity_unused",
        "gauge",
        "How often an action can still be taken on the day of the shard's clock; absent without a capacity.",
        ("shard", "decision", "action"),
        "now",
        _unused,
    ),
    Metric(
        "headrace_decision_targets_total",
        "counter",
        "What became of events that tell how a decision turned out. `unmatched`: no decision came in time.",
        ("decision", "result"),
        "state",
        _targets,
    ),
    Metric(
        "headrace_decision_targets_held_total",
        "counter",
        "Of those, the ones that had to wait; they are counted once more by what becomes of them.",
        ("decision", "awaited"),
        "state",
        _held,
    ),
    Metric(
        "headrace_decision_targets_waiting",
        "gauge",
        "Events that tell, and wait for their decision or for the clock.",
        ("decision",),
        "now",
        _summed(lambda decision: len(decision.early)),
    ),
    Metric(
        "headrace_decision_waiting",
        "gauge",
        "Decisions remembered for the event that tells how they turned out.",
        ("decision",),
        "now",
        _summed(lambda decision: len(decision.waiting)),
    ),
    Metric(
        "headrace_decision_given_up_total",
        "counter",
        "Decisions given up untold, for their age or for the limit on their number.",
        ("decision", "cause"),
        "state",
        _given_up,
    ),
    Metric(
        "headrace_entity_evictions_total",
        "counter",
        "Entities forgotten for being idle, or for the limit on their number.",
        ("entity", "cause"),
        "state",
        _evictions,
    ),
    _quality("evaluated", "Decisions in the window that quality is evaluated on."),
    _quality("auc", "Of a score: area under the ROC curve, over the window."),
    _quality("average_precision", "Of a score: mean of the precision at each recall, over the window."),
    _quality("log_loss", "Of a score: mean negative logarithm of what it gave to what came true, in nats."),
    _quality("calibration_error", "Of a score: expected calibration error over ten ranges of the score."),
    _quality("mean_score", "Of a score: its mean over the window."),
    _quality("base_rate", "Of a score: the share of positives in the window."),
    _quality("pinball", "Of an estimate: mean pinball loss over its quantiles, in its unit."),
    _quality("coverage", "Of an estimate: the share of numbers within the outermost quantiles."),
    _quality("nominal_coverage", "Of an estimate: what that share is declared to be."),
    _quality("width", "Of an estimate: mean distance of the outermost quantiles, in its unit."),
    _quality("absolute_error", "Of an estimate: mean distance of the median from the number, in its unit."),
)
