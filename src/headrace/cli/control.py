"""The `control` commands: what a running flow is told."""

from __future__ import annotations

import fcntl
import os
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from headrace.cli.options import settings_from
from headrace.cli.terminal import echo
from headrace.errors import ConfigError, HeadraceError, Invalid, StateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.config.tables import RunSettings
    from headrace.shard.commands import Command

__all__ = ["Config", "app", "existing", "running", "send", "settings_of"]

_WAIT_S_MAX: Final = 10.0
_LOOK_EVERY_S: Final = 0.05

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Tell a flow something beside its events."
)

State = Annotated[Path, typer.Option("--state", metavar="DIR", help="The state of the flow.")]
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Configuration; the one that the state has otherwise."),
]


class Switch(StrEnum):
    """Where a switch stands."""

    ON = "on"
    OFF = "off"


@app.command("kill-switch")
def kill_switch(
    switch: Annotated[Switch, typer.Argument(metavar="on|off", help="Where it goes.")],
    state: State,
    config: Config = None,
    decision: Annotated[
        str | None,
        typer.Option(
            "--decision", metavar="NAME", help="One of the flow's decisions; all of them otherwise."
        ),
    ] = None,
) -> None:
    """Give every event the configured fallback action, until it is switched off.

    The action is `[policy.kill_switch]` of the configuration that the flow runs with.
    """
    from msgspec import UNSET

    from headrace.shard.commands import KillSwitch
    from headrace.shard.kinds import kind_of

    settings = settings_of(config, state)
    names = list(kind_of(settings).names(settings))
    if decision is not None and decision not in names:
        message = f"no decision {decision}; known are {', '.join(names)}"
        raise ConfigError([Invalid("--decision", "", message)])
    # Of a flow with one decision its switch is the switch for all.
    of_one = UNSET if decision is None or len(names) == 1 else decision
    send(state, [[KillSwitch(on=switch is Switch.ON, decision=of_one)]], settings)


@app.command("reload-list")
def reload_list(
    name: Annotated[str, typer.Argument(help="What the configuration calls the list.")],
    state: State,
    config: Config = None,
) -> None:
    """Read a list's file again, and put its content in place of the old one.

    The file is read now, as `[policy.lists.NAME]` of this configuration names it; a list of a declared
    decision is called DECISION.LIST.
    """
    from headrace.config.lists import read_declared
    from headrace.shard.commands import ReloadList

    settings = settings_of(config, state)
    lists = settings.lists
    if name not in lists:
        known = f"known are {', '.join(lists)}" if lists else "there are none"
        where = str(config or f"{state}: the configuration of {settings.flow.kind} that it has")
        raise ConfigError([Invalid(where, "policy.lists", f"no list {name}; {known}")])
    # The content goes into the command, and so into the journal: a replay must not hang on what the file says
    # by then.
    content = read_declared(lists[name])
    send(state, [[ReloadList(name=name, entries=content.entries, digest=content.digest)]], settings)


@app.command()
def clock(
    to: Annotated[str, typer.Option(metavar="TIME", help="Event time, as in 2026-03-01T09:30:00Z.")],
    state: State,
    config: Config = None,
) -> None:
    """Put the clock of every shard to a time, where it accepted a wrong one.

    What lies after that time in windows is dropped, and counted. Forward it makes a shard accept a time at
    once that it waits to hear of from more customers.
    """
    from headrace.operators.events.timestamps import parse_time
    from headrace.shard.commands import SetClock

    try:
        command = SetClock(to_ms=parse_time(to))
    except ValueError as error:
        raise ConfigError([Invalid("--to", "", f"{to!r}: {error}")]) from error
    send(state, [[command]], settings_of(config, state))


@app.command()
def status(state: State, config: Config = None) -> None:
    """List the commands that wait, and those that were refused."""
    from headrace.control.inbox import (
        ControlInbox,
        control_folder,
        limits_of,
        refused_files,
        summary_of,
        taken_of,
    )

    existing(state)
    echo("the flow is running" if running(state) else "the flow isn't running")
    taken = taken_of(state)
    folder = control_folder(state)
    inbox = ControlInbox(folder, limits_of(settings_of(config, state)), taken)
    echo(f"{taken} was the last command taken" if taken else "no command was ever taken")
    for number in inbox.waiting():
        try:
            said = summary_of(inbox.read(number).commands)
        except (HeadraceError, FileNotFoundError) as error:
            said = f"can't be read: {error}"
        echo(f"{number} waits: {said}")
    for path in refused_files(folder):
        echo(f"{path}: was refused")


def send(state: Path, files: Sequence[Sequence[Command]], settings: RunSettings) -> None:
    """Put commands into a state's control folder, and say when they are taken.

    Parameters
    ----------
    state
        The state.
    files
        Commands; each portion is applied as one batch.
    settings
        Whose limits hold.

    Raises
    ------
    StateError
        If there is no state, or too many commands wait.
    """
    from headrace.control.inbox import control_folder, limits_of, put, summary_of, taken_of

    existing(state)
    limits, folder = limits_of(settings), control_folder(state)
    paths = [put(folder, commands, limits, lambda: taken_of(state)) for commands in files]
    said = summary_of([command for commands in files for command in commands])
    echo(f"{paths[-1]}: {said}", err=True)
    echo(_await(state, paths), err=True)


def _await(state: Path, paths: Sequence[Path]) -> str:
    """Wait until a running flow has taken files, within limits; say how it stands.

    Raises
    ------
    StateError
        If the flow has refused one of them.
    """
    from headrace.control.inbox import refused_files

    until = time.monotonic() + _WAIT_S_MAX
    # Without a running flow nobody takes the files: there is nothing to wait for.
    there = running(state)
    while there and any(path.exists() for path in paths) and time.monotonic() < until:
        time.sleep(_LOOK_EVERY_S)
        there = running(state)
    left = [path for path in paths if path.exists()]
    refused = {path.name for path in refused_files(paths[0].parent)} & {path.name for path in paths}
    if refused:
        raise StateError(f"{paths[0].parent}: {', '.join(sorted(refused))}: refused; the flow's log says why")
    if not left:
        return "Taken by the running flow."
    if there:
        return "Not taken yet; the flow goes on looking for it."
    return "The flow isn't running: applied at its next start, before any other input."


def existing(state: Path) -> None:
    """See that there is a state.

    Raises
    ------
    StateError
        If there is none.
    """
    if not any(state.glob("shard-*")):
        raise StateError(f"{state}: there is no state here")


def running(state: Path) -> bool:
    """Whether a process holds the state's lock."""
    try:
        fd = os.open(state / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that several who look don't take each other for a running flow.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def settings_of(config: Path | None, state: Path) -> RunSettings:
    """Return the configuration, checked; without one, what the state was last run with.

    Raises
    ------
    ConfigError
        If the configuration has validation errors, or is of another flow than the state.
    StateError
        If there is no state.
    """
    from headrace.state.inspection import recorded_settings

    existing(state)
    recorded = recorded_settings(state)
    if config is None and recorded is not None:
        return recorded
    return settings_from(config, None, recorded.flow.kind if recorded else None)
