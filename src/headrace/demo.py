"""The demonstration: a simulated shop whose payments are decided while one watches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from headrace.config.settings import FraudSettings
from headrace.errors import ConfigError, Mistake
from headrace.operators.events import Decision, Payment
from headrace.operators.prequential import Prequential
from headrace.places import dead_letters_beside
from headrace.runs import RunRequest

__all__ = ["PRESET", "Files", "Week", "examples", "make_world", "refuse_used", "request", "show", "weeks"]

PRESET: Final = "demo"
_WEEK_MS: Final = 7 * 86_400_000
_JUDGED_MAX: Final = 10_000_000
_LINES_PER_EVENT: Final = 2  # a payment and its outcome, at most

_decision: Final = msgspec.json.Decoder(Decision)


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
        """Payments and outcomes."""
        return self.folder / "events.jsonl"

    @property
    def truth(self) -> Path:
        """What the payments really were."""
        return self.folder / "truth.csv"

    @property
    def decisions(self) -> Path:
        """What was decided."""
        return self.folder / "decisions.jsonl"


def refuse_used(folder: Path) -> None:
    """Refuse a folder that holds files of the names that the demonstration writes.

    Raises
    ------
    ConfigError
        With every such file.
    """
    files = Files(folder)
    dead_letters = Path(dead_letters_beside(str(files.decisions)))
    there = [path for path in (files.events, files.truth, files.decisions, dead_letters) if path.exists()]
    if there:
        raise ConfigError([Mistake("--to", "", f"{path} exists; name a new folder") for path in there])


@dataclass(slots=True)
class Week:
    """What was decided in a week, and how well.

    Attributes
    ----------
    begins_ms
        Its first moment, milliseconds since the epoch, UTC.
    payments, frauds
        How many payments were decided, and how many of them were frauds.
    caught
        Frauds that were blocked or reviewed.
    stopped
        Legitimate payments that were blocked.
    judge
        The quality of its scores.
    """

    begins_ms: int
    payments: int = 0
    frauds: int = 0
    caught: int = 0
    stopped: int = 0
    judge: Prequential = field(default_factory=lambda: Prequential(_JUDGED_MAX))

    def add(self, decision: Decision, label: int) -> None:
        """Count a decision."""
        self.payments += 1
        self.frauds += label
        self.caught += label and decision.action != "approve"
        self.stopped += not label and decision.action == "block"
        self.judge.add(decision.score, label)


def make_world(files: Files, seed: int, console: Console) -> int:
    """Simulate the world and write its files, with a bar on the console; gives the number of payments."""
    from headrace.operators.simulator import event_blocks, simulate, truth_blocks

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    # No thread may draw, nor a bar be left behind: the run that follows forks, and has a panel of its own.
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as progress:
        task = progress.add_task(f"Simulating a shop (preset {PRESET}, seed {seed})")
        progress.refresh()
        world = simulate(PRESET, seed)
        payments = int(world.time_s.size)
        progress.update(task, total=payments * _LINES_PER_EVENT)
        with open(files.events, "wb") as events:
            for lines in _written(events, event_blocks(world)):
                progress.update(task, advance=lines, refresh=True)
    with open(files.truth, "wb") as truth:
        sum(_written(truth, truth_blocks(world)))
    return payments


def _written(file: BinaryIO, blocks: Iterator[bytes]) -> Iterator[int]:
    for block in blocks:
        file.write(block)
        yield block.count(b"\n")


def request(files: Files, settings: FraudSettings, speed: float | None) -> RunRequest:
    """The run that decides the simulated payments."""
    return RunRequest(
        flow="fraud",
        sources=(str(files.events),),
        to=str(files.decisions),
        dead_letters=None,
        state=None,
        settings=settings,
        config_file=None,
        speed=speed,
        learn=True,
        truth=files.truth,
    )


def _decisions(files: Files) -> Iterator[Decision]:
    with open(files.decisions, "rb") as lines:
        yield from map(_decision.decode, lines)


def weeks(files: Files, truth: dict[str, int]) -> list[Week]:
    """What was decided, week by week of event time from the first decision on."""
    found: list[Week] = []
    for decision in _decisions(files):
        while not found or decision.event_time >= found[-1].begins_ms + _WEEK_MS:
            found.append(Week(found[-1].begins_ms + _WEEK_MS if found else decision.event_time))
        found[-1].add(decision, truth[decision.event_id])
    return found


def examples(files: Files, truth: dict[str, int]) -> list[Decision]:
    """The last decision of each action that has a reason and was right: blocked, reviewed, approved."""
    last: dict[str, Decision] = {}
    for decision in _decisions(files):
        fraud = truth[decision.event_id] == 1
        if decision.reasons and fraud == (decision.action != "approve"):
            last[decision.action] = decision
    return [last[action] for action in ("block", "review", "approve") if action in last]


def _payments(files: Files, wanted: Sequence[str]) -> dict[str, Payment]:
    """The payments with these ids."""
    marks = [f'"event_id":"{event_id}"'.encode() for event_id in wanted]
    with open(files.events, "rb") as lines:
        payments = (
            msgspec.json.decode(line, type=dict) for line in lines if any(mark in line for mark in marks)
        )
        return {
            payment["event_id"]: msgspec.convert(payment | {"event_time": 0}, Payment)
            for payment in payments
            if payment["type"] == "payment"
        }


def show(files: Files, settings: FraudSettings, console: Console) -> None:
    """Close with what was decided, week by week, and an example of each action with its reasons."""
    from headrace.operators.truth import read_truth

    truth = read_truth(files.truth)
    console.print(_table(weeks(files, truth)))
    chosen = examples(files, truth)
    payments = _payments(files, [decision.event_id for decision in chosen])
    for decision in chosen:
        for line in _told(decision, payments[decision.event_id], settings):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"\nThe files are in {files.folder}:", highlight=False, markup=False, soft_wrap=True)
    for path in (files.events, files.truth, files.decisions):
        console.print(f"  {path.name}", highlight=False, markup=False)


def _table(found: Sequence[Week]) -> Table:
    table = Table(title="Learning, week by week", title_justify="left", title_style="bold")
    table.add_column("week from")
    for name in ("payments", "frauds", "caught", "good stopped", "AP", "AUC"):
        table.add_column(name, justify="right")
    for week in found:
        quality = week.judge.quality()
        table.add_row(
            _date(week.begins_ms),
            f"{week.payments:,}",
            f"{week.frauds:,}",
            f"{week.caught / week.frauds:.0%}" if week.frauds else "-",
            f"{week.stopped:,}",
            f"{quality.average_precision:.3f}" if quality else "-",
            f"{quality.auc:.3f}" if quality else "-",
        )
    return table


def _date(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d}"


def _told(decision: Decision, payment: Payment, settings: FraudSettings) -> Iterator[str]:
    yield ""
    yield (
        f"{decision.action} {payment.event_id}: {payment.amount:.2f} {payment.currency} by"
        f" {payment.customer_id} to {payment.merchant_id}, score {decision.score:.3f}"
    )
    for reason in decision.reasons:
        text = settings.reasons.texts.get(reason.code, reason.code)
        yield f"  {reason.contribution:+.2f} {text}"
