"""The toy's descriptor: all that machinery asks of a kind, in one file."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from headrace.journal.records import Kind as Became
from headrace.ledger.explained import Asked, Why
from headrace.ledger.export_columns import Column, Values
from headrace.ledger.sections import Grid, Section
from headrace.metrics.metric import Metric
from headrace.metrics.scrape import Sample, Scrape, of_quality
from headrace.replay.options import Options
from headrace.replay.past import Past
from headrace.shard.apply_record import apply_again
from headrace.shard.decision_line import lines_of
from headrace.shard.kinds import Action, Evaluation, Kind, Personal, Replays, Route, View
from headrace.shard.outgoing import DECISION_BYTES_MAX, decided_on
from headrace.shard.routing import shard_of
from toy_kind.machine import ReturnsShard, shape_of
from toy_kind.settings import ReturnsSettings

# -- how good it is


class Brier(NamedTuple):
    """The mean squared error of the probabilities, and of how many."""

    brier: float
    orders: int


class Errors:
    """The squared errors of the last scores; for a run, for metrics, and put together."""

    def __init__(self, orders_max: int) -> None:
        self.orders_max, self.errors = orders_max, list[float]()

    def extend(self, evaluated: Sequence[tuple[float, int]]) -> None:
        self.errors += [(score - label) ** 2 for score, label in evaluated]
        del self.errors[: -self.orders_max]

    def copy(self) -> Errors:
        twin = Errors(self.orders_max)
        twin.errors = self.errors[:]
        return twin

    def quality(self) -> Brier | None:
        return Brier(sum(self.errors) / len(self.errors), len(self.errors)) if self.errors else None

    def told(self) -> dict[str, Any] | None:
        quality = self.quality()
        return None if quality is None else quality._asdict()

    counted = told


def together(parts: Sequence[Any]) -> dict[str, Any] | None:
    orders = sum(part["orders"] for part in parts)
    if not orders:
        return None
    return {"brier": sum(part["brier"] * part["orders"] for part in parts) / orders, "orders": orders}


def known_customers(scrape: Scrape) -> Iterator[Sample]:
    for number, shard in scrape.numbered():
        if isinstance(shard.state, ReturnsShard):
            yield (number,), len(shard.state.model.customers)


METRICS = (
    Metric("headrace_returns_brier", "gauge", "Squared error.", (), "now", of_quality(Brier, itemgetter(0))),
    Metric("headrace_returns_customers", "gauge", "Customers known.", ("shard",), "now", known_customers),
)


# -- how it is shown


def quality_text(quality: Mapping[str, Any] | None, by: str) -> str:
    return f"quality - (no {by} yet)" if quality is None else f"Brier {quality['brier']:.3f} against {by}"


VIEW = View(
    quality=quality_text,
    evaluated=lambda quality: "" if quality is None else f" ({quality['orders']:,} orders)",
    figures=lambda progress: [("Brier", f"{progress.quality['brier']:.3f}" if progress.quality else "-")],
    pending=lambda progress: ("orders, pending", f"{progress.pending:,}"),
    outcomes=lambda progress: [f"{progress.outcomes_matched} outcomes came, {progress.pending} orders wait"],
    ended=lambda _, machines: [f"{sum(each.held().entities for each in machines)} customers are known"],
    described=lambda settings: [("checks", f"from {settings.checks.check_at:g} on")],
    declared=lambda settings: f", every order {settings.checks.wrap_every} wrapped",
)


# -- what the ledger says


@dataclass(frozen=True)
class Counts:
    """What was known of the customer."""

    orders: int
    known: int
    returned: int


def explain(asked: Asked) -> Why:
    counts = Counts(*orjson.loads(asked.record.detail))
    rows = [(name, str(count)) for name, count in vars(counts).items()]
    title = f"score {asked.decision['score']:.3f}" if "score" in asked.decision else f"order {counts.orders}"
    later = ", ".join("sent back" if each.label else "kept" for each in asked.outcomes) or "nothing yet"
    return Why(
        counts,
        title,
        before=(Section("Of this customer", Grid(("left", "right"), rows)),),
        after=(Section("What came of it", later),),
    )


@dataclass(frozen=True)
class CountsLayout:
    """Counts as columns."""

    without = ("shadow_action", "policy", "policy_trace")
    event_fields = ("customer_id", "order_id")
    columns = (
        Column("orders", "int", "orders of the customer"),
        Column("returned", "int", "those sent back"),
    )
    with_outcomes = True

    def kept(self, decision: dict[str, Any], event: dict[str, Any], detail: bytes) -> bytes:
        del decision, event
        return detail

    def values(self, rows: Sequence[bytes], shared: Mapping[str, Sequence[Any]]) -> Mapping[str, Values]:
        del shared
        counts = [orjson.loads(row) for row in rows]
        return {"orders": [each[0] for each in counts], "returned": [each[2] for each in counts]}


# -- how it is replayed


def actions(output: bytes) -> list[str]:
    return [orjson.loads(line)["action"] for line in lines_of(output)]


@dataclass(frozen=True)
class Report:
    """How many decisions both made, and how many of them are others."""

    compared: int
    changed: int

    def __str__(self) -> str:
        return f"{self.changed:,} of {self.compared:,} decisions are others"


def report(
    past: Past,
    settings: ReturnsSettings,
    options: Options,
    *,
    learn: bool,
    deciding: Callable[[], AbstractContextManager[Any]],
    drawing: Callable[[], AbstractContextManager[Any]],
) -> Report:
    del options, drawing
    machine, compared, changed = ReturnsShard(settings, learn=learn), 0, 0
    with deciding() as progress:
        for record in past.inputs(progress):
            if record.erased:
                continue
            _, now, _ = apply_again(machine, record)
            if record.kind == Became.DECIDED:
                pairs = zip(actions(record.output), actions(now), strict=True)
                differ = [then != other for then, other in pairs]
                compared, changed = compared + len(differ), changed + sum(differ)
    return Report(compared, changed)


REPLAYS = Replays(
    report=report,
    plain=vars,
    view=str,
    page=lambda found: f"<!doctype html><p>{html.escape(str(found))}</p>",
    refused=lambda options: ("--horizon-days", "not supported for returns") if options.horizon_days else None,
)


# -- all of it


def route(settings: ReturnsSettings) -> Route:
    shards = settings.flow.shards
    return lambda event: shard_of(event, shards)


RETURNS = Kind(
    machine=ReturnsShard,
    without_model=ReturnsShard,
    shape_of=shape_of,
    route=route,
    asked_by=lambda _: ("order",),
    names=lambda _: ("return", "wrap"),
    actions=lambda _: (Action("ship"), Action("check", "caution"), Action("wrap"), Action("plain")),
    message=lambda _: decided_on,
    decision_bytes_max=lambda _: DECISION_BYTES_MAX,
    metrics=lambda: METRICS,
    labels={},
    evaluation=Evaluation(
        by="outcomes",
        run=lambda settings: Errors(settings.metrics.window_outcomes_max),
        window=Errors,
        together=together,
    ),
    view=VIEW,
    personal=lambda _: Personal(keys=("session_id",), about=("order",)),
    explain=explain,
    layout=lambda _: CountsLayout(),
    replays=lambda: REPLAYS,
)
