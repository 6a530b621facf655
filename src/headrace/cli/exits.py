"""How commands end: the exit codes, how errors are told, and what a closed standard output means."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

from headrace import errors
from headrace.cli.terminal import echo
from headrace.errors import ConfigError, HeadraceError, ReaderGone

__all__ = ["EXIT_CODES", "complain", "end", "lines_of", "reader_may_leave"]


def _exit_codes() -> Iterator[tuple[int, str]]:
    yield 0, "everything was done, or a run stopped early because SIGINT (Ctrl-C) or SIGTERM asked it to"
    for name in errors.__all__:
        error = getattr(errors, name)
        if issubclass(error, HeadraceError) and "exit_code" in vars(error):
            yield error.exit_code, error.exit_means


EXIT_CODES: Final = tuple(sorted(_exit_codes()))
"""What the command line can end with, and what it means; each code is its error's."""


def end(error: str | None, exit_code: int) -> None:
    """Leave with a failed run's exit code, and say its error; go on after one that went well."""
    if error:
        complain(error.splitlines())
    if exit_code:
        raise typer.Exit(exit_code)


def complain(lines: list[str]) -> None:
    """Say each line as an error."""
    for line in lines:
        echo(f"error: {line}", err=True)


def lines_of(error: HeadraceError) -> Iterator[str]:
    """Yield what is to be said of an error of ours, line by line."""
    yield from str(error).splitlines()
    if isinstance(error, ConfigError) and len(error.errors) > 1:
        yield f"{len(error.errors)} validation errors"


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """End quietly when the reader of standard output has gone, as in `headrace simulate --to - | head`."""
    try:
        yield
    except BrokenPipeError:
        # What is still in the buffer would be written at exit, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(ReaderGone.exit_code) from None
