"""A shard that reads topics."""

from __future__ import annotations

import pytest
from topic_parts import SETTINGS

from headrace.shard.durable import DurableShard
from headrace.shard.topic_shard import TopicShard


@pytest.fixture
def opened(tmp_path):
    """Opens the shard of a state again and again; the one before is closed as a kill would leave it."""
    shards: list[DurableShard] = []

    def close() -> None:
        for shard in shards:
            shard.close(with_checkpoint=False)
        shards.clear()

    def open_() -> TopicShard:
        close()
        shards.append(DurableShard(tmp_path / "shard-00", SETTINGS))
        for source in (0, 1):
            shards[0].register(source, f"kafka:in/{source}")
        return TopicShard(shards[0])

    yield open_
    close()
