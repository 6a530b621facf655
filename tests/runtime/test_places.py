"""Places that a command may not write to, because it reads them or writes them otherwise."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headrace.errors import ConfigError
from headrace.runtime.places import Place, dead_letters_beside, refuse_clashes


def clashes(reads: list[Place], writes: list[Place], state: Path | None = None) -> list[str]:
    try:
        refuse_clashes(reads, writes, state)
    except ConfigError as error:
        return [f"{invalid.file}: {invalid.message}" for invalid in error.errors]
    return []


@pytest.fixture
def events(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"{}\n")
    return path


def test_different_files_do_not_clash(events, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    assert not clashes([Place("--from", str(events))], [Place("--to", "d"), Place("--x", "e")], state)


def test_a_file_is_known_under_every_name(events, tmp_path):
    os.link(events, "hard")
    os.symlink(events, "soft")
    os.symlink("soft", "softer")
    names = ["events.jsonl", str(events), f"../{tmp_path.name}/events.jsonl", "hard", "soft", "softer"]
    for name in names:
        said = clashes([Place("--from", "events.jsonl", 0)], [Place("--to", name)])
        assert said == [f"--to: {name} is the same file as that of --from events.jsonl"], name


def test_a_file_that_is_not_there_yet_is_known_by_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.symlink("d", "pointing-to-nothing")
    for name in ("d", "./d", str(tmp_path / "d"), "pointing-to-nothing"):
        assert clashes([], [Place("--to", "d"), Place("--dead-letters", name)]), name


def test_every_clash_is_told(events):
    writes = [Place("--to", str(events)), Place("--dead-letters", "events.jsonl")]
    assert len(clashes([Place("--from", str(events)), Place("--truth", str(events))], writes)) == 5


def test_devices_pipes_and_standard_streams_are_left_out(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/null", str(tmp_path / "pipe"), "-"):
        assert not clashes([Place("--from", path, 0)], [Place("--to", path), Place("--dead-letters", path)])


def test_standard_output_to_a_file_that_is_read(events):
    with events.open("ab") as file:
        said = clashes([Place("--from", str(events))], [Place("--to", "-", file.fileno())])
    assert said == [f"--to: - is the same file as that of --from {events}"]


def test_nothing_but_the_state_is_in_its_folder(events, tmp_path):
    state = tmp_path / "state"
    (state / "shard-00").mkdir(parents=True)
    (state / "lock").touch()
    os.symlink("state/shard-00/new", "soft")
    os.link(state / "lock", "hard")
    for name in ("state/lock", "state/other", "state/shard-00/x", "soft", "hard"):
        said = clashes([], [Place("--to", name)], Path("state"))
        assert said == [f"--to: {name} is inside the folder of --state"], name
    assert clashes([], [Place("--to", "state")], state) == ["--to: state is the folder of --state"]


def test_the_state_is_no_input_and_no_output(events):
    assert clashes([Place("--from", "events.jsonl")], [Place("--to", "d")], Path("events.jsonl"))
    assert clashes([], [Place("--to", "new")], Path("new"))


@pytest.mark.parametrize(
    ("to", "dead_letters"),
    [
        ("dec.jsonl", "dec.dead-letters.jsonl"),
        ("a/dec.eu.jsonl", "a/dec.eu.dead-letters.jsonl"),
        ("dec.us.jsonl", "dec.us.dead-letters.jsonl"),
        ("dec", "dec.dead-letters"),
        ("dec.txt", "dec.txt.dead-letters"),
        (".hid", ".hid.dead-letters"),
        (".hid.jsonl", ".hid.dead-letters.jsonl"),
        ("-", "dead-letters.jsonl"),
        ("/dev/null", "dead-letters.jsonl"),
    ],
)
def test_dead_letters_have_a_name_for_each_name_of_decisions(to, dead_letters):
    assert dead_letters_beside(to) == dead_letters
