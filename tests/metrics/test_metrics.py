"""The metrics say what was counted, under names and labels that stay."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from headrace.cli.reference import metrics_page
from headrace.config.addresses import partition_name
from headrace.config.loading import load
from headrace.dataflow.topic_reader import TopicReader
from headrace.files.line_reader import LineReader
from headrace.files.merged_reader import MergedReader
from headrace.journal.batches import Batch, Mark
from headrace.kinds.decisions.measures import DECISION_METRICS
from headrace.kinds.fraud.measures import PAYMENT_METRICS
from headrace.kinds.recommend.measures import SLATE_METRICS
from headrace.metrics.exposition import application
from headrace.metrics.labels import PROCESS
from headrace.metrics.labels import labels as labels_explained
from headrace.metrics.measures import all_metrics
from headrace.metrics.recorder import EVENT_TYPES, Recorder
from headrace.operators import simulator
from headrace.operators.decisions.prequential import OutcomeWindow
from headrace.operators.events.decode import decode
from headrace.operators.policy.commands import KillSwitch
from headrace.shard.durable import DurableShard
from headrace.shard.telemetry import Stage

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SETTINGS = load(
    None, ("policy.review_at=0.01", "journal.checkpoint_inputs_max=900", "outcomes.pending_days_max=20")
)
METRICS = all_metrics()
NAMES = {metric.name for metric in METRICS}
OF_OTHERS = {each.name for each in (*SLATE_METRICS, *DECISION_METRICS)} - {
    each.name for each in PAYMENT_METRICS
}
OF_HISTOGRAMS = {
    f"{m.name}_{part}" for m in METRICS if m.kind == "histogram" for part in ("bucket", "count", "sum")
}


def exposed(recorder: Recorder, settings=SETTINGS, query: str = "") -> dict[str, dict[tuple, float]]:
    """What a scrape gives: for each name its values by their labels' values."""
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics", "QUERY_STRING": query}
    (body,) = application(recorder, settings)(environ, lambda status, headers: None)
    samples: dict[str, dict[tuple, float]] = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            if sample.name in NAMES | OF_HISTOGRAMS and sample.name != "headrace_build_info":
                assert sample.labels.pop("flow") == settings.flow.kind
            key = tuple(sorted(sample.labels.items()))
            assert key not in samples.setdefault(sample.name, {}), f"{sample.name} {key} comes twice"
            samples[sample.name][key] = sample.value
    return samples


class Fed:
    """A shard that is fed as a run feeds it, with what a run tells."""

    def __init__(self, folder: Path | None, settings=SETTINGS) -> None:
        self.recorder, self.settings = Recorder(OutcomeWindow(settings.metrics.window_outcomes_max)), settings
        self.shard = DurableShard(folder, settings, telemetry=self.recorder)
        self.recorder.opened([self.shard], MergedReader([]))
        self.recorder.phase("running")
        self.lines = 0

    def feed(self, lines: list[bytes]) -> None:
        for at in range(0, len(lines), 100):
            part = lines[at : at + 100]
            first, numbers = self.lines, list(range(self.lines, self.lines + len(part)))
            self.lines += len(part)
            marks = (Mark(0, self.lines, self.lines, 0),)
            batch = Batch(0, 0, first, part, [0] * len(part), numbers, numbers, marks)
            events = decode(part)
            self.recorder.decoded(events)
            applied = self.shard.process(batch, events, None)
            self.recorder.decided(applied.decisions)
            self.recorder.evaluated(self.shard.evaluated(), learned=True)

    def exposed(self) -> dict[str, dict[tuple, float]]:
        return exposed(self.recorder, self.settings)


def world(preset: str = "tiny", seed: int = 1) -> list[bytes]:
    return b"".join(simulator.event_blocks(simulator.simulate(preset, seed))).splitlines()


@pytest.fixture(scope="module")
def fed(tmp_path_factory) -> Fed:
    fed, lines = Fed(tmp_path_factory.mktemp("state") / "shard-00"), world()
    payment = next(line for line in lines if b'"payment"' in line)
    fed.feed([*lines, b"{", lines[-1], payment.replace(b"EUR", b"USD")])
    fed.shard.close()
    return fed


def test_names_are_unique_and_of_one_style():
    assert len(NAMES) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"headrace(_[a-z]+)+", metric.name), metric.name
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.name.endswith("_info") == (metric.kind == "info"), metric.name
        assert (metric.since == "now") == (metric.kind in ("gauge", "info")), metric.name
        assert metric.help.endswith("."), metric.name


def test_every_label_is_explained_and_every_explained_label_is_used():
    assert {label for metric in METRICS for label in metric.labels} | {"flow"} == set(labels_explained())


def test_counts_are_those_of_the_shard(fed):
    counts, state, seen = fed.shard.state.counts, fed.shard.state, fed.exposed()
    actions = {
        action: seen["headrace_decisions_total"][("action", action),]
        for action in ("approve", "review", "block")
    }
    assert actions == {action: counts[action] for action in actions}
    assert (
        seen["headrace_decisions_by_path_total"][("name", ""), ("path", "model")]
        == sum(actions.values())
        > 300
    )
    assert seen["headrace_outcomes_total"][("result", "matched"),] == counts["outcomes_matched"] > 100
    assert seen["headrace_duplicates_total"][()] == 1
    dead = {dict(key)["reason"]: value for key, value in seen["headrace_dead_letters_total"].items() if value}
    assert dead == {"invalid_json": 1, "other_currency": 1}
    assert sum(seen["headrace_events_total"].values()) == fed.lines
    assert seen["headrace_events_total"][("type", "undecodable"),] == 1
    assert (
        seen["headrace_events_untimely_total"][("timing", "late"), ("type", "payment")]
        == counts["payments_late"]
    )
    assert seen["headrace_outcomes_held_total"][("awaited", "payment"),] == counts["outcomes_early"]
    assert seen["headrace_pending_payments"][()] == len(state.pending)
    assert seen["headrace_pending_given_up_total"][("cause", "age"),] == state.pending.expired_unlabelled
    assert seen["headrace_entities"][("entity", "customer"),] == len(state.features.tables["customer"]) > 1
    assert seen["headrace_known_ids"][("type", "payment"),] == len(state.ids["payment"]) > 1
    assert seen["headrace_shard_position"][("shard", "00"),] == fed.lines
    assert seen["headrace_event_time_seconds"][("shard", "00"),] == state.clock.now / 1000
    codes = {dict(key)["code"]: value for key, value in seen["headrace_reasons_total"].items()}
    told = (*SETTINGS.reasons.texts, "combination")
    assert codes == {code: counts[f"reason_{code}"] for code in told}
    assert any(codes.values())


def test_each_part_of_the_policy_is_counted_and_its_switches_show(tmp_path):
    settings = load(
        None,
        (
            "policy.rules.tiny.when='amount < 5'",
            "policy.rules.tiny.action='block'",
            "policy.rules.tiny.code='high_amount'",
            "policy.rules.never.when='amount < 0'",
            "policy.rules.never.action='block'",
            "policy.rules.never.code='high_amount'",
            "policy.review_at=0.0",
            "policy.capacity.reviews_per_day_max=3",
            "policy.capacity.otherwise='approve'",
            "policy.shadow=true",
        ),
    )
    fed = Fed(tmp_path / "shard-00", settings)
    day = [line for line in world()[:300] if b'"payment"' in line]
    fed.feed(day[:10])
    seen, policy = fed.exposed(), fed.shard.state.policy
    by_path = {
        (dict(key)["path"], dict(key)["name"]): value
        for key, value in seen["headrace_decisions_by_path_total"].items()
    }
    tiny = policy.counts.get("rule.tiny", 0)
    assert set(by_path) == {
        ("model", ""),
        ("rule", "tiny"),
        ("rule", "never"),
        ("capacity", ""),
        ("kill_switch", ""),
    }
    assert by_path["rule", "tiny"] == tiny
    assert (by_path["model", ""], by_path["capacity", ""]) == (3, 10 - 3 - tiny)
    shadow = {dict(key)["action"]: value for key, value in seen["headrace_shadow_decisions_total"].items()}
    assert shadow == {"approve": 10 - 3 - tiny, "review": 3, "block": tiny}
    assert seen["headrace_decisions_total"][("action", "approve"),] == 10
    assert seen["headrace_reviews_unused"][("shard", "00"),] == 3  # in shadow mode none is really used
    assert seen["headrace_kill_switch"][("shard", "00"),] == 0
    policy.command(KillSwitch(on=True))
    assert fed.exposed()["headrace_kill_switch"][("shard", "00"),] == 1


def test_scores_and_quality_are_those_of_the_decisions(fed):
    seen = fed.exposed()
    decisions = sum(seen["headrace_decisions_total"].values())
    buckets = seen["headrace_decision_score_bucket"]
    values = list(buckets.values())
    assert seen["headrace_decision_score_count"][()] == decisions == buckets[("le", "+Inf"),]
    assert values == sorted(values)
    assert seen["headrace_model_updates_total"][()] == seen["headrace_prequential_outcomes"][()]
    quality = fed.recorder.window().quality()
    for name in (
        "auc",
        "average_precision",
        "log_loss",
        "calibration_error",
        "mean_score",
        "base_rate",
        "frauds",
    ):
        assert seen[f"headrace_prequential_{name}"][()] == pytest.approx(getattr(quality, name)), name


def test_the_state_on_disk_is_measured(fed):
    seen, folder, key = fed.exposed(), fed.shard.directory, (("shard", "00"),)
    assert folder is not None
    on_disk = sum(path.stat().st_size for path in folder.glob("journal-*"))
    assert seen["headrace_journal_bytes"][key] == on_disk
    assert 0 < on_disk - seen["headrace_journal_written_bytes_total"][key] < 1000  # heads of the segments
    frames = fed.lines // 100 + 1
    assert frames <= seen["headrace_journal_writes_total"][key] <= frames + 2
    written = seen["headrace_checkpoints_total"][("result", "written"), ("shard", "00")]
    assert written >= 2
    assert seen["headrace_checkpoints_total"][("result", "failed"), ("shard", "00")] == 0
    assert 0 <= seen["headrace_checkpoint_age_seconds"][key] < 3600
    duration = seen["headrace_checkpoint_duration_seconds_total"][key]
    assert 0 < seen["headrace_checkpoint_stall_seconds_total"][key] < duration
    assert (
        sum(
            value
            for key, value in seen["headrace_stage_latency_seconds_count"].items()
            if "apply" in str(key)
        )
        == fed.lines
    )


def test_a_failed_checkpoint_is_counted_and_the_age_goes_on(tmp_path, monkeypatch):
    fed = Fed(tmp_path / "shard-00")

    def refuse(*_arguments: object, **_named: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr("headrace.journal.checkpoint.write_checkpoint", refuse)
    fed.feed(world()[:50])
    fed.shard.close()
    seen = fed.exposed()
    assert seen["headrace_checkpoints_total"][("result", "failed"), ("shard", "00")] == 1
    assert seen["headrace_checkpoints_total"][("result", "written"), ("shard", "00")] == 0
    assert seen["headrace_checkpoint_age_seconds"][("shard", "00"),] == pytest.approx(
        fed.recorder.up_s, abs=60
    )


def test_counts_of_the_state_go_on_over_a_restart_and_are_absent_until_it_is_taken_up(tmp_path):
    fed, lines = Fed(tmp_path / "shard-00"), world()[:700]
    fed.feed(lines)
    before = fed.exposed()
    fed.shard.close(with_checkpoint=False)
    recovering = exposed(Recorder(OutcomeWindow(10)))
    again = Fed(tmp_path / "shard-00").exposed()
    for name in ("headrace_recovery_inputs", "headrace_recovery_inputs_expected"):
        assert again[name] == {(("shard", "00"),): len(lines)}
    ours = [metric for metric in METRICS if metric.name not in OF_OTHERS]
    of_the_state = [metric.name for metric in ours if metric.since == "state"]
    assert "headrace_decisions_total" in of_the_state
    for name in of_the_state:
        assert again[name] == before[name], name
        assert name not in recovering, name
    assert sum(again["headrace_events_total"].values()) == 0
    assert recovering["headrace_phase"][("phase", "recovering"),] == 1


def test_labels_are_the_same_whatever_comes_in(fed):
    other = Fed(None)
    strange = b'{"type":"\\u0000","event_id":"headrace"}'
    other.feed([strange, b"\xff", *world("tiny", 7)])
    durable = {metric.name for metric in METRICS if "shard" in metric.labels}
    for name, values in fed.exposed().items():
        if name in NAMES | OF_HISTOGRAMS and name not in durable:
            assert set(other.exposed()[name]) == set(values), name


OF_TOPICS = {
    "headrace_source_lag_messages",
    "headrace_source_lag_known",
    "headrace_source_lag_seconds",
    "headrace_topic_unread_partitions",
    "headrace_send_queue_messages",
    "headrace_send_queue_bytes",
    "headrace_process_restarts_total",
    "headrace_brokers_silent_seconds",
    "headrace_merge_waits_total",
    "headrace_headers_dropped_total",
    "headrace_dead_letters_cut_total",
    "headrace_decisions_differing_total",
    "headrace_message_clock_skew_total",
    "headrace_topic_timestamp",
    *(f"headrace_end_to_end_latency_seconds_{part}" for part in ("bucket", "count", "sum")),
}


class Reading:
    """Two partitions of a topic, of which the second is not known for now, and one that was added."""

    def __init__(self) -> None:
        self.liveness = SimpleNamespace(silent_seconds=0.25, grown={})

    def lag(self, place):
        return (17, 2.5) if place == ("in", 0) else (None, 31.0)


def know(fed: Fed) -> None:
    for number in (3, 4):
        fed.shard.register(number, partition_name("in", number - 3))


def of_source(number: int, partition: int) -> tuple:
    return (("partition", str(partition)), ("source", str(number)), ("topic", "in"))


def test_the_lag_of_topics_is_what_was_seen_last_and_one_that_is_not_known_is_no_lag_of_0():
    fed = Fed(None)
    reading = Reading()
    reader = TopicReader(reading, None, {("in", 0): 3, ("in", 1): 4}, None, silent_seconds_max=10)
    know(fed)
    fed.recorder.opened(
        [fed.shard], reader, SimpleNamespace(queued=(7, 900), dead_letters_cut=2, differing=0)
    )
    assert fed.exposed()["headrace_brokers_silent_seconds"] == {(): 0.0}
    reader.look()
    seen = fed.exposed()
    assert seen["headrace_source_lag_messages"] == {of_source(3, 0): 17}
    assert seen["headrace_source_lag_known"] == {of_source(3, 0): 1, of_source(4, 1): 0}
    assert seen["headrace_source_lag_seconds"] == {of_source(3, 0): 2.5, of_source(4, 1): 31.0}
    assert seen["headrace_brokers_silent_seconds"] == {(): 0.25}
    assert seen["headrace_topic_unread_partitions"] == {(("topic", "in"),): 0}
    assert seen["headrace_send_queue_messages"] == {(): 7}
    assert seen["headrace_send_queue_bytes"] == {(): 900}


def test_what_keeps_messages_from_being_read_is_told(monkeypatch):
    fed = Fed(None)
    reading = Reading()
    reader = TopicReader(reading, None, {("in", 0): 3, ("in", 1): 4}, None, silent_seconds_max=10)
    know(fed)
    fed.recorder.opened([fed.shard], reader)
    now = 100.0
    monkeypatch.setattr("headrace.dataflow.topic_reader.time.monotonic", lambda: now)
    reader.look()
    assert fed.recorder.troubles() == []  # for a moment after the start no lag is known
    now = 111.0
    reader.look()
    assert fed.recorder.troubles() == ["the lag of 1 partitions isn't known: in[1]"]
    reading.liveness.silent_seconds = 12.0
    reading.liveness.grown = {"in": (2, 5)}
    reader.look()
    assert fed.recorder.troubles() == [
        "nothing was heard of the brokers for 12 s (limit 10 s)",
        "3 added partitions of in are not read before the next start",
    ]
    assert fed.exposed()["headrace_topic_unread_partitions"] == {(("topic", "in"),): 3}


def test_restarts_are_told_by_their_cause():
    fed = Fed(None)
    fed.recorder.restarts = {"ended": 2, "frozen": 1}
    seen = fed.exposed()["headrace_process_restarts_total"]
    assert seen == {(("cause", "ended"),): 2, (("cause", "frozen"),): 1}


def test_a_scrape_exposes_what_is_defined_and_nothing_else(fed, tmp_path):
    (tmp_path / "events.jsonl").write_bytes(b"\n".join([*world()[:10], b""]))
    reader = MergedReader([LineReader(str(tmp_path / "events.jsonl"), number=3)])
    reader.next_batch()
    recorder = fed.recorder
    recorder.opened([fed.shard], reader)
    seen = fed.exposed()
    absent = {"headrace_reviews_unused", *OF_TOPICS, *OF_OTHERS}
    assert set(seen) == (NAMES | OF_HISTOGRAMS | set(PROCESS)) - absent - {
        m.name for m in METRICS if m.kind == "histogram"
    }
    size = (tmp_path / "events.jsonl").stat().st_size
    assert seen["headrace_source_read_bytes"] == {(("partition", ""), ("source", "3"), ("topic", "")): size}
    assert seen["headrace_source_size_bytes"] == {(("partition", ""), ("source", "3"), ("topic", "")): size}
    for metric in METRICS:
        for labels in seen.get(metric.name, {}):
            assert {name for name, _ in labels} == set(metric.labels), metric.name
    one = exposed(recorder, query="name[]=headrace_duplicates_total")
    assert set(one) == {"headrace_duplicates_total"}


def test_a_scrape_may_come_at_any_moment(tmp_path):
    fed, ended, scrapes, wrong = Fed(tmp_path / "shard-00"), threading.Event(), 0, []

    def scrape() -> None:
        nonlocal scrapes
        while not ended.is_set():
            try:
                fed.exposed()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what the test looks for
                wrong.append(error)
                return
            scrapes += 1

    interval, thread = sys.getswitchinterval(), threading.Thread(target=scrape)
    sys.setswitchinterval(1e-5)
    try:
        thread.start()
        while scrapes <= 3 and not wrong:  # on a busy machine the other thread may not come to it at once
            fed.feed(world())
    finally:
        ended.set()
        thread.join()
        sys.setswitchinterval(interval)
        fed.shard.close()
    assert not wrong
    assert scrapes > 3


def test_stages_and_types_are_all_there_before_anything_happens():
    seen = exposed(Recorder(OutcomeWindow(10)))
    assert {dict(key)["stage"] for key in seen["headrace_stage_busy_seconds_total"]} == set(Stage.__args__)
    assert {dict(key)["type"] for key in seen["headrace_events_total"]} == set(EVENT_TYPES)
    assert "headrace_prequential_auc" not in seen


def test_the_page_is_what_the_definitions_say():
    assert (DOCS / "metrics.md").read_text() == metrics_page(METRICS, labels_explained(), PROCESS), (
        "run: headrace reference"
    )


def queries() -> dict[str, list[str]]:
    """PromQL of the alerts page and of the dashboards, by file."""
    page = (DOCS / "runbooks" / "alerts.md").read_text()
    found = {"alerts.md": re.findall(r"```promql\n(.*?)```", page, re.DOTALL)}
    for path in (DOCS / "dashboards").glob("*.json"):
        panels = orjson.loads(path.read_bytes())["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        found[path.name] = [target["expr"] for panel in panels for target in panel["targets"]]
    return found


def test_alerts_and_dashboards_ask_for_what_exists():
    labels_of = {metric.name: set(metric.labels) for metric in METRICS}
    labels_of |= {
        f"{name}_{part}": labels for name, labels in labels_of.items() for part in ("bucket", "sum", "count")
    }
    for file, asked in queries().items():
        assert len(asked) > 10, file
        for query in asked:
            names = re.findall(r"\b(?:headrace|process)_[a-z_]+\b", query)
            assert set(names) <= NAMES | OF_HISTOGRAMS | set(PROCESS), query
            assert all(query.count(one) == query.count(other) for one, other in ("()", "{}", "[]")), query
            for name, selector in re.findall(r"\b(headrace_[a-z_]+)\{(.*?)\}", query):
                known = labels_of[name] | {"instance", "job", "le"}
                assert set(re.findall(r"(\w+)=~?\"", selector)) <= known, query


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool, of Debian's package prometheus")
def test_prometheus_takes_what_alerts_and_dashboards_ask_for(tmp_path):
    variables = {"$__rate_interval": "1m", "$instance": ".*"}
    for file, asked in queries().items():
        rules = []
        for number, query in enumerate(asked):
            expression = query
            for variable, value in variables.items():
                expression = expression.replace(variable, value)
            rules.append({"record": f"rule:{number}", "expr": expression})
        path = tmp_path / f"{file}.rules"
        path.write_bytes(orjson.dumps({"groups": [{"name": "all", "rules": rules}]}))  # JSON is YAML
        done = subprocess.run(
            ["promtool", "check", "rules", path], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{file}: {done.stdout}{done.stderr}"


def test_what_alerts_select_is_what_a_scrape_gives(fed):
    seen = fed.exposed()
    for query in queries()["alerts.md"]:
        for name, label, value in re.findall(r"\b(headrace_[a-z_]+)\{(\w+)=\"(.*?)\"\}", query):
            assert value in {dict(key).get(label) for key in seen[name]}, query
