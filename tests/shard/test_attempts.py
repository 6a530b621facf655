"""Which input a run was at when it died, told by its state."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headrace.errors import ConfigError, InputFailed
from headrace.journal.batches import Batch
from headrace.journal.records import CONTROL_SOURCE
from headrace.runtime.skips import Skip, notes_of_skips, numbered, refuse_where_runs_died, skips_of
from headrace.shard import attempts
from headrace.shard.attempts import Attempt, died_twice_at


def dies(state: Path, *places: str) -> Attempt:
    """A run that dies at the last of some inputs, if it notes what it is at."""
    attempt = Attempt(state)
    if attempt.careful:
        attempt.takes_care(0)
        for place in places:
            attempt.at(place)
    return attempt


def test_a_run_that_ends_well_writes_that_it_begins_and_ends_and_nothing_more(tmp_path):
    for _ in range(2):
        attempt = Attempt(tmp_path)
        assert not attempt.careful
        attempt.end()
    assert attempt.failures == 0
    assert json.loads((tmp_path / "attempts" / "00.json").read_bytes())["open"] is False


def test_the_third_death_at_one_input_is_the_second_that_is_known_of(tmp_path):
    assert not dies(tmp_path).careful
    assert died_twice_at(tmp_path) is None
    assert dies(tmp_path, "a:1", "a:2").died_at is None
    assert died_twice_at(tmp_path) is None
    assert dies(tmp_path, "a:1", "a:2").died_at == "a:2"
    assert died_twice_at(tmp_path) == "a:2"
    assert died_twice_at(tmp_path) is None  # it is told once, and tried again
    assert dies(tmp_path, "a:2").careful
    assert died_twice_at(tmp_path) is None
    assert dies(tmp_path, "a:2").failures == 3
    assert died_twice_at(tmp_path) == "a:2"


def test_deaths_at_different_inputs_are_nobody_s_fault(tmp_path):
    dies(tmp_path)
    for place in ("a:1", "a:2", "a:3", "a:2"):
        dies(tmp_path, place)
        assert died_twice_at(tmp_path) is None


def test_one_that_got_past_it_is_no_longer_careful(tmp_path):
    dies(tmp_path)
    attempt = dies(tmp_path, "a:1")
    attempt.takes_care(1)
    attempt.got_on(0, done=True)
    assert attempt.careful
    attempt.got_on(1, done=True)
    assert not attempt.careful
    assert dies(tmp_path, "a:1").died_at is None
    assert died_twice_at(tmp_path) is None


def test_one_that_ends_before_it_has_got_anywhere_changes_nothing(tmp_path):
    dies(tmp_path)
    dies(tmp_path, "a:1")
    for _ in range(3):  # no broker, say
        attempt = Attempt(tmp_path)
        attempt.takes_care(0)
        assert attempt.died_at == "a:1"
        attempt.end()
    dies(tmp_path, "a:1")
    assert died_twice_at(tmp_path) == "a:1"


def test_an_end_that_is_known_of_is_no_death(tmp_path):
    dies(tmp_path)
    attempt = dies(tmp_path, "a:1")
    attempt.got_on(0, done=False)
    attempt.at("a:2")
    attempt.failed("a:2")
    attempt.end()
    attempt = Attempt(tmp_path)
    assert (attempt.careful, attempt.died_at, attempt.failures) == (True, None, 1)


@pytest.mark.parametrize("torn", [b"", b'{"open":true,"at":"a', b"[1]", b'{"open":false}\nat":null}'])
def test_a_file_that_was_being_written_is_of_a_run_that_died(tmp_path, torn):
    Attempt(tmp_path).end()
    (tmp_path / "attempts" / "00.json").write_bytes(torn)
    assert Attempt(tmp_path).careful


def test_lines_are_decoded_one_by_one_and_named(tmp_path):
    dies(tmp_path)
    attempt = Attempt(tmp_path)
    attempt.names = {3: "/in"}
    seen = []

    def decoder(payloads, flags):
        seen.append((*payloads, json.loads((tmp_path / "attempts" / "00.json").read_bytes())["at"]))
        return [payload.upper() for payload in payloads]

    batch = Batch(0, 0, 0, [b"a", b"b"], [3, 4], [10, 20], [1, 2], ())
    assert attempt.decoded(batch, decoder) == [b"A", b"B"]
    assert seen == [(b"a", "/in:10"), (b"b", "4:20")]
    assert json.loads((tmp_path / "attempts" / "00.json").read_bytes())["at"] is None


class TestSkips:
    def test_files_are_named_by_any_path_and_topics_by_topic_and_partition(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        [skip] = skips_of(["a:b.jsonl:17"], topics=False)
        assert skip == Skip("a:b.jsonl:17", str(tmp_path / "a:b.jsonl"), 17)
        assert skip.is_at(f"{tmp_path}/a:b.jsonl:17")
        [skip] = skips_of(["file:///caf%E9.jsonl:3"], topics=False)  # as errors name a path that isn't UTF-8
        assert skip.is_at("file:///caf%E9.jsonl:3")
        assert [each[1:] for each in skips_of(["t.x/3:9", "kafka:t/0:1", "control:4"], topics=True)] == [
            ("kafka:t.x/3", 9),
            ("kafka:t/0", 1),
            ("control", 4),
        ]
        assert skips_of(["-:0"], topics=False)[0].name == "-"

    @pytest.mark.parametrize("topics", [True, False])
    def test_all_that_is_wrong_is_said_at_once(self, topics):
        with pytest.raises(ConfigError) as caught:
            skips_of(["a", "a:", ":1", "a:-1", "a:x", "a:\u0663"], topics=topics)
        assert len(caught.value.errors) == 6
        with pytest.raises(ConfigError, match="TOPIC/PARTITION:OFFSET"):
            skips_of(["events:5"], topics=True)

    def test_shards_are_told_numbers_and_what_was_not_met_is_said(self):
        skips = (Skip("a:1", "/a", 1), Skip("b:2", "/b", 2), Skip("control:3", "control", 3))
        assert numbered(skips, {7: "/a"}) == {(7, 1): 0, (CONTROL_SOURCE, 3): 0}
        [note, other] = notes_of_skips(skips, {"/a:1": 2, "control:3": 0})
        assert note.startswith("--skip b:2: ")
        assert other.startswith("--skip control:3: ")

    def test_a_start_is_refused_unless_that_input_is_passed_over(self, tmp_path):
        dies(tmp_path)
        dies(tmp_path, "/a:1")
        dies(tmp_path, "/a:1")
        with pytest.raises(InputFailed, match=r"^/a:1: .*--skip /a:1 ") as caught:
            refuse_where_runs_died(tmp_path, ())
        assert caught.value.exit_code == 17
        refuse_where_runs_died(tmp_path, ())
        dies(tmp_path, "/a:1")
        dies(tmp_path, "/a:1")
        refuse_where_runs_died(tmp_path, (Skip("a:1", "/a", 1),))


def test_after_a_failure_that_was_told_the_next_run_gets_as_far_as_there(tmp_path):
    Attempt(tmp_path).failed("a:5")
    attempt = Attempt(tmp_path)
    assert (attempt.careful, attempt.died_at) == (True, None)
    attempt.end()


def test_care_ends_though_a_shard_gets_no_input(tmp_path, monkeypatch):
    monkeypatch.setattr(attempts, "_CAREFUL_INPUTS_MAX", 5)
    dies(tmp_path)
    attempt = Attempt(tmp_path)
    attempt.takes_care(0)
    attempt.takes_care(1)
    batch = Batch(0, 0, 0, [b"a"] * 3, [3] * 3, [10] * 3, [1] * 3, ())
    for careful in (True, False):
        attempt.decoded(batch, lambda payloads, _flags: list(payloads))
        attempt.got_on(0, done=False)
        assert attempt.careful is careful
