"""The ledger of a run is indexed and verified."""

from __future__ import annotations

import json
import subprocess

import pytest
from ledger_states import run
from ledgers import end_of, flip

from headrace.journal.segments import segment_path

pytestmark = pytest.mark.integration


def test_ledger_index(copied, headrace):
    said = headrace("ledger", "index", "--state", copied.path)
    assert said.code == 0
    assert f"{len(copied.decisions):,} decisions" in said.out


def test_verify_a_whole_ledger(shards, headrace):
    said = headrace("ledger", "verify", "--state", shards.path)
    assert said.code == 0
    assert [line for line in said.out.splitlines() if line.endswith(": whole")] == [
        "shard-00: whole",
        "shard-01: whole",
    ]
    found = json.loads(headrace("ledger", "verify", "--state", shards.path, "--json").out)
    assert found["whole"] is True
    assert sum(shard["kinds"]["decided"] for shard in found["shards"]) == len(shards.decisions)


def test_verify_says_where_the_kept_journal_begins(state, headrace, tmp_path):
    options = ("--from", state.source, "--to", tmp_path / "d.jsonl", "--state", tmp_path / "state")
    run(*options, "--set", "journal.checkpoint_inputs_max=200", "--set", "input.batch_lines_max=32")
    directory = tmp_path / "state" / "shard-00"
    first = headrace("ledger", "verify", "--state", tmp_path / "state")
    assert (first.code, "begins with" in first.out) == (0, False)
    gone = segment_path(directory, 1)
    gone.unlink()
    said = headrace("ledger", "verify", "--state", tmp_path / "state")
    (shard,) = json.loads(headrace("ledger", "verify", "--state", tmp_path / "state", "--json").out)["shards"]
    assert said.code == 0
    assert (shard["first_segment"], shard["first_sequence"] > 0) == (2, True)
    assert f"begins with segment 2; segments before it, with {shard['first_sequence']:,} records" in said.out
    assert shard["sequence"] == shard["first_sequence"] + shard["records"]


def test_a_start_reads_what_lies_behind_its_checkpoint_and_verify_all(state, headrace, tmp_path):
    options = ("--from", state.source, "--to", tmp_path / "d.jsonl", "--state", tmp_path / "state")
    run(*options, "--set", "journal.checkpoint_inputs_max=200", "--set", "input.batch_lines_max=32")
    path = segment_path(tmp_path / "state" / "shard-00", 1)
    flip(path, path.stat().st_size // 8)
    run(*options)
    said = headrace("ledger", "verify", "--state", tmp_path / "state")
    assert said.code == 6
    assert f"{path}: byte " in said.err


def test_verify_names_the_damage_of_each_shard(shards, headrace, tmp_path):
    subprocess.run(["cp", "-r", shards.path, tmp_path / "state"], check=True)
    path = segment_path(tmp_path / "state" / "shard-01", 1)
    flip(path, path.stat().st_size // 2)
    said = headrace("ledger", "verify", "--state", tmp_path / "state")
    assert said.code == 6
    assert "shard-00: whole" in said.out
    assert said.err.startswith(f"error: shard-01: {path}: byte ")
    found = json.loads(headrace("ledger", "verify", "--state", tmp_path / "state", "--json").out)
    assert found["whole"] is False
    assert [shard["whole"] for shard in found["shards"]] == [True, False]
    assert found["shards"][1]["damage"]["file"] == str(path)


def test_verify_tells_a_torn_tail(copied, headrace):
    directory = copied.path / "shard-00"
    path = segment_path(directory, end_of(directory).segment)
    with path.open("ab") as file:
        file.write(b"HRF\x02rest")
    said = headrace("ledger", "verify", "--state", copied.path)
    assert said.code == 6
    assert "interrupted write" in said.err
    assert str(path) in said.err


def test_verify_with_a_chain_value_noted_earlier(copied, headrace):
    chain = end_of(copied.path / "shard-00").chain.hex()
    said = headrace("ledger", "verify", "--state", copied.path, "--expect-chain", chain)
    assert said.code == 0
    assert "the expected chain value stands" in said.out
    said = headrace("ledger", "verify", "--state", copied.path, "--expect-chain", "ab" * 32)
    assert said.code == 6
    assert "occurs nowhere" in said.err
    assert headrace("ledger", "verify", "--state", copied.path, "--expect-chain", "ab").code == 2
