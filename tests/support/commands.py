"""The command line in forked children: all its code, without the second that a fresh interpreter takes."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

# A forked child must not have to import them.
from headrace.cli import app as cli
from headrace.cli import run
from headrace.config.loading import load
from headrace.journal.checkpoint import ForkedWriter
from headrace.operators import simulator
from headrace.operators.events.decode import decode
from headrace.runtime import topic_run as topic_runtime  # noqa: F401
from headrace.shard.kinds import build_machine

_GIVE_UP_S = 600
_COLUMNS = "400"
_WARMING_LINES = 300


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, or minus a signal's number, and what it wrote."""

    code: int
    out: bytes
    said: str

    @property
    def text(self) -> str:
        """Its standard output, where that is text."""
        return self.out.decode()


def headrace(
    *arguments: object, folder: Path | None = None, before: Callable[[], None] = lambda: None
) -> Ended:
    """Run the command line in a forked child, in `folder`, after `before`; its standard input is empty."""
    warm("recommend" if "recommend" in arguments else "fraud")
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:

        def work() -> int:
            signal.alarm(_GIVE_UP_S)
            os.chdir(folder or Path.cwd())
            os.environ["COLUMNS"] = _COLUMNS
            with Path(os.devnull).open("rb") as nothing:
                os.dup2(nothing.fileno(), 0)
            os.dup2(out.fileno(), 1)
            os.dup2(said.fileno(), 2)
            sys.stdin, sys.stdout, sys.stderr = (
                open(number, mode, errors=errors, closefd=False)  # noqa: SIM115  # of the whole process
                for number, mode, errors in (
                    (0, "r", "strict"),
                    (1, "w", "strict"),
                    (2, "w", "backslashreplace"),  # as Python has it
                )
            )
            before()
            return _main(arguments)

        code = ended(fork(work))
        out.seek(0)
        said.seek(0)
        return Ended(code, out.read(), said.read().decode())


def started_anew(
    *arguments: object, folder: Path | None = None, given: bytes | None = None, hash_seed: int = 0
) -> Ended:
    """Run the command line as a person does, in an interpreter of its own."""
    run = subprocess.run(
        [sys.executable, "-m", "headrace", *map(str, arguments)],
        **({"stdin": subprocess.DEVNULL} if given is None else {"input": given}),
        capture_output=True,
        cwd=folder,
        env=os.environ | {"PYTHONHASHSEED": str(hash_seed), "COLUMNS": _COLUMNS},
        timeout=_GIVE_UP_S,
        check=False,
    )
    return Ended(run.returncode, run.stdout, run.stderr.decode())


def run_main(arguments: list[str], said: Path, before: Callable[[], None]) -> int:
    """Run the command line in this process, a forked one, after `before`; what it says goes to a file."""
    file = said.open("w")
    os.dup2(file.fileno(), 2)
    sys.stderr = sys.stdout = file
    before()
    return _main(arguments)


def _main(arguments: tuple[object, ...] | list[str]) -> int:
    # What isn't compiled yet is compiled before the run, not by a further process beside it.
    run.compiled_beside = nullcontext
    sys.argv = ["headrace", *map(str, arguments)]
    code = cli.main()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code


def fork(work: Callable[[], int]) -> int:
    """Fork a child that ends with the exit code that `work` gives; return its number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # numpy's idle threads are no use to the child
        child = os.fork()
    if child:
        return child
    code = 99
    try:
        gc.disable()  # a collection would copy all that it shares with its parent
        code = work()
    except BaseException:  # noqa: BLE001
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def waiting_for_checkpoints() -> None:
    """In a forked child, before a run: make it wait for each checkpoint.

    A checkpoint that is due while the one before is being written is put off, so how many there are at the
    end would be a matter of time.
    """
    start = ForkedWriter.start

    def started(writer: ForkedWriter, *arguments: Any, **named: Any) -> float:
        seconds = start(writer, *arguments, **named)
        os.waitid(os.P_PID, writer._pid, os.WEXITED | os.WNOWAIT)  # its end is left for the run to notice
        return seconds

    ForkedWriter.start = started  # type: ignore[method-assign]


def ended(child: int) -> int:
    """Wait for a child, and give its exit code; negative, a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def told(*arguments: object) -> str:
    """What a command prints that must end well."""
    ended = headrace(*arguments)
    assert ended.code == 0, ended.said
    return ended.text


def simulated(lines: int) -> list[bytes]:
    """The first lines of a small simulated shop."""
    return b"".join(simulator.event_blocks(simulator.simulate("tiny", 1))).splitlines()[:lines]


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file of a folder."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@cache
def warm(flow: str = "fraud") -> None:
    """Have what is compiled in memory before a fork: loading it takes a child longer than its whole run."""
    settings = load(Path(flow)) if flow.endswith(".toml") else load(None, flow=flow)
    machine = build_machine(settings)
    lines = simulated(_WARMING_LINES)
    for line, event in zip(lines, decode(lines, settings.input.line_bytes_max), strict=True):
        machine.apply(event, line, (0, 0, 0))
