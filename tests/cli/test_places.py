"""A command whose outputs would destroy what it reads does nothing."""

from __future__ import annotations

import os
from pathlib import Path

import commands
import pytest
from commands import contents

pytestmark = pytest.mark.integration

EVENTS = (
    b'{"type":"payment","event_id":"p-1","event_time":"2026-03-01T09:30:00Z","customer_id":"c-7",'
    b'"merchant_id":"m-3","amount":15.49,"currency":"EUR"}\n'
)


def headrace(folder: Path, arguments: str) -> tuple[int, list[str]]:
    ended = commands.headrace(*arguments.split(), folder=folder)
    return ended.code, ended.said.splitlines()


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "a.jsonl").write_bytes(EVENTS)
    (tmp_path / "tr.csv").write_text("event_id,fraud\np-1,0\n")
    (tmp_path / "list").write_text("c-1\n")
    listed = '[policy.lists.known]\nfile = "list"\nkey = "customer_id"\naction = "approve"\ncode = "k"\n'
    listed += '[reasons.texts]\nk = "Known."\n'
    (tmp_path / "cf.toml").write_text(listed)
    os.symlink("a.jsonl", tmp_path / "soft")
    assert headrace(tmp_path, "run fraud --from a.jsonl --to kept --state st")[0] == 0
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "clashes"),
    [
        ("--from a.jsonl --to a.jsonl", 1),
        ("--from a.jsonl --to soft", 1),
        ("--from a.jsonl --to x --dead-letters a.jsonl", 1),
        ("--from a.jsonl --to a.jsonl --dead-letters soft", 3),
        ("--from a.jsonl --to cf.toml --config cf.toml", 1),
        ("--from a.jsonl --to list --config cf.toml", 1),
        ("--from a.jsonl --to tr.csv --truth tr.csv", 1),
        ("--from a.jsonl --to st/lock --dead-letters x --state st", 1),
        ("--from a.jsonl --to st/new --dead-letters st --state st", 2),
        ("--from a.jsonl --to x --dead-letters x", 1),
        ("--from a.jsonl --to x --dead-letters ./x --state x", 3),
        ("--from a.jsonl --to x --state a.jsonl", 1),
    ],
)
def test_a_run_that_would_write_over_something_is_refused(folder, arguments, clashes):
    before = contents(folder)
    code, said = headrace(folder, f"run fraud {arguments}")
    assert code == 2
    assert len([line for line in said if line.startswith("error: --")]) == clashes
    assert contents(folder) == before
    assert not (folder / "x").exists()


def test_dead_letters_that_would_go_beside_by_default_are_seen(folder):
    (folder / "a.jsonl").rename(folder / "d.dead-letters.jsonl")
    code, said = headrace(folder, "run fraud --from d.dead-letters.jsonl --to d.jsonl")
    assert code == 2
    (line,) = said
    assert line.startswith("error: --dead-letters, which wasn't given: d.dead-letters.jsonl is the same file")


def test_devices_may_be_named_twice(folder):
    assert headrace(folder, "run fraud --from a.jsonl --to /dev/null --dead-letters /dev/null")[0] == 0


@pytest.mark.parametrize("options", ["--to s --truth s", "--to t/rings.csv --truths t", "--truth s --to ./s"])
def test_a_simulation_that_would_write_two_things_to_one_file_is_refused(tmp_path, options):
    code, said = headrace(tmp_path, f"simulate --preset network-small --days 1 {options}")
    assert code == 2
    assert "is the same file as" in said[0]
    assert not list(tmp_path.iterdir())


def test_an_export_into_the_state_is_refused(folder):
    before = contents(folder)
    assert headrace(folder, "ledger export --state st --to st/lock.csv")[0] == 2
    assert contents(folder) == before


def test_a_state_that_is_a_file_is_told(folder):
    code, said = headrace(folder, "run fraud --from a.jsonl --to x --state cf.toml")
    assert (code, said) == (6, ["error: cf.toml: is a file; a state is a folder"])
    assert not (folder / "x").exists()


def check_refused(folder, arguments, clashes):
    """A run is refused for so many clashes of its options, and leaves all as it was."""
    before = contents(folder)
    code, said = headrace(folder, f"run fraud {arguments}")
    assert code == 2, said
    assert len([line for line in said if line.startswith("error: --")]) == clashes
    assert contents(folder) == before


ON_TOPICS = (
    "--from kafka:events --to kafka:decided --dead-letters kafka:dead --set kafka.brokers=['127.0.0.1:1']"
)


@pytest.mark.parametrize(
    ("arguments", "clashes"),
    [
        ("--state cf.toml --config cf.toml", 1),
        ("--state tr.csv --truth tr.csv", 1),
        ("--state list --config cf.toml", 1),
        ("--state soft --config cf.toml --truth a.jsonl --speed 2", 2),
    ],
)
def test_on_topics_the_state_is_no_file_that_is_read(folder, arguments, clashes):
    check_refused(folder, f"{ON_TOPICS} {arguments}", clashes)


@pytest.mark.parametrize(
    ("arguments", "clashes"),
    [
        ("--from kafka:a --to kafka:a --dead-letters kafka:a", 2),
        ("--from kafka:a --to kafka:b --dead-letters kafka:b", 1),
        ("--from kafka:a --from kafka:a --to kafka:b --dead-letters kafka:c", 1),
        ("--from kafka:a --to x --dead-letters y", 2),
        ("--from a.jsonl --to kafka:b --dead-letters kafka:c", 1),
        ("--from kafka:a --to - --dead-letters kafka:c", 1),
    ],
)
def test_topics_that_are_named_twice_or_beside_files_are_refused(folder, arguments, clashes):
    check_refused(folder, f"{arguments} --state fresh", clashes)
    assert not (folder / "fresh").exists()
