"""Plays a golden case through the command line, whole or killed on the way, and gathers what it left.

Run as a script it plays cases and writes what each left to a file: a process has either plain scorers or
compiled ones, so that each kind gets one of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
sys.path.insert(0, str(Path(__file__).parent))
import orjson
from commands import ended, fork, headrace, run_main, warm
from golden_corpus import Row, decoded, encoded
from golden_flows import FLOWS, Flow, world_of
from golden_worlds import UNFIT

from headrace.cli import app as cli
from headrace.control.dead_letters import letters_in_state
from headrace.control.inbox import ControlLimits, control_folder, put, taken_of
from headrace.journal.reader import JournalReader
from headrace.journal.records import Kind
from headrace.journal.segments import first_boundary
from headrace.operators.decisions.scoring import PlainScorer
from headrace.operators.decisions.scoring_compiled import CompiledScorer
from headrace.shard.commands import KillSwitch, ReloadList

HERE = Path(__file__).resolve().parents[2]
PLACE = b"/golden"
# Of the writes of each attempt at a run, the one at which it is killed; the next attempt goes to its end.
KILLED_AT = ((9, 17), (6,), (14,), (5,))


class Play:
    """One case in a folder of its own."""

    def __init__(
        self, folder: Path, flow: Flow, lines: tuple[bytes, ...], shards: int, *, killed: bool
    ) -> None:
        self.folder, self.flow, self.killed = folder, flow, killed
        self.lines, self.runs = lines, 0
        self.config = flow.write_config(folder)
        self.options = [*flow.options, "--set", f"flow.shards={shards}"]
        self.state = folder / "state"
        self.sources = [folder / "events.jsonl"]

    def whole(self) -> dict[str, list[Row]]:
        """Play everything, and gather what is left."""
        lines, at = self.lines, [len(self.lines) * part // 100 for part in (0, 45, 60, 90, 100)]
        self.sources[0].write_bytes(b"")
        self._more(lines[at[0] : at[1]])
        self._run()
        self._list("trusted", "customer_id", lines[: at[1]])
        self._tell("control", "kill-switch", "on")
        self._retry(lines[: at[1]])
        self._more(lines[at[1] : at[2]])
        self._run()
        self._list("stolen", "merchant_id", lines[: at[2]])
        self._tell("control", "kill-switch", "off")
        self._second(lines[at[2] : at[3]])
        self._run()
        self._erase(lines[: at[1]])
        self._more(lines[at[3] :])
        self._run()
        return self._gathered()

    # -- what comes in
    def _more(self, lines: tuple[bytes, ...]) -> None:
        with self.sources[0].open("ab") as file:
            file.write(b"".join(line + b"\n" for line in lines))

    def _second(self, lines: tuple[bytes, ...]) -> None:
        """Go on in two files, of which one has every third line."""
        other = self.folder / "others.jsonl"
        other.write_bytes(b"".join(line + b"\n" for line in lines[::3]))
        self.sources.append(other)
        self._more(tuple(line for place, line in enumerate(lines) if place % 3))

    # -- runs
    def _run(self) -> None:
        sources = [part for path in self.sources for part in ("--from", str(path))]
        outputs = ["--to", self._path("decisions.jsonl"), "--dead-letters", self._path("dead.jsonl")]
        config = ["--config", str(self.config), "--state", str(self.state)]
        arguments = ["run", self.flow.kind, *sources, *outputs, *config, *self.options]
        for write in KILLED_AT[self.runs] if self.killed else ():
            if self._forked(arguments, lambda at=write: kill_at_write(at)) != -signal.SIGKILL:
                raise AssertionError(f"not killed at write {write} of run {self.runs}: {self._said()}")
        self.runs += 1
        if self._forked(arguments, lambda: None):
            raise AssertionError(self._said())

    def _forked(self, arguments: list[str], before: Callable[[], None]) -> int:
        return ended(fork(lambda: run_main(arguments, Path(self._path("said")), before)))

    def _path(self, name: str) -> str:
        return str(self.folder / name)

    def _said(self) -> str:
        return Path(self._path("said")).read_text()

    # -- what an operator does
    def _tell(self, *arguments: object) -> None:
        told = headrace(*arguments, "--state", self.state, "--config", self.config)
        if told.code:
            raise AssertionError(told.said)

    def _list(self, name: str, key: str, lines: tuple[bytes, ...]) -> None:
        """Put every fifth value of a field that was seen so far on a list, and reload it."""
        if not self.flow.added:
            return
        values = dict.fromkeys(value for line in lines for value in _values(line, key))
        (self.folder / f"{name}.txt").write_text("\n".join([*values][::5]) + "\n")
        self._tell("control", "reload-list", name)

    def _retry(self, lines: tuple[bytes, ...]) -> None:
        """Try dead letters again as they are, one of them mended; and tell what is refused."""
        state = self.state
        limits = ControlLimits(1.0, 1 << 26, 100)
        unknown = ReloadList(name="nobody's", entries=("x",), digest="0" * 64)
        put(control_folder(state), [unknown, KillSwitch(on=True)], limits, lambda: taken_of(state))
        self._tell("dead-letters", "retry", "--reason", "id_conflict", "--reason", "invalid_json")
        mended = self.folder / "mended.jsonl"
        mended.write_bytes(
            next(line for line in lines if _values(line, "type")).replace(b'_id":"', b'_id":"again-')
        )
        letters = letters_in_state(state)
        number = next(each.number for each in letters if each.letter.reason == "missing_field")
        self._tell("dead-letters", "retry", "--number", number, "--payload", mended)

    def _erase(self, lines: tuple[bytes, ...]) -> None:
        """Erase the customer who is named most often."""
        counted = Counter(value for line in lines for value in _values(line, "customer_id"))
        (customer, _), *_ = counted.most_common(1)
        self._tell("erase", "--customer", customer)

    # -- what is left
    def _gathered(self) -> dict[str, list[Row]]:
        lines = {"decisions": self._lines("decisions.jsonl"), "dead_letters": self._lines("dead.jsonl")}
        return lines | {path.name: list(self._records(path)) for path in sorted(self.state.glob("shard-*"))}

    def _lines(self, name: str) -> list[Row]:
        with (self.folder / name).open("rb") as file:
            return [Row(place, 0, 0, self._placeless(line), b"") for place, line in enumerate(file, start=1)]

    def _records(self, directory: Path) -> Iterator[Row]:
        """Records but those that runs note themselves: a killed one may note things again."""
        for frame in JournalReader(directory, first_boundary(directory), cut_torn_tail=False).frames():
            for record in frame.records:
                if record.kind == Kind.CONTROL:
                    assert not record.flags | len(record.output) | len(record.detail)
                else:
                    output = self._placeless(record.output)
                    if record.erased:
                        output = b"%d zeros" % (len(output))
                    yield Row(record.ordinal, record.kind, record.flags, output, record.detail)

    def _placeless(self, line: bytes) -> bytes:
        """A line with the folder's name in its place, so that it is the same in every folder."""
        return line.replace(os.fsencode(self.folder), PLACE)


def _values(line: bytes, key: str) -> list[str]:
    """The value of a text field, if the line is one object and has it."""
    try:
        value = orjson.loads(line)[key]
    except (orjson.JSONDecodeError, TypeError, KeyError):
        return []
    return [value] if isinstance(value, str) else []


def kill_at_write(call: int) -> None:
    """Have this process killed in the middle of one of its writes."""
    write, calls = os.write, 0
    run = os.getpid()

    def counted(fd: int, data: bytes) -> int:
        nonlocal calls
        calls += os.getpid() == run
        if calls == call:
            write(fd, bytes(data)[: max(1, len(data) // 2)])
            os.kill(run, signal.SIGKILL)
        return write(fd, data)

    os.write = counted


def unfit(score: Callable[..., float]) -> Callable[..., float]:
    """Have a scorer fail for payments that are meant for it; with shipped models none does."""

    def scored(self: Any, payment: Any, time_ms: int) -> float:
        if payment.event_id.endswith(UNFIT):
            raise OverflowError("too large")
        return score(self, payment, time_ms)

    return scored


def play(flow: str, shards: int, *, killed: bool) -> dict[str, list[Row]]:
    """Play a case; what it left are the lines that went out and the records of each shard."""
    with TemporaryDirectory() as folder:
        return Play(Path(folder).resolve(), FLOWS[flow], world_of(flow), shards, killed=killed).whole()


def in_process(cases: Iterable[str], *, compiled: bool) -> dict[str, dict[str, list[Row]]]:
    """Play cases, such as `fraud-1-whole` or `policy-3-killed`, in a process of their own.

    Parameters
    ----------
    cases
        Each names a flow, how many shards it has, and how its runs end.
    compiled
        Whether scorers and kernels are compiled, where Numba is installed.

    Returns
    -------
    dict
        What each case left, by its name without its last part.
    """
    with TemporaryDirectory() as folder:
        left = Path(folder, "left")
        done = subprocess.run(
            [sys.executable, __file__, str(left), *cases],
            env=os.environ | {"NUMBA_DISABLE_JIT": "01"[not compiled]},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise AssertionError(done.stderr)
        return decoded(left.read_bytes())


def main(target: str, *cases: str) -> None:
    """Play cases, and write what each left to a file."""
    if not Path(cli.__file__).resolve().is_relative_to(HERE):
        raise SystemExit(
            f"{cli.__file__} would be tried, which isn't of this checkout: make its environment anew"
        )
    for scorer in (PlainScorer, CompiledScorer):
        scorer.score = unfit(scorer.score)
    found = {}
    for case in cases:
        flow, shards, how = case.split("-")
        warm(FLOWS[flow].kind)
        found[f"{flow}-{shards}"] = play(flow, int(shards), killed=how == "killed")
    Path(target).write_bytes(encoded(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
