"""Erasure: how long a search takes, how long the flow is held up, and how long it is until all is gone.

A shard decides payments of many customers, of which every one waits for its outcome. Then the journal is
searched for one customer, and the command that was found is applied by the shard, which begins a checkpoint
and erases in its child.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from _conditions import conditions, fraud_settings

import headrace.flows.kinds  # noqa: F401  # makes them known
from headrace.config.fraud_flow import FraudSettings
from headrace.control.reader import batch_of
from headrace.erasure.search import Found, find_customer
from headrace.journal.batches import Batch, Mark
from headrace.journal.records import CONTROL_SOURCE
from headrace.operators.events.declared import BUILT_IN
from headrace.operators.events.decode import decode
from headrace.shard.commands import Erase, decode_flagged, encode_command
from headrace.shard.durable import DurableShard

_PAYMENTS: Final = 200_000
_PAYMENTS_EACH: Final = 20
_BATCH: Final = 512
_START_MS: Final = 1_600_000_000_000
_EVERY_MS: Final = 1_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--payments", type=int, default=_PAYMENTS, help=f"how many; default: {_PAYMENTS:,}")
    payments = parser.parse_args(arguments).payments
    print(conditions())
    with TemporaryDirectory() as folder:
        directory = Path(folder) / "shard-00"
        shard = _filled(directory, fraud_settings(None, ("journal.checkpoint_seconds=86400",)), payments)
        held = sum(path.stat().st_size for path in directory.glob("*.seg"))
        print(f"{payments:,} payments of {_customers(payments):,} customers, {held / 1e6:,.0f} MB of journal")
        found = _searched(directory, payments)
        _erased(shard, directory, found)


def _customers(payments: int) -> int:
    return max(1, payments // _PAYMENTS_EACH)


def _lines(payments: int) -> Iterator[bytes]:
    customers = _customers(payments)
    for number in range(payments):
        event = {
            "type": "payment",
            "event_id": f"p-{number}",
            "event_time": _START_MS + number * _EVERY_MS,
            "customer_id": f"c-{number * 7919 % customers}",
            "merchant_id": f"m-{number % 997}",
            "amount": 5.0 + number % 90,
            "currency": "EUR",
        }
        yield json.dumps(event).encode()


def _filled(directory: Path, settings: FraudSettings, payments: int) -> DurableShard:
    shard, lines = DurableShard(directory, settings), list(_lines(payments))
    for at in range(0, payments, _BATCH):
        some = lines[at : at + _BATCH]
        batch = Batch(
            accepted_ms=_START_MS,
            accepted_ns=time.perf_counter_ns(),
            ordinal=at,
            payloads=some,
            sources=[0] * len(some),
            offsets=[0] * len(some),
            lines=list(range(at + 1, at + 1 + len(some))),
            marks=(),
        )
        shard.process(batch, decode(some), None)
    return shard


def _searched(directory: Path, payments: int) -> Found:
    began, cpu = time.perf_counter(), time.process_time()
    found = find_customer([directory], "c-1")
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(f"search: {took:.2f} s, {cpu:.2f} s of CPU, {cpu / payments * 1e6:.1f} us a record")
    print(f"found: {found.inputs} inputs")
    return found


def _erased(shard: DurableShard, directory: Path, found: Found) -> None:
    command: Erase = found.command()
    batch = batch_of(
        [command],
        [encode_command(command)],
        ordinal=shard.position,
        number=1,
        marks=(Mark(CONTROL_SOURCE, 1, 1, 0),),
        sources={},
    )
    began = time.perf_counter()
    shard.process(batch, decode_flagged(batch.payloads, batch.flags, BUILT_IN, 65_536), None)
    held_up = time.perf_counter() - began
    while any(directory.glob("erasing-*.json")):
        time.sleep(0.005)
    gone = time.perf_counter() - began
    shard.close(with_checkpoint=False)
    stall = shard.checkpoints[-1].stall_seconds
    print(f"held up: {held_up * 1e3:.0f} ms, {stall * 1e3:.0f} ms of it the fork")
    print(f"until all is gone: {gone:.2f} s, with the checkpoint")


if __name__ == "__main__":
    main()
