"""The shipped configuration on the Fraud Detection Handbook's payments, by the published protocol."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOW = re.compile(
    r"fraud flow\s+average precision ([\d.]+), AUC ([\d.]+), card precision@100 ([\d.]+)", re.MULTILINE
)


@pytest.mark.acceptance
def test_quality_learning_only_from_the_outcomes_in_the_file(headrace_data: Path) -> None:
    folder = headrace_data / "fraud"
    files = [str(folder / name) for name in ("handbook.events.jsonl.gz", "handbook.truth.csv.gz")]
    ended = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "handbook.py"), *files],
        capture_output=True,
        text=True,
        check=True,
    )
    found = FLOW.search(ended.stdout)
    assert found, ended.stdout
    precision, auc, card_precision = map(float, found.groups())
    assert precision >= 0.75
    assert auc >= 0.88
    assert card_precision >= 0.30
