"""The `erase` command: what a state holds of a customer is forgotten."""

# ruff: noqa: FBT002  # to typer a boolean parameter is a flag, which is always named
from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote
from shutil import rmtree
from typing import TYPE_CHECKING, Annotated, Final

import typer

from headrace.cli.control import Config, existing, running, settings_of
from headrace.cli.terminal import console_of, echo
from headrace.errors import ErasureUnfinished, ErasureUnsure, StateError, StateLocked

if TYPE_CHECKING:
    from headrace.config.tables import RunSettings
    from headrace.erasure.search import Found

__all__ = ["erase"]

_LOOK_EVERY_S: Final = 0.1
_RANGES_MAX: Final = 20

_BEYOND: Final = """\
What this command can't reach, and who holds it must treat:
  sources      the files and topics that the flow reads; the state names those above
  outputs      decisions and dead letters that went out, and whatever was made of them
  exports      tables that `ledger export` wrote
  backups      copies of this state from before: delete them, or erase again after each restore
  aggregates   counts at merchants, overall means and the model's weights, which name nobody"""


def erase(
    customer: Annotated[str, typer.Option(metavar="ID", help="The customer's `customer_id`.")],
    state: Annotated[Path, typer.Option("--state", metavar="DIR", help="The state of the flow.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would go, and change nothing.")
    ] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="List where their events came from; change nothing.")
    ] = False,
    unsure: Annotated[
        bool, typer.Option("--unsure", help="Erase the records as well that nobody can judge.")
    ] = False,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.0, help="How long to wait for a running flow.")
    ] = 600.0,
    config: Config = None,
) -> None:
    """Erase a customer from a state, for good.

    Goes: what memory has of them, and the payloads of their inputs and decisions in the journal. Checkpoints
    from before are deleted. The ledger still verifies. A running flow does it between two batches, a stopped
    one has it done at once. Ends with 0 when nothing of them is left in the state, with 11 when that is asked
    for and not finished, with 16 when all that is known to be theirs is gone, and other records may be
    theirs.
    """
    existing(state)
    found = _search(state, customer)
    if unsure:
        found.take_unsure()
    echo("\n".join(_counted(found)))
    if list_ or dry_run:
        if list_:
            echo("\n".join(_places(state, found)))
            echo(_BEYOND)
        return
    if any(found.ordinals.values()) or not found.complete:
        _ask(state, found, settings_of(config, state))
    # Also without anything found: an erasure that was killed on the way may be left to be finished.
    _carry_out(state, time.monotonic() + wait)
    if not running(state):  # what a killed run had sorted is a copy of its sources
        rmtree(state / "sorted", ignore_errors=True)
    if found.unsure:
        raise ErasureUnsure(_left(state, customer, found))
    buts = ["the lists above"] * bool(found.lists) + ["others' events that name them"] * bool(found.mentioned)
    but = f", but for {' and '.join(buts)}" if buts else ""
    echo(f"Nothing of them is in the state now{but}. What this can't reach: headrace erase --list", err=True)


def _left(state: Path, customer: str, found: Found) -> str:
    """Return what can't be evaluated, and what to do."""
    from headrace.journal.erasures import ranges_of

    number = sum(map(len, found.unsure.values()))
    said = [f"what is known to be theirs is erased; {number:,} dead letters may be theirs: nothing tells it"]
    for shard, ordinals in sorted(found.unsure.items()):
        ranges = [str(a) if a == b else f"{a}-{b}" for a, b in ranges_of(sorted(ordinals))]
        more = f" and {len(ranges) - _RANGES_MAX} more" if len(ranges) > _RANGES_MAX else ""
        said.append(f"{shard}: inputs {', '.join(ranges[:_RANGES_MAX])}{more}")
    said.append(f"look at them: headrace dead-letters show NUMBER --state {state}")
    said.append(f"erase them too: headrace erase --customer {quote(customer)} --state {state} --unsure")
    return "\n".join(said)


def _search(state: Path, customer: str) -> Found:
    from headrace.cli.ledger_view import watching
    from headrace.erasure.search import find_customer
    from headrace.ledger.ledger import shard_directories
    from headrace.ledger.verify import journal_bytes

    directories = shard_directories(state)
    with watching(console_of(stderr=True), "searching", 2 * sum(map(journal_bytes, directories))) as progress:
        return find_customer(directories, customer, progress)


def _counted(found: Found) -> Iterator[str]:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(found.kinds.items()))
    yield f"inputs    {found.inputs:,}" + (f" ({kinds})" if kinds else "")
    events = ", ".join(f"{len(ids):,} {kind or 'other'}" for kind, ids in sorted(found.events.items()))
    yield f"ids       {events or 'none'}"
    yield f"theirs    {_numbers({name: len(values) for name, values in found.keys.items()})}"
    if found.shared:
        yield f"shared    {_numbers(found.shared)}; others use them too, they stay"
    if found.unsure:
        number = sum(map(len, found.unsure.values()))
        yield f"unsure    {number:,} dead letters; nobody can say whose they are"
    if found.mentioned:
        yield f"mentioned {found.mentioned:,} events of others name the customer; they stay"
    for name in found.lists:
        yield f"list      {name} names the customer: take the entry out of its file and reload the list"
    if not found.complete:
        yield "journal   its beginning is no longer kept; what memory has from that time goes as well"


def _numbers(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "none"


def _places(state: Path, found: Found) -> Iterator[str]:
    from headrace.state.inspection import source_names

    names = source_names(state)
    for number, lines in sorted(found.lines.items()):
        name = names.get(number, f"source {number}")
        yield f"source    {name}: {lines.number:,} lines, from line {lines.first:,} to {lines.last:,}"


# ---------------------------------------------------------------- carrying out


def _ask(state: Path, found: Found, settings: RunSettings) -> None:
    from headrace.control.inbox import control_folder, limits_of, put, taken_of

    put(control_folder(state), [found.command()], limits_of(settings), lambda: taken_of(state))


def _carry_out(state: Path, until: float) -> None:
    """See to it that what waits is taken and what it asks for is done, by the flow or else here.

    Raises
    ------
    ErasureUnfinished
        If it takes longer, or inputs must come before it that only the flow can read.
    """
    files = _waiting(state)
    while any(path.exists() for path in files) or _under_way(state):
        if not running(state):
            _apply_here(state, files)
        elif time.monotonic() >= until:
            raise ErasureUnfinished(f"{state}: the running flow goes on with the erasure")
        else:
            time.sleep(_LOOK_EVERY_S)


def _waiting(state: Path) -> list[Path]:
    from headrace.control.inbox import control_folder

    return [path for path in sorted(control_folder(state).glob("*.jsonl")) if path.stem.isdigit()]


def _under_way(state: Path) -> bool:
    """Whether an erasure is not finished; a running flow takes note of it with its next input."""
    from headrace.journal.erasures import work_files

    states = ("erasing",) if running(state) else ("erasing", "erased")
    return any(work_files(directory, each) for directory in state.glob("shard-*") for each in states)


def _apply_here(state: Path, files: Sequence[Path]) -> None:
    from headrace.control.inbox import control_folder, refused_files
    from headrace.runtime.file_run import locked
    from headrace.runtime.stopped import apply_waiting

    try:
        with locked(state):
            apply_waiting(state)
    except StateLocked:
        return  # a flow was started meanwhile, and takes it
    except StateError as error:
        raise ErasureUnfinished(
            f"{state}: {error}; the erasure waits, and the next start of the flow goes on with it"
        ) from error
    refused = {each.name for each in refused_files(control_folder(state))} & {each.name for each in files}
    if refused:
        raise StateError(f"{control_folder(state)}: {', '.join(sorted(refused))}: refused; the log says why")
    if any(path.exists() for path in files) or _under_way(state):
        raise ErasureUnfinished(f"{state}: the log says why; the next start of the flow goes on with it")
