"""What a run that makes slates tells over HTTP."""

from __future__ import annotations

from types import SimpleNamespace

from prometheus_client.parser import text_string_to_metric_families
from worlds import clicks

from headrace.config.loading import load
from headrace.journal.batches import Batch
from headrace.kinds.recommend.measures import SLATE_METRICS
from headrace.metrics.exposition import application
from headrace.metrics.recorder import Recorder
from headrace.operators.events.decode import decode
from headrace.operators.recommend.slates import SlateWindow
from headrace.shard.durable import DurableShard


def exposed(recorder: Recorder, settings) -> dict[str, dict[tuple[str, ...], float]]:
    told: list[bytes] = []
    environ = {"PATH_INFO": "/metrics", "REQUEST_METHOD": "GET", "QUERY_STRING": "", "HTTP_ACCEPT": ""}
    told += application(recorder, settings)(environ, lambda *_: None)
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(b"".join(told).decode()):
        for sample in family.samples:
            labels = [value for name, value in sample.labels.items() if name != "flow"]
            found.setdefault(sample.name, {})[tuple(labels)] = sample.value
    return found


def test_slates_have_their_own_metrics_and_none_of_scores():
    settings, recorder = load(None, flow="recommend"), Recorder(SlateWindow(1000))
    lines = clicks(600)
    shard = DurableShard(None, settings, telemetry=recorder)
    recorder.opened([shard], SimpleNamespace(progress_by_source=()))
    numbers = range(len(lines))
    batch = Batch(
        accepted_ms=0,
        accepted_ns=0,
        ordinal=0,
        payloads=lines,
        sources=[0] * len(lines),
        offsets=list(numbers),
        lines=list(numbers),
        marks=(),
    )
    applied = shard.process(batch, list(decode(lines, 65_536)), None)
    evaluated = shard.evaluated()
    recorder.evaluated(evaluated, learned=True)
    recorder.decided(applied.decisions)
    seen = exposed(recorder, settings)
    assert {metric.name for metric in SLATE_METRICS} <= set(seen)
    ranks = [each.rank for each in evaluated]
    assert len(ranks) > 300
    assert seen["headrace_slate_hit_rate"][()] == sum(map(bool, ranks)) / len(ranks)
    assert seen["headrace_slates_evaluated_total"][()] == len(ranks)
    assert sum(seen["headrace_decisions_total"].values()) == len(applied.decisions)
    assert set(seen["headrace_decisions_total"]) == {("recommend",), ("none",)}
    assert 0.3 < seen["headrace_slate_catalogue_share"][()] <= 1.0
    assert seen["headrace_slate_popularity"][("shown",)] > 0.0
    assert seen["headrace_kill_switch"] == {("00",): 0.0}
    assert "headrace_outcomes_total" not in seen
