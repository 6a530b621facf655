"""The metrics that payments have beside those of every run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from headrace.config.fraud_flow import FraudSettings
from headrace.config.policy import PolicySettings
from headrace.kinds.fraud.actions import ACTIONS
from headrace.kinds.fraud.machine import FraudShard
from headrace.metrics.metric import Metric
from headrace.metrics.scrape import Reader, Sample, Scrape, of_quality
from headrace.operators.decisions.prequential import WindowQuality
from headrace.shard.base import DAY_MS

__all__ = ["PAYMENT_METRICS"]

_SHADOW: Final = "shadow"
_OUTCOME_RESULTS: Final = {
    "matched": "outcomes_matched",
    "corrected": "outcomes_corrected",
    "repeated": "outcomes_repeated",
    "too_late": "outcomes_too_late_to_correct",
    "assumed": "outcomes_assumed",
    "withheld": "outcomes_withheld",
    "not_learned": "outcomes_not_learned",
}


def _frauds(scrape: Scrape) -> list[FraudShard]:
    return scrape.machines(FraudShard)


def _summed(scrape: Scrape, read_one: Callable[[FraudShard], float]) -> Iterator[float]:
    """Yield the sum over the shards, once they are open."""
    if states := _frauds(scrape):
        yield sum(map(read_one, states))


def _verdict_counts(scrape: Scrape) -> Counter[str]:
    """Return what the policies of all shards together have counted."""
    together: Counter[str] = Counter()
    for state in _frauds(scrape):
        together.update(state.policy.counts.copy())
    return together


def _of_states(read_one: Callable[[FraudShard], float]) -> Reader:
    """Read a number of each shard's state and add them up."""

    def read(scrape: Scrape) -> Iterator[Sample]:
        return (((), value) for value in _summed(scrape, read_one))

    return read


def _of_window(read_one: Callable[[WindowQuality], float | None]) -> Reader:
    """Read a figure of the quality over the window of outcomes."""
    return of_quality(WindowQuality, read_one)


def _paths(scrape: Scrape) -> Iterator[Sample]:
    """By the part of the policy that decided, and the name of the list or rule."""
    if _frauds(scrape) and isinstance(scrape.settings, FraudSettings):
        counts = _verdict_counts(scrape)
        known = dict.fromkeys([*_verdicts(scrape.settings.policy), *sorted(counts)])
        for path, _, name in (counter.partition(".") for counter in known):
            if path != _SHADOW:
                yield (path, name), counts[f"{path}.{name}" if name else path]


def _verdicts(policy: PolicySettings) -> Iterator[str]:
    """Yield what the configuration lets verdicts be counted as."""
    yield "cost" if policy.cost else "model"
    yield from (f"list.{name}" for name in policy.lists)
    yield from (f"rule.{name}" for name in policy.rules)
    yield from (path for path in ("capacity", "deadline") if getattr(policy, path))
    yield "kill_switch"


def _shadow_decisions(scrape: Scrape) -> Iterator[Sample]:
    """By the action that would have been."""
    if _frauds(scrape):
        yield from (((action,), _verdict_counts(scrape)[f"{_SHADOW}.{action}"]) for action in ACTIONS)


def _reviews_unused(scrape: Scrape) -> Iterator[Sample]:
    """By shard, on the day of its clock; none without a capacity."""
    for number, shard in scrape.numbered():
        if not isinstance(shard.state, FraudShard):
            return
        unused = shard.state.policy.unused(shard.state.clock.now // DAY_MS)
        if unused is not None:
            yield (number,), unused


def _reasons(scrape: Scrape) -> Iterator[Sample]:
    """By reason code."""
    texts = scrape.settings.reasons.texts if isinstance(scrape.settings, FraudSettings) else ()
    return scrape.prefixed("reason_", texts)


def _outcomes(scrape: Scrape) -> Iterator[Sample]:
    """By what became of them."""
    if _frauds(scrape):
        yield from scrape.counted(_OUTCOME_RESULTS.items())
    for value in _summed(scrape, lambda state: state.early.unmatched):
        yield ("unmatched",), value


def _outcomes_waiting(scrape: Scrape) -> Iterator[Sample]:
    """By what they wait for."""
    for value in _summed(scrape, lambda state: len(state.early.waiting)):
        yield ("payment",), value
    for value in _summed(scrape, lambda state: len(state.early.ahead)):
        yield ("clock",), value


def _outcomes_held(scrape: Scrape) -> Iterator[Sample]:
    """By what they had to wait for."""
    return scrape.counted(
        (("payment", "outcomes_early"), ("clock", "outcomes_ahead")) if _frauds(scrape) else ()
    )


def _given_up(scrape: Scrape) -> Iterator[Sample]:
    """By cause."""
    for value in _summed(scrape, lambda state: state.pending.expired_unlabelled):
        yield ("age",), value
    for value in _summed(scrape, lambda state: state.pending.dropped_by_limit):
        yield ("limit",), value


def _evictions(scrape: Scrape) -> Iterator[Sample]:
    """By kind and cause."""
    for name in _frauds(scrape)[0].features.tables if _frauds(scrape) else ():
        tables = [state.features.tables[name] for state in _frauds(scrape)]
        yield (name, "idle"), sum(table.evicted_by_age for table in tables)
        yield (name, "limit"), sum(table.evicted_by_limit for table in tables)


PAYMENT_METRICS: Final = (
    Metric(
        "headrace_prequential_outcomes",
        "gauge",
        "Outcomes in the window that quality is evaluated on.",
        (),
        "now",
        _of_window(lambda seen: seen.payments),
    ),
    Metric(
        "headrace_prequential_frauds",
        "gauge",
        "Frauds among them.",
        (),
        "now",
        _of_window(lambda seen: seen.frauds),
    ),
    Metric(
        "headrace_prequential_auc",
        "gauge",
        "Area under the ROC curve over the window; absent until it holds both labels.",
        (),
        "now",
        _of_window(lambda seen: seen.auc),
    ),
    Metric(
        "headrace_prequential_average_precision",
        "gauge",
        "Average precision over the window; absent as the AUC is.",
        (),
        "now",
        _of_window(lambda seen: seen.average_precision),
    ),
    Metric(
        "headrace_prequential_log_loss",
        "gauge",
        "Log loss over the window, nats.",
        (),
        "now",
        _of_window(lambda seen: seen.log_loss),
    ),
    Metric(
        "headrace_prequential_calibration_error",
        "gauge",
        "Expected calibration error over the window, in ten equal ranges of the score.",
        (),
        "now",
        _of_window(lambda seen: seen.calibration_error),
    ),
    Metric(
        "headrace_prequential_mean_score",
        "gauge",
        "Mean score over the window; right on the whole when it equals the base rate.",
        (),
        "now",
        _of_window(lambda seen: seen.mean_score),
    ),
    Metric(
        "headrace_prequential_base_rate",
        "gauge",
        "Share of frauds in the window.",
        (),
        "now",
        _of_window(lambda seen: seen.base_rate),
    ),
    Metric(
        "headrace_decisions_by_path_total",
        "counter",
        "Decisions, by the part of the policy that decided, and the name of the list or rule.",
        ("path", "name"),
        "state",
        _paths,
    ),
    Metric(
        "headrace_shadow_decisions_total",
        "counter",
        "What shadow mode would have done, by action.",
        ("action",),
        "state",
        _shadow_decisions,
    ),
    Metric(
        "headrace_reviews_unused",
        "gauge",
        "Reviews left on the day of the shard's clock, in shadow mode all; absent without a capacity.",
        ("shard",),
        "now",
        _reviews_unused,
    ),
    Metric(
        "headrace_reasons_total",
        "counter",
        "How often a code was among the reasons of a decision.",
        ("code",),
        "state",
        _reasons,
    ),
    Metric(
        "headrace_outcomes_total",
        "counter",
        "What became of outcomes. `unmatched`: no payment came in time. With several shards an outcome that "
        "names no customer goes to each, and is unmatched in all but one.",
        ("result",),
        "state",
        _outcomes,
    ),
    Metric(
        "headrace_outcomes_waiting",
        "gauge",
        "Outcomes that wait for their payment, or for the clock to reach their time.",
        ("awaited",),
        "now",
        _outcomes_waiting,
    ),
    Metric(
        "headrace_outcomes_held_total",
        "counter",
        "Outcomes that had to wait; they are counted once more by what becomes of them.",
        ("awaited",),
        "state",
        _outcomes_held,
    ),
    Metric(
        "headrace_pending_payments",
        "gauge",
        "Payments remembered for an outcome.",
        (),
        "now",
        _of_states(lambda state: len(state.pending)),
    ),
    Metric(
        "headrace_pending_given_up_total",
        "counter",
        "Payments given up without an outcome, for their age or for the limit on their number.",
        ("cause",),
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
)
