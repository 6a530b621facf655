"""What being watched costs: the same file with and without metrics, in turns.

Every run keeps its state and has a process of its own, held to one core. Whoever scrapes /metrics every
second is another process, on another core where there is one. CPU time, the steadier figure, is that of the
run's process with the server's threads; starting Python and importing are in no figure, nor is the child that
writes a checkpoint. What else the machine does only adds to a run's CPU time: where it is busy, compare the
least of each kind.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from _conditions import conditions, held_to_one_core, simulated

from headrace.config.loading import load
from headrace.runtime.runs import Progress, RunRequest, RunSummary

_PRESET: Final = "handbook-small"
_SCRAPE_EVERY_S: Final = 1.0
_COST_MAX: Final = 0.03
_KINDS: Final = ("plain", "metrics")
_NAMES: Final = {"plain": "without", "metrics": "with metrics"}


class Measured(NamedTuple):
    """What one run took."""

    events: int
    seconds: float
    cpu_seconds: float
    server_cpu_seconds: float
    scrapes: int
    scrape_ms: float

    @property
    def cpu_us(self) -> float:
        """CPU time of an event, microseconds."""
        return self.cpu_seconds / self.events * 1e6


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if it costs more than 3 % of CPU time and that was asked for."""
    options = _parser().parse_args(arguments)
    if options.only:
        _run_here(options.only, options.events, options.config)
        return 0
    print(conditions())
    with TemporaryDirectory() as folder:
        events = options.events or simulated(_PRESET, Path(folder))
        rounds = []
        for number in range(options.rounds):
            # Whoever goes first may find caches colder; they take turns.
            kinds = _KINDS if number % 2 else _KINDS[::-1]
            rounds.append({kind: _run_apart(kind, events, options.config) for kind in kinds})
        cost = _print(events, rounds)
    if options.check and cost > _COST_MAX:
        print(f"metrics cost more than {_COST_MAX:.0%} of CPU time", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("events", type=Path, nargs="?", help=f"a file of events; default: preset {_PRESET}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--config", type=Path, help="a configuration in place of the flow's own")
    parser.add_argument("--check", action="store_true", help="fail if the cost in CPU time is above 3 %%")
    parser.add_argument("--only", choices=_KINDS, help=argparse.SUPPRESS)
    return parser


# -- one run


def _run_apart(kind: str, events: Path, config: Path | None) -> Measured:
    """One run in a process of its own, scraped if it can be."""
    command = [sys.executable, __file__, str(events), "--only", kind]
    command += ["--config", str(config)] if config else []
    with _off_the_last_core(), subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        scraper = _Scraper(process.stdout.readline().strip())
        count, seconds, cpu_seconds, server_cpu_seconds = json.loads(process.stdout.readline())
        scraper.stop()
    return Measured(count, seconds, cpu_seconds, server_cpu_seconds, len(scraper.took_s), scraper.median_ms)


def _run_here(kind: str, events: Path, config: Path | None) -> None:
    """Run, and print the address of the metrics before it, and what it took after it."""
    from headrace.metrics.serving import served
    from headrace.runtime.file_run import run

    held_to_one_core()
    settings = load(config)
    with TemporaryDirectory() as name, served(settings, 0 if kind == "metrics" else None, config) as metrics:
        request = RunRequest(
            flow="fraud",
            sources=(str(events),),
            to=str(Path(name) / "decisions.jsonl"),
            dead_letters=None,
            state=Path(name) / "state",
            settings=settings,
            config_file=config,
            speed=None,
            learn=True,
            telemetry=metrics.recorder if metrics else None,
        )
        print(metrics.url if metrics else "", flush=True)
        began, cpu, own = time.perf_counter(), time.process_time(), time.thread_time()
        summary = run(request, _Unwatched())
        seconds, own_seconds = time.perf_counter() - began, time.thread_time() - own
        cpu_seconds = time.process_time() - cpu
        took = summary.progress.inputs, seconds, cpu_seconds, cpu_seconds - own_seconds
        print(json.dumps(took), flush=True)
    if summary.error:
        raise SystemExit(summary.error)


class _Unwatched:
    def started(self, request: RunRequest) -> None:
        """Nobody looks."""

    def progress(self, progress: Progress) -> None:
        """Nobody looks."""

    def warning(self, message: str) -> None:
        """Print a warning."""
        print(message, file=sys.stderr)

    def finished(self, summary: RunSummary) -> None:
        """Nobody looks."""


@contextlib.contextmanager
def _off_the_last_core() -> Iterator[None]:
    """Leave the last core to the run, where there is another."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if len(cores) < 2:
        yield
        return
    os.sched_setaffinity(0, cores - {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


class _Scraper:
    """Asks for the metrics every second, as long as they are there."""

    def __init__(self, url: str | None) -> None:
        self.url = url
        self.took_s: list[float] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._scrape, daemon=True)
        self._thread.start()

    def _scrape(self) -> None:
        while self.url and not self._ended.wait(_SCRAPE_EVERY_S):
            began = time.perf_counter()
            try:
                with urllib.request.urlopen(self.url, timeout=10) as answer:
                    answer.read()
            except OSError:
                return
            self.took_s.append(time.perf_counter() - began)

    def stop(self) -> None:
        """Ask no more."""
        self._ended.set()
        self._thread.join()

    @property
    def median_ms(self) -> float:
        """Milliseconds that an answer took, the median."""
        return median(self.took_s) * 1000 if self.took_s else 0.0


# -- printing


def _print(events: Path, rounds: Sequence[dict[str, Measured]]) -> float:
    """Print medians and least values; gives the cost in CPU time between the least, as a share."""
    count = rounds[0]["plain"].events
    print(f"{events.name}: {count:,} events, {len(rounds)} rounds, with state, one core")
    print(f"{'':<14} {'events/s':>9} {'CPU us/event':>13} {'least':>6} {'scrapes':>8} {'ms each':>8}")
    for kind in _KINDS:
        runs = [each[kind] for each in rounds]
        print(
            f"{_NAMES[kind]:<14} {median(run.events / run.seconds for run in runs):>9,.0f}"
            f" {median(run.cpu_us for run in runs):>13.2f} {min(run.cpu_us for run in runs):>6.2f}"
            f" {median(run.scrapes for run in runs):>8.0f} {median(run.scrape_ms for run in runs):>8.1f}"
        )
    watched = [each["metrics"] for each in rounds]
    costs = [each["metrics"].cpu_seconds / each["plain"].cpu_seconds - 1 for each in rounds]
    slower = [each["metrics"].seconds / each["plain"].seconds - 1 for each in rounds]
    server = median(run.server_cpu_seconds / run.cpu_seconds for run in watched)
    least = min(run.cpu_us for run in watched) / min(each["plain"].cpu_us for each in rounds) - 1
    print(f"cost by CPU time, each round: {', '.join(f'{cost:+.1%}' for cost in costs)}")
    print(f"median: {median(costs):+.1%} by CPU time, {median(slower):+.1%} by the clock")
    print(f"between the least CPU times: {least:+.1%}; of the CPU time, {server:.1%} is the server's")
    return least


if __name__ == "__main__":
    sys.exit(main())
