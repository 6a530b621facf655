"""Answers those who ask for the metrics of processes that don't answer themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from socket import socket

from headrace.config.tables import MetricsSettings
from headrace.metrics.http_server import standing_in

__all__ = ["StandIns"]


class StandIns:
    """Answer for the processes that don't do it themselves now.

    Parameters
    ----------
    sockets
        For each process, where it is asked.
    limits
        Of the servers.
    why
        Says what they wait for.
    """

    def __init__(self, sockets: Sequence[socket], limits: MetricsSettings, why: Callable[[], str]) -> None:
        self._sockets, self._limits, self._why = sockets, limits, why
        self._standing: dict[int, ExitStack] = {}

    def stand_in(self, answering: Callable[[int], bool]) -> None:
        """Begin and end, so that those are answered for that don't answer."""
        for index, where in enumerate(self._sockets):
            if answering(index):
                if index in self._standing:
                    self._standing.pop(index).close()
            elif index not in self._standing:
                stack = self._standing[index] = ExitStack()
                stack.enter_context(standing_in(where, self._limits, self._why))

    def close(self) -> None:
        """Answer for nobody any more."""
        self.stand_in(lambda _index: True)
