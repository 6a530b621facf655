"""Commands that read the ledger."""

# ruff: noqa: FBT002  # to typer a boolean parameter is a flag, which is always named
from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from headrace.cli.terminal import console_of, echo, echo_json
from headrace.errors import JournalDamaged

if TYPE_CHECKING:
    from headrace.ledger.ledger import Ledger
    from headrace.ledger.verify import VerifiedShard

__all__ = ["explain", "ledger"]

_CHAIN_BYTES: Final = 32

ledger = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Verify the ledger, export it, or complete its index."
)

State = Annotated[Path, typer.Option("--state", metavar="DIR", help="The state's folder.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]


def _checked_time(text: str | None) -> str | None:
    """Check a time where typer can say which option is wrong."""
    _time_ms(text)
    return text


def _time_ms(text: str | None) -> int | None:
    """Milliseconds since the epoch of an RFC 3339 time, or of the start of a day in UTC."""
    from headrace.operators.events.timestamps import parse_time

    if text is None:
        return None
    try:
        # A day first: as a time it would be refused, since it lacks one.
        day = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        return round(day.timestamp() * 1000)
    except ValueError:
        pass
    try:
        return parse_time(text)
    except ValueError:
        raise typer.BadParameter("must be a day or an RFC 3339 time, such as 2026-03-01T09:30:00Z") from None


def _checked_chain(text: str | None) -> str | None:
    """Check a chain value where typer can say which option is wrong."""
    _chain(text)
    return text


def _chain(text: str | None) -> bytes | None:
    try:
        value = None if text is None else bytes.fromhex(text)
    except ValueError:
        value = b""
    if value is not None and len(value) != _CHAIN_BYTES:
        raise typer.BadParameter(f"must be {2 * _CHAIN_BYTES} hexadecimal digits")
    return value


def explain(
    decision_id: Annotated[str, typer.Argument(help="Id of the decision, or of the event that asked.")],
    state: State,
    json: Json = False,
) -> None:
    """Tell why a decision was made as it was.

    It shows the input, the features, what each contributed, the reasons with their texts, the policy's path,
    the model, where the record stands, and the outcomes that came later. It works while a flow runs. First it
    reads what the journal has got since the last time, to complete its index.
    """
    from headrace.cli.ledger_view import explained_json, explained_view

    found = _opened(state).explain(decision_id)
    if json:
        echo_json(explained_json(found))
    else:
        console = console_of()
        console.print(explained_view(found, console.width))


def _opened(state: Path) -> Ledger:
    """Open a ledger, with its index completed; what stands in the way of that is told."""
    from headrace.cli.ledger_view import watching
    from headrace.ledger.index import unindexed_bytes
    from headrace.ledger.ledger import Ledger, shard_directories

    directories = shard_directories(state)
    # Asked beforehand, as what shows the progress must know the whole.
    left = sum(map(unindexed_bytes, directories))
    with watching(console_of(stderr=True), "indexing", left) as progress:
        opened = Ledger(state, progress)
    for damage in opened.damage:
        echo(f"warning: {damage}; nothing is found in this segment", err=True)
    if opened.unkept is not None:
        reason = opened.unkept.strerror
        echo(
            f"warning: the index could not be kept beside the journal ({reason}), so that each lookup reads"
            " the journal anew; run `headrace ledger index` as a user who may write there",
            err=True,
        )
    return opened


@ledger.command("index")
def index_(state: State) -> None:
    """Complete the index that explain looks decisions up in.

    Without it, explain does the same when it is first needed.
    """
    opened = _opened(state)
    echo(opened.searched)
    if opened.damage:
        raise typer.Exit(JournalDamaged.exit_code)


@ledger.command()
def verify(
    state: State,
    json: Json = False,
    expect_chain: Annotated[
        str | None,
        typer.Option(
            "--expect-chain",
            metavar="VALUE",
            callback=_checked_chain,
            help="A chain value noted earlier; it must occur in one of the shards.",
        ),
    ] = None,
) -> None:
    """Check every byte of the journals, and name the first broken place of each shard.

    Ends with 0 only if all are whole. An interrupted write at the end ends with 6 as well: the next start of
    the flow cuts it off, and nothing of it had left the process.
    """
    from headrace.cli.ledger_view import verified_json, verified_lines, watching
    from headrace.ledger.ledger import shard_directories
    from headrace.ledger.verify import journal_bytes, verify_shard

    directories, expected = shard_directories(state), _chain(expect_chain)
    total = sum(map(journal_bytes, directories))
    with watching(console_of(stderr=True), "verifying", total) as progress:
        shards = [verify_shard(one, expected_chain=expected, progress=progress) for one in directories]
    missing = expect_chain if expected and not any(shard.expected for shard in shards) else None
    if json:
        echo_json(verified_json(state, shards, missing))
    else:
        echo("\n".join(verified_lines(shards)))
    _end(shards, missing)


def _end(shards: list[VerifiedShard], missing: str | None) -> None:
    """Name what is wrong, and leave with the exit code for it."""
    wrong = [f"{shard.shard}: {shard.damage or shard.torn}" for shard in shards if not shard.whole]
    if missing:
        wrong.append(
            f"the chain value {missing} occurs nowhere: it is another ledger, or one that was cut short"
        )
    for each in wrong:
        echo(f"error: {each}", err=True)
    if wrong:
        raise typer.Exit(JournalDamaged.exit_code)


@ledger.command()
def export(
    state: State,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="A .parquet, .jsonl or .csv file.")],
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", callback=_checked_time, help="Events from this time on."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="TIME", callback=_checked_time, help="Events before this time."),
    ] = None,
    shard: Annotated[
        int | None, typer.Option("--shard", metavar="N", min=0, help="Only this shard, from 0.")
    ] = None,
    escape_formulas: Annotated[
        bool,
        typer.Option(
            "--escape-formulas",
            help="In a .csv for spreadsheets: a ' before texts that they would take for formulas.",
        ),
    ] = False,
) -> None:
    """Write decisions as a table, one row each, with features, contributions and outcomes.

    A time is an RFC 3339 time or a day in UTC, and is compared with the event's. The file appears when it is
    complete.
    """
    from headrace.cli.ledger_view import watching
    from headrace.ledger.export import Selection, export
    from headrace.ledger.ledger import shard_directories
    from headrace.ledger.tables import open_table
    from headrace.ledger.verify import journal_bytes
    from headrace.runtime.places import Place, refuse_clashes

    directories = shard_directories(state)
    refuse_clashes([], [Place("--to", str(to))], state)
    if shard is not None:
        if shard >= len(directories):
            raise typer.BadParameter(f"the state has {len(directories)} shards", param_hint="--shard")
        directories = [directories[shard]]
    selection = Selection(_time_ms(from_), _time_ms(until))
    total = 2 * sum(map(journal_bytes, directories))
    with (
        open_table(to, escape_formulas=escape_formulas) as rows,
        watching(console_of(stderr=True), "exporting", total) as progress,
    ):
        done = export(directories, rows, selection, progress=progress)
    erased = f"; {done.erased:,} erased ones are left out" if done.erased else ""
    gone = f"; {done.gone:,} older records of all kinds are no longer kept" if done.gone else ""
    outcomes = f", {done.with_outcome:,} of them with outcome" if done.with_outcomes else ""
    echo(f"{done.rows:,} decisions in {to}{outcomes}{erased}{gone}", err=True)
