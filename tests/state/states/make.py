"""Writes the state that later versions are held to; to be run when the state's or journal's version rises.

`python tests/state/states/make.py version-N` makes the folder of that name beside this file. Those of
earlier versions stay: their states are opened, or refused by name.
"""

from __future__ import annotations

import shutil
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[1] / "support")]

import worlds  # noqa: E402 - found only now

import headrace.flows.kinds  # noqa: E402, F401 - makes them known
from headrace.config.loading import load  # noqa: E402
from headrace.control.inbox import control_folder, limits_of, put  # noqa: E402
from headrace.shard.commands import KillSwitch  # noqa: E402

PAYMENTS, FURTHER = 40, 20


def world_of(folder: Path, *sources: Path) -> worlds.World:
    """A run with the configuration that stays."""
    return worlds.World(folder, sources, ("--config", str(HERE / "config.toml")))


def main(name: str) -> None:
    """Write a state, the events that follow, and the outputs that are expected after them."""
    with TemporaryDirectory(prefix="headrace-state-") as made_in:
        make(HERE / name, Path(made_in))


def make(folder: Path, made_in: Path) -> None:
    """The same, by runs in another folder, whose path the state keeps as that of its first source."""
    first = worlds.write_lines(made_in / "first.jsonl", worlds.stream(PAYMENTS))
    further = worlds.write_lines(made_in / "further.jsonl", worlds.stream(FURTHER, first=PAYMENTS))
    begun = world_of(made_in, first)
    switched = [KillSwitch(on=True), KillSwitch(on=False)]
    put(control_folder(begun.state), switched, limits_of(load(None)), lambda: 0)
    assert begun.run() == 0, begun.said
    folder.mkdir()
    with tarfile.open(folder / "state.tar.gz", "w:gz") as tar:
        for path in sorted(begun.state.glob("shard-*/*")):
            tar.add(path, path.relative_to(made_in))
    assert world_of(made_in, further).run() == 0, begun.said
    for path in (further, begun.decisions, begun.dead_letters):
        shutil.copy(path, folder)


if __name__ == "__main__":
    main(sys.argv[1])
