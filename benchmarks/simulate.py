"""Speed of the simulator: events a second, from the seed to a plain file, and the most memory it takes.

Every world is made in a process of its own. Starting Python and importing are in no figure, writing the
truths is. The file goes to a temporary folder; that it has reached the disk is not waited for.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from _conditions import conditions, peak_bytes

from headrace.operators.simulator import Network, presets, simulate, write

_RATE_MIN: Final = 50_000
_HEADER: Final = (
    f"{'preset':<14} {'seed':>4} {'payments':>8} {'frauds':>7} {'events':>9} {'MB':>6} {'s':>6} {'CPU s':>6}"
    f" {'events/s':>9} {'peak MB':>7}"
)


class Measured(NamedTuple):
    """What making one world took."""

    payments: int
    frauds: int
    events: int
    file_bytes: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if a world came too slowly and that was asked for."""
    options = _parser().parse_args(arguments)
    if options.only:
        print(json.dumps(_measure(options.only, options.seed)))
        return 0
    print(conditions(["numpy"]))
    print(_HEADER, flush=True)
    rates = []
    for preset in options.preset or presets():
        measured = _measure_apart(preset, options.seed)
        print(_line(preset, options.seed, measured), flush=True)
        rates.append(measured.events / measured.seconds)
    print(f"slowest: {min(rates):,.0f} events/s")
    if options.check and min(rates) < _RATE_MIN:
        print(f"a world was written at less than {_RATE_MIN:,} events/s", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", action="append", choices=presets(), help="default: all of them")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--check", action="store_true", help=f"fail below {_RATE_MIN:,} events a second")
    parser.add_argument("--only", choices=presets(), help=argparse.SUPPRESS)
    return parser


def _measure_apart(preset: str, seed: int) -> Measured:
    """One world in a process of its own."""
    command = [sys.executable, __file__, "--only", preset, "--seed", str(seed)]
    return Measured(*json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))


def _measure(preset: str, seed: int) -> Measured:
    with TemporaryDirectory() as folder:
        events, truth = Path(folder, "events.jsonl"), Path(folder, "truth.csv")
        began, cpu = time.perf_counter(), time.process_time()
        world = simulate(preset, seed)
        truths = Path(folder, "truths") if isinstance(world, Network) else None
        count = write(world, events, truth, truths=truths)
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
        size = events.stat().st_size
    frauds = int(world.fraud.sum())
    return Measured(world.time_s.size, frauds, count, size, seconds, cpu_seconds, peak_bytes())


def _line(preset: str, seed: int, found: Measured) -> str:
    return (
        f"{preset:<14} {seed:>4} {found.payments:>8} {found.frauds / found.payments:>7.2%} {found.events:>9}"
        f" {found.file_bytes / 1e6:>6.0f} {found.seconds:>6.2f} {found.cpu_seconds:>6.2f}"
        f" {found.events / found.seconds:>9,.0f} {found.peak_bytes / 1e6:>7.0f}"
    )


if __name__ == "__main__":
    sys.exit(main())
