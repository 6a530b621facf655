"""Keeps the first error of a flow's steps until the flow has ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from headrace.errors import HeadraceError

__all__ = ["Failure"]


class Failure:
    """The first error of a flow's steps, after which it only drains.

    An exception in a step ends the flow as well, but Bytewax panics over it on standard error.

    Attributes
    ----------
    error : HeadraceError | OSError | None
        None as long as all is well.
    """

    def __init__(self) -> None:
        self.error: HeadraceError | OSError | None = None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep an error of what is done inside, which must not be done again after it."""
        try:
            yield
        except (HeadraceError, OSError) as error:
            # Raised here it would come out wrapped in the engine's own; kept, the flow drains and ends in
            # order.
            self.error = error

    def raise_again(self) -> None:
        """Raise the error, if there was one, once the flow has ended."""
        if self.error is not None:
            raise self.error
