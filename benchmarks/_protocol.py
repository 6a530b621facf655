"""How fraud scores are evaluated: by the published protocol of the Fraud Detection Handbook.

Seven days to train on, seven in which their outcomes come, seven to test on. Cards that are known as
defrauded by then are left out of the test, as there is nothing left to decide about them.

References
----------
Le Borgne, Siblini, Lebichot, Bontempi: Reproducible Machine Learning for Credit Card Fraud Detection,
Practical Handbook, 2022, chapters 4 (performance metrics) and 5 (prequential validation).
"""

from __future__ import annotations

import csv
import gzip
import io
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

__all__ = [
    "DAY_S",
    "Payments",
    "Quality",
    "Run",
    "Week",
    "evaluate",
    "evaluate_run",
    "mean",
    "read",
    "read_scores",
    "run_flow",
    "weeks",
]

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]

DAY_S: Final = 86_400
_WEEK_DAYS: Final = 7
_CARDS_A_DAY: Final = 100
_NEVER: Final = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Payments:
    """The payments of a file, in its order, with their truth and when it was reported.

    Attributes
    ----------
    ids
        Their event ids.
    time_s
        Seconds since the epoch, UTC, shape (n,).
    customer, merchant
        Numbers in the order of their first payment, shape (n,).
    amount
        Shape (n,).
    fraud
        The truth, shape (n,).
    reported_s
        When the outcome came, the largest integer when it didn't, shape (n,).
    """

    ids: list[str]
    time_s: Ints
    customer: Ints
    merchant: Ints
    amount: Floats
    fraud: Bools
    reported_s: Ints

    @property
    def day(self) -> Ints:
        """Days since the epoch, UTC, shape (n,)."""
        return self.time_s // DAY_S


class Week(NamedTuple):
    """One round of the protocol.

    Attributes
    ----------
    train
        Which payments are trained on, shape (n,): those of the training week whose outcome came in time.
    test
        Which payments are evaluated, shape (n,).
    """

    train: Bools
    test: Bools


class Quality(NamedTuple):
    """What is measured, each 0 to 1: average precision, area under the ROC curve, card precision@100."""

    average_precision: float
    auc: float
    card_precision: float


class Run(NamedTuple):
    """A run of the fraud flow: the score of each event id, and the seconds it took."""

    scores: dict[str, float]
    seconds: float


def read(events: Path, truth: Path) -> Payments:
    """Read a file of events and its truth."""
    paid, reported = [], {}
    with _opened(events) as lines:
        for event in map(orjson.loads, lines):
            if event["type"] == "payment":
                paid.append(event)
            elif event["type"] == "outcome":
                reported[event["about"]] = event["event_time"]
    frauds = _frauds(truth)
    return Payments(
        ids=[event["event_id"] for event in paid],
        time_s=_seconds(event["event_time"] for event in paid),
        customer=_numbers(event["customer_id"] for event in paid),
        merchant=_numbers(event["merchant_id"] for event in paid),
        amount=np.array([event["amount"] for event in paid], dtype=np.float64),
        fraud=np.array([frauds[event["event_id"]] for event in paid], dtype=np.bool_),
        reported_s=_seconds(reported.get(event["event_id"]) for event in paid),
    )


def weeks(payments: Payments, count: int) -> list[Week]:
    """Return the last `count` rounds that the payments hold, earliest first, a week apart."""
    first, end = int(payments.day.min()), int(payments.day.max()) + 1
    starts = [end - _WEEK_DAYS * back for back in range(count, 0, -1)]
    found = [_week(payments, start) for start in starts if start - 2 * _WEEK_DAYS >= first]
    if not found:
        raise SystemExit(f"the protocol needs {3 * _WEEK_DAYS} days, the payments cover {end - first}")
    return found


def evaluate(payments: Payments, test: Bools, scores: Floats) -> Quality:
    """Evaluate the scores of a test week's payments.

    Parameters
    ----------
    payments
        All payments, n of them.
    test
        Which of them are evaluated, shape (n,).
    scores
        Theirs, shape (k,).
    """
    fraud = payments.fraud[test]
    return Quality(
        _average_precision(fraud, scores),
        _auc(fraud, scores),
        _card_precision(payments.day[test], payments.customer[test], fraud, scores),
    )


def run_flow(events: Path, to: Path, options: Iterable[str] = ()) -> Run:
    """Run the fraud flow on a file in a process of its own, cold, and read its scores."""
    files = ["--from", str(events), "--to", str(to)]
    command = [sys.executable, "-m", "headrace", "run", "fraud", *files, *options]
    started = time.perf_counter()
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stderr}")
    return Run(read_scores(to), seconds)


def read_scores(decisions: Path) -> dict[str, float]:
    """Return the score of each event id in a file of decisions."""
    with _opened(decisions) as lines:
        return {decision["event_id"]: decision["score"] for decision in map(orjson.loads, lines)}


def evaluate_run(payments: Payments, rounds: Sequence[Week], run: Run) -> Quality:
    """Return the mean quality of a run over several rounds; every payment of a test must have its score."""
    found = []
    for week in rounds:
        tested = [payments.ids[row] for row in np.flatnonzero(week.test)]
        found.append(evaluate(payments, week.test, np.array([run.scores[event] for event in tested])))
    return mean(found)


def mean(found: Sequence[Quality]) -> Quality:
    """Return the mean of each measure."""
    return Quality(*np.mean(found, axis=0).tolist())


def _week(payments: Payments, test_day: int) -> Week:
    day, train_day = payments.day, test_day - 2 * _WEEK_DAYS
    trained = (day >= train_day) & (day < train_day + _WEEK_DAYS) & (payments.reported_s <= test_day * DAY_S)
    tested = np.zeros(day.size, dtype=np.bool_)
    for today in range(test_day, test_day + _WEEK_DAYS):
        # The labels of the day a week ago are the first that are not known yet.
        matured = (day >= train_day) & (day < max(train_day + _WEEK_DAYS, today - _WEEK_DAYS))
        known = np.unique(payments.customer[matured & payments.fraud])
        tested |= (day == today) & ~np.isin(payments.customer, known)
    return Week(trained, tested)


def _average_precision(fraud: Bools, scores: Floats) -> float:
    """Precision at each distinct score, weighted by the recall gained there."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), scores.size - 1)
    hits = np.cumsum(fraud[order])[last]
    gained = np.diff(hits, prepend=0)
    return float((gained * hits / (last + 1)).sum() / fraud.sum())


def _auc(fraud: Bools, scores: Floats) -> float:
    """Return the chance that a fraud scores higher than a legitimate payment; equal scores count one half."""
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    frauds = int(fraud.sum())
    return float((rank[fraud].sum() - frauds * (frauds + 1) / 2) / (frauds * (fraud.size - frauds)))


def _card_precision(day: Ints, card: Ints, fraud: Bools, scores: Floats) -> float:
    """Share of defrauded cards among each day's 100 with the highest score; a found one leaves the list."""
    found: set[int] = set()
    shares = []
    for today in np.unique(day):
        highest: dict[int, tuple[float, bool]] = {}
        of_day = day == today
        for who, score, hit in zip(
            card[of_day].tolist(), scores[of_day].tolist(), fraud[of_day].tolist(), strict=True
        ):
            before = highest.get(who, (0.0, False))
            highest[who] = (max(before[0], score), before[1] or hit)
        listed = sorted((who for who in highest if who not in found), key=lambda who: -highest[who][0])
        hits = {who for who in listed[:_CARDS_A_DAY] if highest[who][1]}
        found |= hits
        shares.append(len(hits) / _CARDS_A_DAY)
    return float(np.mean(shares))


def _frauds(truth: Path) -> Mapping[str, bool]:
    with _opened(truth) as lines:
        rows = csv.DictReader(io.TextIOWrapper(lines, encoding="utf-8", newline=""))
        return {row["event_id"]: row["fraud"] == "1" for row in rows}


def _seconds(times: Iterable[str | None]) -> Ints:
    return np.array(
        [_NEVER if text is None else int(datetime.fromisoformat(text).timestamp()) for text in times],
        dtype=np.int64,
    )


def _numbers(names: Iterable[str]) -> Ints:
    known: dict[str, int] = {}
    return np.array([known.setdefault(name, len(known)) for name in names], dtype=np.int64)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        yield file
