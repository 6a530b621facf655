"""The command line: puts the commands together, and says how the program ends."""

# ruff: noqa: FBT001, FBT002  # to typer a boolean parameter is a flag, which is always named
from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

import headrace.flows.kinds  # noqa: F401  # makes them known
from headrace import __version__
from headrace.cli import config, control, dead_letters, state
from headrace.cli.check import check
from headrace.cli.demo_command import demo
from headrace.cli.erase import erase
from headrace.cli.exits import EXIT_CODES, complain, lines_of
from headrace.cli.init import init
from headrace.cli.ledger import explain, ledger
from headrace.cli.reference import reference
from headrace.cli.replay import replay
from headrace.cli.run import run
from headrace.cli.schema import schema
from headrace.cli.simulate import simulate
from headrace.cli.terminal import echo, guard
from headrace.cli.warm import warm
from headrace.errors import HeadraceError, Interrupted, ReaderGone

__all__ = ["app", "main"]

_EPILOG: Final = "\b\n" + "\n".join(["Exit codes:", *(f"  {code:>3}  {means}" for code, means in EXIT_CODES)])

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

app.add_typer(config.app, name="config")
app.add_typer(control.app, name="control")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(state.app, name="state")
app.add_typer(ledger, name="ledger")
for command in (init, run, demo, simulate, check, warm, schema, erase, explain, replay):
    app.command()(command)
app.command(hidden=True)(reference)


def _version(wanted: bool) -> None:
    if wanted:
        echo(f"headrace {__version__}")
        raise typer.Exit


@app.callback()
def _headrace(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Decide on events as they arrive, and learn from their outcomes."""


def main() -> int:
    """Run the command line and give its exit code; errors of ours are told without a traceback."""
    guard()
    try:
        app(prog_name="headrace")
    except ReaderGone as error:
        return error.exit_code
    except HeadraceError as error:
        complain(list(lines_of(error)))
        return error.exit_code
    except OSError as error:
        complain([f"{error.filename}: {error.strerror}" if error.filename else str(error)])
        return HeadraceError.exit_code
    except SystemExit as ended:
        if ended.code == Interrupted.exit_code:
            echo("interrupted", err=True)
        return ended.code if isinstance(ended.code, int) else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
