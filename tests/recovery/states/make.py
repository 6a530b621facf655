"""Writes the state that later versions are held to; to be run when the state's or journal's version rises.

`python tests/recovery/states/make.py version-N` makes the folder of that name beside this file. Those of
earlier versions stay: their states are opened, or refused by name.
"""

from __future__ import annotations

import shutil
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import worlds  # noqa: E402 - found only now

from headrace.config.settings import load  # noqa: E402
from headrace.operators.commands import KillSwitch  # noqa: E402
from headrace.operators.control import control_folder, limits_of, put  # noqa: E402

PAYMENTS, FURTHER = 40, 20
MADE_IN = Path("/tmp/headrace-state")


def world_of(folder: Path, *sources: Path) -> worlds.World:
    """A run with the configuration that stays."""
    return worlds.World(folder, sources, ("--config", str(HERE / "config.toml")))


def main(name: str) -> None:
    """Write a state, the events that follow, and the outputs that are expected after them."""
    shutil.rmtree(MADE_IN, ignore_errors=True)
    MADE_IN.mkdir()
    first = worlds.write_lines(MADE_IN / "first.jsonl", worlds.stream(PAYMENTS))
    further = worlds.write_lines(MADE_IN / "further.jsonl", worlds.stream(FURTHER, first=PAYMENTS))
    begun = world_of(MADE_IN, first)
    switched = [KillSwitch(on=True), KillSwitch(on=False)]
    put(control_folder(begun.state), switched, limits_of(load(None)), lambda: 0)
    assert begun.run() == 0, begun.said
    folder = HERE / name
    folder.mkdir()
    with tarfile.open(folder / "state.tar.gz", "w:gz") as tar:
        for path in sorted(begun.state.glob("shard-*/*")):
            tar.add(path, path.relative_to(MADE_IN))
    assert world_of(MADE_IN, further).run() == 0, begun.said
    for path in (further, begun.decisions, begun.dead_letters):
        shutil.copy(path, folder)
    shutil.rmtree(MADE_IN)


if __name__ == "__main__":
    main(sys.argv[1])
