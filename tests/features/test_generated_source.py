"""The source that is generated for the shipped flows, pinned: every decision of theirs comes from it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from headrace.config.fraud_flow import of_fraud
from headrace.config.loading import load
from headrace.operators.decisions import scoring_compiled
from headrace.operators.features import FeatureSet

FLOWS = Path(__file__).resolve().parents[2] / "flows"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("name", "plain", "compiled"),
    [
        (
            "fraud",
            "0759a478aca069cd388bf04badf9f61a61405a40bc1e99cc5530af2f11d4518f",
            "f9fcb375490e4b0fd02005910ddf47f1653953732f06a5cd59558c583400a595",
        ),
        (
            "fraud-sessions",
            "71a2548ad111e5c060e54e3123b38e81ebb9a3f74d9ce429aa5361a0a4936219",
            "93b88a6ef0b3c8e56626bcd626f760694e9bf6e0d89e8c59a0fb36dfb889c454",
        ),
    ],
)
def test_the_source_of_a_shipped_flow_is_the_same(name: str, plain: str, compiled: str) -> None:
    settings = of_fraud(load(FLOWS / f"{name}.toml"))
    features = FeatureSet(settings.entities, settings.features, settings.bins, settings.crosses)
    text = scoring_compiled._Source(features)
    assert (sha256(features.source), sha256(f"{text.source}\n{text.calls}")) == (plain, compiled)
