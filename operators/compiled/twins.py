"""Which twin of a program decides: plain Python until its machine code is there, then that.

Both twins give the same, to the bit. So a run may begin with the plain one, have what it lacks compiled
beside it, and take the compiled one over between two batches.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["TWINS", "Twins"]


class Twins:
    """What is known in this process of machine code that isn't there yet.

    Attributes
    ----------
    changes
        How often it has become known that machine code is there now, or won't be; whoever decides with a
        plain twin looks at it between two batches.
    failure
        Why compiling failed, for a person; None if it hasn't.
    failures
        How often it has.
    """

    def __init__(self) -> None:
        self._waits, self._missed = False, False
        self._on_missed: Callable[[], None] = lambda: None
        self._thread = threading.local()
        self.changes = self.failures = 0
        self.failure: str | None = None

    @contextmanager
    def plain_first(self, on_missed: Callable[[], None]) -> Iterator[None]:
        """Let plain twins decide as long as machine code isn't there.

        Parameters
        ----------
        on_missed
            Is called once, when the first program is asked for that is neither compiled nor kept: it has all
            of them compiled, and says then that they are `ready` or that it `failed`.
        """
        self._waits, self._missed, self._on_missed = True, False, on_missed
        try:
            yield
        finally:
            self._waits = False

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Compile, in this thread, whatever is asked for."""
        self._thread.at_once = True
        try:
            yield
        finally:
            self._thread.at_once = False

    def misses(self, *, there: bool) -> bool:
        """Whether a program is to be decided without for now; `there` says that it can be had at once."""
        if there or not self._waits or getattr(self._thread, "at_once", False):
            return False
        if not self._missed:
            self._missed = True
            self._on_missed()
        return True

    def ready(self) -> None:
        """Note that all programs that were missed are compiled."""
        self._waits = False
        self.changes += 1

    def failed(self, why: str) -> None:
        """Note that they won't be; plain twins go on."""
        self.failure = why
        self.failures += 1
        self.changes += 1


TWINS: Final = Twins()
