"""What the ledger tells of a decision, on shards that are driven by hand."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import orjson
import pytest
from ledgers import Journal, decided, outcome
from rich.console import Console

from headrace.cli.ledger_view import explained_json, explained_view
from headrace.config.fraud_flow import FraudSettings
from headrace.config.loading import load
from headrace.errors import ConfigError, StateError, UnknownDecision
from headrace.journal.batches import Batch
from headrace.journal.records import CONTROL_SOURCE, OVERDUE, RETRIED
from headrace.journal.segments import segment_path
from headrace.kinds.fraud.exported import layout_of
from headrace.kinds.recommend.exported import SlateLayout
from headrace.ledger.explained import Explained
from headrace.ledger.export import Selection, export
from headrace.ledger.export_columns import columns_of
from headrace.ledger.ledger import Ledger
from headrace.ledger.tables import open_table
from headrace.operators.events.decode import decode
from headrace.shard.durable import DurableShard

START_MS = 1_700_000_000_000
RULE = [
    'policy.rules.large={when = "amount > 500", action = "block", code = "large"}',
    'reasons.texts.large="The amount is larger than what is allowed."',
]


def payment(number: int, **changed: object) -> bytes:
    fields = {
        "type": "payment",
        "event_id": f"p-{number}",
        "event_time": START_MS + number * 60_000,
        "customer_id": f"c-{number % 3}",
        "merchant_id": "m-1",
        "amount": 10.0 + number,
        "currency": "EUR",
    }
    return orjson.dumps(fields | changed)


def apply(shard: DurableShard, lines: Sequence[bytes], flags: Sequence[int] = (), source: int = 0) -> None:
    shard.process(
        Batch(
            accepted_ms=time.time_ns() // 1_000_000,
            accepted_ns=time.perf_counter_ns(),
            ordinal=shard.position,
            payloads=list(lines),
            sources=[source] * len(lines),
            offsets=[0] * len(lines),
            lines=list(range(1, len(lines) + 1)),
            marks=(),
            flags=list(flags),
        ),
        decode(lines),
        None,
    )


def opened(state: Path, *overrides: str) -> tuple[DurableShard, FraudSettings]:
    settings = load(None, overrides)
    shard = DurableShard(state / "shard-00", settings)
    shard.register(0, "payments.jsonl")
    return shard, settings


def text_of(found: Explained, width: int = 80) -> str:
    console = Console(width=width, record=True, file=io.StringIO(), color_system=None)
    console.print(explained_view(found, width))
    return console.export_text()


def test_a_policy_s_path_is_told(tmp_path):
    shard, _ = opened(tmp_path, *RULE)
    apply(shard, [payment(1), payment(2, amount=900.0)])
    found = Ledger(tmp_path).explain("p-2")
    assert found.why.told.policy == {"path": "rule", "rule": "large"}
    assert [(reason.code, reason.contribution) for reason in found.why.told.reasons] == [("large", None)]
    assert found.why.told.reasons[0].text == "The amount is larger than what is allowed."
    text = text_of(found)
    assert "block" in text.splitlines()[0]
    assert "large" in text
    assert "The amount is larger than what is allowed." in text
    assert Ledger(tmp_path).explain("p-1").why.told.policy is None


def test_a_policy_that_only_watches_is_told(tmp_path):
    shard, _ = opened(tmp_path, *RULE, "policy.shadow=true")
    apply(shard, [payment(2, amount=900.0)])
    text = text_of(Ledger(tmp_path).explain("p-2"))
    assert "approve" in text.splitlines()[0]
    assert "only watching; else block" in text.splitlines()[0]


def test_built_in_reasons_have_their_texts(tmp_path):
    shard, _ = opened(
        tmp_path, "policy.capacity={reviews_per_day_max = 0, otherwise = 'block'}", "policy.review_at=0.0"
    )
    apply(shard, [payment(1)])
    found = Ledger(tmp_path).explain("p-1")
    assert found.why.told.policy["path"] == "capacity"
    assert "The day's reviews were used up." in {reason.text for reason in found.why.told.reasons}


def test_contributions_that_were_not_computed_are_none(tmp_path):
    model = ["model.name=river_hoeffding_adaptive_tree", "model.parameters={}"]
    shard, _ = opened(tmp_path, *model, "policy.review_at=0.9", "policy.block_at=0.95")
    apply(shard, [payment(1)])
    found = Ledger(tmp_path).explain("p-1")
    assert found.why.told.contributions is None
    assert {cross.contribution for cross in found.why.told.crosses} == {None}
    assert found.why.told.features["amount"] == 11.0
    text_of(found)
    path = tmp_path / "t.jsonl"
    with open_table(path) as rows:
        export([tmp_path / "shard-00"], rows, Selection())
    row = json.loads(path.read_text())
    assert (row["contribution_amount"], row["base_log_odds"], found.why.told.base) == (None, None, None)


def test_retried_and_overdue_inputs_are_told(tmp_path):
    shard, _ = opened(tmp_path)
    apply(shard, [payment(1)])
    apply(shard, [payment(2)], [RETRIED | OVERDUE], CONTROL_SOURCE)
    ledger = Ledger(tmp_path)
    plain, found = ledger.explain("p-1"), ledger.explain("p-2")
    assert (plain.retried, plain.overdue, plain.position.source) == (False, False, "payments.jsonl")
    assert (found.retried, found.overdue, found.position.source) == (True, True, "control")
    assert "retried  overdue" in text_of(found).splitlines()[0]
    path = tmp_path / "t.jsonl"
    with open_table(path) as rows:
        export([tmp_path / "shard-00"], rows, Selection())
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["retried"], row["overdue"], row["source"]) for row in rows] == [
        (False, False, "payments.jsonl"),
        (True, True, "control"),
    ]


def test_a_retry_shows_the_letter_and_whether_its_bytes_were_replaced(tmp_path):
    shard, _ = opened(tmp_path, "input.line_bytes_max=256")
    broken = payment(2).replace(b'"amount":12.0', b'"amount":-12.0')
    apply(shard, [payment(1), broken])
    apply(shard, [b"no json"])
    apply(shard, [payment(9)], [RETRIED], CONTROL_SOURCE)
    shard.process(
        Batch(0, 0, shard.position, [payment(2), payment(3)], [0, 0], [0, 7], [2, 3], (), [RETRIED, RETRIED]),
        decode([payment(2), payment(3)]),
        None,
    )
    ledger = Ledger(tmp_path)
    found = ledger.explain("p-2")
    assert found.letter is not None
    assert (found.letter.reason, found.letter.ordinal, found.letter.replaced) == ("invalid_field", 1, True)
    assert json.loads(found.letter.payload)["amount"] == -12.0
    assert found.input["amount"] == 12.0
    assert "retried  bytes replaced" in text_of(found)
    assert "-12.0" in text_of(found)
    assert ledger.explain("p-3").letter is None
    assert "can't be told" in text_of(ledger.explain("p-9"))
    assert ledger.explain("p-1").letter is None
    assert "Dead letter before" not in text_of(ledger.explain("p-1"))


def test_a_retry_of_the_same_bytes_says_so(tmp_path):
    shard, _ = opened(tmp_path)
    for flags, line_bytes_max in (((), 64), ((RETRIED,), 4096)):
        batch = Batch(0, 0, shard.position, [payment(1)], [0], [0], [1], (), list(flags))
        shard.process(batch, decode([payment(1)], line_bytes_max), None)
    found = Ledger(tmp_path).explain("p-1")
    assert found.letter is not None
    assert (found.letter.reason, found.letter.replaced) == ("line_too_long", False)
    assert "the same" in text_of(found)
    assert "bytes replaced" not in text_of(found)


def test_contributions_and_base_add_up_to_the_score(tmp_path):
    shard, _ = opened(tmp_path)
    outcomes = [outcome(f"p-{number}", number % 2, number).input for number in range(1, 9)]
    apply(shard, [*[payment(number) for number in range(1, 9)], *outcomes, payment(20), payment(21)])
    path = tmp_path / "t.jsonl"
    with open_table(path) as rows:
        export([tmp_path / "shard-00"], rows, Selection())
    for row in map(json.loads, path.read_text().splitlines()):
        found = Ledger(tmp_path).explain(row["decision_id"])
        log_odds = math.log(row["score"] / (1 - row["score"]))
        given = [value for name, value in row.items() if name.startswith("contribution_")]
        assert row["base_log_odds"] + sum(given) == pytest.approx(log_odds, abs=1e-6)
        assert found.why.told.base + sum(found.why.told.contributions.values()) == pytest.approx(
            log_odds, abs=1e-6
        )
        assert f"{log_odds:+.3f}" in text_of(found)


def test_an_id_that_was_decided_twice_shows_the_last_and_where_the_first_stands(tmp_path):
    shard, _ = opened(tmp_path, "ids.memory_max=1")
    apply(shard, [payment(1), payment(2)])
    apply(shard, [payment(1, amount=99.0)])
    found = Ledger(tmp_path).explain("fraud:p-1")
    assert found.why.told.features["amount"] == 99.0
    assert len(found.others) == 1
    assert found.others[0].sequence < found.position.sequence
    assert "Decided before under the same id" in text_of(found)


def test_outcomes_are_told_in_the_order_they_came(tmp_path):
    shard, _ = opened(tmp_path)
    apply(
        shard,
        [outcome("p-1", 1, 0).input, payment(1), outcome("p-1", 0, 1).input, outcome("p-2", 1, 2).input],
    )
    found = Ledger(tmp_path).explain("p-1")
    assert [one.label for one in found.outcomes] == [1, 0]
    assert [one.position.line for one in found.outcomes] == [1, 3]
    assert "legitimate" in text_of(found)


def test_two_ids_with_one_digest_are_told_apart(tmp_path, monkeypatch):
    for module in ("keys", "index"):
        monkeypatch.setattr(f"headrace.ledger.{module}.digest_of", lambda _key: bytes(8))
    shard, _ = opened(tmp_path)
    apply(shard, [payment(1), payment(2), outcome("p-1").input, payment(3)])
    monkeypatch.setattr("headrace.ledger.ledger.CONFIG_KEY", 0)
    ledger = Ledger(tmp_path)
    found = ledger.explain("fraud:p-2")
    assert found.decision is not None
    assert found.decision["event_id"] == "p-2"
    assert found.outcomes == ()
    assert len(ledger.explain("fraud:p-1").outcomes) == 1
    with pytest.raises(UnknownDecision):
        ledger.explain("fraud:p-4")


def test_where_the_journal_s_beginning_is_gone_a_checkpoint_knows(tmp_path):
    shard, settings = opened(tmp_path)
    apply(shard, [payment(1)])
    shard.close()
    shard, _ = opened(tmp_path)
    apply(shard, [payment(2)])
    shard.close()
    segment_path(tmp_path / "shard-00", 1).unlink()
    found = Ledger(tmp_path).explain("p-2")
    assert found.config is not None
    assert found.config.segment is None
    assert found.position.source == "payments.jsonl"
    path = tmp_path / "t.jsonl"
    with open_table(path) as rows:
        assert export([tmp_path / "shard-00"], rows, Selection()).rows == 1
    assert json.loads(path.read_text())["source"] == "payments.jsonl"
    with pytest.raises(UnknownDecision):
        Ledger(tmp_path).explain("p-1")
    for checkpoint in (tmp_path / "shard-00").glob("*.ckpt"):
        checkpoint.unlink()
    with pytest.raises(StateError, match="which configuration"):
        Ledger(tmp_path).explain("p-2")
    assert settings.features


def test_an_unknown_decision_names_what_was_searched(tmp_path):
    shard, _ = opened(tmp_path)
    apply(shard, [payment(number) for number in range(5)])
    with pytest.raises(
        UnknownDecision, match=r"no decision p-9; searched shard-00: 1 segments, 5 decisions, acc"
    ):
        Ledger(tmp_path).explain("p-9")


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_the_view_keeps_to_the_width(tmp_path, width):
    shard, _ = opened(tmp_path, *RULE, "policy.cost.review_cost=3.0")
    long = {"event_id": "x" * 128, "customer_id": "c" * 128, "session_id": "s" * 128}
    apply(shard, [payment(1, **long), outcome("x" * 128).input])
    found = Ledger(tmp_path).explain("x" * 128)
    lines = text_of(found, width).splitlines()
    assert max(map(len, lines)) <= width
    assert "review_cost" in "".join(lines) or found.why.told.policy is not None


def test_json_has_null_for_what_is_missing(tmp_path):
    shard, _ = opened(tmp_path)
    apply(shard, [payment(1)])
    said = json.loads(explained_json(Ledger(tmp_path).explain("p-1")))
    assert said["features"]["amount_ratio"] is None
    assert said["position"]["file"] == str(segment_path(tmp_path / "shard-00", 1))
    assert said["config"]["digest"]


def test_a_decision_without_its_detail_is_an_error_not_a_guess(tmp_path):
    shard, _ = opened(tmp_path)
    shard.close()
    Journal(tmp_path / "shard-00").append([decided("short", detail=b"12")])
    with pytest.raises(StateError, match="a detail of 2 bytes"):
        Ledger(tmp_path).explain("short")


def test_the_documented_columns_are_the_exported_ones():
    whole = (Path(__file__).parents[2] / "docs" / "ledger-export.md").read_text()
    text, of_slates = whole.split("## Of slates")
    rows, more = (
        [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| `")]
        for part in (text, of_slates)
    )
    scored = {one.name for one in columns_of(layout_of(load(None)))}
    own = [one for one in columns_of(SlateLayout()) if one.name not in scored]
    assert more == [[f"`{one.name}`", one.kind, one.meaning] for one in own]
    columns = columns_of(layout_of(load(None)))
    fixed = [one for one in columns if not one.name.startswith(("feature_", "contribution_"))]
    documented = [row for row in rows if "NAME" not in row[0]]
    assert documented == [[f"`{one.name}`", one.kind, one.meaning] for one in fixed]
    assert [row[0] for row in rows if "NAME" in row[0]] == ["`feature_NAME`", "`contribution_NAME`"]


def test_of_several_outcomes_the_last_one_is_exported(tmp_path):
    shard, _ = opened(tmp_path)
    outcomes = [outcome("p-1", label, ordinal).input for ordinal, label in enumerate((1, 1, 0))]
    apply(shard, [payment(1), payment(2), *outcomes, outcome("p-3", 1, 9).input])
    path = tmp_path / "t.jsonl"
    with open_table(path) as rows:
        done = export([tmp_path / "shard-00"], rows, Selection())
    assert (done.rows, done.with_outcome) == (2, 1)
    first, second = [json.loads(line) for line in path.read_text().splitlines()]
    assert (first["label"], first["outcomes"], first["outcome_time"]) == (0, 3, "2023-11-14T22:13:20.002Z")
    assert (second["label"], second["outcomes"], second["outcome_time"]) == (None, 0, None)


# -- tables for other programs


def exported(state: Path, name: str, **options: object) -> Path:
    with open_table(state / name, **options) as rows:
        export([state / "shard-00"], rows, Selection())
    return state / name


def test_integers_and_truth_values_with_nulls_stay_what_they_are_in_pandas(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    shard, _ = opened(tmp_path)
    fields = {
        "type": "outcome",
        "event_id": "o-1",
        "event_time": START_MS + 90_000,
        "about": "p-1",
        "label": 1,
    }
    apply(shard, [payment(1), payment(2), orjson.dumps(fields | {"customer_id": "c-1"})])
    path = exported(tmp_path, "t.parquet")
    schema = parquet.read_schema(path)
    made = {each["name"]: each["numpy_type"] for each in schema.pandas_metadata["columns"]}
    assert (made["label"], made["retried"]) == ("Int64", "boolean")
    assert parquet.read_table(path)["label"].to_pylist() == [1, None]
    with exported(tmp_path, "t.csv").open() as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["1", ""]
    if find_spec("pandas"):
        import pandas as pd

        assert str(pd.read_parquet(path)["label"].dtype) == "Int64"


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_texts_that_a_spreadsheet_takes_for_formulas_are_escaped_when_asked(tmp_path, begin):
    shard, _ = opened(tmp_path)
    named = f"{begin}cmd|' /C calc'!A0"
    apply(shard, [payment(1, customer_id=named), payment(2)])
    found = {}
    for escaped in (False, True):
        with exported(tmp_path, "t.csv", escape_formulas=escaped).open(newline="") as file:
            found[escaped] = list(csv.DictReader(file))
    assert [row["customer_id"] for row in found[False]] == [named, "c-2"]
    assert [row["customer_id"] for row in found[True]] == [f"'{named}", "c-2"]
    # Numbers are numbers.
    assert [row["base_log_odds"] for row in found[True]] == [row["base_log_odds"] for row in found[False]]
    assert found[True][0]["base_log_odds"].startswith("-")


def test_formulas_are_escaped_in_csv_only(tmp_path):
    with pytest.raises(ConfigError, match=r"--escape-formulas: has a meaning for \.csv only"):
        exported(tmp_path, "t.jsonl", escape_formulas=True)
