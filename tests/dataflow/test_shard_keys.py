"""Workers get equal shares of the shards."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.operators import StatefulBatchLogic
from bytewax.testing import TestingSink, TestingSource, cluster_main

from headrace.dataflow.shard_keys import shard_keys

pytestmark = pytest.mark.operator


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
