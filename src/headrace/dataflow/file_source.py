"""The source of a flow on files."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from headrace.control.reader import BatchReader
from headrace.dataflow.telemetry import SILENT, Telemetry
from headrace.errors import HeadraceError
from headrace.journal.batches import Batch

__all__ = ["FileSource"]


_PART: Final = "all"
_WAIT_S_MAX: Final = 0.1


class FileSource(FixedPartitionedSource[Batch, None]):
    """Batches of a reader, as one partition.

    An input that ends too early must not take down what was read before: the source ends as at its proper
    end, and the error waits in `error` until the flow is done.

    Parameters
    ----------
    reader
        Where batches come from.
    drain
        Asked before every batch; once it says yes the source ends.
    telemetry
        Is told how long reading takes.

    Attributes
    ----------
    error : HeadraceError | None
        Why the source ended before its proper end.
    """

    def __init__(
        self,
        reader: BatchReader,
        *,
        drain: Callable[[], bool] = lambda: False,
        telemetry: Telemetry = SILENT,
    ) -> None:
        self.error: HeadraceError | None = None
        self.reader, self.drain, self.telemetry = reader, drain, telemetry

    def list_parts(self) -> list[str]:
        """One partition: the files are merged into one order."""
        return [_PART]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _FilePart:
        """Build the partition; where it goes on is the reader's matter."""
        del step_id, for_part, resume_state
        return _FilePart(self)


class _FilePart(StatefulSourcePartition[Batch, None]):
    def __init__(self, source: FileSource) -> None:
        self._source, self._reader = source, source.reader

    def next_batch(self) -> list[Batch]:
        source = self._source
        if source.drain():
            raise StopIteration
        source.telemetry.turned()
        begun = time.perf_counter_ns()
        batch = self._read()
        if batch is None:
            if self._reader.ended:
                raise StopIteration
            return []
        source.telemetry.batch("read", time.perf_counter_ns() - begun, len(batch.payloads))
        return [batch]

    def _read(self) -> Batch | None:
        try:
            return self._reader.next_batch()
        except HeadraceError as error:
            # The sources' end, not a failure: what was read before the damage is decided and written first.
            self._source.error = error
            raise StopIteration from error

    def next_awake(self) -> datetime | None:
        due_s = self._reader.next_due_s()
        if due_s is None:
            # A pipe is waited for while it is read, so there is no need to wait here as well.
            return datetime.now(UTC) if self._reader.stream else None
        return datetime.now(UTC) + timedelta(seconds=min(due_s, _WAIT_S_MAX))

    def snapshot(self) -> None:
        return None
