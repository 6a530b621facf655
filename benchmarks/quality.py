"""Quality: the fraud flow beside a batch random forest, on worlds of the simulator.

Both are evaluated on the same payments of the last week. The forest is trained on the 15 features of the
Fraud Detection Handbook and the week of payments whose outcomes have just come; the flow starts cold and
learns from the same file's outcomes as they come.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from _conditions import conditions
from _forest import features, forest_scores
from _protocol import Payments, Quality, Run, evaluate, evaluate_run, read, run_flow, weeks

from headrace.operators.simulator import presets, simulate, write

_SEEDS = (1, 2, 3, 4, 5)
_PRESETS = ("handbook", "shop")
_LEAST = 0.03
_HEADER = (
    f"{'preset':<14} {'seed':>4} {'payments':>8} {'frauds':>7}  {'forest: AP':>10} {'AUC':>5} {'CP@100':>6}"
    f"  {'flow: AP':>8} {'AUC':>5} {'CP@100':>6}  {'AP gain':>7} {'flow s':>6}"
)


class Row(NamedTuple):
    """What one world showed."""

    payments: Payments
    forest: Quality
    flow: Quality | None
    flow_seconds: float
    write_rate: float

    @property
    def gain(self) -> float:
        """Average precision of the flow minus the forest's; 0 when the flow was not run."""
        return self.flow.average_precision - self.forest.average_precision if self.flow else 0.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it for each preset and seed, and print a line each."""
    options = _parser().parse_args(arguments)
    print(conditions(["numpy", "river", "scikit-learn"]))
    print("forest: 100 trees of depth 20; last 7 days evaluated, AP = average precision, CP = card precision")
    print(_HEADER, flush=True)
    rows = []
    for preset in options.preset or _PRESETS:
        for seed in options.seed or _SEEDS:
            rows.append(_measure(preset, seed, options))
            print(_line(preset, seed, rows[-1]), flush=True)
    print(f"worlds simulated and written at {min(row.write_rate for row in rows):,.0f} events/s or more")
    if not options.forest_only:
        gain = min(row.gain for row in rows)
        print(f"least gain in average precision {gain:+.3f}, wanted {_LEAST:+.3f} on each")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", action="append", choices=presets(), help="default: handbook and shop")
    parser.add_argument("--seed", action="append", type=int, help="default: 1 to 5")
    parser.add_argument("--days", type=int, help="default: the preset's; at least 21")
    parser.add_argument("--config", help="a configuration in place of the flow's own")
    parser.add_argument("--forest-only", action="store_true", help="leave the flow out")
    return parser


def _measure(preset: str, seed: int, options: argparse.Namespace) -> Row:
    with TemporaryDirectory() as folder:
        events, truth = Path(folder, "events.jsonl"), Path(folder, "truth.csv")
        started = time.perf_counter()
        written = write(simulate(preset, seed, days=options.days), events, truth)
        rate = written / (time.perf_counter() - started)
        payments = read(events, truth)
        week = weeks(payments, 1)[0]
        forest = evaluate(payments, week.test, forest_scores(payments, features(payments), week))
        if options.forest_only:
            return Row(payments, forest, None, 0.0, rate)
        config = ("--config", options.config) if options.config else ()
        run: Run = run_flow(events, Path(folder, "decisions.jsonl"), config)
    return Row(payments, forest, evaluate_run(payments, [week], run), run.seconds, rate)


def _line(preset: str, seed: int, row: Row) -> str:
    fraud = row.payments.fraud
    line = f"{preset:<14} {seed:>4} {fraud.size:>8} {fraud.mean():>7.3%}  {_quality(row.forest, 10)}"
    if row.flow is None:
        return line
    return f"{line}  {_quality(row.flow, 8)}  {row.gain:>+7.3f} {row.flow_seconds:>6.1f}"


def _quality(found: Quality, width: int) -> str:
    return f"{found.average_precision:>{width}.3f} {found.auc:>5.3f} {found.card_precision:>6.3f}"


if __name__ == "__main__":
    main()
