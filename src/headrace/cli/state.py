"""The `state` commands: what a state holds, and copies of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.cli.terminal import echo, echo_json

if TYPE_CHECKING:
    from headrace.state.backup import Copied

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Inspect a state, copy it, restore it.")

State = Annotated[Path, typer.Option("--state", metavar="DIR", help="The state.")]


@app.command()
def backup(
    state: State,
    to: Annotated[Path, typer.Option(metavar="DIR|FILE.tar", help="What is made; it must not exist.")],
) -> None:
    """Copy a state, while its flow runs or not.

    Journals, checkpoints, and commands that wait are copied; inputs and outputs are not part of a state.
    """
    from headrace.state.backup import back_up

    copied = back_up(state, to)
    echo(f"{to}: {_told(copied)}", err=True)


@app.command()
def restore(
    backup: Annotated[Path, typer.Option("--from", metavar="DIR|FILE.tar", help="The backup.")],
    state: Annotated[Path, typer.Option("--state", metavar="DIR", help="What is made; it must not exist.")],
) -> None:
    """Make a state of a backup, after every byte of it was checked."""
    from headrace.state.backup import restore as put_in_place

    copied = put_in_place(backup, state)
    echo(f"{state}: verified, {_told(copied)}", err=True)


@app.command()
def inspect(
    state: State,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,  # noqa: FBT002
) -> None:
    """Tell what a state holds; its flow may be running.

    Entities, pending payments and ids are told as of each shard's newest checkpoint.
    """
    import orjson

    from headrace.state.inspection import inspect as looked_at

    found = looked_at(state)
    if as_json:
        echo_json(orjson.dumps(found, option=orjson.OPT_INDENT_2))
        return
    commands = found["commands"]
    echo(f"{found['state']}: {_megabytes(found['bytes'])}, journal format {found['journal_format']}")
    echo(f"commands: {commands['taken'] or 'none'} was the last taken, {commands['waiting']} wait")
    for name, shard in found["shards"].items():
        _tell(name, shard)


def _told(copied: Copied) -> str:
    shards = "1 shard" if copied.shards == 1 else f"{copied.shards} shards"
    return f"{shards} up to input {copied.inputs:,}, {_megabytes(copied.bytes)}"


def _tell(name: str, shard: dict[str, Any]) -> None:
    echo(f"\n{name}: at input {shard['position']:,}, {shard['records']:,} records")
    echo(f"  journal      {shard['segments']} segments, {_megabytes(shard['journal_bytes'])}")
    if shard["first_segment"] > 1:
        kept = f"begins with segment {shard['first_segment']}, input {shard['first_input']:,}"
        echo(f"               {kept}; {shard['first_record']:,} records before it are no longer kept")
    if shard["erasures_waiting"]:
        echo(f"  erasures     {shard['erasures_waiting']} asked for and not finished")
    echo(f"  chain        {shard['chain']}")
    if shard["torn_tail"]:
        echo(f"  torn tail    {shard['torn_tail']}")
    if shard["config"]:
        config = shard["config"]
        learns = "learns" if config["learn"] else "doesn't learn"
        echo(f"  config       {config['digest'][:12]}, {learns}, Headrace {config['code']}")
    for source in shard["sources"]:
        echo(f"  source {source['number']:<5} {_reached(source)}")
    for each in shard["checkpoints"]:
        said = f"{each['file']}, {_megabytes(each['bytes'])}, {each['age_seconds']:,.0f} s old"
        echo(f"  checkpoint   {said}")
    if shard["memory"]:
        _tell_memory(shard["memory"])


def _reached(source: dict[str, Any]) -> str:
    if "next_offset" in source:
        return f"{source['name']}: offset {source['next_offset']:,} is next"
    return f"{source['lines_read']:,} lines, {source['bytes_read']:,} bytes of {source['name']}"


def _tell_memory(memory: dict[str, Any]) -> None:
    at = datetime.fromtimestamp(memory["event_time_ms"] / 1000, UTC)
    entities = ", ".join(f"{count:,} {name}s" for name, count in memory["entities"].items())
    echo(f"  in memory    {entities}, {memory['pending']:,} pending, {sum(memory['ids'].values()):,} ids")
    echo(f"  event time   {at:%Y-%m-%d %H:%M:%S} UTC, state version {memory['state_version']}")


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
