"""The page on declared decisions has every key that can be set, and every field that goes out."""

from __future__ import annotations

import re
from pathlib import Path

from headrace.config.decision_flow import CalibrationSettings, EstimateSettings, ScoreSettings
from headrace.config.decision_target import TargetSettings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "decisions.md"


def told(title: str) -> set[str]:
    section = PAGE.read_text().split(f"## {title}\n")[1].split("\n## ")[0]
    return {
        name
        for row in re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }


def test_every_key_of_a_decision_is_told():
    assert told("`[decisions.NAME]`") == {*ScoreSettings.model_fields, *EstimateSettings.model_fields}
    assert told("`[decisions.NAME.target]`") == set(TargetSettings.model_fields)
    assert all(f"`{name}`" in PAGE.read_text() for name in CalibrationSettings.model_fields)
