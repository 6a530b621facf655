"""What every measurement needs beside what it measures: conditions, a world to run on, a core to itself."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import headrace.flows.kinds  # noqa: F401  # makes them known
from headrace import __version__
from headrace.config.fraud_flow import FraudSettings
from headrace.config.loading import load

__all__ = ["conditions", "fraud_settings", "held_to_one_core", "peak_bytes", "simulated"]


def conditions(packages: Iterable[str] = ()) -> str:
    """Return what a figure was measured on: day, versions, machine, load.

    Parameters
    ----------
    packages
        Names of those whose version matters to the figure.
    """
    versions = "".join(f", {name} {version(name)}" for name in packages)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, Headrace {__version__}, Python {platform.python_version()}{versions},"
        f" {_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def fraud_settings(config: Path | None = None, overrides: Sequence[str] = ()) -> FraudSettings:
    """Load settings of the fraud flow, the shipped ones without a file."""
    settings = load(config, overrides, flow="fraud")
    assert isinstance(settings, FraudSettings)
    return settings


def simulated(preset: str, folder: Path) -> Path:
    """Write the first world of a preset into a folder, compressed, and give its path."""
    from headrace.operators.simulator import simulate, write

    path = folder / f"{preset}.jsonl.gz"
    write(simulate(preset, 1), path, None)
    return path


def held_to_one_core() -> None:
    """Hold this process to the last core that it may use, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def peak_bytes() -> int:
    """Return the most memory that this program held; `ru_maxrss` would count its parent's at the fork too."""
    try:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
