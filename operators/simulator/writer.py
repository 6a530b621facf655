"""A world as files: events in the contract's JSON lines, truth apart as CSV."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import RawIOBase
from os import PathLike, fspath
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias, cast

import numpy as np

from headrace.errors import ConfigError, Invalid

from .draws import Bools, Ints
from .network.text import line_blocks
from .network.truths import truth_tables
from .network.world import Network
from .outcomes import NEVER
from .play import play
from .texts import names, rfc3339
from .world import World

__all__ = ["count_events", "event_blocks", "truth_blocks", "write", "write_truths"]

Target: TypeAlias = "str | PathLike[str] | BinaryIO"

_LINES_AT_ONCE: Final = 16_384
_GZIP_LEVEL: Final = 6
_TRUTH_HEADER: Final = b"event_id,event_time,customer_id,fraud\n"


def write(
    world: World | Network,
    events: Target,
    truth: Target | None = None,
    *,
    truths: str | PathLike[str] | None = None,
    speed: float | None = None,
) -> int:
    """Write a world's truth where that has a place to go, and then its events.

    Parameters
    ----------
    events, truth
        A path, compressed when it ends in `.gz`, `-` for standard output, or a binary file, which is left
        open. What a path holds is replaced.
    truths
        A folder for the further truths of a network; it is made when it isn't there.
    speed
        Write each event when it arrives, at this multiple of event time; as fast as possible otherwise.

    Returns
    -------
    int
        How many lines of events were written.

    Raises
    ------
    ConfigError
        For `truths` of a world that has none.
    """
    if truths is not None:
        write_truths(world, truths)
    if truth is not None:
        _write(truth_blocks(world), truth)
    if speed is None:
        _write(event_blocks(world), events)
    else:
        with _opened(events) as file:
            play(_timed_lines(world), file, speed)
    return count_events(world)


def write_truths(world: World | Network, folder: str | PathLike[str]) -> None:
    """Write what else is true of a network, one CSV file a subject, into a folder.

    Raises
    ------
    ConfigError
        For a world that isn't a network.
    """
    if not isinstance(world, Network):
        raise ConfigError(
            [Invalid("simulate", "truths", "this preset has no truth but that of its payments")]
        )
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for name, blocks in truth_tables(world).items():
        _write(blocks, target / name)


def count_events(world: World | Network) -> int:
    """How many lines the file of events has."""
    if isinstance(world, Network):
        return world.lines.row.size
    return world.time_s.size + int(_reported(world).sum())


def event_blocks(world: World | Network) -> Iterator[bytes]:
    """Yield the events by arrival as blocks of whole lines; in one second, payments come before outcomes."""
    for _, lines in _timed_lines(world):
        yield "".join(lines).encode(errors="surrogateescape")


def _timed_lines(world: World | Network) -> Iterator[tuple[Ints, Sequence[str]]]:
    """When lines arrive, in seconds, ascending, and their texts, block by block."""
    if isinstance(world, Network):
        return line_blocks(world, _LINES_AT_ONCE)
    return _payments_and_outcomes(world)


def _payments_and_outcomes(world: World) -> Iterator[tuple[Ints, Sequence[str]]]:
    payments, outcomes = world.time_s.size, np.flatnonzero(_reported(world))
    time_s = np.concatenate((world.time_s, world.outcome_s[outcomes]))
    row = np.concatenate((np.arange(payments), outcomes))
    # Stable, and payments stand in front: within a second no outcome comes before its payment.
    order = np.argsort(time_s, kind="stable")
    customers, merchants = names("c", world.customer_ids), names("m", world.merchant_ids)
    for start in range(0, order.size, _LINES_AT_ONCE):
        part = order[start : start + _LINES_AT_ONCE]
        yield time_s[part], _lines(world, time_s[part], row[part], part >= payments, customers, merchants)


def truth_blocks(world: World | Network) -> Iterator[bytes]:
    """Yield the truth by the time of the payments.

    `event_id,event_time,customer_id,fraud`, fraud being 0 or 1.
    """
    yield _TRUTH_HEADER
    customers = names("c", world.customer_ids)
    columns = (world.payment_ids, world.customer, world.fraud)
    for start in range(0, world.time_s.size, _LINES_AT_ONCE):
        part = slice(start, start + _LINES_AT_ONCE)
        rows = zip(*(column[part].tolist() for column in columns), rfc3339(world.time_s[part]), strict=True)
        lines = [f"p-{event:012x},{when},{customers[who]},{fraud:d}\n" for event, who, fraud, when in rows]
        yield "".join(lines).encode()


def _reported(world: World) -> Bools:
    """Which payments' outcomes come before the world ends."""
    reported: Bools = (world.outcome_s != NEVER) & (world.outcome_s < world.end_s)
    return reported


def _lines(
    world: World, time_s: Ints, row: Ints, is_outcome: Bools, customers: list[str], merchants: list[str]
) -> list[str]:
    columns = (
        is_outcome,
        world.payment_ids[row],
        world.outcome_ids[row],
        world.customer[row],
        world.merchant[row],
        world.cents[row],
        world.fraud[row],
    )
    rows = zip(rfc3339(time_s), *(column.tolist() for column in columns), strict=True)
    return [
        f'{{"type":"outcome","event_id":"o-{report:012x}","event_time":"{when}","about":"p-{event:012x}",'
        f'"label":{fraud:d},"customer_id":"{customers[who]}"}}\n'
        if reports
        else f'{{"type":"payment","event_id":"p-{event:012x}","event_time":"{when}",'
        f'"customer_id":"{customers[who]}","merchant_id":"{merchants[whom]}",'
        f'"amount":{cents // 100}.{cents % 100:02d},"currency":"EUR"}}\n'
        for when, reports, event, report, who, whom, cents, fraud in rows
    ]


def _write(blocks: Iterable[bytes], target: Target) -> None:
    with _opened(target) as file:
        for block in blocks:
            file.write(block)


class _WholeWrites:
    """Standard output without a buffer, as with PYTHONUNBUFFERED: one write may take only a part."""

    def __init__(self, raw: RawIOBase) -> None:
        self._raw, self.flush = raw, raw.flush

    def write(self, data: bytes) -> int:
        left = memoryview(data)
        while left:
            left = left[self._raw.write(left) or 0 :]
        return len(data)


@contextmanager
def _opened(target: Target) -> Iterator[BinaryIO]:
    if not isinstance(target, (str, PathLike)):
        yield target
        return
    path = fspath(target)
    if path == "-":
        out = sys.stdout.buffer
        yield cast("BinaryIO", _WholeWrites(out)) if isinstance(out, RawIOBase) else out
        sys.stdout.flush()
        return
    with open(path, "wb") as file:
        if not path.endswith(".gz"):
            yield file
            return
        # Neither name nor time of day goes into the header: the same world gives the same bytes.
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
            yield packed  # type: ignore[misc]
