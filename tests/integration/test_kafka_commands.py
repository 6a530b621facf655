"""The commands that README and the runbook on Kafka give to operators work as they stand there."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.config.settings import SHIPPED

sys.path.insert(0, str(Path(__file__).parent))
from topics import fill

pytestmark = pytest.mark.broker

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "docs/runbooks/kafka.md")
PATIENCE_S = 60
PAYMENT = (
    b'{"type":"payment","event_id":"p-%d","event_time":"2026-03-01T09:30:00Z",'
    b'"customer_id":"c-%d","merchant_id":"m-3","amount":15.49,"currency":"EUR"}'
)


def command_of(page: str) -> list[str]:
    """The arguments of the command that runs a flow on topics."""
    text = (ROOT / page).read_text().replace("\\\n", " ")
    found = re.findall(r"^headrace (run .*kafka:.*)$", text, re.MULTILINE)
    assert len(found) == 1, page
    return shlex.split(found[0])


@pytest.mark.parametrize("page", PAGES)
def test_the_command_runs_and_decides(page, broker, tmp_path):
    config = re.sub(r"^shards = 1 ", "shards = 4 ", SHIPPED.read_text(), flags=re.MULTILINE)
    config = re.sub(r"^# brokers = .*$", f'brokers = ["{broker.brokers}"]', config, flags=re.MULTILINE)
    (tmp_path / "mine.toml").write_text(config)
    own = [each.replace("kafka:", f"kafka:{time.time_ns()}-") for each in command_of(page)]
    arguments = [
        "0" if before == "--metrics-port" else each for before, each in zip(["", *own], own, strict=False)
    ]
    with (tmp_path / "said").open("wb") as said:
        run = subprocess.Popen(
            [sys.executable, "-m", "headrace", *arguments, "--create-topics"],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        awaited(run, tmp_path, (tmp_path / "state" / "processes.json").exists)
        payments = next(each for each in arguments if each.endswith("-payments")).removeprefix("kafka:")
        fill(broker.brokers, payments, 0, [PAYMENT % (number, number) for number in range(20)])
        awaited(run, tmp_path, lambda: b"\n20 decisions |" in (tmp_path / "said").read_bytes())
        told = json.loads((tmp_path / "state" / "processes.json").read_bytes())
        assert [each["shards"] for each in told["processes"]] == [[0, 2], [1, 3]]
        run.send_signal(signal.SIGTERM)
        assert run.wait(PATIENCE_S) == 0, (tmp_path / "said").read_text()
    finally:
        run.kill()
        run.wait()


def awaited(run: subprocess.Popen[bytes], folder: Path, reached: Callable[[], bool]) -> None:
    """Wait until something is so, and the run still there."""
    until = time.monotonic() + PATIENCE_S
    while not reached():
        assert run.poll() is None, (folder / "said").read_text()
        assert time.monotonic() < until, (folder / "said").read_text()
        time.sleep(0.05)
