"""Sends what the shards of one process give out, and tells how much of it certainly stands in its topic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from headrace.operators.addresses import partition_of
from headrace.operators.cloudevents import ID, Headers, dead_letter_headers, decision_headers
from headrace.operators.outgoing import DEAD_LETTERS, Outgoing
from headrace.operators.watermarks import Acknowledged, Watermark

__all__ = ["Delivery", "Delivered", "Producing", "headers_of"]

Delivered = Callable[[int, int], None]
"""Is told partition and offset of a message that stands in its topic."""


class Producing(Protocol):
    """The client's producer."""

    def send(
        self, topic: str, key: bytes | None, value: bytes, headers: Headers, delivered: Delivered
    ) -> None:
        """Hand a message over; waits while too many are under way.

        Raises
        ------
        DeliveryFailed
            If an earlier message was not taken.
        """

    def poll(self) -> None:
        """Let acknowledgements come in."""

    def flush(self) -> None:
        """Wait until all messages are acknowledged."""


def headers_of(output: str, message: Outgoing, source: str) -> Headers:
    """The headers under which a message goes out; `source` is the configured `ce_source`."""
    if output != DEAD_LETTERS:
        return decision_headers(message.line, source)
    place, _, again = message.id.partition("#")
    stood = partition_of(f"kafka:{place.rpartition('/')[0]}")
    headers = (
        dead_letter_headers(message.line, source, *stood, int(place.rpartition("/")[2]))
        if stood is not None
        else [each for each in dead_letter_headers(message.line, source, "", 0, 0) if each[0] not in _PLACE]
    )
    return [(name, message.id.encode() if name == ID else value) for name, value in headers] if (
        again or stood is None
    ) else headers


_PLACE: Final = ("headrace_topic", "headrace_partition", "headrace_offset")


class Delivery:
    """The outputs of one process.

    Parameters
    ----------
    producer
        Takes messages.
    topics
        Where each output goes.
    ends
        Where the partitions of each topic ended before anything was sent.
    source
        What messages name as their source.
    """

    def __init__(
        self,
        producer: Producing,
        topics: Mapping[str, str],
        ends: Mapping[str, Mapping[int, int]],
        source: str,
    ) -> None:
        self._producer, self._topics, self._source = producer, topics, source
        self._acknowledged = {output: Acknowledged(ends[topic]) for output, topic in topics.items()}
        self._reports: dict[tuple[str, int], Delivered] = {}

    @property
    def outstanding(self) -> int:
        """Messages that were sent and are not acknowledged."""
        return sum(each.outstanding for each in self._acknowledged.values())

    def send(self, output: str, messages: Sequence[Outgoing]) -> None:
        """Hand messages over; waits while too many are under way."""
        acknowledged, topic, send = self._acknowledged[output], self._topics[output], self._producer.send
        report = self._report(output, acknowledged)
        for message in messages:
            acknowledged.sent()
            send(topic, message.key, message.line[:-1], headers_of(output, message, self._source), report)
        self._producer.poll()

    def _report(self, output: str, acknowledged: Acknowledged) -> Delivered:
        """What messages of the present section call when they are acknowledged."""
        section = acknowledged.section
        report = self._reports.get((output, section))
        if report is None:
            self._reports = {key: each for key, each in self._reports.items() if key[0] != output}

            def report(partition: int, offset: int) -> None:
                acknowledged.acknowledged(section, partition, offset)

            self._reports[output, section] = report
        return report

    def reached(self, output: str, shard: int, ordinal_next: int) -> None:
        """Everything of a shard before an ordinal was handed over."""
        self._acknowledged[output].reached(shard, ordinal_next)

    def poll(self) -> None:
        """Let acknowledgements come in."""
        self._producer.poll()

    def flush(self) -> None:
        """Wait until all messages are acknowledged."""
        self._producer.flush()

    # -- watermarks

    def ask(self) -> None:
        """Begin watermarks as things stand now, unless some still wait."""
        for acknowledged in self._acknowledged.values():
            if not acknowledged.asking:
                acknowledged.ask()

    def watermarks(self) -> list[tuple[int, Watermark]]:
        """Those that have become good, with the shards they are for."""
        found = []
        for output, acknowledged in self._acknowledged.items():
            answer = acknowledged.answer()
            if answer is not None:
                ordinals, ends = answer
                topic = self._topics[output]
                found += [
                    (shard, Watermark(output, topic, ends, ordinal)) for shard, ordinal in ordinals.items()
                ]
        return found
