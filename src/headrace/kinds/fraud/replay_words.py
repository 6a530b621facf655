"""What is said of a replay of payments under another configuration, in words that terminal and page share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from headrace.kinds.fraud.replay_changes import Replayed
from headrace.kinds.fraud.replay_report import Report
from headrace.kinds.fraud.replay_rows import Example
from headrace.replay import words
from headrace.replay.words import began, day, figure

__all__ = [
    "MEASURED",
    "PARTS",
    "amount",
    "bounds",
    "changed",
    "costs",
    "label",
    "limits",
    "not_comparable",
    "origin",
    "period",
    "reasons",
    "unknowns",
]

MEASURED: Final = {
    "precision": "precision",
    "recall": "recall",
    "average_precision": "average precision",
    "cost": "cost",
}
PARTS: Final = {
    "changed": "Decisions changed",
    "quality": "Quality and cost",
    "unknown": "Outcomes that nobody knows",
    "amount": "Changed decisions, largest amounts",
    "score": "Changed decisions, largest changes of the score",
    "not_comparable": words.NOT_COMPARABLE,
    "limits": words.LIMITS,
    "origin": words.ORIGIN,
}
_HORIZONS: Final = {
    "given": "as given",
    "legitimate_after_days": "legitimate_after_days",
    "delays": "95 of 100 outcomes had come by then",
}


def amount(value: float) -> str:
    """Money."""
    return f"{value:,.2f}"


def bounds(report: Report) -> Iterator[tuple[str, str, str, str]]:
    """Rows of measures with each unknown outcome taken for legitimate, and for a fraud."""
    for assumed, measures in (("legitimate", report.if_legitimate), ("frauds", report.if_fraud)):
        for name, compared in measures.items():
            yield (
                f"{MEASURED[name]}, all {assumed}",
                figure(name, compared.old.value),
                figure(name, compared.new.value),
                figure(name, compared.difference.value, signed=True),
            )


def label(example: Example) -> str:
    """Return what became of a payment."""
    return {None: "unknown", 0: "legitimate", 1: "fraud"}[example.label]


def reasons(decision: Any) -> str:
    """Return a decision's action, score and reasons."""
    codes = ", ".join(_code(reason) for reason in decision["reasons"]) or "no reasons"
    watching = f", would {decision['shadow_action']}" if decision.get("shadow_action") else ""
    path = f" by {decision['policy']}" if decision.get("policy") else ""
    return f"{decision['action']}{watching} {decision['score']:.4f}{path}: {codes}"


def _code(reason: Any) -> str:
    given = reason["contribution"]
    return str(reason["code"]) if given is None else f"{reason['code']} {given:+.2f}"


# -- sentences


def period(report: Report) -> Iterator[str]:
    """Which payments count."""
    period = report.period
    if not report.payments:
        yield "No payment was decided by both configurations."
        return
    yield (
        f"{report.payments:,} payments were decided by both, from {day(period.first_ms)} to"
        f" {day(period.last_ms)}. {began(period.warm_up_days)}"
    )
    yield f"{report.compared:,} payments from {day(period.from_ms)} on are compared."
    yield (
        f"{report.evaluated:,} of them are evaluated, {report.frauds:,} frauds among them: those whose"
        f" outcome is known and that are {period.horizon_days} days old ({_HORIZONS[period.horizon_from]})."
    )
    if not report.evaluated:
        yield (
            "Nothing can be evaluated: what is left between warm-up and horizon has no outcomes. Choose a"
            " shorter --warm-up-days or --horizon-days."
        )


def changed(report: Report) -> str:
    """How much is decided otherwise."""
    matrix, whole = report.matrix, max(report.compared, 1)
    return (
        f"{matrix.changed:,} of {report.compared:,} payments ({matrix.changed / whole:.2%}) are decided"
        f" otherwise, {amount(matrix.changed_amount)} {report.currency} in all."
    )


def costs(report: Report) -> str:
    """Return what cost is counted with."""
    cost, said = report.costs.settings, {"new": "the new", "old": "the old", "default": "the default"}
    origin, _, given = report.costs.origin.partition(", and ")
    return (
        f"Cost in {report.currency}, by {said[origin]} [policy.cost]{' and ' + given if given else ''}:"
        f" a review {cost.review_cost:g}, which finds {cost.review_catch_share:.0%} of the frauds; a fraud"
        f" that goes through {cost.fraud_loss_share:g} of its amount and {cost.fraud_loss_fixed:g}; a"
        f" legitimate payment blocked {cost.wrong_block_cost:g} and {cost.wrong_block_share:g} of its amount."
    )


def unknowns(report: Report) -> Iterator[str]:
    """Payments without an outcome."""
    unknown = report.unknown
    yield (
        f"{unknown.stopped:,} payments ({amount(unknown.stopped_amount)} {report.currency}) were blocked at"
        " the time and have no outcome: nobody knows what they would have been."
    )
    yield (
        f"{unknown.silent:,} payments ({amount(unknown.silent_amount)} {report.currency}) went through, and"
        " nothing was heard of them within the horizon or later."
    )
    if unknown.assumed_legitimate:
        yield (
            f"{unknown.assumed_legitimate:,} payments went through, nothing was heard of them, and they count"
            " as legitimate (legitimate_after_days); they are evaluated."
        )
    yield (
        f"{unknown.not_due:,} payments are younger than the horizon and not evaluated;"
        f" {unknown.not_due_without:,} of them have no outcome yet."
    )


def not_comparable(replayed: Replayed) -> Iterator[str]:
    """Yield what has no counterpart."""
    yield from words.not_comparable(replayed, "payments")
    if replayed.lists_left_out:
        yield (
            f"{replayed.lists_left_out:,} reloads of lists were left out: the new configuration has no such"
            " list, or another file for it."
        )


def limits(report: Report) -> Iterator[str]:
    """Yield what a replay can't know."""
    yield (
        "Payments that the old policy blocked have taught nobody anything: where no outcome came, the new"
        " model had nothing to learn from, though its policy might have let them through."
    )
    if report.replayed.withheld:
        yield (
            f"{report.replayed.withheld:,} outcomes of blocked payments stand in the journal, but the"
            " configuration of the time withheld them (withhold_blocked); they are used neither to learn nor"
            " to evaluate."
        )
    if report.learned_beyond:
        yield (
            f"The new model learned from {report.learned_beyond:,} outcomes of payments that are blocked"
            " under the new configuration; in production these would not have come."
            " --set outcomes.withhold_blocked=true leaves them out."
        )
    yield (
        f"{report.reviewed_by_one:,} payments are given to a person by only one of the two. What that person"
        " would have found, and what the customer would have done then, is in no journal."
    )
    yield (
        "Customers and fraudsters acted upon the old decisions; how they would have answered the new ones is"
        " not known."
    )
    if report.old_shadow or report.new_shadow:
        who = (
            "Both"
            if report.old_shadow and report.new_shadow
            else "The old"
            if report.old_shadow
            else "The new"
        )
        yield f"{who} only watched (shadow mode): what is compared is what would have been done."


def origin(report: Report) -> Iterator[tuple[str, str]]:
    """Yield configurations, versions, platforms, and the range of the inputs."""
    return words.origin(report, "customers")
