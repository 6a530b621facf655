"""The steps of a flow, run by Bytewax on real files."""

from __future__ import annotations

import gzip
import os
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.operators import StatefulBatchLogic
from bytewax.testing import TestingSink, TestingSource, cluster_main, run_main

from headrace.dataflow import steps
from headrace.dataflow.steps import (
    Failure,
    FileSource,
    InFlight,
    OrderedFile,
    OrderedSink,
    ShardInput,
    ShardOutput,
    shard_keys,
)
from headrace.dataflow.telemetry import SILENT
from headrace.errors import HeadraceError, TruncatedInput
from headrace.files.line_reader import LineReader
from headrace.files.merged_reader import MergedReader
from headrace.files.output_file import OutputFile
from headrace.files.pace import Pace
from headrace.journal.batches import Batch

pytestmark = pytest.mark.operator

T0 = 1_600_000_000_000


def batch(ordinal: int, *payloads: bytes) -> Batch:
    places = list(range(len(payloads)))
    return Batch(
        accepted_ms=T0,
        accepted_ns=ordinal,
        ordinal=ordinal,
        payloads=list(payloads),
        sources=[0] * len(payloads),
        offsets=places,
        lines=places,
        marks=(),
    )


def collect(build: Any, items: list[Any]) -> list[Any]:
    """What an operator makes of a stream."""
    found: list[Any] = []
    flow = Dataflow("test")
    op.output("out", build(op.input("in", flow, TestingSource(items, batch_size=3))), TestingSink(found))
    run_main(flow)
    return found


class Echo:
    """A shard that decides on every number and takes anything else for a dead letter."""

    def __init__(self, number: int, delay_s: float = 0.0) -> None:
        self.number, self.delay_s = number, delay_s
        self.threads: set[int] = set()

    def process(self, part: ShardInput) -> ShardOutput:
        assert part.shard == self.number
        self.threads.add(threading.get_ident())
        time.sleep(self.delay_s)
        batch = part.batch
        decisions, dead_letters = [], []
        for place in range(len(part.events)) if part.places is None else part.places:
            event, payload = part.events[place], batch.payloads[place]
            lines = dead_letters if event is None else decisions
            lines.append((batch.ordinal + place, payload + b"\n"))
        return ShardOutput(
            part.shard, batch.ordinal, batch.ordinal_next, decisions, dead_letters, batch.accepted_ns
        )


def decoder(payloads: Any, flags: Any) -> list[Any]:
    return [int(payload) if payload.isdigit() else None for payload in payloads]


def number_mod(shards: int) -> Any:
    return lambda event: 0 if event is None else event % shards


class Run:
    """A whole flow from files to files."""

    def __init__(
        self, folder: Path, shards: int, *, workers: int = 1, delay_s: float = 0.0, **source: Any
    ) -> None:
        self.decisions, self.dead_letters = folder / "decisions", folder / "dead"
        self.outputs = [OutputFile(str(path)) for path in (self.decisions, self.dead_letters)]
        self.written: list[int] = []
        self.logics: dict[int, Echo] = {}
        self.shards, self.workers, self.delay_s = shards, workers, delay_s
        self.in_flight = source.get("in_flight")
        self.source_args = source

    def shard(self, number: int) -> Echo:
        assert number not in self.logics
        self.logics[number] = Echo(number, self.delay_s * (number == 1))
        return self.logics[number]

    def run(self, reader: MergedReader) -> FileSource:
        source = FileSource(reader, **self.source_args)
        flow = Dataflow("test")
        batches = op.input("source", flow, source)
        parts = steps.by_shard("by_shard", batches, decoder, self.shards, number_mod(self.shards))
        out = steps.shard("shard", parts, self.shard, self.workers)
        decisions, dead_letters = self.outputs
        counted = OrderedFile(decisions, lambda _ns, count: self.written.append(count))
        op.output("out", out, OrderedSink(counted, OrderedFile(dead_letters), self.shards, self.in_flight))
        if self.workers == 1:
            run_main(flow)
        else:
            cluster_main(flow, [], 0, worker_count_per_proc=self.workers)
        return source


class TestByShard:
    def split(self, shards: int, shard_of: Any, *payloads: bytes) -> list[tuple[str, ShardInput]]:
        given = batch(0, *payloads)
        parts = collect(lambda up: steps.by_shard("by_shard", up, decoder, shards, shard_of), [given])
        assert all(part.batch is given for _, part in parts)
        return parts

    def test_one_shard_gets_the_batch_as_it_is(self):
        [(key, part)] = self.split(1, None, b"1", b"2")
        assert (key, part.shard, part.places) == (shard_keys(1)[0], 0, None)
        assert part.events == [1, 2]

    def test_a_line_that_is_no_event_keeps_its_place(self):
        [(_, part)] = self.split(1, None, b"1", b"x", b"3")
        assert part.events == [1, None, 3]

    def test_every_shard_gets_its_part_also_an_empty_one(self):
        parts = self.split(3, number_mod(3), b"0", b"1", b"4", b"3", b"x")
        assert [(part.shard, part.places) for _, part in parts] == [(0, [0, 3, 4]), (1, [1, 2]), (2, [])]
        assert [key for key, _ in parts] == shard_keys(3)

    def test_an_event_of_no_shard_is_for_all(self):
        parts = self.split(2, lambda event: None if event == 7 else event, b"0", b"7", b"1")
        assert [part.places for _, part in parts] == [[0, 1], [1, 2]]

    def test_how_long_decoding_takes_is_told_for_each_batch(self):
        told, decoded = [], []

        class Heard(type(SILENT)):
            def batch(self, stage, ns, events):
                told.append((stage, events))

            def decoded(self, events):
                decoded.append(events)

        given = [batch(0, b"1", b"x"), batch(2, b"3")]
        collect(lambda up: steps.by_shard("by_shard", up, decoder, 2, number_mod(2), Heard()), given)
        assert told == [("decode", 2), ("decode", 1)]
        assert decoded == [[1, None], [3]]


class TestShard:
    @pytest.mark.parametrize("workers", [1, 2])
    def test_gives_one_output_for_each_part_of_a_shard_that_is_built_once(self, workers):
        built = []

        def flow(up: Any) -> Any:
            parts = steps.by_shard("by_shard", up, decoder, 2, number_mod(2))
            build = lambda number: built.append(number) or Echo(number)  # noqa: E731  # it also counts
            return steps.shard("shard", parts, build, workers)

        found = collect(flow, [batch(0, b"1", b"x"), batch(2)])
        outputs = [
            ShardOutput(0, 0, 2, [], [(1, b"x\n")], 0),
            ShardOutput(1, 0, 2, [(0, b"1\n")], [], 0),
            ShardOutput(0, 2, 2, [], [], 2),
            ShardOutput(1, 2, 2, [], [], 2),
        ]
        assert sorted(found, key=lambda each: (each[1].ordinal, each[0])) == [
            (shard_keys(2)[output.shard], output) for output in outputs
        ]
        assert sorted(built) == [0, 1]


def given_out(shard: int, ordinal: int, decisions: list[Any], accepted_ns: int) -> ShardOutput:
    """What a shard gives out for its part of a batch, with a dead letter in place of an odd decision."""
    odd = [(at, b"x" + line) for at, line in decisions if at % 2]
    even = [(at, line) for at, line in decisions if not at % 2]
    return ShardOutput(shard, ordinal, ordinal + 1, even, odd, accepted_ns)


class TestOrderedSink:
    def write(self, tmp_path: Path, shards: int, *values: ShardOutput) -> list[tuple[bytes, list[Any]]]:
        """What is in each of the files then, and what was told of it."""
        paths, told = [tmp_path / "decisions", tmp_path / "dead"], ([], [])
        files = [
            OrderedFile(OutputFile(str(path)), lambda ns, count, told=each: told.append((ns, count)))
            for path, each in zip(paths, told, strict=True)
        ]
        sink = OrderedSink(*files, shards)
        part = sink.build_part("sink", *sink.list_parts(), None)
        for value in values:
            part.write_batch([value])
        assert part.snapshot() is None
        return list(zip([path.read_bytes() for path in paths], told, strict=True))

    def test_a_batch_waits_for_all_shards_and_is_merged_by_ordinal(self, tmp_path):
        early = [
            given_out(0, 0, [(0, b"0\n"), (3, b"3\n"), (4, b"4\n")], 50),
            given_out(0, 5, [(6, b"6\n")], 60),
        ]
        assert self.write(tmp_path, 2, *early) == [(b"", []), (b"", [])]
        late = [given_out(1, 0, [(1, b"1\n"), (2, b"2\n")], 50), given_out(1, 5, [(5, b"5\n")], 60)]
        assert self.write(tmp_path, 2, *early, late[0]) == [
            (b"0\n2\n4\n", [(50, 3)]),
            (b"x1\nx3\n", [(50, 2)]),
        ]
        assert self.write(tmp_path, 2, *early, *late) == [
            (b"0\n2\n4\n6\n", [(50, 3), (60, 1)]),
            (b"x1\nx3\nx5\n", [(50, 2), (60, 1)]),
        ]

    def test_one_shard_needs_no_waiting(self, tmp_path):
        values = [given_out(0, 0, [(0, b"0\n")], 50), given_out(0, 1, [], 60)]
        assert self.write(tmp_path, 1, *values) == [(b"0\n", [(50, 1), (60, 0)]), (b"", [(50, 0), (60, 0)])]

    def test_answers_to_one_input_stay_in_the_order_of_the_shards(self, tmp_path):
        values = [given_out(number, 0, [(0, b"%d\n" % number)], 0) for number in (2, 1, 0)]
        assert self.write(tmp_path, 3, *values)[0][0] == b"0\n1\n2\n"


class TestWholeFlow:
    CONTENT: ClassVar = [b"%d" % number if number % 7 else b"x%d" % number for number in range(1000)]

    def reader(self, tmp_path: Path, **kwargs: Any) -> MergedReader:
        (tmp_path / "in").write_bytes(b"\n".join(self.CONTENT))
        return MergedReader([LineReader(str(tmp_path / "in"), block_bytes=700)], batch_lines_max=50, **kwargs)

    @pytest.mark.parametrize(("shards", "workers"), [(1, 1), (4, 1), (1, 2), (4, 2), (4, 4)])
    def test_every_line_comes_out_once_in_order(self, tmp_path, shards, workers):
        run = Run(tmp_path, shards, workers=workers, delay_s=0.001 if workers > 1 else 0.0)
        source = run.run(self.reader(tmp_path))
        assert source.error is None
        assert run.decisions.read_bytes() == b"".join(x + b"\n" for x in self.CONTENT if x.isdigit())
        assert run.dead_letters.read_bytes() == b"".join(x + b"\n" for x in self.CONTENT if not x.isdigit())
        assert sum(run.written) == run.decisions.read_bytes().count(b"\n")
        assert len(run.logics) == shards

    def test_a_truncated_input_is_told_after_all_before_it_was_written(self, tmp_path):
        whole = gzip.compress(b"".join(b"%d\n" % (number * number) for number in range(2000)))
        (tmp_path / "in.gz").write_bytes(whole[:-100])
        run = Run(tmp_path, 4)
        source = run.run(MergedReader([LineReader(str(tmp_path / "in.gz"))]))
        assert isinstance(source.error, TruncatedInput)
        assert source.error.byte == len(whole) - 100
        lines = run.decisions.read_bytes().splitlines()
        assert lines == [b"%d" % (number * number) for number in range(len(lines))]
        assert len(lines) > 1500

    def test_a_drain_ends_after_what_was_read_and_the_next_run_goes_on(self, tmp_path):
        reader = self.reader(tmp_path)
        run = Run(tmp_path, 4, drain=lambda: reader.ordinal >= 300)
        assert run.run(reader).error is None
        ordinal, [mark] = reader.ordinal, reader.marks
        assert 300 <= ordinal < 400
        first = [output.length for output in run.outputs]
        (tmp_path / "again").mkdir()
        again = Run(tmp_path / "again", 4)
        again.run(MergedReader([LineReader(str(tmp_path / "in"), start=mark)], ordinal=ordinal))
        together = run.decisions.read_bytes() + again.decisions.read_bytes()
        assert together == b"".join(x + b"\n" for x in self.CONTENT if x.isdigit())
        assert first[0] == run.decisions.stat().st_size

    def test_a_slow_shard_holds_the_source_back(self, tmp_path):
        in_flight, ahead = InFlight(3), []
        run = Run(tmp_path, 2, workers=2, delay_s=0.005, in_flight=in_flight)
        reader = self.reader(tmp_path)
        process = Echo.process

        def watched(self: Echo, part: ShardInput) -> ShardOutput:
            ahead.append(reader.ordinal - part.batch.ordinal)
            return process(self, part)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Echo, "process", watched)
            run.run(reader)
        assert not in_flight.full
        assert max(ahead) <= 3 * 50
        assert run.decisions.read_bytes().count(b"\n") == sum(x.isdigit() for x in self.CONTENT)

    def test_a_failure_that_is_kept_stops_all_writing(self, tmp_path):
        failure, written = Failure(), []
        files = [
            OrderedFile(OutputFile(path), lambda _ns, count: written.append(count))
            for path in (*[str(tmp_path / name) for name in "ab"], "/dev/full", str(tmp_path / "c"))
        ]
        for first in (0, 2):
            sink = OrderedSink(*files[first : first + 2], 1, failure=failure)
            sink.build_part("step", "all", None).write_batch(
                [ShardOutput(0, 7, 8, [(7, b"line\n")], [(7, b"other\n")], 0)]
            )
        assert [(tmp_path / name).read_bytes() for name in "abc"] == [b"line\n", b"other\n", b""]
        assert (written, [file.reached for file in files]) == ([1, 1], [7, 7, 0, 0])
        with pytest.raises(HeadraceError, match="No space left"):
            failure.raise_again()

    def test_a_full_disk_ends_the_flow(self, tmp_path):
        if not Path("/dev/full").exists():
            pytest.skip("needs /dev/full")
        run = Run(tmp_path, 1)
        run.outputs[0] = OutputFile("/dev/full")
        with pytest.raises(HeadraceError, match="No space left"):
            run.run(self.reader(tmp_path))


class TestFileSource:
    def test_paced_lines_are_awaited_not_polled(self, tmp_path):
        now = [0.0]
        (tmp_path / "in").write_bytes(b'{"event_time":%d}\n{"event_time":%d}\n' % (T0, T0 + 50))
        reader = MergedReader([LineReader(str(tmp_path / "in"))], pace=Pace(1.0, lambda: now[0]))
        part = FileSource(reader).build_part("source", "all", None)
        assert [len(each.payloads) for each in part.next_batch()] == [1]
        assert part.next_batch() == []
        before, awake, after = datetime.now(UTC), part.next_awake(), datetime.now(UTC)
        assert before + timedelta(milliseconds=49) < awake <= after + timedelta(milliseconds=50)
        now[0] = 0.051
        assert part.next_awake() is None
        assert len(part.next_batch()) == 1
        with pytest.raises(StopIteration):
            part.next_batch()

    def test_a_far_line_is_not_slept_for_at_once_so_that_a_drain_is_seen(self, tmp_path):
        (tmp_path / "in").write_bytes(b'{"event_time":%d}\n{"event_time":%d}\n' % (T0, T0 + 9_000_000))
        reader = MergedReader([LineReader(str(tmp_path / "in"))], pace=Pace(1.0))
        draining = []
        part = FileSource(reader, drain=lambda: bool(draining)).build_part("source", "all", None)
        part.next_batch()
        assert part.next_awake() - datetime.now(UTC) <= timedelta(milliseconds=100)
        draining.append(True)
        with pytest.raises(StopIteration):
            part.next_batch()

    def test_a_quiet_pipe_keeps_the_flow_alive(self, tmp_path):
        source, target = os.pipe()
        run = Run(tmp_path, 1)

        def feed() -> None:
            for number in range(3):
                while len(run.written) < number:
                    time.sleep(0.001)
                time.sleep(0.02)
                os.write(target, b"%d\n" % number)
            os.close(target)

        feeding = threading.Thread(target=feed, daemon=True)
        feeding.start()
        run.run(MergedReader([LineReader(f"/dev/fd/{source}")]))
        feeding.join()
        os.close(source)
        assert run.decisions.read_bytes() == b"0\n1\n2\n"
        assert run.written == [1, 1, 1]


class TestShardKeys:
    class Where(DynamicSource[Any]):
        """Tells which thread is which worker."""

        def __init__(self, workers: dict[int, int]) -> None:
            self.workers = workers

        def build(self, step_id, worker_index, worker_count):
            self.workers[threading.get_ident()] = worker_index
            return _Nothing()

    @pytest.mark.parametrize("workers", [2, 4])
    @pytest.mark.parametrize("shards", [2, 4, 64])
    def test_workers_get_equal_shares(self, shards, workers):
        by_thread: dict[int, int] = {}
        seen: dict[str, int] = {}

        class Note(StatefulBatchLogic[Any, Any, None]):
            def on_batch(self, values):
                seen[values[0]] = threading.get_ident()
                return [], False

            def snapshot(self):
                return None

        flow = Dataflow("keys")
        keys = op.input("keys", flow, TestingSource([(key, key) for key in shard_keys(shards)]))
        where = op.input("where", flow, self.Where(by_thread))
        noted = op.stateful_batch("note", op.merge("merge", keys, where), lambda _resumed: Note())
        op.output("out", noted, TestingSink([]))
        cluster_main(flow, [], 0, worker_count_per_proc=workers)
        shares = Counter(by_thread[seen[key]] for key in shard_keys(shards))
        assert len(seen) == shards
        assert sorted(shares.values()) == [shards // min(shards, workers)] * min(shards, workers)

    def test_there_is_a_limit(self):
        assert len(set(shard_keys(64))) == 64
        with pytest.raises(ValueError, match="between 1 and 64"):
            shard_keys(65)


class _Nothing(StatelessSourcePartition[Any]):
    def next_batch(self):
        raise StopIteration
