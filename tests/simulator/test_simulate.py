"""`headrace simulate` into pipes and into the fraud flow."""

from __future__ import annotations

import csv
import json
import os
import select
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

HEADRACE = [sys.executable, "-m", "headrace"]
DAY_S = 86_400
GIVE_UP_S = 600


def started(*arguments: object, **pipes: object) -> subprocess.Popen[bytes]:
    command = [*HEADRACE, *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ | {"COLUMNS": "400"}, **pipes)


def headrace(*arguments: object) -> str:
    process = started(*arguments)
    said = process.communicate(timeout=GIVE_UP_S)[1].decode()
    assert process.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def storm(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("storm")
    files = ("--to", folder / "e.jsonl", "--truth", folder / "t.csv", "--truths", folder / "truths")
    headrace("simulate", "--preset", "storm", *files)
    return folder


def test_a_run_counts_what_the_truth_says_of_the_lines(tmp_path, storm):
    said = headrace("run", "fraud", "--from", storm / "e.jsonl", "--to", tmp_path / "d.jsonl")
    with open(storm / "truths" / "lines.csv", newline="") as file:
        flaws = Counter(row["flaw"] for row in csv.DictReader(file))
    repeats = flaws.pop("repeat")
    del flaws["late"], flaws["clock"]
    flaws["id_conflict"] = flaws.pop("conflict")
    with open(tmp_path / "d.dead-letters.jsonl", "rb") as file:
        letters = Counter(json.loads(line)["reason"] for line in file)
    assert letters == flaws
    assert f"{repeats} duplicates, {flaws.total()} dead letters" in said
    with open(storm / "t.csv", newline="") as file:
        truth = {row["event_id"] for row in csv.DictReader(file)}
    with open(tmp_path / "d.jsonl", "rb") as file:
        decided = [json.loads(line)["event_id"] for line in file]
    assert len(decided) == len(truth)
    assert set(decided) == truth


@pytest.mark.parametrize("options", [(), ("--speed", "1e9"), ("--truth", "t.csv")])
def test_a_reader_that_leaves_ends_it_quietly(tmp_path, options):
    arguments = ("simulate", "--preset", "network-small", "--to", "-", *options)
    process = started(*arguments, stdout=subprocess.PIPE, cwd=tmp_path)
    assert process.stdout.readline().startswith(b'{"type":"item"')
    process.stdout.close()
    said = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(timeout=GIVE_UP_S) == 141
    assert said == ""
    if "--truth" in options:
        assert (tmp_path / "t.csv").read_bytes().endswith(b"\n")


def test_live_play_arrives_as_it_goes_and_is_decided(tmp_path):
    """A day in about a second: the first lines are there long before the last ones are due."""
    begun = time.monotonic()
    options = ("--preset", "storm", "--days", 1, "--speed", DAY_S, "--truth", tmp_path / "t.csv")
    playing = started("simulate", *options, "--to", "-", stdout=subprocess.PIPE)
    # The truth is complete once the first event is there.
    assert select.select([playing.stdout], [], [], GIVE_UP_S)[0]
    arguments = ("--from", "-", "--to", tmp_path / "d.jsonl", "--truth", tmp_path / "t.csv")
    running = started("run", "fraud", *arguments, stdin=playing.stdout)
    playing.stdout.close()
    said = running.communicate(timeout=GIVE_UP_S)[1].decode()
    playing.stderr.close()
    assert (playing.wait(timeout=GIVE_UP_S), running.returncode) == (0, 0), said
    assert time.monotonic() - begun > 0.9  # it can't end before its last event is due
    with open(tmp_path / "t.csv") as file:
        payments = len(file.readlines()) - 1
    assert payments > 50
    with open(tmp_path / "d.jsonl") as file:
        assert len(file.readlines()) == payments


def test_a_line_is_there_before_the_next_one_is_due(tmp_path):
    playing = started("simulate", "--preset", "tiny", "--speed", 1, "--to", "-", stdout=subprocess.PIPE)
    try:
        assert json.loads(playing.stdout.readline())["type"] == "payment"
        assert playing.poll() is None
    finally:
        playing.kill()
        playing.wait()
        playing.stdout.close()
        playing.stderr.close()
