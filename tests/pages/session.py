"""A page as a person follows it: its commands, one after the other, in one bash session in one folder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from markdown import ROOT, Block

GIVE_UP_S = 1800
_COLUMNS = "100"
# What differs between machines and runs: compared as if it were the same everywhere.
VARYING = (
    (re.compile(r"Headrace \d+\.\d+\.\d+\S*"), "Headrace VERSION"),
    (re.compile(r"kernel \S+ \S+ \S+"), "kernel MACHINE"),
    (re.compile(r"in [\d.,]+ s, [\d,]+ a second"), "in SECONDS, RATE"),
    # A flow on a busy machine may take longer than the command waits.
    (re.compile(r"^Not taken yet; .*$", re.MULTILINE), "Taken by the running flow."),
    (re.compile(r"p50 [\d.]+ ms, p99 [\d.]+ ms, p99.9 [\d.]+ ms"), "LATENCIES"),
)
PRELUDE = (Path(__file__).with_name("prelude.sh")).read_text()


@dataclass(frozen=True)
class Scene:
    """What a page takes for granted, and what happens around its commands; all of it is bash.

    A command is named by what it begins with: the first one of the page, from top to bottom, that does.

    Attributes
    ----------
    first, last
        What is done before the first command, and after the last one.
    before, after
        What is done before, and after, the named commands; what fails there fails the page.
    beside
        Commands that go on by themselves: they run in the background, `$flow` is the number of the process.
    stands_for
        What stands in the commands for something that a reader puts in its place, and what that is here.
    broker
        Whether a Kafka broker is needed.
    """

    first: str = ""
    last: str = ""
    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)
    beside: Sequence[str] = ()
    stands_for: Mapping[str, str] = field(default_factory=dict)
    broker: bool = False


class PageFailed(AssertionError):
    """A command of a page didn't do what the page says."""


def script(scene: Scene, shown: Sequence[Block]) -> str:
    """The session as one bash script, which writes what each command prints to a log named by its line.

    Raises
    ------
    PageFailed
        If the scene speaks of a command that the page doesn't have.
    """
    lines = [PRELUDE, "at first", scene.first]
    before, after, beside = dict(scene.before), dict(scene.after), list(scene.beside)
    for number, command in commands(shown):
        lines.append(f"at {number}-before\n{_taken(before, command)}\nat {number}")
        asked = replaced(command, scene.stands_for)
        in_background = next((each for each in beside if command.startswith(each)), None)
        if in_background is None:
            lines.append(asked)
        else:
            beside.remove(in_background)
            lines.append(f"flow_log=$LOGS/{number}\n{{ exec {asked}\n}} & flow=$!")
        lines.append(f"at {number}-after\n{_taken(after, command)}")
    left = [*before, *after, *beside]
    if left:
        raise PageFailed(f"{shown[0].page}: no command begins with any of {left}")
    return "\n".join([*lines, "at last", scene.last, ""])


def commands(shown: Sequence[Block]) -> Iterator[tuple[int, str]]:
    """The commands of a page that are run, each with its line."""
    for block in shown:
        if block.language == "sh" and block.not_run is None:
            yield from block.commands()


def replaced(text: str, stands_for: Mapping[str, str]) -> str:
    """The text with everything put in that something else stands for."""
    for name, value in stands_for.items():
        text = text.replace(name, value)
    return text


def run(page: str, text: str, folder: Path, environment: Mapping[str, str]) -> Path:
    """Run a session in a new folder, and give the folder of its logs.

    Raises
    ------
    PageFailed
        If a command ends with another exit code than 0, with what it was and what it printed.
    """
    logs = folder.with_name(f"{folder.name}-logs")
    logs.mkdir()
    folder.mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    session = subprocess.Popen(
        ["bash", "-c", text],
        cwd=folder,
        env={**os.environ, "PATH": path, "LOGS": str(logs), "COLUMNS": _COLUMNS, "PROJECT": str(ROOT)}
        | dict(environment),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        code = session.wait(GIVE_UP_S)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        if session.poll() is None:
            os.killpg(session.pid, signal.SIGKILL)
            session.wait()
    if code != 0:
        raise PageFailed(_failure(page, code, logs))
    return logs


def compare(block: Block, above: Block, logs: Path) -> None:
    """See that a shown output is among what the commands above it printed, its lines in a row.

    A line that is only an ellipsis stands for any number of lines, one within a line for any text.

    Raises
    ------
    PageFailed
        If it isn't, with both.
    """
    printed = "".join((logs / str(number)).read_text() for number, _ in above.commands())
    pattern = r"\n".join(_line_pattern(each) for each in block.text.splitlines())
    if not re.search(rf"^{pattern}$", _level(printed), re.MULTILINE):
        raise PageFailed(f"{block.place} shows\n{block.text}\nand printed was\n{printed}")


def _line_pattern(line: str) -> str:
    if line.strip() == "…":
        return r".*(?:\n.*)*?"
    return ".*".join(re.escape(part) for part in _level(line).rstrip().split("…")) + r"[ \t]*"


def _level(text: str) -> str:
    for varying, same in VARYING:
        text = varying.sub(same, text)
    return text


def _taken(acts: dict[str, str], command: str) -> str:
    """What is done at a command; each act once."""
    name = next((each for each in acts if command.startswith(each)), None)
    return "" if name is None else acts.pop(name)


def _failure(page: str, code: int | None, logs: Path) -> str:
    at = (logs / "at").read_text().strip()
    failed = logs / "failed"
    why = failed.read_text() if failed.exists() else f"the session ended with {code}"
    said = (logs / at).read_text(errors="replace")
    return f"{page}:{at}: {why}\n{said}"
