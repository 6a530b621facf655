"""Models: the quality and the cost of each one that can be configured, on one world of the simulator.

Each decides on the same events with the shipped configuration and its own default parameters, starts cold,
and learns from the outcomes as they come. Evaluated are the scores of the last week.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import orjson
from _conditions import conditions, fraud_settings, held_to_one_core
from _protocol import Quality, evaluate, read, weeks

from headrace.journal.records import Kind
from headrace.kinds.fraud.machine import FraudShard
from headrace.operators.events.decode import decode
from headrace.operators.models import MODELS
from headrace.operators.simulator import presets, simulate, write

_HEADER = f"{'model':<30} {'AP':>6} {'AUC':>6} {'CP@100':>6} {'CPU us/event':>13}"


class Measured(NamedTuple):
    """What one model showed: scores by event id, and CPU microseconds an event."""

    scores: dict[str, float]
    us: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Let each model decide, and print a line each."""
    options = _parser().parse_args(arguments)
    held_to_one_core()
    print(conditions(["numpy", "river"]))
    with TemporaryDirectory() as folder:
        path, truth = Path(folder, "events.jsonl"), Path(folder, "truth.csv")
        write(simulate(options.preset, options.seed, days=options.days), path, truth)
        payments, lines = read(path, truth), path.read_bytes().splitlines()
    week = weeks(payments, 1)[0]
    tested = [payments.ids[row] for row in np.flatnonzero(week.test)]
    print(
        f"{options.preset}, seed {options.seed}, {options.days} days: {len(lines):,} events;"
        f" {len(tested):,} payments of the last 7 days evaluated"
    )
    print("CPU us/event: features, score, reasons, policy and learning; no reading, decoding or writing")
    print(_HEADER, flush=True)
    for model in options.model or MODELS:
        found = _measure(model, lines)
        scores = np.array([found.scores[event_id] for event_id in tested])
        print(_line(model, evaluate(payments, week.test, scores), found.us), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=presets(), default="handbook-small")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=int, default=35, help="at least 21; default: 35")
    parser.add_argument("--model", action="append", choices=list(MODELS), help="default: all")
    return parser


def _measure(model: str, lines: Sequence[bytes]) -> Measured:
    shard = FraudShard(fraud_settings(None, [f"model.name={model}", "model.parameters={}"]))
    events, decided = decode(lines), []
    started = time.process_time()
    for line, event in zip(lines, events, strict=True):
        output = shard.apply(event, line, (0, 0, 1))
        if output[0] == Kind.DECIDED:
            decided.append(output[1])
        shard.evaluated.clear()
    us = (time.process_time() - started) / len(lines) * 1e6
    decisions: list[dict[str, Any]] = [orjson.loads(line) for line in decided]
    return Measured({decision["event_id"]: decision["score"] for decision in decisions}, us)


def _line(model: str, found: Quality, us: float) -> str:
    quality = f"{found.average_precision:>6.3f} {found.auc:>6.3f} {found.card_precision:>6.3f}"
    return f"{model:<30} {quality} {us:>13.1f}"


if __name__ == "__main__":
    main()
