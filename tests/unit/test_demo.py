"""The demonstration's world, and what it makes of the decisions on it."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from headrace import demo
from headrace.config.settings import FraudSettings, ReasonSettings
from headrace.demo import Files, examples, make_world, refuse_used, request, show, weeks
from headrace.errors import ConfigError

DAY_MS = 86_400_000
START_MS = 1_718_000_000_000
SETTINGS = FraudSettings(reasons=ReasonSettings(texts={"high": "The amount is high."}))


def decision(number: int, day: float, action: str, score: float) -> dict:
    return {
        "decision_id": f"fraud:p-{number}",
        "event_id": f"p-{number}",
        "event_time": START_MS + round(day * DAY_MS),
        "kind": "fraud",
        "action": action,
        "score": score,
        "reasons": [{"code": "high", "contribution": 1.25}],
        "model": "m",
    }


@pytest.fixture
def files(tmp_path):
    found = Files(tmp_path)
    decided = [
        decision(1, 0, "approve", 0.1),
        decision(2, 1, "block", 0.9),
        decision(3, 6.9, "block", 0.8),
        decision(4, 7, "review", 0.5),
        decision(5, 21, "approve", 0.2),
        decision(6, 21.5, "review", 0.4),
    ]
    found.decisions.write_text("".join(json.dumps(line) + "\n" for line in decided))
    found.truth.write_text("event_id,fraud\np-1,0\np-2,1\np-3,0\np-4,1\np-5,1\np-6,0\n")
    payment = (
        '{{"type":"payment","event_id":"p-{0}","event_time":"2024-06-10T06:13:20Z","customer_id":"c",'
        '"merchant_id":"m","amount":{0}.5,"currency":"EUR"}}\n'
    )
    outcome = '{"type":"outcome","event_id":"p-2","event_time":1,"about":"p-1","label":0}\n'
    found.events.write_text("".join(payment.format(number) for number in range(1, 7)) + outcome)
    return found


TRUTH = {"p-1": 0, "p-2": 1, "p-3": 0, "p-4": 1, "p-5": 1, "p-6": 0}


def test_weeks(files):
    found = weeks(files, TRUTH)
    assert [week.payments for week in found] == [3, 1, 0, 2]
    assert [week.frauds for week in found] == [1, 1, 0, 1]
    assert [week.caught for week in found] == [1, 1, 0, 0]
    assert [week.stopped for week in found] == [1, 0, 0, 0]
    assert [week.judge.quality() is None for week in found] == [False, True, True, False]


def test_examples_are_right_decisions(files):
    assert [(example.event_id, example.action) for example in examples(files, TRUTH)] == [
        ("p-2", "block"),
        ("p-4", "review"),
        ("p-1", "approve"),
    ]


def test_the_close_shows_weeks_examples_and_files(files):
    out = io.StringIO()
    show(files, SETTINGS, Console(file=out, width=100))
    text = out.getvalue()
    assert "2024-06-10" in text
    assert "block p-2: 2.50 EUR by c to m, score 0.900\n  +1.25 The amount is high.\n" in text
    assert str(files.folder) in text


def test_a_folder_that_holds_files_of_its_names_is_refused(tmp_path):
    refuse_used(tmp_path / "new")
    (tmp_path / "other.jsonl").touch()
    refuse_used(tmp_path)
    for name in ("events.jsonl", "decisions.dead-letters.jsonl"):
        (tmp_path / name).touch()
    with pytest.raises(ConfigError) as raised:
        refuse_used(tmp_path)
    assert [str(mistake) for mistake in raised.value.mistakes] == [
        f"--to: {tmp_path / name} exists; name a new folder"
        for name in ("events.jsonl", "decisions.dead-letters.jsonl")
    ]


def test_its_world_is_written_and_comes_again(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "PRESET", "tiny")
    console = Console(file=io.StringIO())
    for name in "ab":
        (tmp_path / name).mkdir()
        payments = make_world(Files(tmp_path / name), 1, console)
    one, two = Files(tmp_path / "a"), Files(tmp_path / "b")
    assert one.events.read_bytes() == two.events.read_bytes()
    assert one.truth.read_bytes().count(b"\n") == payments + 1
    asked = request(one, SETTINGS, 10.0)
    assert (asked.sources, asked.truth, asked.learn) == ((str(one.events),), one.truth, True)
