"""The demonstration: a simulated shop whose clicks and payments are decided while one watches."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from headrace.config.flow_kinds import SHIPPED_FLOWS
from headrace.config.tables import RunSettings
from headrace.errors import ConfigError, Invalid
from headrace.runtime.places import dead_letters_beside
from headrace.runtime.runs import RunRequest

if TYPE_CHECKING:
    from headrace.operators.simulator import Ceilings

__all__ = [
    "LIVE_PER_S",
    "LIVE_S",
    "PRESET",
    "SESSIONS",
    "Files",
    "Made",
    "make_world",
    "refuse_used",
    "request",
]

PRESET: Final = "demo-network"
LIST_ITEMS: Final = 20
LIVE_PER_S: Final = 250
LIVE_S: Final = 5.0
FLOWS: Final = ("fraud", "recommend")
"""The flows that are shown."""

SESSIONS: Final = SHIPPED_FLOWS / "fraud-sessions.toml"


class Made(NamedTuple):
    """A world that was written.

    Attributes
    ----------
    days_events, live_events
        How many events are read as fast as possible, and how many arrive one by one after them.
    speed, live_s
        At what multiple of event time these arrive, None if there are none, and how many seconds that takes.
    burst
        The most events that are due within a tenth of a second, as when a bot clicks.
    possible
        What the best decisions reach in this world.
    """

    days_events: int
    live_events: int
    speed: float | None
    live_s: float
    burst: int
    possible: Ceilings


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
    def live(self) -> Path:
        """What happens after that, and arrives one by one."""
        return self.folder / "live.jsonl"

    @property
    def truth(self) -> Path:
        """What the payments really were."""
        return self.folder / "truth.csv"

    @property
    def decisions(self) -> Path:
        """What was decided of payments."""
        return self.folder / "decisions.jsonl"

    @property
    def slates(self) -> Path:
        """What clicks were answered."""
        return self.folder / "slates.jsonl"

    def output(self, flow: str) -> Path:
        """Where a flow writes what it decides."""
        return self.slates if flow == "recommend" else self.decisions

    def state(self, flow: str) -> Path:
        """Return the folder of a flow's state."""
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
    written = (files.events, files.live, files.truth, *outputs, *letters, *states)
    there = [path for path in written if path.exists()]
    if there:
        raise ConfigError([Invalid("--to", "", f"{path} exists; name a new folder") for path in there])


def make_world(
    files: Files, seed: int, console: Console, days: int | None = None, *, live_s: float = LIVE_S
) -> Made:
    """Simulate the world and write its files, with a bar on the console.

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
    live_s
        Seconds that the last events are to take, which arrive at `LIVE_PER_S` on average; at most half of all
        events are among them.
    """
    from headrace.operators.simulator import Network, ceilings, event_blocks, simulate, truth_blocks

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    # No thread may draw, nor a bar be left behind: the run that follows forks, and has a panel of its own.
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as progress:
        task = progress.add_task(f"Simulating a shop (preset {PRESET}, seed {seed})")
        progress.refresh()
        world = simulate(PRESET, seed, days=days)
        assert isinstance(world, Network)
        arrivals = world.lines.arrival_s
        # A few hundred a second: what one core decides many times over, so that latency isn't waiting in a
        # queue.
        live = min(round(live_s * LIVE_PER_S), arrivals.size // 2)
        before = arrivals.size - live
        progress.update(task, total=arrivals.size)
        with open(files.events, "wb") as events, open(files.live, "wb") as last:
            for lines in _divided(event_blocks(world), before, events, last):
                progress.update(task, advance=lines, refresh=True)
        with open(files.truth, "wb") as truth:
            truth.writelines(truth_blocks(world))
        possible = ceilings(world, LIST_ITEMS)
    if not live:
        return Made(before, 0, None, 0.0, 0, possible)
    takes = live / LIVE_PER_S
    speed = max(1.0, float(arrivals[-1] - arrivals[before]) / takes)
    return Made(before, live, speed, takes, _burst(arrivals[before:].tolist(), 0.1 * speed), possible)


def _burst(times: Sequence[int], within: float) -> int:
    """Count the most of these ascending times that lie within so much time."""
    return max(bisect_right(times, first + within) - at for at, first in enumerate(times))


def _divided(blocks: Iterable[bytes], before: int, events: BinaryIO, live: BinaryIO) -> Iterator[int]:
    """Write so many lines to the first file and those after them to the other; gives each block's lines."""
    for block in blocks:
        lines = block.splitlines(keepends=True)
        events.writelines(lines[:before])
        live.writelines(lines[before:])
        before = max(0, before - len(lines))
        yield len(lines)


def request(files: Files, flow: str, settings: RunSettings, speed: float | None = None) -> RunRequest:
    """Return the run of one flow.

    On days that have passed or, at a speed, on the events that arrive after them.
    """
    return RunRequest(
        flow=flow,
        sources=(str(files.events if speed is None else files.live),),
        to=str(files.output(flow)),
        dead_letters=None,
        state=files.state(flow),
        settings=settings,
        config_file=None,
        speed=speed,
        learn=True,
        truth=files.truth if flow == "fraud" else None,
    )
