"""Runs the demonstration's two flows at the same time, each in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Final

from headrace.errors import HeadraceError
from headrace.runtime.runs import Observer, Progress, RunRequest, RunSummary

__all__ = ["Pairs", "beside"]

_LOOK_SECONDS: Final = 0.1
_END_SECONDS: Final = 10.0


@contextmanager
def beside() -> Iterator[Pairs]:
    """Keep a second process for runs at the same time as runs here; it ends with the context."""
    context = get_context("spawn")  # a fork would take over threads that numeric libraries have started
    here, there = context.Pipe()
    process = context.Process(target=_run_there, args=(there,), daemon=True)
    process.start()
    # This end is the other process's: as long as it is open here, too, its death would go unnoticed.
    there.close()
    try:
        yield Pairs(here)
    finally:
        here.close()
        process.join(_END_SECONDS)
        # Whatever it still does must not outlive the demonstration; its files are as after a crash.
        process.kill()


class Pairs:
    """Runs pairs of flows, one pair after the other: the first of each in this process.

    Parameters
    ----------
    there
        The way to the second process.
    """

    def __init__(self, there: Connection) -> None:
        self._there = there

    def run(
        self, here: RunRequest, there: RunRequest, watching: Observer, beside: Observer
    ) -> tuple[RunSummary, RunSummary]:
        """Run a flow in this process and another one in the second process, and wait for both.

        Parameters
        ----------
        here, there
            What to run.
        watching, beside
            Told of the one and of the other, from this process alone.

        Raises
        ------
        HeadraceError
            If the run here can't begin.
        """
        from headrace.runtime.file_run import run

        other = _Other(self._there, beside)
        with suppress(OSError):  # the second process is gone, as is found out when nothing is heard of it
            self._there.send(there)
        ours = run(here, _Both(watching, other))
        # The run here has ended, and with it the calls that looked after the other one.
        while other.summary is None and not other.gone:
            other.hear(_LOOK_SECONDS)
        if other.summary is None:
            error = f"the process of the flow {there.flow} ended before its time"
            return ours, RunSummary(progress=Progress(), seconds=0.0, exit_code=1, error=error)
        return ours, other.summary


class _Other:
    """What the second process tells."""

    def __init__(self, heard: Connection, beside: Observer) -> None:
        self._heard, self._beside = heard, beside
        self.summary: RunSummary | None = None
        self.gone = False

    def hear(self, seconds: float = 0.0) -> None:
        """Pass on what was told, and wait for it so long if there is nothing yet."""
        try:
            while self.summary is None and self._heard.poll(seconds):
                seconds = 0.0
                what, told = self._heard.recv()
                getattr(self._beside, what)(told)
                if what == "finished":
                    self.summary = told
        except (EOFError, OSError):
            self.gone = True


class _Both:
    """An observer of the run here that looks after the other one, too."""

    def __init__(self, watching: Observer, other: _Other) -> None:
        self._watching, self._other = watching, other

    def started(self, request: RunRequest) -> None:
        """Note that the run here begins."""
        self._watching.started(request)

    def progress(self, progress: Progress) -> None:
        """So far the run here has come, and the other one as well."""
        self._watching.progress(progress)
        self._other.hear()

    def warning(self, message: str) -> None:
        """Something a person should know of."""
        self._watching.warning(message)

    def finished(self, summary: RunSummary) -> None:
        """Note that the run here has ended."""
        self._watching.finished(summary)


class _Teller:
    """An observer in the second process that tells the first one."""

    def __init__(self, telling: Connection) -> None:
        self._telling = telling

    def _tell(self, what: str, told: Any) -> None:
        with suppress(OSError):  # the first process is gone
            self._telling.send((what, told))

    def started(self, request: RunRequest) -> None:
        """Note that the run begins."""
        self._tell("started", request)

    def progress(self, progress: Progress) -> None:
        """So far it has come."""
        self._tell("progress", progress)

    def warning(self, message: str) -> None:
        """Something a person should know of."""
        self._tell("warning", message)

    def finished(self, summary: RunSummary) -> None:
        """Note that the run has ended."""
        self._tell("finished", summary)


def _run_there(telling: Connection) -> None:
    from headrace.runtime.file_run import run

    teller = _Teller(telling)
    with suppress(EOFError, OSError):  # the first process wants no more, or is gone
        while True:
            try:
                run(telling.recv(), teller)
            except HeadraceError as error:
                teller.finished(
                    RunSummary(progress=Progress(), seconds=0.0, exit_code=error.exit_code, error=str(error))
                )
