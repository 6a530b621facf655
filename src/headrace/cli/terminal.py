"""The only way out to a terminal: nothing that came from outside can act on it."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from headrace.config.printable import json_text, printable_lines

__all__ = ["console_of", "echo", "echo_json", "guard"]


def echo(text: str = "", *, err: bool = False) -> None:
    """Write a text of one or more lines to standard output, or to standard error."""
    typer.echo(printable_lines(text), err=err)


def echo_json(said: bytes | str) -> None:
    """Write JSON to standard output."""
    typer.echo(json_text(said.decode() if isinstance(said, bytes) else said))


class _Guarded(Console):
    """A console that shows texts as they are: nothing in them is a style, an emoji or a command."""

    def render_str(self, text: str, **given: Any) -> Text:
        """See `Console.render_str`; what is measured is what is shown."""
        return super().render_str(printable_lines(text), **given)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See `Console.render`; what the console itself says to the terminal stays."""
        for segment in super().render(renderable, options):
            # Here all that is shown passes, also what a table or panel has put together from values of
            # events.
            text, style, control = segment
            said = text if control else printable_lines(text)
            yield segment if said == text else Segment(said, style)


def console_of(*, stderr: bool = False, **given: Any) -> Console:
    """Return a console on standard output, or on standard error.

    Parameters
    ----------
    stderr
        Which of them.
    given
        What else `rich.console.Console` takes.
    """
    return _Guarded(stderr=stderr, markup=False, emoji=False, highlight=False, **given)


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))


def guard() -> None:
    """Have what the log and the interpreter write by themselves come out in the same way."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Lines())
    sys.excepthook = _tell


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(printable_lines("".join(traceback.format_exception(kind, error, trace))))
