"""Uses a topic in every way that there is, as whoever a connection says one is."""

from __future__ import annotations

from headrace.kafka.connection import Connection
from headrace.kafka.producer import DecisionProducer
from headrace.kafka.read_back import read_back
from headrace.kafka.reader import PartitionReader
from headrace.kafka.starts import EARLIEST, Partition
from headrace.kafka.topics import Needed, check_topics


def begin(connection: Connection, what: str) -> object:
    """Each of the ways to begin with the brokers."""
    if what == "reader":
        return PartitionReader(connection, {Partition("any", 0): EARLIEST})
    if what == "producer":
        return DecisionProducer(connection)
    if what == "topics":
        return check_topics(connection, [Needed("any")], memory_days_max=1)
    return list(read_back(connection, "any", {}))


def check_everything_works(connection: Connection, topic: str) -> None:
    """Check, write, read back and read a topic of one partition."""
    assert check_topics(connection, [Needed(topic, written=True)], memory_days_max=1).partitions == {topic: 1}
    producer = DecisionProducer(connection)
    producer.send(topic, [(None, b"secret matters", [("ce_id", b"d-1")])])
    producer.flush()
    assert [each.ce_id for each in read_back(connection, topic, {})] == ["d-1"]
    reader = PartitionReader(connection, {Partition(topic, 0): EARLIEST})
    while not (fetched := reader.read(10)):
        pass
    reader.close()
    assert fetched[0].payloads == [b"secret matters"]
