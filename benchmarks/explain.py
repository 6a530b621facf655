"""Explain: how long it takes to find a decision among a million and tell all that is known of it.

A shard decides made-up payments with the shipped configuration and journals them; every tenth has an outcome.
Then decisions are looked up that were drawn at random: first without any index, then with it. Each of these
lookups is what a process does that has imported everything: open the ledger, find, read, decode. Then one
process keeps the ledger open, and last comes the whole command.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import msgspec
from _conditions import conditions, fraud_settings

import headrace.flows.kinds  # noqa: F401  # makes them known
from headrace.config.fraud_flow import FraudSettings
from headrace.journal.batches import Batch
from headrace.ledger.ledger import Ledger
from headrace.operators.events.contract import Event, Outcome, Payment
from headrace.shard.durable import DurableShard

_DECISIONS: Final = 1_000_000
_LOOKUPS: Final = 1000
_COMMANDS: Final = 11
_OUTCOME_EVERY: Final = 10
_OUTCOME_AFTER: Final = 5000
_BATCH: Final = 512
_SEED: Final = 1
_START_MS: Final = 1_600_000_000_000
_CUSTOMERS, _MERCHANTS = 20_000, 2_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Build, look up, print."""
    options = _parser().parse_args(arguments)
    decisions = round(_DECISIONS * options.scale)
    print(conditions())
    state = options.state or Path(mkdtemp(prefix="headrace-explain-"))
    try:
        if not (state / "shard-00").exists():
            build(state, decisions, fraud_settings())
        _measure(state, decisions)
    finally:
        if options.state is None:
            shutil.rmtree(state)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of a million decisions; default: 1")
    parser.add_argument("--state", type=Path, help="keep the state here, or use the one that is there")
    return parser


# -- the state


def _event_id(number: int) -> str:
    return f"p-{number * 2_654_435_761 % (1 << 48):012x}"


def _payment(number: int) -> Payment:
    return Payment(
        event_id=_event_id(number),
        event_time=_START_MS + number * 500,
        customer_id=f"c-{number * 7919 % _CUSTOMERS:05}",
        merchant_id=f"m-{number * 104_729 % _MERCHANTS:04}",
        amount=float(number * 7919 % 40_000) / 100,
        currency="EUR",
    )


def _events(decisions: int) -> Iterator[Event]:
    for number in range(decisions):
        yield _payment(number)
        about = number - _OUTCOME_AFTER
        if about >= 0 and about % _OUTCOME_EVERY == 0:
            yield Outcome(
                event_id=f"o-{about:07}",
                event_time=_START_MS + number * 500,
                about=_event_id(about),
                label=int(about % 100 == 0),  # type: ignore[arg-type]
                customer_id=_payment(about).customer_id,
            )


def _batch(events: Sequence[Event], ordinal: int) -> Batch:
    count = len(events)
    return Batch(
        accepted_ms=time.time_ns() // 1_000_000,
        accepted_ns=time.perf_counter_ns(),
        ordinal=ordinal,
        payloads=[msgspec.json.encode(event) for event in events],
        sources=[0] * count,
        offsets=[0] * count,
        lines=[ordinal + place + 1 for place in range(count)],
        marks=(),
    )


def build(state: Path, decisions: int, settings: FraudSettings) -> None:
    """Make a state with so many decisions, through a shard and its journal."""
    began = time.perf_counter()
    shard = DurableShard(state / "shard-00", settings)
    shard.register(0, "payments.jsonl")
    events = _events(decisions)
    while part := list(islice(events, _BATCH)):
        shard.process(_batch(part, shard.position), part, None)
        shard.evaluated()
    shard.close()
    segments = sorted((state / "shard-00").glob("journal-*.seg"))
    print(
        f"{decisions:,} decisions, {shard.position - decisions:,} outcomes in batches of {_BATCH}:"
        f" {sum(path.stat().st_size for path in segments) / 1e6:,.0f} MB in {len(segments)} segments,"
        f" made in {time.perf_counter() - began:.0f} s",
        flush=True,
    )


# -- lookups


def _ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def _spread(took_ms: Sequence[float]) -> str:
    ordered = sorted(took_ms)
    p50, p99 = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, slowest {ordered[-1]:.1f} ms"


def _look_up(state: Path, decision_id: str) -> None:
    found = Ledger(state).explain(decision_id)
    if found.decision_id != decision_id or found.decision is None:
        raise SystemExit(f"asked for {decision_id}, got {found}")


def _measure(state: Path, decisions: int) -> None:
    for path in (state / "shard-00").glob("index-*"):
        path.unlink()
    drawn = random.Random(_SEED)
    wanted = [f"fraud:{_event_id(drawn.randrange(decisions))}" for _ in range(_LOOKUPS)]
    print(f"the first lookup, which makes the index: {_ms(lambda: _look_up(state, wanted[0])) / 1000:.1f} s")
    indexes = list((state / "shard-00").glob("index-*.idx"))
    size = sum(path.stat().st_size for path in indexes)
    print(f"index: {size / 1e6:.1f} MB in {len(indexes)} files, {size / decisions:.1f} bytes a decision")
    apart = [_ms(lambda one=one: _look_up(state, one)) for one in wanted]  # type: ignore[misc]
    print(f"a lookup that opens the ledger ({len(apart):,}): {_spread(apart)}")
    ledger = Ledger(state)
    kept = [_ms(lambda one=one: ledger.explain(one)) for one in wanted]  # type: ignore[misc]
    print(f"a lookup in an open ledger ({len(kept):,}): {_spread(kept)}", flush=True)
    _measure_command(state, wanted[:_COMMANDS])


def _measure_command(state: Path, wanted: Sequence[str]) -> None:
    """Measure the whole command beside one that does nothing, so that imports can be told apart."""
    python = [sys.executable, "-m", "headrace"]

    def run(*arguments: str) -> float:
        command = [*python, *arguments]
        return _ms(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))

    whole = [run("explain", one, "--state", str(state), "--json") for one in wanted]
    print(f"the whole command ({len(whole)}): {_spread(whole)}")
    print(f"headrace --version ({len(whole)}): {_spread([run('--version') for _ in wanted])}")


if __name__ == "__main__":
    main()
