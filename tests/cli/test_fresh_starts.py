"""Each command in an interpreter of its own, where nothing is imported that it doesn't import itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import simulated, started_anew

pytestmark = pytest.mark.integration

LINES = 200


@pytest.fixture(scope="module")
def state(tmp_path_factory) -> Path:
    """A state of a fraud flow, beside its events and decisions."""
    folder = tmp_path_factory.mktemp("fresh")
    (folder / "events.jsonl").write_bytes(b"\n".join([*simulated(LINES), b"no JSON\n"]))
    run = ("run", "fraud", "--from", "events.jsonl", "--to", "decisions.jsonl", "--state", "state")
    ended = started_anew(*run, folder=folder)
    assert ended.code == 0, ended.said
    return folder


@pytest.mark.parametrize(
    "command",
    [
        "ledger verify --state state",
        "ledger index --state state",
        "ledger export --state state --to ledger.csv",
        "replay --state state --verify",
        "replay --state state --set policy.block_at=0.9",
        "state inspect --state state",
        "state backup --state state --to backup.tar",
        "control status --state state",
        "control kill-switch on --state state",
        "dead-letters list --state state",
        "dead-letters retry --state state --all",
        "erase --customer nobody --state state",
        "check",
        "simulate --presets",
    ],
)
def test_it_does_what_it_says(state, command):
    ended = started_anew(*command.split(), folder=state)
    assert ended.code == 0, ended.said
    assert ended.out or ended.said


def test_a_decision_is_explained(state):
    decision = (state / "decisions.jsonl").read_text().splitlines()[0]
    event = decision.split('"event_id":"')[1].split('"')[0]
    ended = started_anew("explain", event, "--state", "state", folder=state)
    assert ended.code == 0, ended.said
    assert event in ended.text
