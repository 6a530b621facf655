"""The demonstration's world, both flows on it, and what it makes of them at its end."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from rich.console import Console

from headrace.cli import demo
from headrace.cli.demo import FLOWS, LIVE_PER_S, SESSIONS, Files, Made, make_world, refuse_used, request
from headrace.cli.demo_runs import beside
from headrace.cli.demo_story import Shop, show, story, weeks
from headrace.cli.demo_words import caught_up, live, live_opening
from headrace.config.fraud_flow import FraudSettings
from headrace.config.loading import load
from headrace.config.recommend_flow import RecommendSettings
from headrace.errors import ConfigError
from headrace.operators.events.decode import decode_one
from headrace.operators.simulator import Ceilings
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
    slates = [listed(1, 0, "xy"), listed(2, 1, "ab"), listed(3, 8, "ab"), listed(4, 8, "b")]
    found.slates.write_text("".join(json.dumps(line) + "\n" for line in slates))
    return found


def test_weeks_have_both_flows(files):
    clicks = [("k-1", "s", "b"), ("k-2", "s", "y"), ("k-3", "s", "c"), ("k-4", "t", "b")]
    of = shop(*(event("click", name, session_id=who, item_id=item) for name, who, item in clicks))
    odds = {"p-1": 0.0, "p-2": 0.5, "p-3": 0.5, "p-4": 1.0, "p-5": 1.0, "p-6": 0.0}
    found = weeks(files, of, TRUTH, Ceilings({"k-2": 0.75, "k-3": 0.5}, odds))
    assert [week.payments for week in found] == [3, 1, 0, 2]
    assert [week.frauds for week in found] == [1, 1, 0, 1]
    assert [week.caught for week in found] == [1, 1, 0, 0]
    assert [week.stopped for week in found] == [1, 0, 0, 0]
    assert [week.evaluate.quality() is None for week in found] == [False, True, True, False]
    assert [week.slates for week in found] == [2, 2, 0, 0]
    first, second = (week.foreseen.quality() for week in found[:2])
    assert (first.slates, first.hit_rate, first.mrr) == (1, 1.0, 0.5)  # y was the second of x, y
    assert [week.hits_possible for week in found] == [[0.75], [0.5], [], []]
    best = [week.judge_possible.quality() for week in found]
    assert best[0].average_precision == 0.5  # a fraud and a legitimate payment had the same odds
    assert best[3].average_precision == 1.0
    assert (second.slates, second.hit_rate) == (1, 0.0)  # c was not on a, b; the other session is new


def test_lines_that_come_twice_happened_once():
    line = event("click", "k", session_id="s", item_id="a")
    assert len(shop(line, line).sessions["s"]) == 1


def test_a_folder_that_holds_files_of_its_names_is_refused(tmp_path):
    refuse_used(tmp_path / "new")
    (tmp_path / "other.jsonl").touch()
    refuse_used(tmp_path)
    names = ("events.jsonl", "slates.jsonl", "decisions.dead-letters.jsonl", "fraud-state")
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ConfigError) as raised:
        refuse_used(tmp_path)
    assert {str(invalid) for invalid in raised.value.errors} == {
        f"--to: {tmp_path / name} exists; name a new folder" for name in names
    }


def test_its_world_is_written_and_comes_again(tmp_path):
    console = Console(file=io.StringIO())
    for name in "ab":
        (tmp_path / name).mkdir()
        made = make_world(Files(tmp_path / name), 1, console, days=1)
    one, two = Files(tmp_path / "a"), Files(tmp_path / "b")
    assert one.events.read_bytes() == two.events.read_bytes()
    assert one.live.read_bytes() == two.live.read_bytes()
    assert one.events.read_bytes().count(b"\n") == made.days_events
    assert one.live.read_bytes().count(b"\n") == made.live_events
    asked = request(one, "fraud", FraudSettings())
    assert (asked.sources, asked.truth, asked.learn) == ((str(one.events),), one.truth, True)
    asked = request(one, "recommend", RecommendSettings(), 10.0)
    assert (asked.sources, asked.truth, asked.speed) == ((str(one.live),), None, 10.0)


@pytest.mark.parametrize(("live_s", "events"), [(0.0, 0), (0.5, round(0.5 * LIVE_PER_S)), (1e6, None)])
def test_the_last_events_arrive_at_a_rate_and_are_at_most_half(tmp_path, live_s, events):
    files = Files(tmp_path)
    made = make_world(files, 1, Console(file=io.StringIO()), days=1, live_s=live_s)
    every = made.days_events + made.live_events
    assert made.live_events == (every // 2 if events is None else events)
    if not events:
        assert (made.speed is None) == (events == 0)
        return
    times = [decode_one(line, 10_000).event_time for line in files.live.read_bytes().splitlines()]
    assert made.live_events * 0.1 / made.live_s <= made.burst <= made.live_events
    passed_s = (max(times) - min(times)) / 1000
    assert passed_s / made.speed == pytest.approx(made.live_s) == pytest.approx(live_s)


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


class Played(NamedTuple):
    files: Files
    made: Made
    kept: tuple[tuple[Kept, Kept], tuple[Kept, Kept]]
    summaries: tuple[tuple[RunSummary, RunSummary], tuple[RunSummary, RunSummary]]


@pytest.fixture(scope="module")
def played(tmp_path_factory) -> Played:
    """Both flows on the first days of the world, and live after them."""
    files = Files(tmp_path_factory.mktemp("demo"))
    made = make_world(files, 1, Console(file=io.StringIO()), days=2, live_s=1.0)
    flows = {"recommend": load(None, flow="recommend"), "fraud": load(SESSIONS)}
    kept = (Kept(), Kept()), (Kept(), Kept())
    with beside() as pairs:
        summaries = tuple(
            pairs.run(*(request(files, flow, flows[flow], speed) for flow in flows), *observers)
            for speed, observers in zip((None, made.speed), kept, strict=True)
        )
    return Played(files, made, kept, summaries)


def test_both_flows_run_and_tell_one_view(played):
    for turn, events in enumerate((played.made.days_events, played.made.live_events)):
        told = zip(("recommend", "fraud"), played.kept[turn], played.summaries[turn], strict=True)
        for flow, observer, summary in told:
            assert summary.exit_code == 0, summary.error
            assert summary.progress.inputs == events
            assert observer.told[0] == ("started", flow)
            assert observer.told[-1] == ("finished", summary.progress.decisions)
            assert summary.progress.decisions > 10
    for turn, flow in enumerate(("recommend", "fraud")):
        decided = played.files.output(flow).read_bytes().count(b"\n")
        assert decided == sum(summaries[turn].progress.decisions for summaries in played.summaries)


def test_latency_is_told_of_what_arrives_alone(played):
    files, summaries = played.files, played.summaries
    for request_, summary in zip(
        (request(files, "recommend", RecommendSettings()), request(files, "fraud", FraudSettings())),
        summaries[0],
        strict=True,
    ):
        (first, quality) = caught_up(request_, summary)
        assert "events in" in first
        assert " a second;" in first
        assert " ms" not in first + quality
    assert live_opening(played.made).startswith(f"Now live: {played.made.live_events} events of ")
    assert "250 a second on average" in live_opening(played.made)
    for flow, before, after in zip(("recommend", "fraud"), *summaries, strict=True):
        (said,) = live(request(files, flow, FraudSettings(), played.made.speed), after)
        assert f"p50 {after.progress.latency.p50_ms:.1f} ms" in said
        assert f"{after.progress.decisions:,} decisions" in said  # of this stretch alone
        assert before.progress.decisions not in {0, after.progress.decisions}


@pytest.mark.parametrize(("within", "most"), [(0.0, 2), (1.0, 3), (4.9, 3), (5.0, 4), (9.0, 5)])
def test_a_burst_is_the_most_that_comes_within_a_time(within, most):
    assert demo._burst([0, 1, 1, 5, 9], within) == most


def test_nothing_to_decide_is_said():
    summary = RunSummary(progress=Progress(inputs=7), seconds=1.0)
    asked = request(Files(Path()), "fraud", FraudSettings(), 10.0)
    assert list(live(asked, summary)) == ["fraud live: none of 7 events asked for a decision"]


def test_it_closes_with_weeks_a_visitors_story_and_the_files(played):
    files = played.files
    out = io.StringIO()
    show(files, Console(file=out, width=80), played.made.possible)
    text = out.getvalue()
    assert re.search(
        r"2025-09-01 +[\d,]+ 0\.\d\d of 0\.\d\d +\d+ +\d+ +\d+% +\d+ 0\.\d\d of \d\.\d\d *\n", text
    )
    assert "…" not in text
    assert f"--state {files.state('fraud')}" in text
    for name in ("events.jsonl", "live.jsonl", "truth.csv", "slates.jsonl", "decisions.jsonl"):
        assert f"  {name}\n" in text
    told = text[text.index("From click to decision") :]
    for said in (" clicks i-", "is shown i-", ", place ", " orders i-", " pays ", "score 0."):
        assert said in told


def test_the_story_is_told_of_a_stopped_fraud_before_others(played):
    files = played.files
    lines = (files.events.read_bytes() + files.live.read_bytes()).splitlines()
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
    with beside() as pairs:
        _, there = pairs.run(*asked, *kept)
        assert there.exit_code != 0
        assert "truth.csv" in (there.error or "")
        pairs._there.close()  # as if the other process were gone
        (tmp_path / "recommend-state").rename(tmp_path / "before")
        files.slates.unlink()
        _, there = pairs.run(*asked, *kept)
    assert there.error == "the process of the flow fraud ended before its time"


def test_the_command_ends_by_itself(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "headrace", "demo", "--days", "1", "--live", "1", "--to", tmp_path / "d"],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "against next clicks" in done.stderr
    assert "against truth" in done.stderr
    for flow in FLOWS:
        assert f"{flow} caught up: " in done.stderr
        assert re.search(rf"{flow} live: \d+ decisions, p50 [\d.]+ ms, p99 ", done.stderr)
    assert "From click to decision" in done.stdout
    assert {f"{flow}-state" for flow in FLOWS} <= {path.name for path in (tmp_path / "d").iterdir()}
