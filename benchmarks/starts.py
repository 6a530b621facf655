"""Where the seconds of a start on topics go, and those of a drain, with one process and with several.

A state is small and warm: what was compiled before is kept, its last run was drained, and some messages wait.
Each start is timed from the call of the command until the first decision is handed to the client, each
drain from SIGTERM until the command has ended. Stages come from the command's own functions, timed inside it.
Seconds of the CPU stand beside those of the clock: on a machine that does other work, only they are the
program's own.
With --killed, the last run was killed and not drained.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

_TRACE: Final = "HEADRACE_STARTS_TRACE"
_BEGAN: Final = "HEADRACE_STARTS_BEGAN"
_TRACED: Final = "--traced"
_MESSAGES: Final = 1000
_WAITING: Final = 20
_PATIENCE_S: Final = 300.0
_LOOK_S: Final = 0.02
_SETTLED_S: Final = 2.0
_FIRST: Final = "first decision"
# Stages, in their order; those inside another one count for themselves.
_STAGES: Final = (
    *("interpreter", "imports", "topics' metadata", "quiet outputs", "read back", "machine code"),
    *("recovery", "connections", "first turn", _FIRST),
)


class Noted(NamedTuple):
    """A moment at which a stage of a process had ended.

    Attributes
    ----------
    pid, what
        Which process, and which stage.
    at_s
        Since the command was called.
    seconds, cpu_s
        How long it took by the clock, and on the CPU in all threads of the process.
    """

    pid: int
    what: str
    at_s: float
    seconds: float
    cpu_s: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = _parser().parse_args(arguments)
    # Only here: what is timed has not to wait for them.
    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "tests")]
    from _conditions import conditions
    from broker import Broker, missing

    lacking = missing()
    if lacking:
        print(lacking)
        return 0
    print(conditions())
    with Broker(brief=True) as broker, TemporaryDirectory() as folder:
        for processes in options.processes:
            rounds = _rounds(broker, Path(folder), processes, options.rounds, killed=options.killed)
            _print(processes, rounds, killed=options.killed)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="numbers of processes")
    parser.add_argument("--rounds", type=int, default=5, help="starts of each")
    parser.add_argument("--killed", action="store_true", help="kill each run; a drain ends it otherwise")
    return parser


class Round(NamedTuple):
    """One start and its end."""

    noted: list[Noted]
    drain_s: float


def _rounds(broker: Any, folder: Path, processes: int, count: int, *, killed: bool) -> list[Round]:
    stamp = time.time_ns()
    topics = [
        broker.create_topic(f"{name}-{stamp}", partitions, retention_ms="-1")
        for name, partitions in (("in", 2), ("out", 2), ("dead", 1))
    ]
    sender = _Sender(broker.brokers, topics[0])
    sender.send(_MESSAGES)
    run = _Run(broker.brokers, topics, folder / f"state-{stamp}", processes)
    run.once(_MESSAGES, folder, kill=killed)  # nothing is compiled yet, and nothing known
    rounds = []
    for _ in range(count):
        sender.send(_WAITING)
        rounds.append(run.once(sender.sent, folder, kill=killed))
    return rounds


class _Sender:
    """Sends payments, one after the other."""

    def __init__(self, brokers: str, topic: str) -> None:
        from confluent_kafka import Producer

        self._producer, self._topic, self.sent = Producer({"bootstrap.servers": brokers}), topic, 0

    def send(self, count: int) -> None:
        for number in range(self.sent, self.sent + count):
            payment = {
                "type": "payment",
                "event_id": f"p{number}",
                "event_time": 1_700_000_000_000 + number * 1000,
                "customer_id": f"c{number % 50}",
                "merchant_id": f"m{number % 7}",
                "amount": 10.0 + number % 90,
                "currency": "EUR",
            }
            self._producer.produce(self._topic, json.dumps(payment), partition=number % 2)
        self._producer.flush()
        self.sent += count


class _Run:
    """The command line on these topics and this state."""

    def __init__(self, brokers: str, topics: Sequence[str], state: Path, processes: int) -> None:
        given = [f"kafka:{each}" for each in topics]
        self._state = state
        self._arguments = [
            *("run", "fraud", "--from", given[0], "--to", given[1], "--dead-letters", given[2]),
            *("--state", str(state), "--processes", str(processes)),
            *("--set", f'kafka.brokers=["{brokers}"]', "--set", "flow.shards=2"),
        ]

    def once(self, inputs: int, folder: Path, *, kill: bool) -> Round:
        """Start, wait until so many inputs are decided and a little longer, and end it."""
        trace = folder / "trace.jsonl"
        trace.write_bytes(b"")
        environment = os.environ | {_TRACE: str(trace), _BEGAN: repr(time.time())}
        command = [sys.executable, __file__, _TRACED, *self._arguments]
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + _PATIENCE_S
        while self._inputs() < inputs:
            assert process.poll() is None, "it ended"
            assert time.monotonic() < until, "nothing is decided"
            time.sleep(_LOOK_S)
        time.sleep(_SETTLED_S)
        began = time.monotonic()
        process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        process.wait(_PATIENCE_S)
        ended_s = time.monotonic() - began
        if kill:
            time.sleep(_SETTLED_S)  # until its processes are gone too
        return Round([Noted(*json.loads(line)) for line in trace.read_bytes().splitlines()], ended_s)

    def _inputs(self) -> int:
        from headrace.journal.end import journal_end, shard_folders

        ends = [journal_end(each, 0, cut_torn_tail=False) for each in shard_folders(self._state, 2)]
        return sum(end.boundary.ordinal for end in ends)


# -- what is printed


def _print(processes: int, rounds: Sequence[Round], *, killed: bool) -> None:
    print(f"\n{processes} process{'es' if processes > 1 else ''}, after a {'kill' if killed else 'drain'}:")
    print(f"{'stage':<20} {'seconds':>8} {'CPU':>8}")
    for stage in _STAGES:
        spent = [_spent(each.noted, stage) for each in rounds]
        print(f"{stage:<20} {median(wall for wall, _ in spent):8.2f} {median(cpu for _, cpu in spent):8.2f}")
    starts = [_first_decision(each.noted) for each in rounds]
    cpu = [_cpu_s(each.noted) for each in rounds]
    print(
        f"{'start':<20} {median(starts):8.2f} {median(cpu):8.2f}   {min(starts):.2f} to {max(starts):.2f} s"
    )
    if not killed:
        drains = [each.drain_s for each in rounds]
        print(f"{'drain':<20} {median(drains):8.2f} {'':>8}   {min(drains):.2f} to {max(drains):.2f} s")


def _slowest(noted: Sequence[Noted]) -> int:
    """Return the process whose first decision came last."""
    return max((each for each in noted if each.what == _FIRST), key=lambda each: each.at_s).pid


def _first_decision(noted: Sequence[Noted]) -> float:
    return min(each.at_s for each in noted if each.what == _FIRST)


def _spent(noted: Sequence[Noted], stage: str) -> tuple[float, float]:
    """Seconds of a stage before the first decision, in the launcher and in the process that came last."""
    told = {_slowest(noted), noted[0].pid}
    found = [each for each in noted if each.what == stage and each.pid in told]
    return sum(each.seconds for each in found), sum(each.cpu_s for each in found)


def _cpu_s(noted: Sequence[Noted]) -> float:
    """Of the launcher, and of the process that came last, until then."""
    told = {_slowest(noted), noted[0].pid}
    return sum(each.cpu_s for each in noted if each.pid in told and each.what in _STAGES)


# -- inside the command


class _Tracer:
    """Notes how long stages take; one inside another is taken out of it."""

    def __init__(self) -> None:
        self._began, self._path = float(os.environ[_BEGAN]), os.environ[_TRACE]
        self._inner: list[list[float]] = []

    def note(self, what: str, seconds: float, cpu_s: float) -> None:
        line = json.dumps([os.getpid(), what, time.time() - self._began, seconds, cpu_s]) + "\n"
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        os.write(file, line.encode())
        os.close(file)

    def timed(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, whose time is noted."""

        def call(*given: Any, **named: Any) -> Any:
            began, cpu = time.time(), time.process_time()
            self._inner.append([0.0, 0.0])
            try:
                return function(*given, **named)
            finally:
                seconds, cpu_s = time.time() - began, time.process_time() - cpu
                inner_s, inner_cpu_s = self._inner.pop()
                if self._inner:
                    self._inner[-1][0] += seconds
                    self._inner[-1][1] += cpu_s
                self.note(what, seconds - inner_s, cpu_s - inner_cpu_s)

        return call


def _traced() -> int:
    """Run the command line with its stages timed."""
    spawned_s = float(os.environ.get("HEADRACE_STARTS_SPAWNED", os.environ[_BEGAN]))
    tracer = _Tracer()
    tracer.note("interpreter", time.time() - spawned_s, time.process_time())
    began, cpu = time.time(), time.process_time()
    from headrace.__main__ import main as command_line
    from headrace.kafka.outlet import TopicOutlet
    from headrace.operators.compiled import generated as machine_code
    from headrace.runtime import child, launcher
    from headrace.runtime import topic_run as topic_runtime
    from headrace.shard import durable

    tracer.note("imports", time.time() - began, time.process_time() - cpu)
    run: Any = topic_runtime.TopicRun
    for owner, name, stage in (
        (launcher, "check_topics", "topics' metadata"),
        (launcher, "held_in", "topics' metadata"),
        (TopicOutlet, "ends", "topics' metadata"),
        (TopicOutlet, "wait_until_quiet", "quiet outputs"),
        (launcher, "repair", "read back"),
        (machine_code, "_compile", "machine code"),
        (durable.DurableShard, "__init__", "recovery"),
        (topic_runtime, "DecisionProducer", "connections"),
        (topic_runtime, "end_offsets", "connections"),
        (topic_runtime, "open_reading", "connections"),
    ):
        setattr(owner, name, tracer.timed(stage, getattr(owner, name)))
    _time_first(tracer, run)
    _trace_processes(child)
    return command_line()


def _time_first(tracer: _Tracer, run: Any) -> None:
    """Note the first turn of the flow, and its first decision."""
    flow, turn, written = run._run_flow, run._between_batches, run.decisions_written
    since = [0.0, 0.0]

    def passed(stage: str) -> None:
        now, cpu = time.time(), time.process_time()
        tracer.note(stage, now - since[0], cpu - since[1])
        since[:] = now, cpu

    left = ["first turn", _FIRST]

    def run_flow(self: Any) -> None:
        since[:] = time.time(), time.process_time()
        flow(self)

    def between_batches(self: Any) -> None:
        if len(left) == 2:
            passed(left.pop(0))
        turn(self)

    def decisions_written(self: Any, *given: Any) -> None:
        if len(left) == 1:
            passed(left.pop(0))
        written(self, *given)

    run._run_flow, run._between_batches, run.decisions_written = run_flow, between_batches, decisions_written


def _trace_processes(child: Any) -> None:
    """Have the processes that a launcher begins traced as well, and no other."""
    begin = child.subprocess.Popen

    def popen(command: list[str], **named: Any) -> Any:
        if "--member" not in command:
            return begin(command, **named)
        at = command.index("headrace")
        os.environ["HEADRACE_STARTS_SPAWNED"] = repr(time.time())
        return begin([command[0], __file__, _TRACED, *command[at + 1 :]], **named)

    child.subprocess.Popen = popen


if __name__ == "__main__":
    if sys.argv[1:2] == [_TRACED]:
        sys.argv = ["headrace", *sys.argv[2:]]
        sys.exit(_traced())
    sys.exit(main())
