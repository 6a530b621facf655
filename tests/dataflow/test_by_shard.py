"""Batches are decoded and split into the shards' parts."""

from __future__ import annotations

from typing import Any

import pytest
from small_flows import batch, collect, decoder, number_mod

from headrace.dataflow.by_shard import by_shard
from headrace.dataflow.shard_keys import shard_keys
from headrace.dataflow.shard_parts import ShardInput
from headrace.dataflow.telemetry import SILENT

pytestmark = pytest.mark.operator


class TestByShard:
    def split(self, shards: int, shard_of: Any, *payloads: bytes) -> list[tuple[str, ShardInput]]:
        given = batch(0, *payloads)
        parts = collect(lambda up: by_shard("by_shard", up, decoder, shards, shard_of), [given])
        assert all(part.batch is given for _, part in parts)
        return parts

    def test_one_shard_gets_the_batch_as_it_is(self):
        [(key, part)] = self.split(1, None, b"1", b"2")
        assert (key, part.shard, part.indices) == (shard_keys(1)[0], 0, None)
        assert part.events == [1, 2]

    def test_a_line_that_is_no_event_keeps_its_place(self):
        [(_, part)] = self.split(1, None, b"1", b"x", b"3")
        assert part.events == [1, None, 3]

    def test_every_shard_gets_its_part_also_an_empty_one(self):
        parts = self.split(3, number_mod(3), b"0", b"1", b"4", b"3", b"x")
        assert [(part.shard, part.indices) for _, part in parts] == [(0, [0, 3, 4]), (1, [1, 2]), (2, [])]
        assert [key for key, _ in parts] == shard_keys(3)

    def test_an_event_of_no_shard_is_for_all(self):
        parts = self.split(2, lambda event: None if event == 7 else event, b"0", b"7", b"1")
        assert [part.indices for _, part in parts] == [[0, 1], [1, 2]]

    def test_how_long_decoding_takes_is_told_for_each_batch(self):
        told, decoded = [], []

        class BrokerLiveness(type(SILENT)):
            def batch(self, stage, ns, events):
                told.append((stage, events))

            def decoded(self, events):
                decoded.append(events)

        given = [batch(0, b"1", b"x"), batch(2, b"3")]
        collect(lambda up: by_shard("by_shard", up, decoder, 2, number_mod(2), BrokerLiveness()), given)
        assert told == [("decode", 2), ("decode", 1)]
        assert decoded == [[1, None], [3]]
