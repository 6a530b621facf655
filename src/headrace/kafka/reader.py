"""Reads the partitions of one worker, with one consumer and without a consumer group's rebalancing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from headrace.errors import BrokerError, OffsetLost, TopicMismatch
from headrace.journal.passed_headers import chosen
from headrace.kafka.broker_liveness import BrokerLiveness, Statistics
from headrace.kafka.client import (
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    KafkaError,
    Message,
    TopicPartition,
)
from headrace.kafka.connection import Connection
from headrace.kafka.ends import PartitionEnd
from headrace.kafka.faults import fault_of
from headrace.kafka.fetched import Fetched, Lag, Lost
from headrace.kafka.first_offsets import first_offsets, held_of, see_that_they_exist
from headrace.kafka.starts import ACCEPT_LOST_OPTION, Partition, Start, loss
from headrace.kafka.unreadable import end_of_batch, is_unreadable, size_options
from headrace.operators.events.unreadable import TOMBSTONE, Unreadable

__all__ = ["PartitionReader"]


_log = logging.getLogger(__name__)
_STATISTICS_MS: Final = 1000
# The client fetches the batch anew for each, so what was hurt on its way comes whole the next time.
_UNREADABLE_TRIES: Final = 3
_STAMPS: Final = {TIMESTAMP_CREATE_TIME: "create", TIMESTAMP_LOG_APPEND_TIME: "append"}


class _Track:
    """How far a partition was read."""

    __slots__ = ("end", "ended_s", "leader", "next", "time_ms", "tried", "tries", "where")

    def __init__(self, partition: Partition, offset: int, readable: int) -> None:
        self.where = TopicPartition(partition.topic, partition.number, offset)
        self.next, self.time_ms, self.end = offset, -1, PartitionEnd(readable)
        self.leader = -1
        self.tried, self.tries = -1, 0
        self.ended_s: float | None = None


class PartitionReader:
    """Messages of some partitions, each in its order, from explicit offsets on.

    Reading goes on by itself when the brokers were away. Positions are the caller's to keep.

    Parameters
    ----------
    connection
        To the brokers.
    starts
        For each partition where to begin.
    accept_lost
        Go on with the first message that is left where others were deleted before they were read.
    wait_ms
        How long `read` waits when there is nothing.
    clock
        Seconds since the epoch, for the lag.

    Raises
    ------
    BrokerUnreachable, BrokerRefused
        If no broker answers within `metadata_seconds_max`, or one refuses.
    TopicMismatch
        If a partition doesn't exist.
    OffsetLost
        If an offset to begin with isn't in its partition; with all of them, and how to go on.

    Attributes
    ----------
    lost : tuple[Lost, ...]
        What was passed over with `accept_lost`.
    headers_dropped : int
        Headers that were not handed out for a limit.
    liveness : BrokerLiveness
        When the brokers were heard last, and how many partitions the topics have.
    """

    def __init__(
        self,
        connection: Connection,
        starts: Mapping[Partition, Start],
        *,
        accept_lost: bool = False,
        wait_ms: int = 1,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connection, self._wait_s, self._clock = connection, wait_ms / 1000, clock
        self._seconds_max = connection.settings.metadata_seconds_max
        self._failure: BrokerError | None = None
        self._committed_at = -float("inf")
        self.lost: tuple[Lost, ...] = ()
        self.liveness = BrokerLiveness(connection, on_statistics=self._look)
        self._tracks: dict[Partition, _Track] = {}
        self._stamps: dict[str, int] = {}
        self._paused: set[Partition] = set()
        settings = connection.settings
        self._wanted, self.headers_dropped = frozenset(settings.pass_headers), 0
        self._broken: dict[Partition, tuple[int, str]] = {}
        self._consumer = connection.consumer(self._options())
        try:
            counts = connection.probe(self._consumer)
            see_that_they_exist(starts, counts)
            self.liveness.counted({partition.topic: counts[partition.topic] for partition in starts})
            held = {partition: held_of(connection, self._consumer, partition) for partition in starts}
            offsets, self.lost = first_offsets(
                connection, self._consumer, starts, held, accept_lost=accept_lost
            )
            self._tracks = {each: _Track(each, offset, held[each][1]) for each, offset in offsets.items()}
            self._consumer.assign([track.where for track in self._tracks.values()])
        except BaseException:
            self._consumer.close()
            raise

    def _options(self) -> dict[str, Any]:
        settings = self._connection.settings
        return {
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            # By default the client jumps to the end without a word when an offset is gone.
            "auto.offset.reset": "error",
            "fetch.min.bytes": 1,
            "fetch.wait.max.ms": settings.fetch_wait_ms_max,
            "fetch.queue.backoff.ms": settings.fetch_backoff_ms,
            "queued.min.messages": settings.fetch_queue_messages,
            "queued.max.messages.kbytes": settings.fetch_queue_bytes_max // 1024,
            **size_options(settings.unpacked_bytes_max),
            "statistics.interval.ms": _STATISTICS_MS,
            # Topics are known to exist; one that is no longer told of was deleted.
            "topic.metadata.propagation.max.ms": int(self._seconds_max * 1000),
            "stats_cb": self.liveness.statistics,
            "error_cb": self._on_error,
            "on_commit": self._on_commit,
        }

    # -- reading

    def read(self, messages_max: int, *, wait: bool = True) -> list[Fetched]:
        """Hand out what has come; when there is nothing, wait for a moment (`wait_ms`).

        Parameters
        ----------
        messages_max
            Messages of all partitions together, at least 2.
        wait
            Whether to wait.

        Raises
        ------
        OffsetLost
            If messages were deleted before they were read.
        BrokerError
            If a topic was deleted, access was withdrawn, or something else happened that doesn't pass.
        """
        self._raise()
        first = self._consumer.poll(self._wait_s if wait else 0)
        if first is None:
            self._raise()
            self.liveness.check()
            return []
        # Without a wait: this call would wait for its whole time limit, however much has come.
        fetched = self._sorted([first, *self._consumer.consume(messages_max - 1, 0)])
        self.liveness.now()
        if self._broken:
            fetched += self._passed_over()
        if not fetched:
            self._raise()
        return fetched

    def _passed_over(self) -> list[Fetched]:
        """Return what stands in the place of batches that can't be unpacked; reading goes on behind them."""
        broken, self._broken = self._broken, {}
        found = []
        for partition, (first, why) in broken.items():
            track, after = self._tracks[partition], end_of_batch(self._connection, partition, first)
            which = f"offset {first}" if after == first + 1 else f"offsets {first} to {after - 1}"
            text = f"{which} can't be read: {why}"
            _log.warning("%s: %s; passed over as a dead letter", partition, text)
            self._consumer.seek(TopicPartition(*partition, after))
            track.next = after
            # At its last offset, so that nobody looks for the rest of it once it is journalled.
            found.append(Fetched(partition, [Unreadable(text.encode())], [after - 1], [-1], {}))
        return found

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _sorted(self, messages: list[Message]) -> list[Fetched]:
        groups: dict[tuple[str, int], Fetched] = {}
        wanted, current = self._wanted, None
        # This loop meets every message. They mostly come in runs of one partition.
        for message in messages:
            error = message.error()
            if error is not None:
                self._told(message, error)
                continue
            key: Any = (message.topic(), message.partition())
            if key != current:
                current = key
                group = groups.get(key) or groups.setdefault(key, self._group(message))
                add, add_offset, add_time = group.payloads.append, group.offsets.append, group.times_ms.append
            value = message.value()
            add(TOMBSTONE if value is None else value)
            add_offset(message.offset())  # type: ignore[arg-type]  # without an error it has one
            add_time(message.timestamp()[1])
            if wanted and (headers := message.headers()) is not None:
                self._pass_on(group, headers)
        for group in groups.values():
            track = self._tracks[group.partition]
            track.next, track.time_ms = group.offsets[-1] + 1, group.times_ms[-1]
        return list(groups.values())

    def _group(self, first: Message) -> Fetched:
        """Return what is to hold a message and those of its partition behind it."""
        partition = Partition(first.topic() or "", first.partition() or 0)
        track = self._tracks[partition]
        self._stamps[partition.topic] = first.timestamp()[0]
        since = track.end.appended_after_ms(first.offset() or 0)
        return Fetched(partition, [], [], [], {}, since, track.end.behind(track.next))

    def _pass_on(self, group: Fetched, headers: Any) -> None:
        """Keep those headers of a group's last message that go on."""
        settings = self._connection.settings
        some, dropped = chosen(
            headers, self._wanted, settings.pass_headers_max, settings.pass_headers_bytes_max
        )
        self.headers_dropped += dropped
        if some:
            group.headers[group.offsets[-1]] = some

    def _told(self, message: Message, error: KafkaError) -> None:
        """Handle what stands in place of a message: the end of a partition, or a fault."""
        partition = Partition(message.topic() or "", message.partition() or 0)
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # the client's name for it
            track, offset = self._tracks[partition], message.offset()
            # Markers of transactions take up offsets, but are no messages.
            track.next = max(track.next, offset or 0)
            track.end.reached()
            return
        kind = fault_of(error)
        if partition in self._tracks and is_unreadable(error):
            self._unreadable(partition, message.offset() or 0, error)
        elif kind is OffsetLost:
            self._failure = self._lost(partition)
        elif kind is not None:
            self._failure = self._connection.fault(error, str(partition) if message.topic() else "Kafka")

    def _unreadable(self, partition: Partition, first: int, error: KafkaError) -> None:
        """Note that a batch can't be unpacked. The client tries again: it may have been hurt on its way."""
        track = self._tracks[partition]
        track.tries = track.tries + 1 if track.tried == first else 1
        track.tried = first
        if track.tries < _UNREADABLE_TRIES:
            return
        why = self._connection.redact(error.str())
        if self._connection.settings.unreadable == "stop":
            text = f'{partition}: {why}; with kafka.unreadable = "dead_letter" it is passed over as one'
            self._failure = BrokerError(text)
        else:
            self._broken[partition] = first, why

    def _on_error(self, error: KafkaError) -> None:
        """Handle what the client reports besides: brokers that are away, which passes, or a topic gone."""
        self._connection.heard_error(error)
        if error.fatal() or fault_of(error) is TopicMismatch:
            self._failure = self._connection.fault(error, "reading can't go on")

    def _lost(self, partition: Partition) -> BrokerError:
        try:
            held = held_of(self._connection, self._consumer, partition)
        except BrokerError as error:
            return error
        offset = self._tracks[partition].next
        text = loss(partition, offset, held)
        return OffsetLost(
            [text or f"{partition}: offset {offset} can't be read; {ACCEPT_LOST_OPTION} goes on"]
        )

    # -- how far

    def _look(self, told: Statistics) -> None:
        """See in the client's statistics where partitions end."""
        answers, time_ms = told.answers(), told.time * 1000
        for partition, track in self._tracks.items():
            topic = told.topics.get(partition.topic)
            figures = topic.partitions.get(str(partition.number)) if topic is not None else None
            if figures is not None:
                track.leader = figures.leader
                if partition in self._paused:
                    track.end.not_asked()
                track.end.look(figures, answers.get(figures.leader, 0), time_ms, track.next)

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """What is read."""
        return tuple(self._tracks)

    def position(self, partition: Partition) -> int:
        """Return the offset after the last message that was handed out."""
        return self._tracks[partition].next

    def high_watermark(self, partition: Partition) -> int:
        """Return the offset after the partition's last message, as far as that is known here."""
        track = self._tracks[partition]
        _, high = self._consumer.get_watermark_offsets(track.where, cached=True)
        return max(high, track.next)

    def caught_up(self, partition: Partition) -> bool:
        """Whether everything was handed out that is known to be in the partition."""
        track = self._tracks[partition]
        _, high = self._consumer.get_watermark_offsets(track.where, cached=True)
        # Negative until the brokers have told it.
        return 0 <= high <= track.next

    def behind(self, partition: Partition) -> bool:
        """Whether a past is being caught up with that is still to be read.

        That is what could be read when reading began, and what could be read a second ago and more. An open
        transaction leaves nothing behind: what it holds back comes once it ends.
        """
        track = self._tracks[partition]
        return track.end.behind(track.next)

    def lag(self, partition: Partition) -> Lag:
        """How far reading is behind."""
        track, now_s = self._tracks[partition], self._clock()
        silent_s = max(self.liveness.silent_seconds, self.liveness.silent_of(track.leader))
        if not self._known(track, silent_s):
            since_s = track.time_ms / 1000 if track.ended_s is None and track.time_ms >= 0 else track.ended_s
            return Lag(None, None if since_s is None else max(now_s - since_s, 0.0))
        if self.caught_up(partition):
            track.ended_s = now_s - silent_s
            return Lag(0, 0.0)
        track.ended_s = None
        messages = self.high_watermark(partition) - track.next
        return Lag(messages, max(now_s - track.time_ms / 1000, 0.0) if track.time_ms >= 0 else None)

    def _known(self, track: _Track, silent_s: float) -> bool:
        """Whether the end of a partition is known as it is now, as its leader was silent for so long."""
        _, high = self._consumer.get_watermark_offsets(track.where, cached=True)
        return high >= 0 and silent_s <= self._connection.settings.silent_seconds_max

    @property
    def timestamps(self) -> dict[str, str]:
        """Of each topic what its messages are stamped with: `create` or `append` time, once it is known."""
        return {topic: _STAMPS[kind] for topic, kind in self._stamps.items() if kind in _STAMPS}

    def pause(self, partitions: Collection[Partition]) -> None:
        """Hand out nothing of some partitions until `resume`."""
        self._paused.update(partitions)
        self._consumer.pause([self._tracks[each].where for each in partitions])

    def resume(self, partitions: Collection[Partition]) -> None:
        """Hand out messages of these partitions again, from where they were paused."""
        self._paused.difference_update(partitions)
        self._consumer.resume([self._tracks[each].where for each in partitions])

    # -- the group

    def commit(self, positions: Mapping[Partition, int]) -> None:
        """Tell the consumer group how far one has come, so that others can watch the lag.

        Nobody waits for it, and nothing is read from it. Without `group_id`, and sooner than `commit_seconds`
        after the last time, nothing is done.
        """
        now, settings = time.monotonic(), self._connection.settings
        if settings.group_id is None or now - self._committed_at < settings.commit_seconds:
            return
        # Also where there is nothing to commit, and whatever becomes of it: the group is for watching only, a
        # state's own marks say where to read on.
        self._committed_at = now
        offsets = [TopicPartition(*partition, offset) for partition, offset in positions.items()]
        if offsets:
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def _on_commit(self, error: KafkaError | None, _: object) -> None:
        if error is not None and fault_of(error) is not None:
            _log.warning(
                "positions can't be committed for the consumer group: %s",
                self._connection.redact(error.str()),
            )

    def close(self) -> None:
        """Close the consumer; what it has fetched ahead is dropped."""
        self._consumer.close()
