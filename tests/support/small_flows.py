"""Small flows for tests of steps: shards that decide numbers, and what Bytewax makes of a stream."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, cluster_main, run_main

from headrace.dataflow.by_shard import by_shard
from headrace.dataflow.file_source import FileSource
from headrace.dataflow.ordered_sink import OrderedFile, OrderedSink
from headrace.dataflow.shard import shard
from headrace.dataflow.shard_parts import ShardInput, ShardOutput
from headrace.files.merged_reader import MergedReader
from headrace.files.output_file import OutputFile
from headrace.journal.batches import Batch

__all__ = ["T0", "Echo", "Run", "batch", "collect", "decoder", "number_mod"]


T0 = 1_600_000_000_000


def batch(ordinal: int, *payloads: bytes) -> Batch:
    indices = list(range(len(payloads)))
    return Batch(
        accepted_ms=T0,
        accepted_ns=ordinal,
        ordinal=ordinal,
        payloads=list(payloads),
        sources=[0] * len(payloads),
        offsets=indices,
        lines=indices,
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
        for place in range(len(part.events)) if part.indices is None else part.indices:
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
        self.source_args = source

    def shard(self, number: int) -> Echo:
        assert number not in self.logics
        self.logics[number] = Echo(number, self.delay_s * (number == 1))
        return self.logics[number]

    def run(self, reader: MergedReader) -> FileSource:
        source = FileSource(reader, **self.source_args)
        flow = Dataflow("test")
        batches = op.input("source", flow, source)
        parts = by_shard("by_shard", batches, decoder, self.shards, number_mod(self.shards))
        out = shard("shard", parts, self.shard, self.workers)
        decisions, dead_letters = self.outputs
        counted = OrderedFile(decisions, lambda _ns, count: self.written.append(count))
        op.output("out", out, OrderedSink(counted, OrderedFile(dead_letters), self.shards))
        if self.workers == 1:
            run_main(flow)
        else:
            cluster_main(flow, [], 0, worker_count_per_proc=self.workers)
        return source
