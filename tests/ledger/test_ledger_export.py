"""The decisions of a run are exported as tables."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import pytest
from ledger_states import erase_decision
from ledgers import SALT_BYTES, flip
from pyarrow import parquet

from headrace.journal.segments import segment_path
from headrace.ledger.export import Selection, export
from headrace.ledger.tables import open_table

pytestmark = pytest.mark.integration


def rows_of(path: Path) -> list[dict]:
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_decision_is_a_row(shards, headrace, tmp_path):
    to = tmp_path / "decisions.parquet"
    said = headrace("ledger", "export", "--state", shards.path, "--to", to)
    assert said.code == 0
    assert f"{len(shards.decisions):,} decisions in {to}" in said.err
    rows = {row["decision_id"]: row for row in rows_of(to)}
    assert len(rows) == len(shards.decisions)
    for decision in shards.decisions:
        row, event = rows[decision["decision_id"]], shards.inputs[decision["event_id"]]
        assert row["event_time"].timestamp() * 1000 == decision["event_time"]
        for name in ("event_id", "action", "score", "model", "reasons"):
            assert row[name] == decision[name]
        for name in ("customer_id", "merchant_id", "currency"):
            assert row[name] == event[name]
        assert row["feature_amount"] == event["amount"]
        outcomes = shards.outcomes(decision["event_id"])
        assert row["outcomes"] == len(outcomes)
        assert row["label"] == (outcomes[-1]["label"] if outcomes else None)
        assert row["source"] == str(shards.source)
    assert {row["shard"] for row in rows.values()} == {"shard-00", "shard-01"}
    assert {row["label"] for row in rows.values()} == {0, 1, None}


def test_a_row_says_what_explain_says(state, headrace, explain, tmp_path):
    to = tmp_path / "decisions.jsonl"
    headrace("ledger", "export", "--state", state.path, "--to", to)
    rows = {row["decision_id"]: row for row in rows_of(to)}
    for decision in state.decisions[::41]:
        said, row = explain(state, decision["decision_id"]), rows[decision["decision_id"]]
        assert {name: row[f"feature_{name}"] for name in said["features"]} == said["features"]
        assert {name: row[f"contribution_{name}"] for name in said["contributions"]} == said["contributions"]
        for name in ("shard", "segment", "byte", "record", "sequence", "ordinal", "source", "offset", "line"):
            assert row[name] == said["position"][name]


def test_the_formats_hold_the_same(state, headrace, tmp_path):
    paths = [tmp_path / f"table.{ending}" for ending in ("parquet", "jsonl", "csv")]
    for path in paths:
        assert headrace("ledger", "export", "--state", state.path, "--to", path).code == 0
    columnar, lines, text = map(rows_of, paths)
    assert [list(row) for row in (columnar[0], lines[0], text[0])] == [list(columnar[0])] * 3
    for one, other, third in zip(columnar, lines, text, strict=True):
        for name, given in one.items():
            value = given
            if hasattr(given, "isoformat"):
                value = given.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            assert other[name] == value
            plain = json.dumps(value, separators=(",", ":")) if isinstance(value, list) else value
            assert third[name] == ("" if plain is None else str(plain)), name


def test_a_part_can_be_exported(shards, headrace, tmp_path):
    to = tmp_path / "part.jsonl"
    times = sorted(decision["event_time"] for decision in shards.decisions)
    middle = times[len(times) // 2]
    text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(middle // 1000))
    day = text[:10]

    def exported(*options: object) -> list[dict]:
        assert headrace("ledger", "export", "--state", shards.path, "--to", to, *options).code == 0
        return rows_of(to)

    assert len(exported("--from", text)) == sum(one >= middle // 1000 * 1000 for one in times)
    assert len(exported("--until", text)) == sum(one < middle // 1000 * 1000 for one in times)
    assert {row["event_time"] < day for row in exported("--from", day)} == {False}
    assert {row["shard"] for row in exported("--shard", 1)} == {"shard-01"}
    assert exported("--until", "2001-01-01") == []
    for wrong in (["--from", "yesterday"], ["--until", "2026-13-01"], ["--shard", "2"]):
        assert headrace("ledger", "export", "--state", shards.path, "--to", to, *wrong).code == 2


def test_groups_of_rows_change_nothing(state, tmp_path):
    tables = []
    for rows in (1, 7, 100_000):
        path = tmp_path / f"{rows}.jsonl"
        with open_table(path) as to:
            done = export([state.path / "shard-00"], to, Selection(), group_rows=rows)
        assert done.rows == len(state.decisions)
        tables.append(path.read_bytes())
    assert tables[0] == tables[1] == tables[2]


def test_erased_decisions_are_left_out(copied, headrace, tmp_path):
    erase_decision(copied, copied.decisions[3]["decision_id"])
    to = tmp_path / "table.jsonl"
    said = headrace("ledger", "export", "--state", copied.path, "--to", to)
    assert "1 erased ones are left out" in said.err
    assert len(rows_of(to)) == len(copied.decisions) - 1


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "csv"])
def test_a_file_appears_when_it_is_complete_or_not_at_all(copied, headrace, tmp_path, ending):
    to = tmp_path / f"table.{ending}"
    path = segment_path(copied.path / "shard-00", 1)
    flip(path, path.stat().st_size - SALT_BYTES)
    assert headrace("ledger", "export", "--state", copied.path, "--to", to).code == 6
    assert list(tmp_path.glob("*table*")) == []
    to.write_text("before")
    assert headrace("ledger", "export", "--state", copied.path, "--to", to).code == 6
    assert to.read_text() == "before"


def test_a_folder_that_is_not_there_is_told(state, headrace, tmp_path):
    ended = headrace("ledger", "export", "--state", state.path, "--to", tmp_path / "none" / "t.csv")
    assert ended.code == 2
    assert ended.err == f"error: --to: {tmp_path}/none/t.csv: there is no folder {tmp_path}/none\n"


def test_another_ending_and_a_missing_library_are_told(state, headrace, tmp_path, monkeypatch):
    said = headrace("ledger", "export", "--state", state.path, "--to", tmp_path / "table.xlsx")
    assert said.code == 2
    assert ".parquet, .jsonl, .csv" in said.err
    monkeypatch.setattr("headrace.ledger.tables.find_spec", lambda _: None)
    said = headrace("ledger", "export", "--state", state.path, "--to", tmp_path / "table.parquet")
    assert said.code == 2
    assert "headrace[export]" in said.err
