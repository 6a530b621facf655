"""What a launcher and the processes that share its state tell each other, over their standard streams."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TextIO

import msgspec
import orjson

from headrace.operators.positions import Plan, as_json, from_json
from headrace.operators.prequential import quality_of
from headrace.operators.recommend.lists import quality_of_lists
from headrace.runs import Latency, Progress, RunRequest, RunSummary

__all__ = ["ALONE", "Member", "Reporter", "Said", "instructions", "join", "member_of", "together"]

_decode: Final = msgspec.json.Decoder(Progress)
_DRAIN_SECONDS_MAX: Final = 20.0


@dataclass(frozen=True)
class Member:
    """A process among those that share a state.

    Attributes
    ----------
    index, count
        Its number, from 0, and how many there are. Shard `i` is with process `i % count`.
    addresses
        Of all of them, where Bytewax's workers meet; empty for one process.
    """

    index: int = 0
    count: int = 1
    addresses: tuple[str, ...] = ()

    def has(self, number: int) -> bool:
        """Whether a shard, or a partition, is this process's part."""
        return number % self.count == self.index


ALONE: Final = Member()


def instructions(member: Member, plan: Plan) -> bytes:
    """What a process is told at its start, one line."""
    told = {"index": member.index, "count": member.count, "addresses": member.addresses}
    return orjson.dumps({**told, "plan": as_json(plan)}) + b"\n"


def member_of(line: bytes) -> tuple[Member, Plan]:
    """What a launcher's instructions say."""
    told = orjson.loads(line)
    return Member(told["index"], told["count"], tuple(told["addresses"])), from_json(told["plan"])


def join() -> tuple[Member, Plan, TextIO]:
    """Take the launcher's instructions from standard input; when it closes, the launcher is gone: drain.

    The stream to the launcher comes with them. Bytewax says on standard output that others don't listen yet;
    that is kept apart.
    """
    member, plan = member_of(sys.stdin.buffer.readline())
    stream = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    threading.Thread(target=_watch, name="launcher", daemon=True).start()
    return member, plan, stream


def _watch() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    # Bytewax, while it waits for another process that is gone as well, hears no signal. To be killed is
    # allowed at any moment, and whoever stays on holds the state's lock.
    time.sleep(_DRAIN_SECONDS_MAX)
    os.kill(os.getpid(), signal.SIGKILL)


class Reporter:
    """An observer that tells the launcher.

    Parameters
    ----------
    stream
        To the launcher.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def _tell(self, **what: Any) -> None:
        try:
            self._stream.write(msgspec.json.encode(what).decode() + "\n")
            self._stream.flush()
        except OSError:
            return  # the launcher is gone; standard input says so too

    def serving(self, url: str) -> None:
        """Metrics are served there."""
        self._tell(metrics=url)

    def started(self, request: RunRequest) -> None:
        """The run begins; the launcher has said so."""

    def draining(self) -> None:
        """Nothing more is read; without this process's partitions the others are to stop too."""
        self._tell(draining=True)

    def progress(self, progress: Progress) -> None:
        """So far it has come."""
        self._tell(progress=progress)

    def warning(self, message: str) -> None:
        """Something a person should know of."""
        self._tell(warning=message)

    def finished(self, summary: RunSummary) -> None:
        """The run has ended."""
        self._tell(progress=summary.progress)


@dataclass
class Said:
    """The last that a process has told."""

    progress: Progress | None = None
    metrics: str | None = None
    draining: bool = False

    def take(self, line: bytes) -> str | None:
        """Take a line in; gives a warning, if it is one."""
        told: Mapping[str, msgspec.Raw] = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        if "progress" in told:
            self.progress = _decode.decode(told["progress"])
        if "metrics" in told:
            self.metrics = msgspec.json.decode(told["metrics"], type=str)
        self.draining = self.draining or "draining" in told
        return msgspec.json.decode(told["warning"], type=str) if "warning" in told else None


_COUNTED: Final = (
    *("inputs", "decisions", "dead_letters", "repeats", "outcomes_matched", "outcomes_unmatched"),
    *("outcomes_corrected", "outcomes_late", "bytes_read"),
)
_PRESENT: Final = ("pending", "entities")


def together(parts: Sequence[Progress], before: Sequence[Progress] = ()) -> Progress:
    """What several processes have done, with those `before` that have ended; of latencies the largest.

    Their quality is that of all windows together, without those that have ended.
    """
    counts = {name: sum(getattr(each, name) for each in (*before, *parts)) for name in _COUNTED}
    counts |= {name: sum(getattr(each, name) for each in parts) for name in _PRESENT}
    latencies = [each.latency for each in parts if each.latency is not None]
    worst = Latency(
        max((each.p50_ms for each in latencies), default=0.0),
        max((each.p99_ms for each in latencies), default=0.0),
        max((each.p999_ms for each in latencies), default=0.0),
    )
    return Progress(
        **counts,
        by_action=_added([each.by_action for each in (*before, *parts)]),
        reasons=_added([each.reasons for each in (*before, *parts)]),
        elapsed_s=max((each.elapsed_s for each in parts), default=0.0),
        event_time_ms=max((each.event_time_ms for each in parts), default=0),
        latency=worst if latencies else None,
        quality=quality_of([each.counted for each in parts if each.counted is not None]),
        lists=quality_of_lists([each.lists for each in parts if each.lists is not None]),
        recovered="; ".join(each.recovered for each in parts if each.recovered),
    )


def _added(parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: sum(part.get(name, 0) for part in parts) for name in names}
