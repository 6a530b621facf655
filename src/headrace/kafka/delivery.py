"""Sends what the shards of one process give out, and tells how much of it certainly stands in its topic."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from headrace.config.addresses import partition_of
from headrace.kafka.cloudevents import ID, Headers, Headings
from headrace.kafka.producer import DecisionProducer, ProducerRecord
from headrace.operators.events.oversized import cut_dead_letter
from headrace.shard.acknowledged import Acknowledged, OutputOffsets
from headrace.shard.outgoing import DEAD_LETTERS, DECISIONS, Outgoing

__all__ = ["Delivery", "message_of"]

_PLACE: Final = frozenset({"headrace_topic", "headrace_partition", "headrace_offset"})


def message_of(
    output: str, outgoing: Outgoing, headings: Headings, line_bytes_max: int | None = None
) -> ProducerRecord:
    """Return the message that is sent.

    Of a dead letter whose line is longer than a limit, one that is cut.
    """
    if output != DEAD_LETTERS:
        headers = headings.of_decision(outgoing.id, outgoing.event_time)
        return outgoing.key, outgoing.line[:-1], headers + outgoing.headers
    line = outgoing.line if line_bytes_max is None else cut_dead_letter(outgoing.line, line_bytes_max)
    value = line[:-1]
    return outgoing.key, value, _dead_letter_headers(value, outgoing.id, headings) + outgoing.headers


def _dead_letter_headers(value: bytes, known: str, headings: Headings) -> Headers:
    """Headers of a dead letter; what didn't come from a partition has no place in one."""
    place, _, offset = known.partition("#")[0].rpartition("/")
    stood = partition_of(f"kafka:{place}")
    topic, partition = stood or ("", 0)
    headers = headings.of_dead_letter(value, topic, partition, int(offset))
    return [
        (name, known.encode() if name == ID else content)
        for name, content in headers
        if stood is not None or name not in _PLACE
    ]


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
    ahead
        Ids that the topics have already: they are not sent again, and output offsets keep the `ends` until
        `release`.
    line_bytes_max
        Dead letters are cut to this length, with their newline; None for no limit.
    delivered
        Of decisions that the topics have already what was delivered, by their ids.

    Attributes
    ----------
    differing : int
        Decisions that were not sent, and are other ones than those that were delivered.
    dead_letters_cut : int
        Dead letters that were sent with a head of their input only.
    """

    def __init__(
        self,
        producer: DecisionProducer,
        topics: Mapping[str, str],
        ends: Mapping[str, Mapping[int, int]],
        source: str,
        ahead: Collection[str] = (),
        line_bytes_max: int | None = None,
        delivered: Mapping[str, str] | None = None,
    ) -> None:
        self._delivered = dict(delivered or {})
        self._unlike: list[tuple[str, str]] = []
        self._unlike_of: list[tuple[int, str, str]] = []
        self.differing = 0
        self._line_bytes_max = line_bytes_max
        self.dead_letters_cut = 0
        self._producer, self._topics, self._headings = producer, topics, Headings(source)
        self._acknowledged = {output: Acknowledged(ends[topic]) for output, topic in topics.items()}
        self._ahead = set(ahead)
        if ahead:
            for acknowledged in self._acknowledged.values():
                acknowledged.held = dict(acknowledged.ends)

    def send(self, output: str, messages: Sequence[Outgoing]) -> None:
        """Hand messages over; waits while too many are under way.

        Raises
        ------
        DeliveryFailed
            If a message is too large, or one that was sent before could not be delivered.
        """
        if self._ahead:
            messages = self._not_ahead(output, messages)
        acknowledged, headings = self._acknowledged[output], self._headings
        delivered = acknowledged.sent(len(messages))
        limit = self._line_bytes_max
        made = (message_of(output, each, headings, limit) for each in messages)
        if output == DEAD_LETTERS and limit is not None:
            self.dead_letters_cut += sum(len(each.line) > limit for each in messages)
        self._producer.send(self._topics[output], made, delivered)

    def _not_ahead(self, output: str, messages: Sequence[Outgoing]) -> Sequence[Outgoing]:
        left = [each for each in messages if each.id not in self._ahead]
        if output == DECISIONS and self._delivered:
            for each in messages:
                there = self._delivered.pop(each.id, None)
                if there is not None and there.encode() != each.line[:-1]:
                    self.differing += 1
                    self._unlike.append((each.id, there))
        return left

    def unlike(self) -> list[tuple[int, str, str]]:
        """Decisions that are other ones than those that were delivered, since the last call.

        For each the shard, its id, and what was delivered.
        """
        found, self._unlike_of = self._unlike_of, []
        return found

    def release(self) -> None:
        """All that the topics had before the journals has come again."""
        self._ahead.clear()
        self._delivered.clear()
        for acknowledged in self._acknowledged.values():
            acknowledged.held = None

    def reached(self, shard: int, ordinal_next: int) -> None:
        """Everything of a shard before an ordinal was handed over, for all outputs."""
        if self._unlike:
            self._unlike_of += [(shard, *each) for each in self._unlike]
            self._unlike.clear()
        for acknowledged in self._acknowledged.values():
            acknowledged.reached(shard, ordinal_next)

    def poll(self) -> None:
        """Let acknowledgements come in.

        Raises
        ------
        DeliveryFailed
            If a message could not be delivered.
        """
        self._producer.poll()

    def flush(self) -> None:
        """Wait until all messages are acknowledged.

        Raises
        ------
        DeliveryFailed
            If one could not be delivered, or not in time.
        """
        self._producer.flush()

    @property
    def queued(self) -> tuple[int, int]:
        """Messages that wait to be acknowledged, and their bytes as of about a second ago."""
        return self._producer.counts.pending, self._producer.queued_bytes

    # -- acknowledged output offsets

    def ask(self) -> None:
        """Begin output offsets as things stand now, unless some still wait."""
        for acknowledged in self._acknowledged.values():
            if not acknowledged.asking:
                acknowledged.ask()

    def output_offsets(self) -> list[tuple[int, OutputOffsets]]:
        """Those that have become good, with the shards they are for."""
        found = []
        for output, acknowledged in self._acknowledged.items():
            answer = acknowledged.answer()
            if answer is not None:
                ordinals, ends = answer
                topic = self._topics[output]
                found += [
                    (shard, OutputOffsets(output, topic, ends, ordinal))
                    for shard, ordinal in ordinals.items()
                ]
        return found
