"""Runs the processes that share a state, and starts them again together when one of them has died."""

from __future__ import annotations

import logging
import selectors
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from socket import create_server
from typing import Final, NoReturn

from headrace.config.tables import ProcessesSettings
from headrace.errors import (
    BrokerError,
    ChangedSource,
    ConfigError,
    DiskFull,
    ErasureUnfinished,
    HeadraceError,
    InputError,
    InputFailed,
    Interrupted,
    OffsetLost,
    StateError,
    StateLocked,
    StateMismatch,
    TruncatedInput,
    UnknownDecision,
)
from headrace.runtime.attempts import since
from headrace.runtime.child import Child, write_processes
from headrace.runtime.interrupts import end_at_once, met_by, pause
from headrace.runtime.liveness import Liveness
from headrace.runtime.members import Member, together
from headrace.runtime.runs import Observer, Progress, RunRequest, RunSummary, useless_state
from headrace.runtime.skips import notes_of_skips, skips_of
from headrace.runtime.stand_ins import StandIns
from headrace.shard.kinds import kind_of
from headrace.shard.positions import Plan

__all__ = ["ENDED", "FROZEN", "FULL", "PROCESSES", "Supervisor"]

_log = logging.getLogger(__name__)


PROCESSES: Final = (1, 2, 3, 4, 6, 12)
"""How many processes there may be: with these Bytewax hands out shards and partitions evenly."""

ENDED: Final = "ended"
FROZEN: Final = "frozen"
FULL: Final = "disk_full"
"""Why processes are started again: one has ended, one was stalled, or the disk was full."""

_HOST: Final = "127.0.0.1"
_LOOK_S: Final = 0.1
_BACKOFF_S: Final = 0.1
# Whoever ran so long didn't fail for what it began with; tries are counted from the beginning again.
_SETTLED_S: Final = 60.0
_END_SECONDS_MAX: Final = 5.0
# How a process ends that is told to stop while it is still being loaded.
_AS_TOLD: Final = frozenset({-signal.SIGTERM, -signal.SIGINT, Interrupted.exit_code})
# Starting again changes nothing about these.
_LASTING: Final = frozenset(
    error.exit_code
    for error in (
        ConfigError,
        InputError,
        TruncatedInput,
        ChangedSource,
        StateError,
        StateMismatch,
        StateLocked,
        UnknownDecision,
        ErasureUnfinished,
        OffsetLost,
        InputFailed,
    )
)


class Supervisor:
    """The processes of one run.

    Parameters
    ----------
    request
        What to run.
    observer
        Is told of all processes together.
    prepare
        Brings state and topics together, and says what is read; called while no process runs.
    lock
        Descriptor of the state's lock; each process holds it too, so that none outlives it unnoticed.
    """

    def __init__(
        self, request: RunRequest, observer: Observer, prepare: Callable[[], Plan], lock: int
    ) -> None:
        assert request.state is not None
        self._request, self._observer, self._prepare, self._lock = request, observer, prepare, lock
        self._file: Path = request.state / "processes.json"
        self._limits: ProcessesSettings = request.settings.processes
        self._children: list[Child] = []
        self._stopping = self._signalled = False
        self._first: Progress | None = None
        self._done: list[Progress] = []
        self._restarts: Counter[str] = Counter({ENDED: 0, FROZEN: 0, FULL: 0})
        self._frozen = False
        self._waits_for = "the processes are being started"
        self._stand_ins = StandIns(request.listening, request.settings.metrics, lambda: self._waits_for)

    def run(self) -> RunSummary:
        """Run until told to stop, or until starting again is of no use.

        Raises
        ------
        HeadraceError
            If the first start fails.
        """
        began = time.monotonic()
        self._observer.started(self._request)
        self._stand_ins.stand_in(self._answers)
        try:
            code = self._run()
        finally:
            self._end()
            self._stand_ins.close()
            self._file.unlink(missing_ok=True)
        summary = self._summary(time.monotonic() - began, code)
        self._observer.finished(summary)
        return summary

    def _run(self) -> int:
        with met_by(self._leave):
            # Loading takes seconds, and so may the brokers: both at once. A process has opened nothing until
            # it is instructed.
            self._spawn()
            plan = self._prepare()
        failed = 0
        with met_by(self._stop):
            while True:
                at = time.monotonic()
                code = self._once(plan)
                failed = 1 if time.monotonic() - at >= _SETTLED_S else failed + 1
                if code == DiskFull.exit_code:  # there may be room again, however long that takes
                    failed = min(failed, self._limits.restarts_max)
                if self._stopping or code in _LASTING or failed > self._limits.restarts_max:
                    return self._left_with(code)
                again = self._again(failed, self._cause_of(code))
                if again is None:
                    return self._left_with(code)
                plan = again

    def _left_with(self, code: int) -> int:
        """How the run ends after processes have ended so: well, if they were down when it was told to."""
        # What the next start has to make good has a journal. Only where the disk is full the outputs may lack
        # what nobody makes good by himself, and what lasts is to be told in any case.
        down = self._stopping and not self._signalled
        return 0 if down and code not in _LASTING and code != DiskFull.exit_code else code

    def _cause_of(self, code: int) -> str:
        if self._frozen:
            self._waits_for = "a process was stalled; all are being started again"
            return FROZEN
        if code == DiskFull.exit_code:
            self._waits_for = "the disk is full; the processes are started again as soon as there is room"
            return FULL
        self._waits_for = f"a process ended with {_ending(code)}; all are being started again"
        return ENDED

    def _answers(self, index: int) -> bool:
        return index < len(self._children) and self._children[index].answers

    def _summary(self, seconds: float, code: int) -> RunSummary:
        progress = self._together(self._progress(), self._done)
        exit_code = code if code >= 0 else HeadraceError.exit_code
        error: str | None = None
        if exit_code:
            error = (
                f"a process ended with {_ending(code)}; started again {self._restarts.total()} times before"
            )
        dead_letters = self._request.dead_letters if progress.dead_letters else None
        if self._children and all(child.ended_well for child in self._children):
            useless = useless_state(progress, self._request.flow, dead_letters)
            if useless is not None:
                exit_code, error = useless.exit_code, str(useless)
        return RunSummary(
            progress=progress,
            seconds=seconds,
            exit_code=exit_code,
            error=error,
            dead_letters=dead_letters,
            notes=notes_of_skips(skips_of(self._request.skips, topics=True), progress.skipped),
        )

    def _again(self, failed: int, cause: str) -> Plan | None:
        """Wait a little longer each time, and prepare for another start; None if none is to be."""
        while failed <= self._limits.restarts_max:
            pause_s = min(_BACKOFF_S * 2.0 ** (failed - 1), self._limits.backoff_seconds_max)
            pause(pause_s, lambda: self._stopping)
            if self._stopping:
                return None
            self._restarts[cause] += 1
            self._spawn()
            try:
                plan = self._prepare()
            except DiskFull as error:
                _log.warning("the processes can't be started again: %s", error)
                cause = self._cause_of(error.exit_code)
                failed = min(failed + 1, self._limits.restarts_max)
            except BrokerError as error:
                if error.exit_code in _LASTING:
                    raise
                _log.warning("the processes can't be started again: %s", error)
                failed += 1
            else:
                return None if self._told() else plan
        return None

    # -- one start

    def _spawn(self) -> None:
        """Have all processes loaded while the start is prepared; until instructed they open nothing."""
        if self._children and all(child.process.poll() is None for child in self._children):
            return  # the last start could not be prepared
        self._end()
        self._done = [self._together((), [*self._done, *self._progress()])]
        self._children, self._frozen, count = [], False, self._request.processes
        sockets = dict(enumerate(each.fileno() for each in self._request.listening))
        for index in range(count):
            member = Member(index, count, listening=sockets.get(index))
            self._children.append(Child(member, self._request.command, self._lock))
        self._write_file()

    def _once(self, plan: Plan) -> int:
        """Run all processes until they have ended; gives 0, or how the first that failed did."""
        addresses = tuple(f"{_HOST}:{port}" for port in _free_ports(len(self._children)))
        try:
            for child in self._children:
                child.instruct(replace(child.member, addresses=addresses), plan, self._restarts)
            code = self._watch()
        finally:
            self._end()
            self._stand_ins.stand_in(self._answers)
        return code

    def _watch(self) -> int:
        self._signalled = False
        liveness = Liveness(range(len(self._children)), self._limits.frozen_seconds_max)
        with selectors.DefaultSelector() as selector:
            for child in self._children:
                selector.register(child.output, selectors.EVENT_READ, child)
            while True:
                selector.select(_LOOK_S)
                self._hear(liveness)
                self._stand_ins.stand_in(self._answers)
                codes = [child.process.poll() for child in self._children]
                if all(code == 0 for code in codes):
                    return 0
                if any(codes):
                    return self._cause()
                for child, code in zip(self._children, codes, strict=True):
                    if code is not None and child.output in selector.get_map():
                        selector.unregister(child.output)  # at its end it would wake us again and again
                # One that was told by someone else must not leave the rest without its partitions.
                self._stopping = self._stopping or any(each.said.draining for each in self._children)
                if self._stopping and not self._signalled:
                    self._signalled = True
                    self._signal(signal.SIGTERM)
                self._evaluate(liveness, [index for index, code in enumerate(codes) if code is None])

    def _evaluate(self, liveness: Liveness, alive: Sequence[int]) -> None:
        """Tell of processes that are stalled, and kill those that do so for too long."""
        stalled = {index: seconds for index, seconds in liveness.stalled().items() if index in alive}
        changed = [child for child in self._children if child.stalled != (child.member.index in stalled)]
        for child in changed:
            index, child.stalled = child.member.index, not child.stalled
            if child.stalled:
                limit = self._limits.frozen_seconds_max
                said = f"it is started again after {limit:g} s"
                _log.warning("process %d is stalled since %.0f s; %s", index, stalled[index], said)
            else:
                _log.warning("process %d moves again", index)
        if changed:
            names = ", ".join(map(str, sorted(stalled)))
            self._waits_for = f"process {names} is stalled" if stalled else "the processes are running"
            for child in self._children:
                child.tell(sorted(stalled))
            self._write_file()
        for index, seconds in liveness.frozen().items():
            if index in stalled:
                self._frozen = True
                _log.warning("process %d has been stalled for %.0f s, and is killed", index, seconds)
                self._children[index].process.kill()

    def _cause(self) -> int:
        """How the one ended that brought the others down: what lasts comes before what passes."""
        until = time.monotonic() + _END_SECONDS_MAX
        while time.monotonic() < until and any(each.process.poll() is None for each in self._children):
            time.sleep(_LOOK_S)
        codes = [code for each in self._children if (code := each.process.poll())]
        if self._stopping:
            # One that had not begun yet; nor have those that wait for it, which are killed now.
            codes = [code for code in codes if code not in _AS_TOLD]
        if not codes:
            return 0
        for code in codes:
            _log.warning("a process ended with %s", _ending(code))
        telling = next((code for code in codes if code == DiskFull.exit_code), codes[0])
        return next((code for code in codes if code in _LASTING), telling)

    def _hear(self, liveness: Liveness | None = None) -> None:
        for child in self._children:
            before, beat = child.said.metrics, child.said.beat
            for warning in child.hear():
                self._observer.warning(f"process {child.member.index}: {warning}")
            if liveness is not None and child.said.beat is not None and child.said.beat is not beat:
                liveness.heard(child.member.index, child.said.beat)
            if child.said.metrics != before:
                self._write_file()
        parts = self._progress()
        self._count_on()
        if parts:
            self._observer.progress(self._together(parts, self._done))

    def _count_on(self) -> None:
        """Count what earlier processes have done as the state says: they may have ended before they told."""
        opened = [each.said.opened for each in self._children if each.said.opened is not None]
        if not self._children or len(opened) < len(self._children):
            return
        now = self._together(opened)
        self._first = self._first or now
        bytes_read = sum(each.bytes_read for each in self._done)
        self._done = [replace(since(self._first, now), bytes_read=bytes_read)]

    def _together(self, parts: Sequence[Progress], before: Sequence[Progress] = ()) -> Progress:
        # Which measures there are, and how they add up, only the kind knows.
        return together(parts, before, evaluation=kind_of(self._request.settings).evaluation)

    def _progress(self) -> list[Progress]:
        return [each.said.progress for each in self._children if each.said.progress is not None]

    def _end(self) -> None:
        """Leave no process behind."""
        for child in self._children:
            if child.process.poll() is None:
                child.process.kill()
        for child in self._children:
            child.process.wait()
        self._hear()
        for child in self._children:
            child.close()

    def _signal(self, number: int) -> None:
        for child in self._children:
            if child.process.poll() is None:
                child.process.send_signal(number)

    def _write_file(self) -> None:
        shards = self._request.settings.flow.shards
        write_processes(self._file, [child.told(shards) for child in self._children], self._restarts)

    def _leave(self) -> NoReturn:
        """End at once, as nothing was begun that would have to be drained."""
        for child in self._children:
            child.process.kill()
        self._file.unlink(missing_ok=True)
        end_at_once()

    def _told(self) -> bool:
        return self._stopping

    def _stop(self) -> bool:
        self._stopping = True
        return True


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that are free at this moment."""
    servers = [create_server((_HOST, 0)) for _ in range(count)]
    try:
        return [server.getsockname()[1] for server in servers]
    finally:
        for server in servers:
            server.close()
