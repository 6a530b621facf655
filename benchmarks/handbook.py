"""The published protocol on a given file of payments and outcomes: the fraud flow's quality, cold start.

The paths are arguments, as the Fraud Detection Handbook's own data is no part of this repository.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from _conditions import conditions
from _forest import features, forest_scores
from _protocol import Payments, Quality, Week, evaluate, evaluate_run, mean, read, run_flow, weeks


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the flow on the file, and print what it reached."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.truth is None:
        # `make bench` runs every benchmark without arguments, and this one has nothing to run on.
        print("left out: it needs the paths of a file of events and of its truth")
        return
    print(conditions(["numpy", "river", "scikit-learn"]))
    payments = read(options.events, options.truth)
    rounds = weeks(payments, options.weeks)
    tested = sum(int(week.test.sum()) for week in rounds)
    print(
        f"{options.events.name}: {len(payments.ids):,} payments, {tested:,} evaluated,"
        f" test weeks: {len(rounds)}"
    )
    if options.forest:
        _print("random forest, batch", _forest(payments, rounds))
    with TemporaryDirectory() as folder:
        config = ("--config", options.config) if options.config else ()
        run = run_flow(options.events, Path(folder, "decisions.jsonl"), config)
    _print("fraud flow", evaluate_run(payments, rounds, run))
    print(f"the flow took {run.seconds:.1f} s, start of the process included")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("events", type=Path, nargs="?", help="events in JSON lines, .gz or not")
    parser.add_argument(
        "truth", type=Path, nargs="?", help="event_id,event_time,customer_id,fraud; .gz or not"
    )
    parser.add_argument("--weeks", type=int, default=1, help="mean over so many test weeks, the last ones")
    parser.add_argument("--forest", action="store_true", help="a batch random forest beside it")
    parser.add_argument("--config", help="a configuration in place of the flow's own")
    return parser


def _forest(payments: Payments, rounds: Sequence[Week]) -> Quality:
    table = features(payments)
    return mean([evaluate(payments, week.test, forest_scores(payments, table, week)) for week in rounds])


def _print(name: str, found: Quality) -> None:
    print(
        f"{name:<22} average precision {found.average_precision:.3f}, AUC {found.auc:.3f}, "
        f"card precision@100 {found.card_precision:.3f}"
    )


if __name__ == "__main__":
    main()
