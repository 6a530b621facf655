"""Replay: how quickly a journal is derived once more, or decided under another configuration.

Every command has a process of its own, held to one core; rounds are repeated, and medians are printed. The
run reads a file and writes journal and decisions. Verifying and deciding again read the journal. The report
is what comes then: outcomes are joined, and 1,000 draws of the customers give the intervals. CPU time is that
of the process, without the start of Python and the imports.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from _conditions import conditions, fraud_settings

import headrace.flows.kinds  # noqa: F401  # makes them known
from headrace.config.fraud_flow import FraudSettings
from headrace.config.loading import lay_over
from headrace.kinds.fraud.replay_changes import Replayed, decide_again
from headrace.kinds.fraud.replay_report import report_of
from headrace.ledger.ledger import shard_directories
from headrace.replay.options import Options
from headrace.replay.past import Past
from headrace.replay.verify import rederive

_PRESET: Final = "handbook-small"
_KINDS: Final = ("run", "verify", "decide", "report")
_NAMES: Final = {
    "run": "headrace run --state",
    "verify": "replay --verify",
    "decide": "replay: decide again",
    "report": "replay: report",
}
_OTHER: Final = ("policy.block_at=0.6", "model.parameters.lr=0.1")


class Measured(NamedTuple):
    """What one process took."""

    events: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = _parser().parse_args(arguments)
    if options.only:
        print(json.dumps(_here(options.only, options.events, options.state)))
        return
    print(conditions())
    with TemporaryDirectory() as folder:
        events = options.events or _simulated(Path(folder))
        rounds = [_round(events, Path(folder, f"state-{number}")) for number in range(options.rounds)]
    _print(events, rounds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("events", type=Path, nargs="?", help=f"a file of events; default: preset {_PRESET}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=_KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--state", type=Path, help=argparse.SUPPRESS)
    return parser


def _simulated(folder: Path) -> Path:
    from headrace.operators.simulator import simulate, write

    path = folder / f"{_PRESET}.jsonl.gz"
    write(simulate(_PRESET, 1), path, None)
    return path


def _round(events: Path, state: Path) -> dict[str, Measured]:
    return {kind: _apart(kind, events, state) for kind in _KINDS}


def _apart(kind: str, events: Path, state: Path) -> Measured:
    command = [sys.executable, __file__, str(events), "--only", kind, "--state", str(state)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return Measured(*json.loads(done.stdout))


def _here(kind: str, events: Path, state: Path) -> Measured:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    prepared = _prepare(kind, events, state)
    began, cpu = time.perf_counter(), time.process_time()
    count = prepared()
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    return Measured(count, seconds, cpu_seconds, _peak_bytes())


def _peak_bytes() -> int:
    """Return the most memory that this program held; `ru_maxrss` would count its parent's at the fork too."""
    try:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _prepare(kind: str, events: Path, state: Path) -> Callable[[], int]:
    """Return what is to be timed."""
    if kind == "run":
        return _run(events, state)
    directories = shard_directories(state)
    if kind == "verify":
        return lambda: sum(_verified(directory, number) for number, directory in enumerate(directories))
    past = Past(directories)
    if kind == "decide":
        return lambda: _decided(past).inputs
    replayed = _decided(past)
    return lambda: _reported(past, replayed)


def _verified(directory: Path, shard: int) -> int:
    found = rederive(directory, shard=shard)
    if not found.same:
        raise SystemExit(f"{found.first or found.damage}")
    return found.inputs


def _other(past: Past) -> FraudSettings:
    settings = lay_over(past.configurations[-1].settings, _OTHER, "recorded")
    assert isinstance(settings, FraudSettings)
    return settings


def _decided(past: Past) -> Replayed:
    return decide_again(past, _other(past))


def _reported(past: Past, replayed: Replayed) -> int:
    report_of(replayed, past.configurations, _other(past), Options(cost={}))
    return replayed.inputs


def _run(events: Path, state: Path) -> Callable[[], int]:
    from headrace.runtime.file_run import run
    from headrace.runtime.runs import Progress, RunRequest, RunSummary

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

    request = RunRequest(
        flow="fraud",
        sources=(str(events),),
        to=str(state.with_suffix(".decisions")),
        dead_letters=None,
        state=state,
        settings=fraud_settings(),
        config_file=None,
        speed=None,
        learn=True,
    )
    return lambda: run(request, _Unwatched()).progress.inputs


def _print(events: Path, rounds: Sequence[dict[str, Measured]]) -> None:
    print(f"{events.name}: {rounds[0]['run'].events:,} events, {len(rounds)} rounds, one core")
    print(f"{'':<22} {'events/s':>9} {'CPU us/event':>13} {'of the run':>11} {'peak MB':>8}")
    for kind in _KINDS:
        found = [each[kind] for each in rounds]
        rate = median(each.events / each.seconds for each in found)
        cpu_us = median(each.cpu_seconds / each.events for each in found) * 1e6
        share = median(each["run"].cpu_seconds / each[kind].cpu_seconds for each in rounds)
        peak = median(each.peak_bytes for each in found) / 1e6
        print(f"{_NAMES[kind]:<22} {rate:>9,.0f} {cpu_us:>13.1f} {share:>11.2f} {peak:>8.0f}", flush=True)


if __name__ == "__main__":
    main()
