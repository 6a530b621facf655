"""What a run tells about its own pace, to whoever measures it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, Protocol

from headrace.control.reader import BatchReader
from headrace.shard.durable import DurableShard
from headrace.shard.telemetry import ShardTelemetry, Silent

__all__ = ["SILENT", "Phase", "Sending", "Telemetry"]

Phase = Literal["recovering", "running", "draining"]
"""Taking up the state, deciding, or ending: nothing more is read, what was read is decided."""


class Sending(Protocol):
    """What sends to topics, as far as it is watched.

    Attributes
    ----------
    dead_letters_cut
        Dead letters that were sent with a head of their input only.
    differing
        Decisions that were not sent, and are other ones than those that were delivered.
    """

    dead_letters_cut: int
    differing: int

    @property
    def queued(self) -> tuple[int, int]:
        """Messages that wait to be acknowledged, and their bytes."""
        ...


class Telemetry(ShardTelemetry, Protocol):
    """Is told of phases and of batches; none of its methods may raise or take long.

    With several shards `apply` and `journal` come once for each of them, `write` once for each of the two
    outputs. Methods may be called from several threads.
    """

    def phase(self, name: Phase) -> None:
        """Note that the run enters a phase."""

    def opened(
        self, shards: Sequence[DurableShard], reader: BatchReader, sending: Sending | None = None
    ) -> None:
        """Note that the state is taken up, sources and outputs are open.

        What they count may be read from now on.

        Parameters
        ----------
        shards
            What decides.
        reader
            What is read.
        sending
            What sends to topics; None for files.
        """

    def turned(self) -> None:
        """Note that the source is asked for its next lines; not told while batches under way hold it back."""

    def decoded(self, events: Sequence[object]) -> None:
        """Lines were decoded, each to an event or to the reason why it is none."""

    def decided(self, decisions: Sequence[tuple[int, bytes]]) -> None:
        """Decisions are about to go out: lines, each with the ordinal of its input."""

    def evaluated(self, evaluated: Sequence[Any], *, learned: bool) -> None:
        """Outcomes have evaluated scores (with their labels) or lists, and whether they taught the model."""

    def latency(self, accepted_ns: int, count: int, now_ns: int) -> None:
        """Decisions of one batch were written.

        Parameters
        ----------
        accepted_ns
            When their batch was read, nanoseconds of `time.perf_counter_ns`.
        count
            How many, at least one.
        now_ns
            The present moment on the same clock.
        """

    def waited(self, since_ms: Sequence[int], count: int, now_ms: int) -> None:
        """Decisions were written that somebody waited for.

        Parameters
        ----------
        since_ms
            Since when some of them waited, evenly chosen, milliseconds since the epoch; `waiting.NEVER` for
            one that nobody waits for.
        count
            How many were written.
        now_ms
            The present moment.
        """


class _Silent(Silent):
    """Telemetry that nobody listens to."""

    def phase(self, name: Phase) -> None:
        """Say nothing."""

    def opened(
        self, shards: Sequence[DurableShard], reader: BatchReader, sending: Sending | None = None
    ) -> None:
        """Say nothing."""

    def turned(self) -> None:
        """Say nothing."""

    def decoded(self, events: Sequence[object]) -> None:
        """Say nothing."""

    def decided(self, decisions: Sequence[tuple[int, bytes]]) -> None:
        """Say nothing."""

    def evaluated(self, evaluated: Sequence[Any], *, learned: bool) -> None:
        """Say nothing."""

    def latency(self, accepted_ns: int, count: int, now_ns: int) -> None:
        """Say nothing."""

    def waited(self, since_ms: Sequence[int], count: int, now_ms: int) -> None:
        """Say nothing."""


SILENT: Final[Telemetry] = _Silent()
