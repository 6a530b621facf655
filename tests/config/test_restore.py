"""What a state has recorded of its configuration is read under the names that keys have now."""

from __future__ import annotations

import json

from headrace.config.canonical import canonical, restore
from headrace.config.fraud_flow import FraudSettings
from headrace.config.loading import load

BEFORE = {
    "allowed_lateness_days": "late_days_max",
    "future_skew_hours_max": "ahead_hours_max",
    "quorum_min": "ahead_agree_events",
    "quorum_share": "ahead_agree_share",
    "quorum_alone_events": "ahead_alone_events",
}


def test_keys_that_had_another_name_keep_their_values():
    overrides = ("time.allowed_lateness_days=3.5", "time.quorum_min=5", "time.quorum_share=0.25")
    settings = load(None, overrides, flow="fraud")
    assert isinstance(settings, FraudSettings)
    recorded = json.loads(canonical(settings))
    recorded["time"] = {BEFORE[name]: value for name, value in recorded["time"].items()}
    for cross in recorded["crosses"].values():
        cross["told_when"] = cross.pop("report_if")
    recorded["kafka"]["watermark_seconds"] = recorded["kafka"].pop("output_offsets_seconds")
    assert any(cross.report_if for cross in settings.crosses.values())
    assert restore(json.dumps(recorded).encode()) == settings


def test_a_share_that_was_not_known_is_none():
    recorded = json.loads(canonical(load(None, flow="fraud")))
    del recorded["time"]["quorum_share"]
    assert restore(json.dumps(recorded).encode()).time.quorum_share == 0.0


def test_the_table_of_slates_had_another_name():
    settings = load(None, ("slate.items_max=7",), flow="recommend")
    recorded = json.loads(canonical(settings))
    recorded["list"] = recorded.pop("slate")
    assert restore(json.dumps(recorded).encode()) == settings
