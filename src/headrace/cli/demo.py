"""The demonstration: a simulated shop whose clicks and payments are decided while one watches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from headrace.config.flow_kinds import FLOWS, SHIPPED
from headrace.config.tables import RunSettings
from headrace.errors import ConfigError, Mistake
from headrace.runtime.places import dead_letters_beside
from headrace.runtime.runs import RunRequest

__all__ = ["PRESET", "SESSIONS", "Files", "make_world", "refuse_used", "request"]

PRESET: Final = "demo-network"
SESSIONS: Final = SHIPPED.with_name("fraud-sessions.toml")


@dataclass(frozen=True, slots=True)
class Files:
    """Where the demonstration's files are.

    Attributes
    ----------
    folder
        What they all lie in.
    """

    folder: Path

    @property
    def events(self) -> Path:
        """Everything that happens: clicks, carts, orders, payments, outcomes, the catalogue."""
        return self.folder / "events.jsonl"

    @property
    def truth(self) -> Path:
        """What the payments really were."""
        return self.folder / "truth.csv"

    @property
    def decisions(self) -> Path:
        """What was decided of payments."""
        return self.folder / "decisions.jsonl"

    @property
    def lists(self) -> Path:
        """What clicks were answered."""
        return self.folder / "lists.jsonl"

    def output(self, flow: str) -> Path:
        """Where a flow writes what it decides."""
        return self.lists if flow == "recommend" else self.decisions

    def state(self, flow: str) -> Path:
        """The folder of a flow's state."""
        return self.folder / f"{flow}-state"


def refuse_used(folder: Path) -> None:
    """Refuse a folder that holds files of the names that the demonstration writes.

    Raises
    ------
    ConfigError
        With every such file.
    """
    files = Files(folder)
    outputs = [files.output(flow) for flow in FLOWS]
    letters = [Path(dead_letters_beside(str(path))) for path in outputs]
    states = [files.state(flow) for flow in FLOWS]
    written = (files.events, files.truth, *outputs, *letters, *states)
    there = [path for path in written if path.exists()]
    if there:
        raise ConfigError([Mistake("--to", "", f"{path} exists; name a new folder") for path in there])


def make_world(files: Files, seed: int, console: Console, days: int | None = None) -> int:
    """Simulate the world and write its files, with a bar on the console; gives the number of events.

    Parameters
    ----------
    files
        Where to.
    seed
        Which world.
    console
        Where the bar is drawn.
    days
        How many days, in place of the preset's.
    """
    from headrace.operators.simulator import count_events, event_blocks, simulate, truth_blocks

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    # No thread may draw, nor a bar be left behind: the run that follows forks, and has a panel of its own.
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as progress:
        task = progress.add_task(f"Simulating a shop (preset {PRESET}, seed {seed})")
        progress.refresh()
        world = simulate(PRESET, seed, days=days)
        events_there = count_events(world)
        progress.update(task, total=events_there)
        with open(files.events, "wb") as events:
            for lines in _written(events, event_blocks(world)):
                progress.update(task, advance=lines, refresh=True)
    with open(files.truth, "wb") as truth:
        sum(_written(truth, truth_blocks(world)))
    return events_there


def _written(file: BinaryIO, blocks: Iterator[bytes]) -> Iterator[int]:
    for block in blocks:
        file.write(block)
        yield block.count(b"\n")


def request(files: Files, flow: str, settings: RunSettings, speed: float | None) -> RunRequest:
    """The run of one flow on the simulated world."""
    return RunRequest(
        flow=flow,
        sources=(str(files.events),),
        to=str(files.output(flow)),
        dead_letters=None,
        state=files.state(flow),
        settings=settings,
        config_file=None,
        speed=speed,
        learn=True,
        truth=files.truth if flow == "fraud" else None,
    )
