"""The `dead-letters` commands: what could not be used, and its way back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from headrace.cli.control import Config, existing, send, settings_of
from headrace.cli.terminal import console_of, echo, echo_json
from headrace.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from headrace.control.dead_letters import Letter, Wanted

__all__ = ["app"]

_ROWS_MAX: Final = 100

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look at dead letters; try them again.")

File = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE]", help="A file of dead letters; else those of the state."),
]
State = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The state; of its letters, those whose input wasn't used since."),
]
Reasons = Annotated[
    list[str] | None, typer.Option("--reason", metavar="CODE", help="Only those with this reason.")
]
Source = Annotated[
    str | None, typer.Option(metavar="PATH", help="Only those from this source; the end of its path will do.")
]
Offset = Annotated[
    int | None, typer.Option(metavar="N", min=0, help="Only the one that starts at this byte of its source.")
]
EventId = Annotated[str | None, typer.Option(metavar="ID", help="Only those whose bytes name this event id.")]


@app.command("list")
def list_letters(
    file: File = None,
    state: State = None,
    reasons: Reasons = None,
    source: Source = None,
    offset: Offset = None,
    event_id: EventId = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="So many at most; on a terminal 100.")
    ] = None,
) -> None:
    """List dead letters: a table on a terminal, else one JSON object a line.

    The number of a letter is its line in the file; in a state the ordinal of its input, or on topics with
    several shards, which count their own inputs, a number that tells the shard as well.
    """
    from headrace.control.dead_letters import Wanted

    chosen = _chosen(file, state, Wanted(reasons or (), source, offset, event_id))
    console = console_of()
    if console.is_terminal:
        _table(console, chosen, limit or _ROWS_MAX)
        return
    for each in chosen[:limit]:
        echo_json(_json(each))


@app.command()
def show(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="As the list has it.")],
    file: File = None,
    state: State = None,
) -> None:
    """Show one dead letter: what is wrong, where it came from, and its bytes."""
    from headrace.config.printable import printable
    from headrace.control.dead_letters import Wanted, payload_shown

    for each in _chosen(file, state, Wanted(numbers=(number,))):
        letter, payload = each.letter, each.payload
        echo(f"reason   {letter.reason}")
        echo(f"message  {printable(letter.message)}")
        for said in _now(each, state):
            echo(f"now      {printable(said)}")
        echo(f"field    {printable(letter.field or '-')}")
        echo(f"source   {printable(letter.source)}")
        echo(f"place    line {letter.line}, byte {letter.offset}")
        if each.complete:
            echo(f"payload  {len(payload)} bytes\n\n{payload_shown(payload)}")
        else:
            echo(f"payload  {letter.payload_bytes} bytes, SHA-256 {letter.payload_sha256}")
            echo(f"kept     the first {len(payload)} bytes\n\n{payload_shown(payload)}")
        return
    raise typer.BadParameter(f"there is no dead letter {number}", param_hint="NUMBER")


@app.command()
def retry(
    state: Annotated[Path, typer.Option(metavar="DIR", help="The state of the flow.")],
    file: File = None,
    reasons: Reasons = None,
    source: Source = None,
    offset: Offset = None,
    event_id: EventId = None,
    numbers: Annotated[
        list[int] | None, typer.Option("--number", metavar="N", help="Only this one, as the list has it.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,  # noqa: FBT002
    payload: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Try this line in place of the one letter's own.")
    ] = None,
    config: Config = None,
) -> None:
    """Give the inputs of dead letters to the flow once more.

    They are decided as of now, and the decisions are marked as retried. An input that can't be used this time
    either is a dead letter again; one that was used before is a duplicate, and nothing goes out for it.
    """
    from headrace.control.dead_letters import Wanted, portions
    from headrace.shard.commands import REFUSED

    wanted = Wanted(reasons or (), source, offset, event_id, numbers or ())
    if wanted == Wanted((), numbers=()) and not every:
        raise typer.BadParameter("choose letters, or name --all")
    existing(state)
    # What was refused is a command: it has no input that could be tried again.
    chosen = [each for each in _chosen(file, state, wanted) if each.letter.reason != REFUSED]
    if payload is not None and len(chosen) != 1:
        raise typer.BadParameter(f"is for one letter; {len(chosen)} are chosen", param_hint="--payload")
    if not chosen:
        echo("There is no such dead letter.", err=True)
        return
    settings = settings_of(config, state)
    mended = None if payload is None else _line(payload, settings.control.file_bytes_max)
    # Letters that can be tried are, even if others were cut: those are told of at the end, with an exit code.
    left = [] if mended is not None else [each for each in chosen if not each.complete]
    ready = [each for each in chosen if each not in left]
    if ready:
        send(state, list(portions(ready, mended, settings.control.file_bytes_max)), settings)
    if left:
        raise InputError("\n".join(map(_cut, left)))


def _cut(each: Letter) -> str:
    """Why a cut letter isn't tried again."""
    return (
        f"letter {each.number}: of its {each.letter.payload_bytes} bytes only the first {len(each.payload)}"
        " are kept; give the line with --payload, or send it again"
    )


def _chosen(file: Path | None, state: Path | None, wanted: Wanted) -> list[Letter]:
    from headrace.control.dead_letters import completed, letters_in_file, letters_in_state

    if file is None and state is None:
        raise typer.BadParameter("name a file of dead letters, or --state")
    letters: Iterable[Letter] = ()
    if file is not None:
        letters = letters_in_file(file)
        if state is not None:
            # Chosen first: completing them reads all journals, and hashes whatever is as long as a cut one.
            letters = completed([each for each in letters if wanted.fits(each)], state)
    elif state is not None:
        existing(state)
        letters = letters_in_state(state)
    return [each for each in letters if wanted.fits(each)]


def _line(path: Path, bytes_max: int) -> bytes:
    from headrace.config.bounded import read_bounded

    payload = read_bounded(path, bytes_max)
    # An editor ends a file with a line feed, which is no part of the line.
    payload = payload[:-1] if payload.endswith(b"\n") else payload
    if not payload or b"\n" in payload:
        raise typer.BadParameter("must hold one line", param_hint="--payload")
    return payload


def _now(each: Letter, state: Path | None) -> Iterator[str]:
    """Say what the contract in force has against a letter's bytes, if its own words are others."""
    from headrace.operators.events.declared import BUILT_IN, contract_of

    if not each.complete or each.letter.field is None:
        return
    contract = BUILT_IN if state is None else contract_of(settings_of(None, state).events)
    why = contract.refusal(each.payload)
    if why is not None and why.message != each.letter.message:
        yield f"{why.field}: {why.message}" if why.field != each.letter.field else why.message


def _json(each: Letter) -> str:
    import msgspec

    fields: dict[str, Any] = {"number": each.number, **msgspec.to_builtins(each.letter)}
    return msgspec.json.encode(fields).decode()


def _table(console: Console, chosen: list[Letter], rows_max: int) -> None:
    from rich.table import Table

    table = Table("number", "reason", "source", "line", "message", box=None, pad_edge=False)
    for each in chosen[:rows_max]:
        letter = each.letter
        name = Path(letter.source).name
        table.add_row(str(each.number), letter.reason, name, str(letter.line), letter.message)
    console.print(table)
    if len(chosen) > rows_max:
        console.print(f"and {len(chosen) - rows_max:,} more")
