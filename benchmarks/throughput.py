"""Throughput: the flow with and without state, beside a bare loop over the same functions, stage by stage.

Every run has a process of its own, held to one core; the three kinds take turns, and medians are printed.
The bare loop reads, decodes, applies and writes: no Bytewax, no journal. CPU time is the process's own,
without the child that writes a checkpoint; starting Python and importing are in no figure.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import orjson
from _conditions import conditions, fraud_settings, held_to_one_core, peak_bytes, simulated

import headrace.flows.kinds  # noqa: F401  # makes them known
from headrace.config.fraud_flow import FraudSettings
from headrace.files.line_reader import LineReader
from headrace.files.merged_reader import MergedReader
from headrace.files.output_file import OutputFile
from headrace.journal.batches import Batch
from headrace.journal.records import Kind
from headrace.journal.segments import first_boundary
from headrace.journal.writer import JournalWriter
from headrace.kinds.fraud.machine import FraudShard
from headrace.operators.events.contract import Outcome, Payment
from headrace.operators.events.decode import decode
from headrace.operators.features import FeatureSet

_PRESET: Final = "handbook-small"
_KINDS: Final = ("bare", "flow", "state")
_NAMES: Final = {"bare": "bare loop", "flow": "flow", "state": "flow with --state"}
_RATIO_MIN: Final = 0.5
_STAGE_EVENTS_MAX: Final = 200_000
_DECIDED: Final = int(Kind.DECIDED)
_NOWHERE: Final = (0, 0, 0)


class Measured(NamedTuple):
    """What one run took."""

    events: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    journal_bytes: int = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if the flow is too slow beside the bare loop and that was asked for."""
    options = _parser().parse_args(arguments)
    if options.only:
        print(json.dumps(_run_here(options.only, options.events, options.config)))
        return 0
    print(conditions())
    with TemporaryDirectory() as folder:
        events = options.events or simulated(_PRESET, Path(folder))
        rounds = [_round(events, options) for _ in range(options.rounds)]
        ratio = _print_runs(events, rounds)
        if options.stage_events:
            _print_stages(
                _Stages(events, fraud_settings(options.config), Path(folder)).measure(options.stage_events)
            )
    if options.check and ratio < _RATIO_MIN:
        print(f"the flow has less than {_RATIO_MIN} of the bare loop's throughput", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("events", type=Path, nargs="?", help=f"a file of events; default: preset {_PRESET}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--config", type=Path, help="a configuration in place of the flow's own")
    parser.add_argument(
        "--stage-events",
        type=int,
        default=_STAGE_EVENTS_MAX,
        metavar="N",
        help="measure the stages on so many events; 0 leaves them out",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help=f"fail if the flow's ratio to the bare loop is below {_RATIO_MIN}",
    )
    parser.add_argument("--only", choices=_KINDS, help=argparse.SUPPRESS)
    return parser


# -- whole runs


def _round(events: Path, options: argparse.Namespace) -> dict[str, Measured]:
    return {kind: _run_apart(kind, events, options.config) for kind in _KINDS}


def _run_apart(kind: str, events: Path, config: Path | None) -> Measured:
    """One run in a process of its own."""
    command = [sys.executable, __file__, str(events), "--only", kind]
    if config:
        command += ["--config", str(config)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return Measured(*json.loads(done.stdout))


def _run_here(kind: str, events: Path, config: Path | None) -> Measured:
    held_to_one_core()
    settings = fraud_settings(config)
    with TemporaryDirectory() as name:
        folder = Path(name)
        work = _bare if kind == "bare" else _flow(folder / "state" if kind == "state" else None)
        began, cpu = time.perf_counter(), time.process_time()
        count = work(events, folder / "decisions.jsonl", settings)
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
        written = sum(path.stat().st_size for path in folder.glob("state/shard-*/journal-*"))
    return Measured(count, seconds, cpu_seconds, peak_bytes(), written)


def _batches(events: Path, settings: FraudSettings) -> Iterator[Batch]:
    reader = MergedReader([LineReader(str(events))], batch_lines_max=settings.input.batch_lines_max)
    try:
        while not reader.ended:
            batch = reader.next_batch()
            if batch is not None:
                yield batch
    finally:
        reader.close()


def _bare(events: Path, to: Path, settings: FraudSettings) -> int:
    shard, output, count = FraudShard(settings), OutputFile(str(to)), 0
    for batch in _batches(events, settings):
        decided = []
        decoded = decode(batch.payloads, settings.input.line_bytes_max)
        places = zip(decoded, batch.payloads, batch.offsets, batch.lines, strict=True)
        for event, payload, offset, line in places:
            kind, out, _ = shard.apply(event, payload, (0, offset, line))
            if kind == _DECIDED:
                decided.append(out)
        output.write(decided)
        shard.evaluated.clear()
        count += len(decoded)
    output.close()
    return count


def _flow(state: Path | None) -> Callable[[Path, Path, FraudSettings], int]:
    from headrace.runtime.file_run import run
    from headrace.runtime.runs import Progress, RunRequest, RunSummary

    class _Unwatched:
        def started(self, request: RunRequest) -> None:
            """Nobody looks."""

        def progress(self, progress: Progress) -> None:
            """Nobody looks."""

        def warning(self, message: str) -> None:
            """Print a warning."""
            print(message, file=sys.stderr)

        def finished(self, summary: RunSummary) -> None:
            """Nobody looks."""

    def work(events: Path, to: Path, settings: FraudSettings) -> int:
        request = RunRequest(
            flow="fraud",
            sources=(str(events),),
            to=str(to),
            dead_letters=None,
            state=state,
            settings=settings,
            config_file=None,
            speed=None,
            learn=True,
        )
        summary = run(request, _Unwatched())
        if summary.error:
            raise SystemExit(summary.error)
        return summary.progress.inputs

    return work


def _print_runs(events: Path, rounds: Sequence[dict[str, Measured]]) -> float:
    """Print medians; gives the flow's ratio to the bare loop in CPU time."""
    count = rounds[0]["bare"].events
    print(f"{events.name}: {count:,} events, {len(rounds)} rounds, one core")
    print(f"{'':<18} {'events/s':>9} {'CPU us/event':>13} {'of bare':>8} {'by CPU':>7} {'peak MB':>8}")
    ratios = {}
    for kind in _KINDS:
        runs = [each[kind] for each in rounds]
        by_clock = median(each["bare"].seconds / each[kind].seconds for each in rounds)
        ratios[kind] = median(each["bare"].cpu_seconds / each[kind].cpu_seconds for each in rounds)
        print(
            f"{_NAMES[kind]:<18} {median(run.events / run.seconds for run in runs):>9,.0f}"
            f" {median(run.cpu_seconds / run.events * 1e6 for run in runs):>13.2f}"
            f" {by_clock:>8.2f} {ratios[kind]:>7.2f} {median(run.peak_bytes / 1e6 for run in runs):>8.0f}"
        )
    print(f"journal: {rounds[0]['state'].journal_bytes / count:.0f} bytes an event", flush=True)
    return ratios["flow"]


# -- stages


class _Stopwatch:
    """CPU time of one stage, and how many events it was for."""

    def __init__(self) -> None:
        self.ns = self.events = 0

    def time(self, work: Callable[[], Any], events: int) -> Any:
        """Do the work and count its time."""
        began = time.thread_time_ns()
        result = work()
        self.ns += time.thread_time_ns() - began
        self.events += events
        return result

    @property
    def us(self) -> float:
        """Microseconds for one of its events."""
        return self.ns / max(1, self.events) / 1000


class _Stages:
    """Replays each stage alone, batch by batch, over inputs that were prepared before its clock starts.

    What only reads is called on the shard's own state just before the batch is applied; what writes is called
    on a twin that gets the same writes.
    """

    def __init__(self, events: Path, settings: FraudSettings, folder: Path) -> None:
        self.events, self.settings = events, settings
        self.shard = FraudShard(settings)
        features = (settings.entities, settings.features, settings.bins, settings.crosses)
        self.twin_features = FeatureSet(*features)
        self.twin_model = FraudShard(settings).model
        directory = folder / "stages"
        directory.mkdir()
        self.journal = JournalWriter(
            directory, first_boundary(directory), segment_bytes_max=1 << 40, fsync=False
        )
        self.output = OutputFile(str(folder / "stages.jsonl"))
        self.watches: dict[str, _Stopwatch] = {}
        self.waiting: dict[str, Any] = {}

    def watch(self, name: str) -> _Stopwatch:
        """Return the stopwatch of a stage."""
        return self.watches.setdefault(name, _Stopwatch())

    def measure(self, events_max: int) -> dict[str, _Stopwatch]:
        """Run through the file's first events."""
        batches, done = iter(_batches(self.events, self.settings)), 0
        while done < events_max:
            batch = self.watch("gunzip, split").time(lambda: next(batches, None), 0)
            if batch is None:
                break
            self.watch("gunzip, split").events += len(batch.payloads)
            self._batch(batch)
            done += len(batch.payloads)
        self.output.close()
        self.journal.close()
        return self.watches

    def _batch(self, batch: Batch) -> None:
        limit = self.settings.input.line_bytes_max
        events = self.watch("decode").time(lambda: decode(batch.payloads, limit), len(batch.payloads))
        payments = [event for event in events if isinstance(event, Payment)]
        self._payment_stages(payments)
        self._learn_stage([event for event in events if isinstance(event, Outcome)])
        self._apply(batch, events)

    def _payment_stages(self, payments: Sequence[Payment]) -> None:
        read, count, model = self.shard.features.read, len(payments), self.shard.model
        found = self.watch("features: read").time(
            lambda: [read(payment, payment.event_time) for payment in payments], count
        )
        given = [slots if model.takes == "slots" else values for values, slots, _, _ in found]
        self.watch("score, explain").time(lambda: [model.score_explained(each) for each in given], count)
        update, first = self.twin_features.update, self.shard.number
        twin_rows = self.twin_features.rows
        writes = [
            (payment, payment.event_time, values, first + place, twin_rows(payment))
            for place, (payment, (values, *_)) in enumerate(zip(payments, found, strict=True))
        ]
        self.watch("features: update").time(lambda: [update(*write) for write in writes], count)
        self.waiting |= {payment.event_id: each for payment, each in zip(payments, given, strict=True)}

    def _learn_stage(self, outcomes: Sequence[Outcome]) -> None:
        pairs = [(self.waiting.pop(each.about, None), each.label) for each in outcomes]
        known = [(features, label) for features, label in pairs if features is not None]
        learn = self.twin_model.learn
        self.watch("learn").time(lambda: [learn(*pair) for pair in known], len(known))

    def _apply(self, batch: Batch, events: Sequence[Any]) -> None:
        apply, inputs = self.shard.apply, list(zip(events, batch.payloads, strict=True))
        outputs = self.watch("apply").time(
            lambda: [apply(event, payload, _NOWHERE) for event, payload in inputs], len(inputs)
        )
        self.shard.evaluated.clear()
        self._encode([out for kind, out, _ in outputs if kind == _DECIDED])
        self._journal(batch, outputs)

    def _encode(self, lines: Sequence[bytes]) -> None:
        decisions = [orjson.loads(line) for line in lines]
        self.watch("encode").time(
            lambda: [orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in decisions], len(lines)
        )
        self.watch("write").time(lambda: self.output.write(lines), len(lines))

    def _journal(self, batch: Batch, outputs: Sequence[Any]) -> None:
        records = [
            (
                kind,
                0,
                batch.sources[at],
                batch.ordinal + at,
                batch.offsets[at],
                batch.lines[at],
                payload,
                out,
                detail,
            )
            for at, (payload, (kind, out, detail)) in enumerate(zip(batch.payloads, outputs, strict=True))
        ]
        self.watch("journal").time(
            lambda: self.journal.append(
                records,
                ordinal_first=batch.ordinal,
                ordinal_next=batch.ordinal_next,
                accepted_ms=batch.accepted_ms,
                marks=batch.marks,
            ),
            len(records),
        )


def _print_stages(watches: dict[str, _Stopwatch]) -> None:
    us = {name: watch.us for name, watch in watches.items()}
    of_payment = ("features: read", "score, explain", "encode", "features: update")
    inside = (*of_payment, "learn")
    apply = watches["apply"]
    rest = (apply.ns - sum(watches[name].ns for name in inside if name in watches)) / apply.events / 1000
    print(f"CPU us, each stage alone on {apply.events:,} events:")
    before, after = ("gunzip, split", "decode"), ("journal",)
    named = [(name, us[name]) for name in before]
    named += [("apply", us["apply"]), *((name, us[name]) for name in after)]
    _print_group("an event", named)
    _print_group("in apply, a payment", [(name, us.get(name, 0.0)) for name in of_payment])
    _print_group("in apply, an outcome", [("learn", us.get("learn", 0.0))])
    _print_group("in apply, an event", [("all else: ids, clock, pending, policy, outcome features", rest)])
    _print_group("a decision", [("write", us["write"])])


def _print_group(name: str, rows: Sequence[tuple[str, float]]) -> None:
    print(f"  {name}: " + "; ".join(f"{stage} {us:.2f}" for stage, us in rows))


if __name__ == "__main__":
    sys.exit(main())
