"""Measures what slates cost: learning from all clicks against a shard's own, by number of shards.

usage: python benchmarks/slates.py [--days N] [EVENTS ...]

Without files: the first days of the simulator's preset `network-small`; and if HEADRACE_DATA names the
folder with the real data, the clicks of an online shop as well. Prints a Markdown table for each.
"""

from __future__ import annotations

import argparse
import gzip
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import orjson
from _conditions import conditions
from _next_clicks import Evaluated

SETTINGS = ((1, "all"), (2, "all"), (4, "all"), (2, "own"), (4, "own"))
DAYS = 14
HEAD = (
    "shards",
    "learn from",
    "slates a second",
    "CPU a click",
    "peak memory",
    "journal",
    "HR",
    "MRR",
)


class Ran(NamedTuple):
    """One run: wall and CPU seconds, slates, peak memory and journal in bytes, the quality of all slates."""

    seconds: float
    cpu_seconds: float
    slates: int
    memory_bytes: int
    journal_bytes: int
    hit_rate: float
    reciprocal_rank: float


def headrace(*arguments: object) -> list[str]:
    """Return the command line."""
    return [sys.executable, "-m", "headrace", *map(str, arguments)]


def run(events: Sequence[Path], folder: Path, shards: int, learn_from: str) -> Ran:
    """Run the flow as a user does, with a state."""
    to, state = folder / "slates.jsonl", folder / "state"
    sources = [part for path in events for part in ("--from", path)]
    overrides = ("--set", f"flow.shards={shards}", "--set", f"flow.learn_from={learn_from}")
    begun = time.perf_counter()
    command = headrace("run", "recommend", *sources, "--to", to, "--state", state, *overrides)
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(command, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit((folder / "said").read_text())
    evaluated, slates = evaluate(events, to)
    quality = evaluated.quality()
    return Ran(
        seconds,
        used.ru_utime + used.ru_stime,
        slates,
        used.ru_maxrss * 1024,
        sum(path.stat().st_size for path in state.rglob("*.seg")),
        quality.hit_rate,
        quality.reciprocal_rank,
    )


def evaluate(events: Sequence[Path], to: Path) -> tuple[Evaluated, int]:
    """Evaluate each slate by its session's next click; and how many slates there are."""
    asked = {event["event_id"]: event for path in events for event in clicks(path)}
    evaluated, slates = Evaluated(), 0
    last: dict[str, list[str]] = {}
    seen: dict[str, set[str]] = {}
    with to.open("rb") as lines:
        for line in lines:
            decision = orjson.loads(line)
            click, slates = asked[decision["event_id"]], slates + 1
            session, item = click["session_id"], click["item_id"]
            known = seen.setdefault(session, set())
            if session in last:
                evaluated.note(session, last[session], item, new=item not in known)
            known.add(item)
            last[session] = [each["item_id"] for each in decision["items"]]
    return evaluated, slates


def clicks(path: Path) -> Iterator[dict[str, str]]:
    """Yield the clicks of a file; lines that are no use are left out, as the flow leaves them out."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        for line in lines:
            try:
                event = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if event.get("type") == "click":
                yield event


def table(name: str, events: Sequence[Path], folder: Path) -> None:
    """Run it with each setting, and print a row as soon as it is known."""
    print(f"\n{name}:\n\n| {' | '.join(HEAD)} |\n|{' ---: |' * len(HEAD)}")
    for shards, learn_from in SETTINGS:
        with TemporaryDirectory(dir=folder) as place:
            ran = run(events, Path(place), shards, learn_from)
        cells = (
            str(shards),
            learn_from if shards > 1 else "-",
            f"{ran.slates / ran.seconds:,.0f}",
            f"{ran.cpu_seconds / ran.slates * 1e6:,.0f} us",
            f"{ran.memory_bytes / 1e6:,.0f} MB",
            f"{ran.journal_bytes / ran.slates:,.0f} bytes",
            f"{ran.hit_rate:.3f}",
            f"{ran.reciprocal_rank:.3f}",
        )
        print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Measure what is named, or the simulated shop and, where it is, the real one."""
    options = _options()
    print(conditions(["numba"]))
    with TemporaryDirectory(prefix="headrace-slates-") as name:
        folder = Path(name)
        if options.events:
            table("the named files", options.events, folder)
            return
        world = folder / "network-small.jsonl"
        # Not in this process: a child's peak of memory would count what its parent held when it was started.
        simulate = headrace("simulate", "--preset", "network-small", "--days", options.days, "--to", world)
        subprocess.run(simulate, check=True, capture_output=True)
        table(
            f"`network-small`, {options.days} days, {sum(1 for _ in clicks(world)):,} clicks", [world], folder
        )
        if data := os.environ.get("HEADRACE_DATA"):
            parts = ("train", "valid", "test")
            real = [Path(data, "clicks", f"serenade_{part}.jsonl.gz") for part in parts]
            count = sum(1 for path in real for _ in clicks(path))
            table(f"an online shop, {count:,} clicks", real, folder)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("events", nargs="*", type=Path)
    parser.add_argument("--days", type=int, default=DAYS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
