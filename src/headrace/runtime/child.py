"""A process of a run as its launcher sees it: what it is told, and what it tells."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any

import orjson

from headrace.config.private_files import opener
from headrace.runtime.members import Member, Said, instructions
from headrace.shard.positions import Plan

__all__ = ["Child", "write_processes"]


_log = logging.getLogger(__name__)


class _Letters:
    """What a process is told, written by a thread: its pipe may be full, and it may not read for a while.

    Parameters
    ----------
    stream
        To the process; closed in the end.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        self._thread = Thread(target=self._write, name="letters", daemon=True)
        self._thread.start()

    def put(self, line: bytes) -> None:
        """Tell a line, once it is its turn."""
        self._lines.put(line)

    def _write(self) -> None:
        with suppress(OSError), self._stream:  # it has ended, which is seen elsewhere
            while (line := self._lines.get()) is not None:
                self._stream.write(line)
                self._stream.flush()

    def close(self) -> None:
        """Tell no more, once the process has ended."""
        self._lines.put(None)
        self._thread.join()


class Child:
    """One process and what it has told; it loads its program, and then waits for its instructions."""

    def __init__(self, member: Member, command: Sequence[str], lock: int) -> None:
        self.member, self.said, self._rest = member, Said(), b""
        self.stalled = self._closed = False
        self.process = subprocess.Popen(  # noqa: S603  # the program itself, with its own arguments
            # `-P`: the folder that the user stands in must not be able to put its own modules in place of
            # ours.
            [sys.executable, "-P", "-m", "headrace", *command, "--member"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(lock,) if member.listening is None else (lock, member.listening),
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.output = self.process.stdout.fileno()
        # One process that says nothing must not keep the launcher from hearing the others.
        os.set_blocking(self.output, False)
        self._letters = _Letters(self.process.stdin)

    def instruct(self, member: Member, plan: Plan, restarts: Mapping[str, int]) -> None:
        """Have it begin."""
        self.member = member
        self._letters.put(instructions(member, plan, restarts))

    @property
    def answers(self) -> bool:
        """Whether it serves its metrics itself."""
        return self.said.metrics is not None and not self.stalled and self.process.poll() is None

    @property
    def ended_well(self) -> bool:
        """Whether it has ended with exit code 0, and what it has told is all that it did."""
        # It may have ended while the launcher was stalled: what it told before its end says too little.
        return self.said.ended and self.process.returncode == 0

    def tell(self, stalled: Sequence[int]) -> None:
        """Say which processes are stalled; one that does so itself reads it later."""
        self._letters.put(orjson.dumps({"stalled": stalled}) + b"\n")

    def hear(self) -> Iterator[str]:
        """Take in what was told; gives warnings."""
        while not self._closed:
            try:
                some = os.read(self.output, 65_536)
            except BlockingIOError:
                return
            if not some:
                return
            *lines, self._rest = (self._rest + some).split(b"\n")
            for line in lines:
                warning = self.said.take(line)
                if warning:
                    yield warning

    def told(self, shards: int) -> dict[str, Any]:
        """Return what others are told of it, in a flow of so many shards."""
        return {
            "process": self.member.index,
            "pid": self.process.pid,
            "shards": [number for number in range(shards) if self.member.has(number)],
            "metrics": self.said.metrics,
            "stalled": self.stalled,
        }

    def close(self) -> None:
        """Tell it no more, and hear no more of it, once it has ended."""
        self._closed = True
        self._letters.close()
        if self.process.stdout is not None:
            self.process.stdout.close()


def write_processes(file: Path, processes: Sequence[Mapping[str, Any]], restarts: Counter[str]) -> None:
    """Tell others which processes there are, and where their metrics are served.

    Parameters
    ----------
    file
        Where.
    processes
        What each `Child` tells.
    restarts
        How often all were started again, by cause.
    """
    unnamed = file.with_suffix(".tmp")
    told = orjson.dumps(
        {
            "launcher": os.getpid(),
            "restarts": restarts.total(),
            "causes": dict(restarts),
            "processes": processes,
        }
    )
    try:
        with open(unnamed, "wb", opener=opener) as opened:
            opened.write(told)
        # Readers poll the file and must never see half of it.
        unnamed.replace(file)
    except OSError as error:  # no reason to end what runs
        _log.warning("%s can't be written: %s", file, error)
