"""Cost: what the cost policy's decisions cost in the end, beside the best thresholds that hindsight finds.

The fraud flow runs once, cold, for its scores. Policies are then applied to the payments of the last weeks,
and each decision is charged with what it cost given the truth: what a fraud took that went through, a review,
the block of a legitimate payment. The thresholds beside it are those two numbers, of all, with the least cost
on these very weeks. Nobody could have known them; the cost policy knew nothing but its settings.

A cost policy is as good as its scores are calibrated. Two more columns show how much that is: the same policy
on scores that were mapped to the fraud rates of the three weeks before (isotonic regression on outcomes
reported until then), and, in hindsight, to those of the evaluated weeks themselves in four ranges of the
amount.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import numpy as np
from _conditions import conditions
from _protocol import DAY_S, Bools, Floats, Ints, Payments, read, run_flow

from headrace.config.policy import CostSettings
from headrace.operators.policy.cost import cheapest, expected_costs
from headrace.operators.simulator import presets, simulate, write

_PRESETS: Final = ("demo", "handbook-small")
_WEEK_S: Final = 7 * DAY_S
_WEEKS_BEFORE: Final = 3
_EDGES: Final = (0.0, 0.01, 0.05, 0.2, 0.5, 0.8, 1.0)
_ACTIONS: Final = ("approve", "review", "block")
_SETTINGS: Final = {
    "defaults": CostSettings(),
    "reviews are cheap, miss a fifth": CostSettings(review_cost=1.0, review_catch_share=0.8),
    "blocks are dear, frauds cost a fee": CostSettings(
        review_cost=15.0, fraud_loss_fixed=20.0, wrong_block_cost=40.0, wrong_block_share=0.5
    ),
}


class Evaluated(NamedTuple):
    """Payments of the evaluated weeks, n of them; everything is of shape (n,).

    Attributes
    ----------
    score
        As the flow gave it.
    recalibrated, hindsight
        Mapped to the fraud rates of the weeks before, and of the evaluated weeks by ranges of the amount.
    amount, fraud
        The truth among them.
    """

    score: Floats
    recalibrated: Floats
    hindsight: Floats
    amount: Floats
    fraud: Bools


class Thresholds(NamedTuple):
    """The thresholds with the least cost, and that cost."""

    review_at: float
    block_at: float
    cost: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the flow on each world or on the given file, and print what its policies cost."""
    options = _parser().parse_args(arguments)
    print(conditions(["numpy", "river", "scikit-learn"]))
    for name, payments, scores in _runs(options):
        evaluated = _evaluated(payments, scores, options.weeks)
        print(
            f"\n{name}: last {options.weeks} weeks, {evaluated.fraud.size:,} payments of"
            f" {evaluated.amount.mean():.2f} on average, {evaluated.fraud.sum():,} frauds of"
            f" {evaluated.amount[evaluated.fraud].mean():.2f}"
        )
        _print_costs(evaluated)
        _print_calibration(evaluated)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("events", type=Path, nargs="?", help="events in JSON lines; default: simulated")
    parser.add_argument("truth", type=Path, nargs="?", help="their truth; .gz or not")
    parser.add_argument("--preset", action="append", choices=presets(), help="default: demo, handbook-small")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--weeks", type=int, default=3, help="evaluated, the last ones; default: 3")
    parser.add_argument("--config", help="a configuration in place of the flow's own")
    return parser


def _runs(options: argparse.Namespace) -> Iterator[tuple[str, Payments, Floats]]:
    """Each file's name, payments, and their scores in the same order."""
    with TemporaryDirectory() as folder:
        if options.events and options.truth:
            yield options.events.name, *_scored(options.events, options.truth, options, folder)
            return
        for preset in options.preset or _PRESETS:
            events, truth = Path(folder, f"{preset}.jsonl"), Path(folder, f"{preset}.csv")
            write(simulate(preset, options.seed), events, truth)
            yield f"{preset}, seed {options.seed}", *_scored(events, truth, options, folder)


def _scored(events: Path, truth: Path, options: argparse.Namespace, folder: str) -> tuple[Payments, Floats]:
    payments = read(events, truth)
    config = ("--config", options.config) if options.config else ()
    run = run_flow(events, Path(folder, "decisions.jsonl"), config)
    Path(folder, "decisions.jsonl").unlink()
    return payments, np.array([run.scores[event] for event in payments.ids])


def _evaluated(payments: Payments, scores: Floats, weeks: int) -> Evaluated:
    start_s = (int(payments.day.max()) + 1) * DAY_S - weeks * _WEEK_S
    evaluated = payments.time_s >= start_s
    known = (
        ~evaluated & (payments.time_s >= start_s - _WEEKS_BEFORE * _WEEK_S) & (payments.reported_s < start_s)
    )
    score, amount, fraud = scores[evaluated], payments.amount[evaluated], payments.fraud[evaluated]
    recalibrated = _recalibrated(scores[known], payments.fraud[known], score)
    return Evaluated(score, recalibrated, _in_hindsight(score, amount, fraud), amount, fraud)


def _in_hindsight(score: Floats, amount: Floats, fraud: Bools) -> Floats:
    """Return the scores mapped to their own fraud rates, apart for each quarter of the frauds by amount."""
    mapped = np.empty_like(score)
    ranges = np.digitize(amount, np.quantile(amount[fraud], [0.25, 0.5, 0.75]))
    for each in np.unique(ranges):
        of = ranges == each
        mapped[of] = _recalibrated(score[of], fraud[of], score[of])
    return mapped


def _recalibrated(known: Floats, fraud: Bools, scores: Floats) -> Floats:
    """Return the scores mapped to the fraud rates that known scores had (isotonic regression)."""
    from sklearn.isotonic import IsotonicRegression

    regression = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    mapped: Floats = regression.fit(known, fraud).predict(scores)
    return mapped


# -- what decisions cost


def charges(cost: CostSettings, amount: Floats, fraud: Bools) -> Floats:
    """Return what approving, reviewing and blocking cost in the end, given the truth, shape (3, n)."""
    lost = np.where(fraud, cost.fraud_loss_share * amount + cost.fraud_loss_fixed, 0.0)
    reviewed = cost.review_cost + (1.0 - cost.review_catch_share) * lost
    blocked = np.where(fraud, 0.0, cost.wrong_block_share * amount + cost.wrong_block_cost)
    return np.stack([lost, reviewed, blocked])


def best_thresholds(charged: Floats, scores: Floats) -> Thresholds:
    """Return the pair of thresholds with the least cost, of all pairs there are.

    Sorted by score, the payments fall into three stretches; sums from the start make each pair's cost a sum
    of three differences, so that for each end of the middle stretch the best start is a running minimum.
    """
    order = np.argsort(scores, kind="stable")
    sums = np.concatenate([np.zeros((3, 1)), np.cumsum(charged[:, order], axis=1)], axis=1)
    ranked = scores[order]
    # A threshold can stand before the first payment, between two different scores, or behind the last one.
    cuts = np.concatenate([[0], np.flatnonzero(np.diff(ranked)) + 1, [ranked.size]])
    approve, review, block = sums[:, cuts]
    before = approve - review
    cheapest_start = np.minimum.accumulate(before)
    total = cheapest_start + review + (block[-1] - block)
    end = int(np.argmin(total))
    start = int(np.argmin(before[: end + 1]))
    at = [float(ranked[cut]) if cut < ranked.size else 1.0 for cut in (cuts[start], cuts[end])]
    return Thresholds(at[0], at[1], float(total[end]))


def decided(cost: CostSettings, scores: Floats, amount: Floats) -> Ints:
    """Return the cost policy's actions, as rows of `charges`, shape (n,)."""
    costs_of = expected_costs(cost)
    pairs = zip(scores.tolist(), amount.tolist(), strict=True)
    return np.array([_ACTIONS.index(cheapest(costs_of(*pair))) for pair in pairs], dtype=np.int64)


def _print_costs(evaluated: Evaluated) -> None:
    print(
        f"{'cost settings':<35} {'approve all':>11} {'best pair':>9} {'(review, block)':>16}"
        f" {'by cost':>15} {'recalibrated':>15} {'in hindsight':>15}  reviews, blocks by cost"
    )
    for name, cost in _SETTINGS.items():
        charged = charges(cost, evaluated.amount, evaluated.fraud)
        best = best_thresholds(charged, evaluated.score)
        pair = f"({best.review_at:.3f}, {best.block_at:.3f})"
        calibrations = (evaluated.score, evaluated.recalibrated, evaluated.hindsight)
        actions = [decided(cost, scores, evaluated.amount) for scores in calibrations]
        spent = "".join(_spent(_total(charged, each), best.cost) for each in actions)
        _, reviews, blocks = np.bincount(actions[0], minlength=3)
        start = f"{name:<35} {charged[0].sum():>11,.0f} {best.cost:>9,.0f} {pair:>16}"
        print(f"{start}{spent}  {reviews:,}, {blocks:,}", flush=True)


def _spent(cost: float, best: float) -> str:
    return f" {cost:>8,.0f} ({cost / best:>.2f})"


def _total(charged: Floats, actions: Ints) -> float:
    return float(charged[actions, np.arange(actions.size)].sum())


def _print_calibration(evaluated: Evaluated) -> None:
    print("calibration: scores, payments, frauds expected by score, by recalibrated score, and found")
    places = np.clip(np.digitize(evaluated.score, _EDGES) - 1, 0, len(_EDGES) - 2)
    for place in range(len(_EDGES) - 1):
        of = places == place
        expected, recalibrated = evaluated.score[of].sum(), evaluated.recalibrated[of].sum()
        print(
            f"  {_EDGES[place]:.2f} to {_EDGES[place + 1]:.2f} {of.sum():>8,}"
            f" {expected:>9.1f} {recalibrated:>9.1f} {evaluated.fraud[of].sum():>7,}"
        )


if __name__ == "__main__":
    main()
