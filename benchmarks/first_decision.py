"""How long it is from the call of `headrace run` to its first decision: with nothing compiled, and with all.

Events wait on standard input. Cold, the folders of compiled code are empty, and what is compiled beside the
run is not waited for; warm, `headrace warm` has filled them. Seconds of the CPU, of all threads of the run,
stand beside those of the clock: on a machine that does other work, only they are the program's own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from _conditions import conditions

from headrace.operators.simulator import event_blocks, simulate

_WORLDS = {"fraud": ("tiny", b'"type":"payment"'), "recommend": ("demo-network", b'"type":"click"')}
_LINES = 100
_LOOK_S = 0.005
_PATIENCE_S = 300.0


class Start(NamedTuple):
    """Seconds until the first decision, by the clock and on the CPU."""

    seconds: float
    cpu_s: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="starts of each")
    options = parser.parse_args(arguments)
    print(conditions(["numba"]))
    print(f"{'flow':<10} {'compiled':<8} {'seconds':>8} {'CPU':>6}")
    for flow, (preset, asks) in _WORLDS.items():
        lines = b"".join(event_blocks(simulate(preset, 1, days=1))).splitlines(keepends=True)
        events = b"".join([line for line in lines if asks in line][:_LINES])
        with TemporaryDirectory() as folder:
            there = _caches(Path(folder))
            empty = [_caches(Path(folder) / f"cold-{number}") for number in range(options.rounds)]
            cold = [_start(flow, events, each) for each in empty]
            _print(flow, "nothing", cold)
            command = [sys.executable, "-m", "headrace", "warm", flow]
            subprocess.run(command, env=there, stdout=subprocess.DEVNULL, check=True)
            _print(flow, "all", [_start(flow, events, there) for _ in range(options.rounds)])


def _print(flow: str, compiled: str, starts: Sequence[Start]) -> None:
    seconds, cpu = (median(each) for each in zip(*starts, strict=True))
    print(f"{flow:<10} {compiled:<8} {seconds:8.2f} {cpu:6.2f}")


def _caches(folder: Path) -> dict[str, str]:
    """Return an environment whose compiled code lies in a folder of its own."""
    numbas = folder / "numba"
    numbas.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {**os.environ, "XDG_CACHE_HOME": str(folder), "NUMBA_CACHE_DIR": str(numbas)}


def _start(flow: str, events: bytes, environ: Mapping[str, str]) -> Start:
    with TemporaryDirectory() as folder:
        to = Path(folder) / "decisions.jsonl"
        began = time.monotonic()
        run = subprocess.Popen(
            [*(sys.executable, "-m", "headrace", "run", flow), "--from", "-", "--to", str(to)],
            cwd=folder,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert run.stdin is not None
        try:
            run.stdin.write(events)
            run.stdin.flush()
            while not (to.exists() and to.stat().st_size):
                assert run.poll() is None, "it ended"
                assert time.monotonic() - began < _PATIENCE_S, "nothing is decided"
                time.sleep(_LOOK_S)
            seconds = time.monotonic() - began
            # In clock ticks, behind the command's name in parentheses: user and system time.
            spent = Path(f"/proc/{run.pid}/stat").read_text().rpartition(")")[2].split()
            ticks = int(spent[11]) + int(spent[12])
        finally:
            run.kill()
            run.wait()
        return Start(seconds, ticks / os.sysconf("SC_CLK_TCK"))


if __name__ == "__main__":
    main()
