"""Flows that declare events of other businesses decide real data as well as they must, in one pass, cold."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pytest
from commands import headrace
from judging import auc, calibration_error, coverage, pinball

pytestmark = pytest.mark.acceptance

FLOWS = Path(__file__).parent / "flows"
QUANTILES = ("0.1", "0.5", "0.9")


def decided(flow: str, events: Path, folder: Path) -> dict[str, dict]:
    """Every decision of a run, by the event that asked; each event has one."""
    to = folder / "decisions.jsonl"
    ended = headrace("run", FLOWS / f"{flow}.toml", "--from", events, "--to", to)
    assert ended.code == 0, ended.said
    lines = list(map(json.loads, to.read_bytes().splitlines()))
    assert (folder / "decisions.dead-letters.jsonl").read_bytes() == b""
    found = {line["event_id"]: line for line in lines}
    assert len(found) == len(lines)
    return found


def truth(path: Path, column: str) -> list[tuple[str, float]]:
    with gzip.open(path, "rt") as file:
        return [(row["event_id"], float(row[column])) for row in csv.DictReader(file)]


def test_how_long_a_ride_takes(headrace_data, tmp_path):
    data = headrace_data / "delivery"
    decisions = decided("taxi", data / "taxi.events.jsonl.gz", tmp_path)
    values = truth(data / "taxi.truth.csv.gz", "value")
    rows = [(value, [decisions[event]["quantiles"][level] for level in QUANTILES]) for event, value in values]
    assert all(said == sorted(said) for _, said in rows)
    second = rows[len(rows) // 2 :]
    loss, covered = pinball(second, [float(level) for level in QUANTILES]), coverage(second)
    print(f"pinball {loss:.2f}, coverage {covered:.4f}")  # noqa: T201  # shown when the test fails
    assert loss <= 94.0
    assert 0.77 <= covered <= 0.83


def test_whether_a_credit_is_paid_back(headrace_data, tmp_path):
    data = headrace_data / "credit"
    decisions = decided("credit", data / "uci.events.jsonl.gz", tmp_path)
    labels = truth(data / "uci.truth.csv.gz", "label")
    pairs = [(decisions[event]["score"], int(label)) for event, label in labels]
    last = pairs[round(len(pairs) * 0.7) :]
    area, error = auc(last), calibration_error(last)
    print(f"AUC {area:.4f}, calibration error {error:.4f}")  # noqa: T201  # shown when the test fails
    assert area >= 0.770
    assert error <= 0.02
