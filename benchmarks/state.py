"""State: what a million entities and a million pending outcomes cost, in memory, in stalls and at a restart.

Each part alone is filled in a process of its own; what that process grew by is divided by the entries. Then a
shard decides a million payments and takes a checkpoint while it goes on deciding. Last, a new process opens
the state, with the newest inputs still to be applied from the journal.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
from _conditions import conditions, fraud_settings

import headrace.flows.kinds  # noqa: F401  # makes them known
from headrace.config.fraud_flow import FraudSettings
from headrace.journal.batches import Batch
from headrace.kinds.fraud.machine import FraudShard
from headrace.operators.events.contract import Event, Outcome, Payment
from headrace.operators.features import FeatureSet
from headrace.shard.deduplication import IdMemory
from headrace.shard.durable import DurableShard

_ENTRIES: Final = 1_000_000
_CUSTOMERS_OF_TEN: Final = 8
_TAIL: Final = 100_000
_BATCH: Final = 512
_START_MS: Final = 1_600_000_000_000
_SPAN_MS: Final = 8 * 86_400_000  # of twice the entries; shorter than any age limit


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; every part in a process of its own."""
    options = _parser().parse_args(arguments)
    entries = round(_ENTRIES * options.scale)
    if options.part:
        print(json.dumps(_PARTS[options.part](entries, options.tail, options.state)))
        return
    print(conditions())
    print(f"{entries:,} entities, eight customers to two merchants; {entries:,} pending outcomes and ids")
    for part in ("customers", "merchants", "pending", "ids"):
        _print_entry(part, _apart(part, options))
    with TemporaryDirectory() as folder:
        _print_built(_apart("build", options, folder))
        _print_opened(_apart("open", options, folder))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of a million entries; default: 1")
    parser.add_argument(
        "--tail", type=int, default=_TAIL, help="inputs behind the checkpoint when the process ends"
    )
    parser.add_argument("--part", choices=_PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--state", type=Path, help=argparse.SUPPRESS)
    return parser


def _apart(part: str, options: argparse.Namespace, state: str = "") -> dict[str, Any]:
    command = [sys.executable, __file__, "--part", part]
    command += ["--scale", str(options.scale), "--tail", str(options.tail), "--state", state]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _print_entry(part: str, found: dict[str, Any]) -> None:
    print(
        f"{part + ':':<11} {found['bytes']:,.0f} bytes each of {found['entries']:,},"
        f" {found['counted']:,.0f} of them in columns, rows or the table of ids",
        flush=True,
    )


def _print_built(found: dict[str, Any]) -> None:
    print(
        f"shard: {found['entities']:,} entities, {found['pending']:,} pending,"
        f" {found['resident'] / 1e6:,.0f} MB resident"
    )
    print(
        f"checkpoint: {found['bytes'] / 1e6:,.0f} MB in {found['seconds']:.1f} s; longest stall"
        f" {found['pause_ms']:.1f} ms, of which the fork {found['fork_ms']:.1f} ms"
    )
    print(
        f"a batch of {_BATCH}, before: median {found['median_ms']:.1f} ms, slowest {found['before_ms']:.1f};"
        f" meanwhile: {found['during_median_ms']:.1f} and {found['during_ms']:.1f} ms"
        f" ({found['during']:,} batches)",
        flush=True,
    )


def _print_opened(found: dict[str, Any]) -> None:
    print(
        f"back in service in {found['seconds']:.1f} s, with {found['replayed']:,} inputs applied again from"
        f" the journal; {found['entities']:,} entities, {found['pending']:,} pending"
    )


# -- inputs


def _settings(entries: int) -> FraudSettings:
    """Return the default configuration with room for every entry.

    Checkpoints only when they are asked for.
    """
    room = 2 * entries + 10 * _TAIL
    return fraud_settings(
        None,
        [
            f"entities.customer.entities_max={room}",
            f"entities.merchant.entities_max={room}",
            f"outcomes.pending_max={room}",
            f"ids.memory_max={room}",
            "journal.checkpoint_seconds=3600.0",
            f"journal.checkpoint_inputs_max={room}",
            "journal.segment_bytes_max=4294967296",
        ],
    )


def _payment(number: int, entries: int) -> Payment:
    """Payment `number`; the customers, and the merchants, come in turn."""
    customers = entries * _CUSTOMERS_OF_TEN // 10
    return Payment(
        event_id=f"p-{number * 2_654_435_761 % (1 << 48):012x}",
        event_time=_START_MS + _SPAN_MS * number // (2 * entries),
        customer_id=f"c-{number % customers:08x}",
        merchant_id=f"m-{number % max(1, entries - customers):08x}",
        amount=float(number * 7919 % 20_000) / 100,
        currency="EUR",
    )


def _outcome(number: int, entries: int) -> Outcome:
    payment = _payment(number, entries)
    return Outcome(
        event_id=f"o-{payment.event_id[2:]}",
        event_time=_payment(entries + number, entries).event_time,
        about=payment.event_id,
        label=int(number % 100 == 0),  # type: ignore[arg-type]
    )


def _batch(events: Sequence[Event], ordinal: int) -> Batch:
    lines = [msgspec.json.encode(event) for event in events]
    count = len(lines)
    return Batch(
        accepted_ms=0,
        accepted_ns=0,
        ordinal=ordinal,
        payloads=lines,
        sources=[0] * count,
        offsets=[0] * count,
        lines=[0] * count,
        marks=(),
    )


# -- one part, in its own process


def _resident() -> int:
    with open("/proc/self/statm") as fields:
        return int(fields.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _grown(fill: Callable[[], int]) -> dict[str, Any]:
    """How much the process grows for each entry."""
    gc.collect()
    before = _resident()
    entries = fill()
    gc.collect()
    return {"entries": entries, "bytes": (_resident() - before) / entries}


def _features(settings: FraudSettings) -> FeatureSet:
    return FeatureSet(settings.entities, settings.features, settings.bins, settings.crosses)


def _entities(entity: str, entries: int) -> dict[str, Any]:
    """Rows of one kind of entity; every payment has the same entity of the other kind."""
    features = _features(_settings(entries))
    table, many = features.tables[entity], entity == "customer"
    values = (1.0,) * len(features.names)
    customers = entries * _CUSTOMERS_OF_TEN // 10
    wanted = customers if many else entries - customers

    def fill() -> int:
        for number in range(wanted):
            payment = Payment(
                event_id="p",
                event_time=_START_MS + number,
                customer_id=f"c-{number:08x}" if many else "c",
                merchant_id="m" if many else f"m-{number:08x}",
                amount=1.0,
                currency="EUR",
            )
            features.update(payment, payment.event_time, values, number, features.rows(payment))
        return wanted

    found = _grown(fill)
    return found | {"counted": float(sum(column.row_bytes for column in table.columns))}


def _pending(entries: int) -> dict[str, Any]:
    shard = FraudShard(_settings(entries))
    pending, first = shard.pending, _payment(0, entries)
    values, slots, _, _ = shard.features.read(first, first.event_time)
    read = slots if shard.model.takes == "slots" else values
    rows = tuple(range(len(shard.features.tables)))

    def fill() -> int:
        for number in range(entries):
            pending.add(f"p-{number:012x}", _START_MS + number, number, rows, 1, read, 0.5, False)
        return entries

    found = _grown(fill)
    saved = pending.save()
    counted = sum(len(blob) for name, blob in saved.items() if name not in {"head", "ids"})
    return found | {"counted": counted / entries}


def _ids(entries: int) -> dict[str, Any]:
    memory = IdMemory(entries, 10 * 86_400_000)

    def fill() -> int:
        for number in range(entries):
            memory.add(f"p-{number:012x}", number * 2_654_435_761 & 0xFFFFFFFF, _START_MS + number)
        return entries

    found = _grown(fill)
    return found | {"counted": sys.getsizeof(memory.ids) / entries}


class _Drive:
    """Hands a shard batch after batch, and keeps how long each took it, in milliseconds."""

    def __init__(self, shard: DurableShard) -> None:
        self.shard = shard
        self.took_ms: list[float] = []

    def batch(self, events: Sequence[Event]) -> None:
        """Apply and journal a batch."""
        batch = _batch(events, self.shard.position)
        began = time.perf_counter()
        self.shard.process(batch, list(events), None)
        self.took_ms.append((time.perf_counter() - began) * 1000)
        self.shard.evaluated()


def _cut(events: Iterator[Event]) -> Iterator[list[Event]]:
    while part := list(islice(events, _BATCH)):
        yield part


def _mixed(entries: int) -> Iterator[Event]:
    """Further payments of known entities, and outcomes of the first ones, in turn."""
    for number in range(entries):
        yield _payment(entries + number, entries)
        yield _outcome(number, entries)


def _build(entries: int, tail: int, state: Path) -> dict[str, Any]:
    """Fill a shard, take a checkpoint while it goes on, and leave without closing it, as if killed."""
    shard = DurableShard(state, _settings(entries))
    shard.register(0, "-")
    filling, writing, after = _Drive(shard), _Drive(shard), _Drive(shard)
    for part in _cut(_payment(number, entries) for number in range(entries)):
        filling.batch(part)
    held = _held(shard)
    resident, began = _resident(), time.perf_counter()
    shard.checkpoint()
    pause_ms, position = (time.perf_counter() - began) * 1000, shard.position
    for part in _cut(_mixed(entries)):
        (after if shard.checkpoints else writing).batch(part)
        if shard.checkpoints and shard.position - position >= tail:
            break
    finished = shard.checkpoints[0]
    return held | {
        "resident": resident,
        "bytes": finished.path.stat().st_size,
        "seconds": finished.seconds,
        "pause_ms": pause_ms,
        "fork_ms": finished.stall_seconds * 1000,
        "before_ms": max(filling.took_ms),
        "median_ms": median(filling.took_ms),
        "during_ms": max(writing.took_ms),
        "during_median_ms": median(writing.took_ms),
        "during": len(writing.took_ms),
    }


def _open(entries: int, _tail: int, state: Path) -> dict[str, Any]:
    """Open the state; the time until it takes the next input, without Python's own start."""
    settings = _settings(entries)
    began = time.perf_counter()
    shard = DurableShard(state, settings)
    return {
        "seconds": time.perf_counter() - began,
        "replayed": shard.replayed,
        **_held(shard),
    }


def _held(shard: DurableShard) -> dict[str, int]:
    held = shard.state.held()
    return {"entities": held.entities, "pending": held.pending}


_PARTS: Final[dict[str, Callable[[int, int, Path], dict[str, Any]]]] = {
    "customers": lambda entries, _tail, _state: _entities("customer", entries),
    "merchants": lambda entries, _tail, _state: _entities("merchant", entries),
    "pending": lambda entries, _tail, _state: _pending(entries),
    "ids": lambda entries, _tail, _state: _ids(entries),
    "build": _build,
    "open": _open,
}


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # a million entries needn't be taken down one by one
