"""How deep an input may be nested: told from its bytes alone, however full the stack is."""

from __future__ import annotations

import _thread
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

__all__ = ["NESTING_MAX", "nested_too_deep", "on_empty_stack"]

NESTING_MAX: Final = 500
"""Objects and arrays within each other; parsers come back from at least so many with most of a stack left."""

_STRINGS: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_BRACKETS: Final = re.compile(rb"[\[\]{}]")
_OPENING: Final = (b"[", b"{")

_T = TypeVar("_T")


def nested_too_deep(payload: bytes) -> bool:
    """Whether JSON is nested deeper than `NESTING_MAX`; brackets in strings don't count.

    A parser that recurses gives up at a depth that depends on the stack that it is called on. What becomes of
    an input must not.
    """
    if payload.count(b"[") + payload.count(b"{") <= NESTING_MAX:
        return False
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", payload)):
        if bracket in _OPENING:
            depth += 1
            if depth > NESTING_MAX:
                return True
        else:
            depth -= 1
    return False


def on_empty_stack(function: Callable[..., _T], *given: Any) -> _T:
    """Return what a function gives when it is called on a stack of its own.

    Raises
    ------
    Exception
        What the function raises.
    """
    found: list[_T] = []
    failed: list[BaseException] = []
    done = _thread.allocate_lock()
    done.acquire()

    def call() -> None:
        try:
            found.append(function(*given))
        except BaseException as error:  # noqa: BLE001  # it is raised below
            failed.append(error)
        finally:
            done.release()

    _thread.start_new_thread(call, ())
    with done:
        pass
    if failed:
        raise failed[0]
    return found[0]
