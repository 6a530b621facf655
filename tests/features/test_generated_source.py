"""The source that is generated for the shipped flows, pinned: every decision of theirs comes from it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from headrace.config.fraud_flow import of_fraud
from headrace.config.loading import load
from headrace.kinds.fraud.machine import FraudShard
from headrace.operators.decisions import scoring_compiled
from headrace.operators.features import FeatureSet
from headrace.operators.models.fused import Logistic

FLOWS = Path(__file__).resolve().parents[2] / "flows"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("name", "plain", "compiled"),
    [
        (
            "fraud",
            "0759a478aca069cd388bf04badf9f61a61405a40bc1e99cc5530af2f11d4518f",
            "701563a0c0262a762cd94317edacf7eb8ea631c97add6a42aee5aff55a4c0fbd",
        ),
        (
            "fraud-sessions",
            "71a2548ad111e5c060e54e3123b38e81ebb9a3f74d9ce429aa5361a0a4936219",
            "13e25d85a77fe76a40eea9671c74c5e111897d168787a320896e24fcceb056dc",
        ),
    ],
)
def test_the_source_of_a_shipped_flow_is_the_same(name: str, plain: str, compiled: str) -> None:
    settings = of_fraud(load(FLOWS / f"{name}.toml"))
    features = FeatureSet(settings.entities, settings.features, settings.bins, settings.crosses)
    model = FraudShard(settings).model
    assert isinstance(model, Logistic)
    text = scoring_compiled._Source(features, model)
    assert (sha256(features.source), sha256(f"{text.source}\n{text.calls}")) == (plain, compiled)
