"""Whether the brokers are still heard, and what they tell of their topics."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from headrace.kafka.connection import Connection
from headrace.kafka.ends import BrokerFigures, PartitionFigures

__all__ = ["BrokerLiveness", "Statistics"]

_log = logging.getLogger(__name__)


class _Topic(msgspec.Struct, gc=False):
    partitions: dict[str, PartitionFigures] = {}


class Statistics(msgspec.Struct, gc=False):
    """What a client tells of itself, as far as it is looked at.

    Attributes
    ----------
    time
        When it was told, whole seconds since the epoch.
    brokers, topics
        By the names that the client has for them.
    """

    time: int = 0
    brokers: dict[str, BrokerFigures] = {}
    topics: dict[str, _Topic] = {}

    def answers(self) -> dict[int, int]:
        """Responses received of each broker, by its number in the cluster."""
        return {broker.nodeid: broker.rx for broker in self.brokers.values()}


_decoder: Final = msgspec.json.Decoder(Statistics)


class BrokerLiveness:
    """Listens to a client's statistics.

    Parameters
    ----------
    connection
        Whose settings say how long silence may last.
    clock
        Monotonic seconds.
    on_statistics
        Is handed what the client tells, about once a second.

    Attributes
    ----------
    silences : int
        How often the brokers were silent for longer than `silent_seconds_max`.
    """

    def __init__(
        self,
        connection: Connection,
        clock: Callable[[], float] = time.monotonic,
        on_statistics: Callable[[Statistics], None] = lambda _statistics: None,
    ) -> None:
        self._connection, self._clock, self._on_statistics = connection, clock, on_statistics
        self._at, self._answers, self._silent = clock(), 0, False
        self._counts: dict[str, int] = {}
        self._answered: dict[int, tuple[int, float]] = {}
        self._grown: dict[str, tuple[int, int]] = {}
        self.silences = 0

    @property
    def silent_seconds(self) -> float:
        """Seconds since anything was heard of the brokers; where they answer, at most about one."""
        return self._clock() - self._at

    def silent_of(self, broker: int) -> float:
        """Seconds since one broker, by its number, was heard; of one that isn't known, of any."""
        _, at = self._answered.get(broker, (0, self._at))
        return self._clock() - at

    @property
    def grown(self) -> Mapping[str, tuple[int, int]]:
        """Topics that have got partitions: how many they had at the start, and how many they have now."""
        return self._grown

    def counted(self, counts: Mapping[str, int]) -> None:
        """Take down how many partitions topics have at the start."""
        self._counts = dict(counts)
        self.now()

    def now(self) -> None:
        """Something was heard this moment."""
        if self._silent:
            self._connection.forget()
            _log.warning("the brokers (%s) are heard again", self._connection.brokers)
        self._at, self._silent = self._clock(), False

    def statistics(self, told: str) -> None:
        """Take in what the client tells of itself, JSON."""
        read = _decoder.decode(told)
        # Answers, not connections: one may stand open for minutes to a broker that is gone.
        answers = sum(broker.rx for broker in read.brokers.values())
        if answers > self._answers:
            self.now()
        self._answers = answers
        for broker, count in read.answers().items():
            if count > self._answered.get(broker, (0, 0.0))[0]:
                self._answered[broker] = count, self._clock()
        for name, topic in read.topics.items():
            # Partition -1 is the client's own, for messages that have none yet.
            self._count(name, sum(not each.unknown for key, each in topic.partitions.items() if key != "-1"))
        self._on_statistics(read)

    def _count(self, topic: str, count: int) -> None:
        before = self._counts.get(topic, count)
        if count > self._grown.get(topic, (0, before))[1]:
            self._grown[topic] = (before, count)
            _log.warning(
                "topic %s has grown from %d to %d partitions; the added ones are not read before a restart",
                *(topic, before, count),
            )

    def check(self) -> None:
        """Warn, once, when the brokers have been silent for too long."""
        limit = self._connection.settings.silent_seconds_max
        if not self._silent and self.silent_seconds > limit:
            self._silent = True
            self.silences += 1
            why = self._connection.trouble
            _log.warning(
                "nothing heard of the brokers (%s) for %.0f seconds%s; reading goes on when they are back",
                *(self._connection.brokers, self.silent_seconds, f" ({why})" if why else ""),
            )
