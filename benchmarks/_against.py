"""Compares what a run costs with what it cost at another commit, in alternating pairs.

usage: python benchmarks/_against.py COMMIT [--flow fraud|recommend] [--pairs N] [--no-state] [EVENTS]

Both trees decide the same file by the command line, in turns and in changing order, held to one core. What
starting takes, measured on a file of one event, is taken off. The ratio's interval is that of the median by
order statistics, which assumes nothing of how the noise is distributed. Ends with 1 if its upper end is above
the limit.
"""

from __future__ import annotations

import argparse
import gzip
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import comb
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from _conditions import conditions, held_to_one_core, simulated

ROOT: Final = Path(__file__).resolve().parents[1]
PRESETS: Final = {"fraud": "handbook-small", "recommend": "demo-network"}
RATIO_MAX: Final = 1.03
CONFIDENCE: Final = 0.95


@dataclass
class Tree:
    """A checkout, and what its runs have cost in CPU seconds: whole ones, and those of a single event."""

    name: str
    root: Path
    whole: list[float] = field(default_factory=list)
    start: list[float] = field(default_factory=list)

    def run(self, options: argparse.Namespace, events: Path) -> float:
        """Decide a file in a process of its own, and give the CPU seconds of it and its children."""
        with TemporaryDirectory(prefix="headrace-against-") as name:
            folder = Path(name)
            state = [] if options.no_state else ["--state", folder / "state"]
            command = [sys.executable, "-m", "headrace", "run", options.flow]
            command += map(str, ["--from", events, "--to", folder / "decisions.jsonl", *state])
            environment = os.environ | {"PYTHONPATH": str(self.root / "src")}
            with (folder / "said").open("w") as said:
                process = subprocess.Popen(command, stderr=said, cwd=folder, env=environment)
                _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                sys.exit(f"{self.name}: {(folder / 'said').read_text()}")
        return used.ru_utime + used.ru_stime

    def net(self) -> list[float]:
        """CPU seconds of the whole runs without their start."""
        start = median(self.start)
        return [each - start for each in self.whole]


def interval(ratios: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of the median by order statistics; with too few values it is the whole range.

    References
    ----------
    Conover: Practical Nonparametric Statistics, 3rd edition, section 3.2, confidence intervals for quantiles.
    """
    values, count = sorted(ratios), len(ratios)
    tail, rank = 0.0, 0
    while rank < count // 2:
        tail += comb(count, rank) / 2**count
        if 2 * tail > 1 - confidence:
            break
        rank += 1
    low = max(rank - 1, 0)
    return values[low], values[count - 1 - low]


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """Check a commit out in a temporary folder."""
    with TemporaryDirectory(prefix="headrace-base-") as name:
        folder = Path(name) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=True)
        try:
            yield folder
        finally:
            subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def first_event(events: Path, folder: Path) -> Path:
    """Return a file of the first event alone."""
    with gzip.open(events) if events.suffix == ".gz" else events.open("rb") as lines:
        path = folder / "first.jsonl"
        path.write_bytes(next(iter(lines)))
        return path


def measure(trees: Sequence[Tree], options: argparse.Namespace, folder: Path) -> None:
    """Let the trees take turns; each begins every second pair."""
    events = options.events or simulated(PRESETS[options.flow], folder)
    single = first_event(events, folder)
    for tree in trees:
        tree.run(options, single)  # compiles what a first start compiles
    for number in range(options.pairs):
        for tree in trees if number % 2 else reversed(trees):
            tree.start.append(tree.run(options, single))
            tree.whole.append(tree.run(options, events))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if the ratio's interval goes beyond the limit."""
    options = _parser().parse_args(arguments)
    held_to_one_core()
    print(conditions(["numba"]))
    with checked_out(options.commit) as base, TemporaryDirectory() as folder:
        before, after = Tree(options.commit, base), Tree("now", ROOT)
        measure((before, after), options, Path(folder))
    ratios = [new / old for old, new in zip(before.net(), after.net(), strict=True)]
    low, high = interval(ratios)
    print(
        f"{options.flow}, {options.pairs} pairs, {'without' if options.no_state else 'with'} a state:"
        f" CPU s {median(before.net()):.2f} at {before.name}, {median(after.net()):.2f} now"
        f" (and {median(before.start):.2f}, {median(after.start):.2f} for a start);"
        f" ratio {median(ratios):.3f}, {CONFIDENCE:.0%} interval {low:.3f} to {high:.3f}"
    )
    if high > options.ratio_max:
        print(f"the interval goes beyond {options.ratio_max}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commit", help="what to compare with")
    parser.add_argument("events", type=Path, nargs="?", help="a file of events; default: a simulated world")
    parser.add_argument("--flow", choices=PRESETS, default="fraud")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--no-state", action="store_true", help="without journal")
    parser.add_argument("--ratio-max", type=float, default=RATIO_MAX)
    return parser


if __name__ == "__main__":
    sys.exit(main())
