"""A run that finds nothing compiled begins at once, and goes on in machine code once that is there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import started_anew
from worlds import clicks, tiny_world

pytest.importorskip("numba")
pytestmark = [pytest.mark.integration, pytest.mark.slow]

GIVE_UP_S = 600
PLAIN = "machine code isn't compiled yet: plain Python decides until it is"
LINES = {"fraud": tiny_world(400), "recommend": clicks(300)}


class Running:
    """A run in an interpreter of its own, whose events come when they are given."""

    def __init__(self, folder: Path, cache: Path, flow: str, *more: str) -> None:
        self.folder = folder
        self._said = (folder / "said").open("wb")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "headrace", "run", flow, "--from", "-", "--to", "decisions.jsonl"),
                *("--state", "state", "--metrics-port", "0", *more),
            ],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            env=os.environ | {"XDG_CACHE_HOME": str(cache), "COLUMNS": "400"},
        )
        assert self.process.stdin is not None
        self.given = self.process.stdin

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    def give(self, lines: list[bytes]) -> None:
        self.given.write(b"".join(line + b"\n" for line in lines))
        self.given.flush()

    def until(self, true: Callable[[], object]) -> None:
        until = time.monotonic() + GIVE_UP_S
        while not true():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < until, self.said
            time.sleep(0.02)

    def decided(self) -> int:
        file = self.folder / "decisions.jsonl"
        return file.read_bytes().count(b"\n") if file.exists() else 0

    def metric(self, name: str) -> float:
        (url,) = re.findall(r"http://\S+", self.said)
        with urllib.request.urlopen(url) as answer:
            found = re.findall(rf"^{re.escape(name)} (\S+)$", answer.read().decode(), re.MULTILINE)
        return float(found[0]) if found else -1.0

    def twin(self, flow: str, twin: str) -> float:
        return self.metric(f'headrace_deciding_twin{{flow="{flow}",shard="00",twin="{twin}"}}')

    def end(self) -> int:
        self.given.close()
        code = self.process.wait(GIVE_UP_S)
        self._said.close()
        return code

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self.given.close()
        self._said.close()


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Begins runs, each on a cache that is still empty unless another one is named."""
    runs: list[Running] = []

    def begin(name: str, flow: str, *more: str, cache: Path | None = None) -> Running:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        runs.append(Running(folder, cache or tmp_path / f"{name}-cache", flow, *more))
        return runs[-1]

    yield begin
    for run in runs:
        run.kill()


def decided_at_once(folder: Path, flow: str) -> bytes:
    """The decisions of a run that is in plain Python all along."""
    folder.mkdir()
    (folder / "events.jsonl").write_bytes(b"".join(line + b"\n" for line in LINES[flow]))
    ended = subprocess.run(
        [*(sys.executable, "-m", "headrace", "run", flow), "--from", "events.jsonl", "--to", "d.jsonl"],
        cwd=folder,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert PLAIN.encode() not in ended.stderr
    return (folder / "d.jsonl").read_bytes()


def test_a_run_begins_in_plain_python_and_goes_on_in_machine_code(begun, tmp_path):
    """D-TWIN-1, D-TWIN-2."""
    run = begun("run", "fraud")
    run.give(LINES["fraud"][:200])
    run.until(run.decided)
    assert run.twin("fraud", "plain") == 1.0
    assert PLAIN in run.said
    run.until(lambda: "machine code is compiled, after" in run.said)
    run.give(LINES["fraud"][200:300])
    run.until(lambda: run.twin("fraud", "compiled") == 1.0)
    run.give(LINES["fraud"][300:])
    assert run.end() == 0, run.said
    assert (tmp_path / "run/decisions.jsonl").read_bytes() == decided_at_once(tmp_path / "plain", "fraud")
    # What was compiled is there for the next one, and both twins together have left a journal of one kind.
    verified = started_anew("replay", "--state", "run/state", "--verify", folder=tmp_path)
    assert verified.code == 0, verified.said
    further = begun("run", "fraud", cache=tmp_path / "run-cache")
    further.give(LINES["fraud"][:1])
    assert further.end() == 0, further.said
    assert PLAIN not in further.said


@pytest.mark.parametrize("flow", LINES)
def test_a_run_that_is_killed_while_it_compiles_goes_on(begun, tmp_path, flow):
    """D-TWIN-1."""
    run, half = begun("run", flow), len(LINES[flow]) // 2
    run.give(LINES[flow][:half])
    run.until(run.decided)
    assert run.twin(flow, "plain") == 1.0
    run.kill()
    run = begun("run", flow)
    run.give(LINES[flow])
    assert run.end() == 0, run.said
    assert (tmp_path / "run/decisions.jsonl").read_bytes() == decided_at_once(tmp_path / "plain", flow)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ((), "machine code can't be compiled, and plain Python goes on deciding: it ended with 1: error: "),
        (
            ("--set", "processes.compile_seconds_max=0.1"),
            "it takes longer than 0.1 s (processes.compile_seconds_max)",
        ),
    ],
)
def test_where_compiling_fails_plain_python_goes_on(begun, tmp_path, setting, said):
    """D-TWIN-2."""
    if not setting:
        (tmp_path / "run-cache/headrace/kernels/compiling.lock").mkdir(parents=True)
    run = begun("run", "fraud", *setting)
    run.give(LINES["fraud"][:200])
    run.until(lambda: said in run.said)
    run.give(LINES["fraud"][200:])
    run.until(lambda: run.metric('headrace_compilations_failed_total{flow="fraud"}') == 1.0)
    assert run.twin("fraud", "plain") == 1.0
    assert run.end() == 0, run.said
    assert (tmp_path / "run/decisions.jsonl").read_bytes() == decided_at_once(tmp_path / "plain", "fraud")


def test_what_is_compiled_ahead_is_found_by_a_run(begun, tmp_path):
    cache = tmp_path / "cache"
    ended = subprocess.run(
        [sys.executable, "-m", "headrace", "warm", "fraud"],
        env=os.environ | {"XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "fraud: its machine code is there" in ended.stdout
    assert f"kept in {cache}/headrace/kernels" in ended.stdout
    run = begun("run", "fraud", cache=cache)
    run.give(LINES["fraud"])
    run.until(run.decided)
    assert run.twin("fraud", "compiled") == 1.0
    assert run.end() == 0
    assert PLAIN not in run.said


def test_without_numba_nothing_can_be_compiled_ahead(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    ended = started_anew("warm", folder=tmp_path)
    assert ended.code == 2
    assert "needs Numba, which is not installed or switched off" in ended.said
