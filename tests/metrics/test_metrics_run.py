"""A run is watched over HTTP, from its recovery to its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from headrace.config.loading import load
from headrace.metrics.serving import served
from headrace.operators import simulator
from headrace.runtime.file_run import run
from headrace.runtime.runs import Progress, RunRequest, RunSummary

pytestmark = pytest.mark.integration

GIVE_UP_S = 600.0
BESIDE = ("flow", "topic", "partition")
UNTAKEN_BYTES = 1_000_000  # far more than a pipe holds


@pytest.fixture(scope="module")
def events(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("world") / "events.jsonl"
    path.write_bytes(b"".join(simulator.event_blocks(simulator.simulate("demo", 1, days=30))))
    return path


def ask(url: str, path: str) -> tuple[int, str]:
    place = urlsplit(url)
    client = HTTPConnection(str(place.hostname), place.port, timeout=GIVE_UP_S)
    try:
        client.request("GET", path)
        answer = client.getresponse()
        return answer.status, answer.read().decode()
    finally:
        client.close()


def counters(text: str) -> dict[str, Counter[str]]:
    """Values of metrics with one label, by its value."""
    found: dict[str, Counter[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = next((value for name, value in sample.labels.items() if name not in BESIDE), "")
            found.setdefault(sample.name, Counter())[key] += int(sample.value)
    return found


class Running:
    """`headrace run` in a process of its own, watched."""

    def __init__(self, *arguments: object, **pipes: int) -> None:
        command = [sys.executable, "-m", "headrace", "run", "fraud", *map(str, arguments)]
        environment = os.environ | {"COLUMNS": "400"}
        self.process = subprocess.Popen(
            [*command, "--metrics-port", "0"], stderr=subprocess.PIPE, env=environment, text=False, **pipes
        )
        assert self.process.stderr is not None
        first = self.process.stderr.readline().decode()
        assert first.startswith("metrics: http://127.0.0.1:"), first
        self.url = first.split()[1]

    def ask(self, path: str) -> tuple[int, str]:
        return ask(self.url, path)

    def wait_for(self, path: str, wanted: Callable[[tuple[int, str]], bool]) -> list[tuple[int, str]]:
        """Ask until the answer is the wanted one; gives all the different ones, in order."""
        until, said = time.monotonic() + GIVE_UP_S, [self.ask(path)]
        while not wanted(said[-1]):
            assert time.monotonic() < until, said[-3:]
            time.sleep(0.01)
            answer = self.ask(path)
            if answer != said[-1]:
                said.append(answer)
        return said

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


class Asking:
    """Watches a run of this process, and asks the server at each of its turns."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ready: list[tuple[int, str]] = []
        self.health: list[int] = []
        self.last = ""

    def _ask(self) -> None:
        self.ready.append(ask(self.url, "/readyz"))
        self.health.append(ask(self.url, "/healthz")[0])

    def started(self, request: RunRequest) -> None:
        self._ask()

    def progress(self, progress: Progress) -> None:
        self._ask()

    def warning(self, message: str) -> None:
        raise AssertionError(message)

    def finished(self, summary: RunSummary) -> None:
        self.last = ask(self.url, "/metrics")[1]


def request(events: Path, folder: Path, *overrides: str) -> RunRequest:
    return RunRequest(
        flow="fraud",
        sources=(str(events),),
        to=str(folder / "decisions.jsonl"),
        dead_letters=None,
        state=folder / "state",
        settings=load(None, overrides),
        config_file=None,
        speed=None,
        learn=True,
    )


def test_a_run_is_ready_only_while_it_decides_and_its_figures_are_those_of_its_outputs(tmp_path, events):
    asked = request(events, tmp_path, "flow.shards=2", "journal.checkpoint_inputs_max=2000")
    with served(asked.settings, 0, None) as it:
        assert it is not None
        asking = Asking(it.url)
        summary = run(replace(asked, telemetry=it.recorder), asking)
    assert summary.exit_code == 0
    assert asking.ready[0] == (503, "recovering\n")
    assert asking.ready[-1] == (503, "draining\n")
    assert set(asking.ready[1:-1]) == {(200, "running\n")}
    assert set(asking.health) == {200}
    seen = counters(asking.last)
    decisions = [orjson.loads(line) for line in (tmp_path / "decisions.jsonl").read_bytes().splitlines()]
    assert seen["headrace_decisions_total"] == Counter(decision["action"] for decision in decisions)
    assert seen["headrace_decision_latency_seconds_count"][""] == len(decisions)
    assert seen["headrace_decision_score_count"][""] == len(decisions)
    reasons = Counter(reason["code"] for decision in decisions for reason in decision["reasons"])
    assert +seen["headrace_reasons_total"] == reasons
    types = Counter(orjson.loads(line)["type"] for line in events.read_bytes().splitlines())
    assert +seen["headrace_events_total"] == types
    assert seen["headrace_model_updates_total"][""] == seen["headrace_outcomes_total"]["matched"]
    assert seen["headrace_checkpoints_total"]["written"] >= 1
    assert seen["headrace_source_read_bytes"]["0"] == events.stat().st_size
    assert seen["headrace_stage_latency_seconds_count"]["write"] == len(decisions)


def test_a_killed_run_is_not_ready_before_its_tail_is_applied_and_its_counts_go_on(tmp_path, events):
    state = tmp_path / "state"
    arguments = (
        "--to",
        tmp_path / "decisions.jsonl",
        "--state",
        state,
        "--set",
        "journal.checkpoint_seconds=86400",
    )
    first = request(events, tmp_path, "journal.checkpoint_seconds=86400.0")
    with served(first.settings, 0, None) as it:
        assert it is not None
        asking = Asking(it.url)
        assert run(replace(first, telemetry=it.recorder), asking).exit_code == 0
    # As after a kill before the first checkpoint: the journal's tail is the whole of it.
    for checkpoint in state.glob("shard-00/*.ckpt"):
        checkpoint.unlink()
    with Running("--from", "-", *arguments, stdin=subprocess.PIPE) as running:
        said = running.wait_for("/readyz", lambda answer: answer == (200, "running\n"))
        assert said == [(503, "recovering\n"), (200, "running\n")]
        before, after = counters(asking.last), counters(running.ask("/metrics")[1])
        assert after["headrace_recovery_inputs"]["00"] == len(events.read_bytes().splitlines())
        for name in ("decisions", "outcomes", "reasons", "dead_letters", "duplicates"):
            assert after[f"headrace_{name}_total"] == before[f"headrace_{name}_total"], name
        assert not +after["headrace_events_total"]
        assert running.ask("/healthz") == (200, "ok\n")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(GIVE_UP_S) == 0


def test_a_flow_that_cannot_write_is_not_healthy_until_it_can(tmp_path, events):
    assert events.stat().st_size > UNTAKEN_BYTES
    arguments = ("--dead-letters", tmp_path / "dead.jsonl", "--set", "metrics.stalled_seconds_max=0.3")
    with Running("--from", events, "--to", "-", *arguments, stdout=subprocess.PIPE) as running:
        (_, said) = running.wait_for("/healthz", lambda answer: answer[0] == 503)[-1]
        assert said.startswith("stalled: the flow has not moved for ")
        assert running.ask("/readyz")[0] == 503
        assert running.ask("/metrics")[0] == 200
        out, _ = running.process.communicate(timeout=GIVE_UP_S)
    assert running.process.returncode == 0
    assert len(out) > UNTAKEN_BYTES


def test_a_flow_without_input_is_healthy(tmp_path):
    arguments = ("--to", tmp_path / "decisions.jsonl", "--set", "metrics.stalled_seconds_max=3")
    with Running("--from", "-", *arguments, stdin=subprocess.PIPE) as running:
        running.wait_for("/readyz", lambda answer: answer[0] == 200)
        time.sleep(4.0)
        # On a busy machine it may have been stalled for a while; without a turn since, it would still.
        running.wait_for("/healthz", lambda answer: answer == (200, "ok\n"))


def test_decisions_are_the_same_whether_or_not_they_are_watched(tmp_path, events):
    plain, watched = tmp_path / "plain.jsonl", tmp_path / "watched.jsonl"
    command = [sys.executable, "-m", "headrace", "run", "fraud", "--from", str(events), "--to"]
    subprocess.run([*command, str(plain)], capture_output=True, check=True, timeout=GIVE_UP_S)
    with Running("--from", events, "--to", watched) as running:
        while running.process.poll() is None:
            try:
                assert running.ask("/metrics")[0] == 200
            except OSError:  # it has ended meanwhile
                break
        assert running.process.wait(GIVE_UP_S) == 0
    assert watched.read_bytes() == plain.read_bytes()
