"""Has the engine's kernels compiled before the first click."""

from __future__ import annotations

from functools import cache
from typing import Final

from ...config.recommend import EngineSettings
from ..compiled.kernels import kernels_of, note_all_kept
from . import kernels
from .engine import Engine

__all__ = ["prepare"]

_SMALL: Final = EngineSettings(
    items_max=4, posting_blocks_max=8, chunks_max=8, sessions_max=4, order_lines_max=8, shown_max=4
)


def prepare() -> None:
    """Have all kernels compiled, or loaded if they were before, so that no click waits for it.

    Where compiling is put off (see `compiled.twins`), nothing is done.
    """
    if kernels_of(kernels.__name__, may_wait=True).compiled:
        _prepare()


@cache
def _prepare() -> None:
    engine = Engine(_SMALL)
    a, b = engine.items.number_of("a"), engine.items.number_of("b")
    engine.bought((a, b))
    for place, item in enumerate((a, b, a)):
        for session in ("s", "t"):
            engine.learn_next(session, item, new=True)
            engine.follow(session, item, place)
            engine.catch_up(session, item, place)
            engine.rank(session, (item,), best=1)
    engine.forget_session("s")
    note_all_kept(kernels.__name__)
