"""A world as files: events in the contract's JSON lines, truth apart as CSV."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from typing import BinaryIO, Final, TypeAlias

import numpy as np

from headrace.operators.simulator.draws import Bools, Ints
from headrace.operators.simulator.world import NEVER, World

__all__ = ["event_blocks", "truth_blocks", "write"]

Target: TypeAlias = "str | PathLike[str] | BinaryIO"

_LINES_AT_ONCE: Final = 16_384
_GZIP_LEVEL: Final = 6
_TRUTH_HEADER: Final = b"event_id,event_time,customer_id,fraud\n"


def write(world: World, events: Target, truth: Target | None = None) -> int:
    """Write a world's events, and its truth when that has a place to go.

    Parameters
    ----------
    events, truth
        A path, compressed when it ends in `.gz`, `-` for standard output, or a binary file, which is left
        open. What a path holds is replaced.

    Returns
    -------
    int
        How many events were written, payments and outcomes.
    """
    _write(event_blocks(world), events)
    if truth is not None:
        _write(truth_blocks(world), truth)
    return world.time_s.size + int(_reported(world).sum())


def event_blocks(world: World) -> Iterator[bytes]:
    """The events by time as blocks of whole lines; in one second, payments come before outcomes."""
    payments, outcomes = world.time_s.size, np.flatnonzero(_reported(world))
    time_s = np.concatenate((world.time_s, world.outcome_s[outcomes]))
    row = np.concatenate((np.arange(payments), outcomes))
    order = np.argsort(time_s, kind="stable")
    customers, merchants = _names("c", world.customer_ids), _names("m", world.merchant_ids)
    for start in range(0, order.size, _LINES_AT_ONCE):
        part = order[start : start + _LINES_AT_ONCE]
        yield _lines(world, time_s[part], row[part], part >= payments, customers, merchants)


def truth_blocks(world: World) -> Iterator[bytes]:
    """The truth in the order of the payments: `event_id,event_time,customer_id,fraud`, fraud being 0 or 1."""
    yield _TRUTH_HEADER
    customers = _names("c", world.customer_ids)
    for start in range(0, world.time_s.size, _LINES_AT_ONCE):
        part = slice(start, start + _LINES_AT_ONCE)
        columns = (world.payment_ids[part], world.customer[part], world.fraud[part])
        rows = zip(*(column.tolist() for column in columns), _texts(world.time_s[part]), strict=True)
        lines = [f"p-{event:012x},{when},{customers[who]},{fraud:d}\n" for event, who, fraud, when in rows]
        yield "".join(lines).encode()


def _reported(world: World) -> Bools:
    """Which payments' outcomes come before the world ends."""
    reported: Bools = (world.outcome_s != NEVER) & (world.outcome_s < world.end_s)
    return reported


def _names(prefix: str, numbers: Iterable[int]) -> list[str]:
    return [f"{prefix}-{number:08x}" for number in numbers]


def _texts(time_s: Ints) -> list[str]:
    """Seconds since the epoch as RFC 3339."""
    texts: list[str] = np.datetime_as_string(time_s.astype("datetime64[s]"), timezone="UTC").tolist()
    return texts


def _lines(
    world: World, time_s: Ints, row: Ints, is_outcome: Bools, customers: list[str], merchants: list[str]
) -> bytes:
    columns = (
        is_outcome,
        world.payment_ids[row],
        world.outcome_ids[row],
        world.customer[row],
        world.merchant[row],
        world.cents[row],
        world.fraud[row],
    )
    rows = zip(_texts(time_s), *(column.tolist() for column in columns), strict=True)
    return "".join(
        [
            f'{{"type":"outcome","event_id":"o-{report:012x}","event_time":"{when}","about":"p-{event:012x}",'
            f'"label":{fraud:d},"customer_id":"{customers[who]}"}}\n'
            if reports
            else f'{{"type":"payment","event_id":"p-{event:012x}","event_time":"{when}",'
            f'"customer_id":"{customers[who]}","merchant_id":"{merchants[whom]}",'
            f'"amount":{cents // 100}.{cents % 100:02d},"currency":"EUR"}}\n'
            for when, reports, event, report, who, whom, cents, fraud in rows
        ]
    ).encode()


def _write(blocks: Iterable[bytes], target: Target) -> None:
    with _opened(target) as file:
        for block in blocks:
            file.write(block)


@contextmanager
def _opened(target: Target) -> Iterator[BinaryIO]:
    if not isinstance(target, (str, PathLike)):
        yield target
        return
    path = fspath(target)
    if path == "-":
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    with open(path, "wb") as file:
        if not path.endswith(".gz"):
            yield file
            return
        # Neither name nor time of day goes into the header: the same world gives the same bytes.
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
            yield packed  # type: ignore[misc]
