"""What one worker reads: its partitions, merged; between their batches the commands, if they are its part."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from math import inf
from typing import Any, Final, Protocol, TypeAlias

from headrace.control.inbox import ControlInbox
from headrace.control.reader import batch_of
from headrace.files.progress import Progress
from headrace.journal.batches import Batch, Mark
from headrace.journal.passed_headers import PassedHeaders
from headrace.journal.records import CONTROL_SOURCE
from headrace.kafka.partition_merge import PartitionMerge
from headrace.operators.events.oversized import CutLine
from headrace.shard.waiting import MessageAges, Skewed

__all__ = ["Place", "Portion", "Reading", "TopicCommands", "TopicReader"]

_READ_MESSAGES_MAX: Final = 4096
_NOTHING_S: Final = 0.001
_NAMED_MAX: Final = 3

Place: TypeAlias = tuple[str, int]
"""A topic and the number of a partition of it."""


class Portion(Protocol):
    """Messages of one partition, ascending by offset."""

    @property
    def partition(self) -> Place:
        """Which one."""

    @property
    def payloads(self) -> list[bytes]:
        """Their values."""

    @property
    def offsets(self) -> list[int]:
        """Their offsets."""

    @property
    def times_ms(self) -> list[int]:
        """Their timestamps, milliseconds since the epoch; negative for one without."""

    @property
    def appended_after_ms(self) -> int:
        """A time before which none of them can have been in the partition; 0 if that isn't known."""

    @property
    def headers(self) -> Mapping[int, PassedHeaders]:
        """By offset, headers that go on to what comes of a message."""

    @property
    def past(self) -> bool:
        """Whether they belong to a past that is being caught up with."""


class Reading(Protocol):
    """Where messages come from; `PartitionReader` is one."""

    def read(self, messages_max: int, *, wait: bool = True) -> Sequence[Portion]:
        """Return what has come; it may wait for a moment if there is nothing."""

    def behind(self, partition: Any) -> bool:
        """Whether a past is being caught up with that is still to be read."""

    def lag(self, partition: Any) -> tuple[int | None, float | None]:
        """Messages that are not yet read, if that is known, and for how many seconds they may have waited."""
        ...

    @property
    def liveness(self) -> Any:
        """Has `silent_seconds`, since anything was heard of the brokers, and `grown` topics."""

    @property
    def timestamps(self) -> Mapping[str, str]:
        """Of each topic what its messages are stamped with: `create` or `append` time, once it is known."""

    @property
    def headers_dropped(self) -> int:
        """Headers that are not handed out for a limit."""
        ...

    def pause(self, partitions: Collection[Any]) -> None:
        """Hand out nothing of some partitions until they are resumed."""

    def resume(self, partitions: Collection[Any]) -> None:
        """Hand out messages of paused partitions again."""

    def close(self) -> None:
        """Read no more."""


class TopicCommands:
    """Commands as batches. Their place is told by the number of their file, for each shard by itself.

    Parameters
    ----------
    inbox
        The control channel; begins behind the last file that every shard has.
    sources
        Numbers of the sources, by name.
    reached
        Number of the last file that every shard has journalled.
    """

    def __init__(self, inbox: ControlInbox, sources: Mapping[str, int], reached: Callable[[], int]) -> None:
        self.inbox, self._sources, self._reached = inbox, sources, reached
        self._unsettled: list[int] = []
        self._look_at = 0.0
        inbox.clear()

    def next_batch(self) -> Batch | None:
        """Return the next file's commands; None if there are none, or it was looked for a moment ago."""
        now = time.monotonic()
        if now < self._look_at:
            return None
        self.settle()
        file = self.inbox.next_file()
        if file is None:
            self._look_at = now + self.inbox.limits.poll_seconds
            return None
        self.inbox.taken = file.number
        self._unsettled.append(file.number)
        mark = Mark(CONTROL_SOURCE, file.number, len(file.lines), file.crc)
        return batch_of(
            file.commands, file.lines, ordinal=0, number=file.number, marks=(mark,), sources=self._sources
        )

    def settle(self) -> None:
        """Remove the files that every shard has journalled."""
        if not self._unsettled:
            return
        reached = self._reached()
        for number in self._unsettled:
            if number <= reached:
                self.inbox.remove(number)
        self._unsettled = [number for number in self._unsettled if number > reached]


class TopicReader:
    """Batches of messages, and of commands.

    Parameters
    ----------
    reading
        Where messages come from; None for a worker that has no partition.
    merge
        Holds them until it is their turn.
    numbers
        Number of each partition in the state.
    commands
        None where another worker has them.
    ages
        Tells since when messages wait.
    silent_seconds_max
        Brokers of which nothing was heard for longer, and lags unknown for longer, are a trouble.
    kept_bytes_max, head_bytes
        Of a longer value only a head is kept, and how long that is; None for no limit.

    Attributes
    ----------
    lags : tuple[tuple[int, int | None, float | None], ...]
        For each partition, by its number, how many messages are not yet read, None while that isn't known,
        and for how many seconds they may have waited; as of `look`.
    unread : Mapping[str, int]
        Partitions that were added to topics and are not read; as of `look`.
    silent_s : float
        Seconds since anything was heard of the brokers; as of `look`.
    """

    def __init__(
        self,
        reading: Reading | None,
        merge: PartitionMerge,
        numbers: Mapping[Place, int],
        commands: TopicCommands | None,
        ages: MessageAges | None = None,
        *,
        silent_seconds_max: float = inf,
        kept_bytes_max: int | None = None,
        head_bytes: int = 0,
    ) -> None:
        self._kept_bytes_max, self._head_bytes = kept_bytes_max, head_bytes
        self._ages = ages or MessageAges({}, 0)
        self._reading, self._merge, self._numbers, self._commands = reading, merge, numbers, commands
        self._places = {number: place for place, number in numbers.items()}
        self._bytes = dict.fromkeys(self._places, 0)
        self._silent_seconds_max = silent_seconds_max
        self._unknown_since: dict[int, float] = {}
        self.lags: tuple[tuple[int, int | None, float | None], ...] = ()
        self.unread: Mapping[str, int] = {}
        self.silent_s = 0.0

    def next_batch(self) -> Batch | None:
        """Return the next commands, or else the next messages; None when there are neither now.

        Raises
        ------
        BrokerError
            If the brokers refuse, or no longer have what comes next.
        """
        # Commands first: a kill switch must not wait behind a backlog of messages.
        batch = self._commands.next_batch() if self._commands is not None else None
        if batch is not None:
            return batch
        if not self._merge.ready:
            self._fill()
        return self._merge.next_batch(self._behind)

    def _behind(self, number: int) -> bool:
        return self._reading is not None and self._reading.behind(self._places[number])

    def _fill(self) -> None:
        merge, reading = self._merge, self._reading
        if reading is None:
            time.sleep(_NOTHING_S)
            return
        if resumed := merge.to_resume():
            reading.resume([self._places[number] for number in resumed])
        # Waiting while messages are at hand would be added to the latency of each of them.
        for portion in reading.read(_READ_MESSAGES_MAX, wait=not merge.holding):
            number = self._numbers[portion.partition]
            count = sum(map(len, portion.payloads))
            self._bytes[number] += count
            if self._kept_bytes_max is not None and count > self._kept_bytes_max:
                self._cut(portion.payloads, self._kept_bytes_max)
            since_ms = self._ages.since(
                number, portion.times_ms, portion.appended_after_ms, time.time_ns() // 1_000_000
            )
            merge.extend(
                number,
                portion.payloads,
                portion.offsets,
                since_ms=since_ms,
                past=portion.past,
                headers=portion.headers,
            )
        if full := merge.to_pause():
            reading.pause([self._places[number] for number in full])

    def _cut(self, payloads: list[bytes], bytes_max: int) -> None:
        """Keep heads of the values that are too large: a few packed kilobytes may unpack to gigabytes."""
        for index, payload in enumerate(payloads):
            if len(payload) > bytes_max:
                payloads[index] = CutLine.from_line(payload, self._head_bytes)

    # -- for those who watch

    @property
    def skewed(self) -> Skewed:
        """How many messages had a timestamp that can't be right."""
        return self._ages.skewed

    @property
    def timestamps(self) -> Mapping[str, str]:
        """Of each topic what its messages are stamped with: `create` or `append` time, once it is known."""
        return {} if self._reading is None else self._reading.timestamps

    @property
    def headers_dropped(self) -> int:
        """Headers that did not go on for a limit."""
        return 0 if self._reading is None else self._reading.headers_dropped

    @property
    def merge_waits(self) -> int:
        """How often messages of the past had to wait for those of a partition that is behind."""
        return self._merge.waits

    def look(self) -> None:
        """See how far reading is behind; others may ask from other threads, but only for what was seen."""
        if self._reading is None:
            return
        lags = tuple((number, *self._reading.lag(place)) for place, number in self._numbers.items())
        liveness, now = self._reading.liveness, time.monotonic()
        unknown = [number for number, messages, _ in lags if messages is None]
        self._unknown_since = {number: self._unknown_since.get(number, now) for number in unknown}
        self.lags, self.silent_s = lags, liveness.silent_seconds
        self.unread = {topic: count - before for topic, (before, count) in liveness.grown.items()}

    def troubles(self) -> Iterator[str]:
        """Yield what keeps messages from being read, as of `look`, for a person."""
        limit = self._silent_seconds_max
        if self.silent_s > limit:
            yield f"nothing was heard of the brokers for {self.silent_s:.0f} s (limit {limit:g} s)"
        else:
            now = time.monotonic()
            unknown = [number for number, since in self._unknown_since.items() if now - since > limit]
            if unknown:
                names = ", ".join("{}[{}]".format(*self._places[number]) for number in unknown[:_NAMED_MAX])
                yield f"the lag of {len(unknown)} partitions isn't known: {names}"
        for topic, count in self.unread.items():
            yield f"{count} added partitions of {topic} are not read before the next start"

    @property
    def ended(self) -> bool:
        """A topic has no end."""
        return False

    @property
    def stream(self) -> bool:
        """More is awaited."""
        return True

    @property
    def progress(self) -> Progress:
        """Bytes of the messages read; how many there will be isn't known."""
        return Progress(sum(self._bytes.values()), None)

    @property
    def progress_by_source(self) -> list[tuple[int, Progress]]:
        """The same by the partitions' numbers."""
        return [(number, Progress(count, None)) for number, count in self._bytes.items()]

    def next_due_s(self) -> float | None:
        """Messages are due when they come."""
        return None

    def close(self) -> None:
        """Read no more."""
        if self._commands is not None:
            self._commands.settle()
        if self._reading is not None:
            self._reading.close()
