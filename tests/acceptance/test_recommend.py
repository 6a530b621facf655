"""The shipped recommend engine on the sessions of an online shop, learning from their clicks as they come."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINE = re.compile(r"(all|new)\s+([\d,]+)\s+(engine|plain)\s+([\d.]+)\s+([\d.]+)")


@pytest.mark.acceptance
def test_slates_foresee_the_next_click_better_than_plain_neighbours(headrace_data: Path) -> None:
    files = [str(headrace_data / "clicks" / f"serenade_{part}.jsonl.gz") for part in ("train", "test")]
    ended = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "recommend.py"), *files],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = LINE.findall(ended.stdout)
    found = {(kind, method): (float(hits), float(places)) for kind, _, method, hits, places in rows}
    assert [count for _, count, *_ in rows] == ["931", "931", "626", "626"]
    # The reference must be as good as it was found to be, or a gain over it says nothing.
    assert found["all", "plain"] == pytest.approx((0.661, 0.339), abs=0.003)
    assert found["new", "plain"] == pytest.approx((0.510, 0.204), abs=0.003)
    hits, places = found["all", "engine"]
    assert hits >= 0.67
    assert places >= 0.38
