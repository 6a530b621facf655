"""What a launcher and the processes that share its state tell each other, over their standard streams."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from headrace.runtime.attempts import COUNTED, added
from headrace.runtime.interrupts import die_with_parent, end_at_once
from headrace.runtime.liveness import BEAT_S, Beat, Pulse
from headrace.runtime.runs import Latency, Progress, RunRequest, RunSummary
from headrace.shard.kinds import Evaluation
from headrace.shard.positions import Plan, as_json, from_json

__all__ = [
    "ALONE",
    "Joined",
    "Launched",
    "Member",
    "Reporter",
    "Said",
    "await_listening",
    "instructions",
    "join",
    "together",
]

_decode: Final = msgspec.json.Decoder(Progress)
_decode_beat: Final = msgspec.json.Decoder(Beat)
# What isn't taken by a launcher that is stalled itself; beyond it only what is told once is kept.
_UNTOLD_BYTES_MAX: Final = 262_144
_LISTENING_SECONDS_MAX: Final = 5.0
_LOOK_S: Final = 0.01
_LISTENS: Final = "0A"
_DRAIN_SECONDS_MAX: Final = 20.0
_LAST_WORDS_SECONDS_MAX: Final = 10.0


@dataclass(frozen=True)
class Member:
    """A process among those that share a state.

    Attributes
    ----------
    index, count
        Its number, from 0, and how many there are. Shard `i` is with process `i % count`.
    addresses
        Of all of them, where Bytewax's workers meet; empty for one process.
    listening
        Descriptor of a socket that listens for those who ask for its metrics; None if nobody does.
    """

    index: int = 0
    count: int = 1
    addresses: tuple[str, ...] = ()
    listening: int | None = None

    def has(self, number: int) -> bool:
        """Whether a shard, or a partition, is this process's part."""
        return number % self.count == self.index


ALONE: Final = Member()


class Launched:
    """What a process is told by its launcher, beside what it is to do.

    Parameters
    ----------
    restarts
        How often the processes were started again, by cause.

    Attributes
    ----------
    stalled
        Numbers of the processes that are stalled now.
    """

    def __init__(self, restarts: Mapping[str, int]) -> None:
        self.restarts, self.stalled = dict(restarts), tuple[int, ...]()

    def take(self, line: bytes) -> None:
        """Take in a line of the launcher's."""
        self.stalled = tuple(orjson.loads(line)["stalled"])

    def troubles(self) -> list[str]:
        """Return what keeps the processes from working together, for a person."""
        return [f"process {index} is stalled" for index in self.stalled]


class Joined(NamedTuple):
    """What a process has from its launcher.

    Attributes
    ----------
    member, plan
        Which process it is, and what is read.
    write
        Writes to the launcher as much as it takes at once.
    launched
        What else the launcher tells.
    """

    member: Member
    plan: Plan
    write: Callable[[bytes], int]
    launched: Launched


def instructions(member: Member, plan: Plan, restarts: Mapping[str, int]) -> bytes:
    """Return what a process is told at its start, one line."""
    told = {**asdict(member), "restarts": dict(restarts), "plan": as_json(plan)}
    return orjson.dumps(told) + b"\n"


def _told(line: bytes) -> tuple[Member, Plan, Launched]:
    told = orjson.loads(line)
    member = Member(told["index"], told["count"], tuple(told["addresses"]), told["listening"])
    return member, from_json(told["plan"]), Launched(told["restarts"])


def join() -> Joined:
    """Take the launcher's instructions from standard input; when it closes, the launcher is gone: drain.

    What is told to the launcher goes to standard output as it was. Bytewax says there that others don't
    listen yet; that is kept apart.
    """
    lines = _lines()
    first = next(lines, None)
    if first is None:
        end_at_once()  # the launcher is gone, and nothing was begun
    member, plan, launched = _told(first)
    # From here on the end of standard input says that the launcher is gone, which lets this process drain.
    die_with_parent(0)
    own = os.dup(sys.stdout.fileno())
    os.set_blocking(own, False)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    threading.Thread(target=_watch, args=(lines, launched), name="launcher", daemon=True).start()
    return Joined(member, plan, partial(os.write, own), launched)


def await_listening(addresses: Sequence[str], told: Callable[[], bool]) -> None:
    """Wait until others listen, a few seconds at most, or until it is `told` that there is no need.

    Bytewax tries again only after a second when they aren't there yet; the system is asked, where it says it.
    """
    wanted = {_as_listed(address) for address in addresses}
    until = time.monotonic() + _LISTENING_SECONDS_MAX
    while not wanted <= _listening(wanted) and not told() and time.monotonic() < until:
        time.sleep(_LOOK_S)


def _as_listed(address: str) -> str:
    host, _, port = address.rpartition(":")
    return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{int(port):04X}"


def _listening(wanted: set[str]) -> set[str]:
    """Which of some addresses is listened on here, as Linux lists them; elsewhere all, as nobody knows."""
    try:
        with open("/proc/net/tcp") as lines:
            rows = [line.split() for line in lines]
    except OSError:
        return wanted
    return {row[1] for row in rows if row[3] == _LISTENS}


def _lines() -> Iterator[bytes]:
    """Lines of standard input, past its buffer: a thread that waits in there would hold the end up."""
    rest = b""
    while some := os.read(sys.stdin.fileno(), 65_536):
        *lines, rest = (rest + some).split(b"\n")
        yield from lines


def _watch(lines: Iterator[bytes], launched: Launched) -> None:
    for line in lines:
        launched.take(line)
    os.kill(os.getpid(), signal.SIGTERM)
    # Bytewax, while it waits for another process that is gone as well, hears no signal. To be killed is
    # allowed at any moment, and whoever stays on holds the state's lock.
    time.sleep(_DRAIN_SECONDS_MAX)
    os.kill(os.getpid(), signal.SIGKILL)


class Reporter:
    """An observer that tells the launcher, and is held up by it only once all is done.

    Parameters
    ----------
    write
        Writes to the launcher as much as it takes at once; gives how many bytes.

    Attributes
    ----------
    pulse
        To be moved by the flow's thread.
    """

    def __init__(self, write: Callable[[bytes], int]) -> None:
        self._write, self._lock, self._untold = write, threading.Lock(), b""
        self._progress: Progress | None = None
        self.pulse = Pulse()

    def _tell(self, **what: Any) -> None:
        with self._lock:
            # Heartbeats come again, so they are what is dropped; warnings and the like are said once.
            if "beat" not in what or len(self._untold) <= _UNTOLD_BYTES_MAX:
                self._untold += msgspec.json.encode(what) + b"\n"
            self._write_on()

    def _write_on(self) -> None:
        try:
            while self._untold:
                self._untold = self._untold[self._write(self._untold) :]
        except BlockingIOError:
            return  # the rest goes with what is told next
        except OSError:
            self._untold = b""  # the launcher is gone; standard input says so too

    def settle(self) -> None:
        """Wait until the launcher has taken all that was told, some seconds at most: the end comes then."""
        until = time.monotonic() + _LAST_WORDS_SECONDS_MAX
        while self._untold and time.monotonic() < until:
            time.sleep(_LOOK_S)
            with self._lock:
                self._write_on()

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Tell again and again how the flow is, and how far it has come."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(BEAT_S):
                self.beat()

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def beat(self) -> None:
        """Tell once how the flow is, and how far it has come."""
        # Taken and emptied in one statement: the flow's thread may put the next one there at any moment.
        progress, self._progress = self._progress, None
        told = {} if progress is None else {"progress": progress}
        self._tell(beat=self.pulse.feel(), **told)

    def serving(self, url: str) -> None:
        """Metrics are served there."""
        self._tell(metrics=url)

    def started(self, request: RunRequest) -> None:
        """Note that the run begins; the launcher has said so."""

    def draining(self) -> None:
        """Nothing more is read; without this process's partitions the others are to stop too."""
        self._tell(draining=True)

    def opened(self, counted: Progress) -> None:
        """Note that the state is taken up, with what it had counted before."""
        self._tell(opened=counted)

    def progress(self, progress: Progress) -> None:
        """So far it has come; told with the next beat."""
        self._progress = progress

    def warning(self, message: str) -> None:
        """Something a person should know of."""
        # A message may name a path that is no UTF-8.
        self._tell(warning=message.encode(errors="backslashreplace").decode())

    def finished(self, summary: RunSummary) -> None:
        """Note that the run has ended; the last figures are waited for until they are taken."""
        self._progress = None
        self._tell(progress=summary.progress, ended=True)
        self.settle()


@dataclass
class Said:
    """The last that a process has told; `ended` if the progress is that of its end."""

    progress: Progress | None = None
    ended: bool = False
    metrics: str | None = None
    draining: bool = False
    beat: Beat | None = None
    opened: Progress | None = None

    def take(self, line: bytes) -> str | None:
        """Take a line in; gives a warning, if it is one."""
        told: Mapping[str, msgspec.Raw] = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        if "progress" in told:
            self.progress = _decode.decode(told["progress"])
        if "opened" in told:
            self.opened = _decode.decode(told["opened"])
        if "beat" in told:
            self.beat = _decode_beat.decode(told["beat"])
        if "metrics" in told:
            self.metrics = msgspec.json.decode(told["metrics"], type=str)
        self.ended = self.ended or "ended" in told
        self.draining = self.draining or "draining" in told
        return msgspec.json.decode(told["warning"], type=str) if "warning" in told else None


_PRESENT: Final = ("pending", "entities", "useful")


def together(
    parts: Sequence[Progress], before: Sequence[Progress] = (), *, evaluation: Evaluation
) -> Progress:
    """Return what several processes have done, with those `before` that have ended; of latencies the largest.

    Their quality is that of all windows together, without those that have ended.
    """
    counts = {name: sum(getattr(each, name) for each in (*before, *parts)) for name in COUNTED}
    counts |= {name: sum(getattr(each, name) for each in parts) for name in _PRESENT}
    latencies = [each.latency for each in parts if each.latency is not None]
    worst = Latency(
        max((each.p50_ms for each in latencies), default=0.0),
        max((each.p99_ms for each in latencies), default=0.0),
        max((each.p999_ms for each in latencies), default=0.0),
    )
    return Progress(
        **counts,
        by_action=added([each.by_action for each in (*before, *parts)]),
        reasons=added([each.reasons for each in (*before, *parts)]),
        dead_by_reason=added([each.dead_by_reason for each in (*before, *parts)]),
        skipped=added([each.skipped for each in (*before, *parts)]),
        elapsed_s=max((each.elapsed_s for each in parts), default=0.0),
        event_time_ms=max((each.event_time_ms for each in parts), default=0),
        latency=worst if latencies else None,
        quality=evaluation.together([each.counted for each in parts if each.counted is not None]),
        recovered="; ".join(each.recovered for each in parts if each.recovered),
    )
