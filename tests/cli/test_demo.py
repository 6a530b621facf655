"""The demonstration's world, both flows on it, and what it makes of them at its end."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest
from rich.console import Console

from headrace.cli.demo import SESSIONS, Files, make_world, refuse_used, request
from headrace.cli.demo_runs import run_both
from headrace.cli.demo_story import Shop, show, story, weeks
from headrace.config.flow_kinds import FLOWS
from headrace.config.fraud_flow import FraudSettings
from headrace.config.loading import load
from headrace.config.recommend_flow import RecommendSettings
from headrace.errors import ConfigError
from headrace.operators.events.decode import decode_one
from headrace.runtime.runs import Progress, RunRequest, RunSummary

DAY_MS = 86_400_000
START_MS = 1_718_000_000_000
TRUTH = {"p-1": 0, "p-2": 1, "p-3": 0, "p-4": 1, "p-5": 1, "p-6": 0}


def decision(number: int, day: float, action: str, score: float) -> dict:
    return {
        "decision_id": f"fraud:p-{number}",
        "event_id": f"p-{number}",
        "event_time": START_MS + round(day * DAY_MS),
        "kind": "fraud",
        "action": action,
        "score": score,
        "reasons": [{"code": "high", "contribution": 1.25}],
        "model": "m",
    }


def listed(number: int, day: float, items: str) -> dict:
    return {
        "decision_id": f"recommend:k-{number}",
        "event_id": f"k-{number}",
        "event_time": START_MS + round(day * DAY_MS),
        "kind": "recommend",
        "action": "recommend",
        "items": [{"item_id": item, "score": 0.5, "source": "session"} for item in items],
        "reasons": [],
        "model": "m",
    }


def event(kind: str, event_id: str, **fields: object) -> bytes:
    return json.dumps({"type": kind, "event_id": event_id, "event_time": START_MS} | fields).encode()


def shop(*lines: bytes) -> Shop:
    return Shop(decode_one(line, 10_000) for line in lines)


@pytest.fixture
def files(tmp_path) -> Files:
    found = Files(tmp_path)
    decided = [
        decision(1, 0, "approve", 0.1),
        decision(2, 1, "block", 0.9),
        decision(3, 6.9, "block", 0.8),
        decision(4, 7, "review", 0.5),
        decision(5, 21, "approve", 0.2),
        decision(6, 21.5, "review", 0.4),
    ]
    found.decisions.write_text("".join(json.dumps(line) + "\n" for line in decided))
    lists = [listed(1, 0, "xy"), listed(2, 1, "ab"), listed(3, 8, "ab"), listed(4, 8, "b")]
    found.lists.write_text("".join(json.dumps(line) + "\n" for line in lists))
    return found


def test_weeks_have_both_flows(files):
    clicks = [("k-1", "s", "b"), ("k-2", "s", "y"), ("k-3", "s", "c"), ("k-4", "t", "b")]
    of = shop(*(event("click", name, session_id=who, item_id=item) for name, who, item in clicks))
    found = weeks(files, of, TRUTH)
    assert [week.payments for week in found] == [3, 1, 0, 2]
    assert [week.frauds for week in found] == [1, 1, 0, 1]
    assert [week.caught for week in found] == [1, 1, 0, 0]
    assert [week.stopped for week in found] == [1, 0, 0, 0]
    assert [week.judge.quality() is None for week in found] == [False, True, True, False]
    assert [week.lists for week in found] == [2, 2, 0, 0]
    first, second = (week.foreseen.quality() for week in found[:2])
    assert (first.lists, first.hit_rate, first.mrr) == (1, 1.0, 0.5)  # y was the second of x, y
    assert (second.lists, second.hit_rate) == (1, 0.0)  # c was not on a, b; the other session is new


def test_lines_that_come_twice_happened_once():
    line = event("click", "k", session_id="s", item_id="a")
    assert len(shop(line, line).sessions["s"]) == 1


def test_a_folder_that_holds_files_of_its_names_is_refused(tmp_path):
    refuse_used(tmp_path / "new")
    (tmp_path / "other.jsonl").touch()
    refuse_used(tmp_path)
    names = ("events.jsonl", "lists.jsonl", "decisions.dead-letters.jsonl", "fraud-state")
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ConfigError) as raised:
        refuse_used(tmp_path)
    assert {str(mistake) for mistake in raised.value.mistakes} == {
        f"--to: {tmp_path / name} exists; name a new folder" for name in names
    }


def test_its_world_is_written_and_comes_again(tmp_path):
    console = Console(file=io.StringIO())
    for name in "ab":
        (tmp_path / name).mkdir()
        events = make_world(Files(tmp_path / name), 1, console, days=1)
    one, two = Files(tmp_path / "a"), Files(tmp_path / "b")
    assert one.events.read_bytes() == two.events.read_bytes()
    assert one.events.read_bytes().count(b"\n") == events
    asked = request(one, "fraud", FraudSettings(), 10.0)
    assert (asked.sources, asked.truth, asked.learn) == ((str(one.events),), one.truth, True)
    assert request(one, "recommend", RecommendSettings(), None).truth is None


class Kept:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []

    def started(self, request: RunRequest) -> None:
        self.told.append(("started", request.flow))

    def progress(self, progress: Progress) -> None:
        self.told.append(("progress", progress.inputs))

    def warning(self, message: str) -> None:
        self.told.append(("warning", message))

    def finished(self, summary: RunSummary) -> None:
        self.told.append(("finished", summary.progress.decisions))


@pytest.fixture(scope="module")
def played(tmp_path_factory) -> tuple[Files, tuple[Kept, Kept], tuple[RunSummary, RunSummary]]:
    """Both flows on the first days of the world."""
    files = Files(tmp_path_factory.mktemp("demo"))
    make_world(files, 1, Console(file=io.StringIO()), days=2)
    flows = {"recommend": load(None, flow="recommend"), "fraud": load(SESSIONS)}
    kept = Kept(), Kept()
    summaries = run_both(*(request(files, flow, flows[flow], None) for flow in flows), *kept)
    return files, kept, summaries


def test_both_flows_run_and_tell_one_view(played):
    files, kept, summaries = played
    for flow, observer, summary in zip(("recommend", "fraud"), kept, summaries, strict=True):
        assert summary.exit_code == 0, summary.error
        decided = files.output(flow).read_bytes().count(b"\n")
        assert observer.told[0] == ("started", flow)
        assert observer.told[-1] == ("finished", decided)
        assert decided == summary.progress.decisions > 100


def test_it_closes_with_weeks_a_visitors_story_and_the_files(played):
    files, _, _ = played
    out = io.StringIO()
    show(files, Console(file=out, width=80))
    text = out.getvalue()
    assert "2025-09-01" in text
    assert f"--state {files.state('fraud')}" in text
    for name in ("events.jsonl", "truth.csv", "lists.jsonl", "decisions.jsonl"):
        assert f"  {name}\n" in text
    told = text[text.index("From click to decision") :]
    for said in (" clicks i-", "is shown i-", ", place ", " orders i-", " pays ", "score 0."):
        assert said in told


def test_the_story_is_told_of_a_stopped_fraud_before_others(played):
    files, _, _ = played
    lines = files.events.read_bytes().splitlines()
    of = shop(*lines)
    decided = [json.loads(line) for line in files.decisions.read_bytes().splitlines()]
    chosen = next(each for each in decided if of.payments[each["event_id"]].session_id)
    chosen["reasons"] = [{"code": "high", "contribution": 1.0}]
    chosen["action"] = "review"
    altered = "".join(json.dumps(each) + "\n" for each in decided)
    copy = files.decisions.read_bytes()
    truth = dict.fromkeys(of.payments, 0) | {chosen["event_id"]: 1}
    try:
        files.decisions.write_text(altered)
        told = list(story(files, of, truth))
    finally:
        files.decisions.write_bytes(copy)
    assert told[0].startswith(
        f"From click to decision: session {of.payments[chosen['event_id']].session_id},"
    )
    assert told[-2].endswith("in truth it was a fraud")


def test_a_run_that_can_not_begin_in_the_other_process_is_told(tmp_path):
    files, kept = Files(tmp_path), (Kept(), Kept())
    make_world(files, 1, Console(file=io.StringIO()), days=1)
    asked = [request(files, flow, load(None, flow=flow), None) for flow in ("recommend", "fraud")]
    files.truth.unlink()  # only the flow of the other process reads it
    _, there = run_both(*asked, *kept)
    assert there.exit_code != 0
    assert "truth.csv" in (there.error or "")


def test_the_command_ends_by_itself(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "headrace", "demo", "--days", "1", "--speed", "max", "--to", tmp_path / "d"],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "against next clicks" in done.stderr
    assert "against truth" in done.stderr
    assert "From click to decision" in done.stdout
    assert {f"{flow}-state" for flow in FLOWS} <= {path.name for path in (tmp_path / "d").iterdir()}
