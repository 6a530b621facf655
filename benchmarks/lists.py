"""Measures lists: clicks a second, CPU and journal bytes a list, and what learning from all costs.

usage: python benchmarks/lists.py [EVENTS ...]

Without files: clicks of the simulator's preset `network-small`.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from _conditions import conditions, simulated

SETTINGS = ((1, "all"), (4, "all"), (4, "own"))


class Ran(NamedTuple):
    """One run: wall and CPU seconds, decisions, bytes of journals, and what it said of its quality."""

    seconds: float
    cpu_seconds: float
    decisions: int
    journal_bytes: int
    quality: str


def run(events: list[str], folder: Path, shards: int, learn_from: str, *, durable: bool = True) -> Ran:
    """Run the flow as a user does."""
    to, state = folder / "decisions.jsonl", folder / "state"
    command = [sys.executable, "-m", "headrace", "run", "recommend", "--to", str(to)]
    command += [part for path in events for part in ("--from", path)]
    command += ["--set", f"flow.shards={shards}", "--set", f"flow.learn_from={learn_from}"]
    command += ["--state", str(state)] if durable else []
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    with to.open("rb") as lines:
        decisions = sum(1 for _ in lines)
    said = next(line for line in done.stderr.splitlines() if line.startswith("quality"))
    return Ran(
        seconds,
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        decisions,
        sum(path.stat().st_size for path in state.rglob("*.seg")) if durable else 0,
        said,
    )


def main() -> None:
    """Run it with each setting and print what was seen."""
    print(conditions())
    with TemporaryDirectory(prefix="headrace-lists-") as folder:
        events = sys.argv[1:] or [str(simulated("network-small", Path(folder)))]
        for durable in (False, True):
            for shards, learn_from in SETTINGS if durable else SETTINGS[:1]:
                with TemporaryDirectory(dir=folder) as place:
                    ran = run(events, Path(place), shards, learn_from, durable=durable)
                kept = f"{ran.journal_bytes / ran.decisions:,.0f} journal bytes" if durable else "no journal"
                print(
                    f"shards {shards}, learn_from {learn_from:<3}: {ran.decisions:,} lists,"
                    f" {ran.decisions / ran.seconds:,.0f} a second,"
                    f" {ran.cpu_seconds / ran.decisions * 1e6:,.0f} us of CPU and {kept} each;"
                    f" {ran.quality}"
                )


if __name__ == "__main__":
    main()
