"""Files that aren't in time order, read in it: after a stop, with more in them, under another name."""

from __future__ import annotations

import os
from functools import partial
from itertools import count
from pathlib import Path

import orjson
import pytest
from commands import ended, fork, headrace, run_main, simulated, warm

from headrace.shard.durable import DurableShard

pytestmark = pytest.mark.recovery

LINES = simulated(600)
# As an export of a shop's database has them: by customer.
BY_CUSTOMER = sorted(LINES, key=lambda line: str(orjson.loads(line).get("customer_id")))
LATER = BY_CUSTOMER[0].replace(b'"event_id":"', b'"event_id":"x')
KILLED = 9
SHARDS = ("--set", "flow.shards=3", "--set", "input.batch_lines_max=16")


def in_order(lines: list[bytes]) -> list[bytes]:
    return sorted(lines, key=lambda line: orjson.loads(line)["event_time"])


def write(path: Path, lines: list[bytes]) -> Path:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def run(folder: Path, *arguments: object, code: int = 0) -> str:
    done = headrace("run", "fraud", *arguments, *SHARDS, folder=folder)
    assert done.code == code, done.said
    return done.said


@pytest.fixture
def expected(tmp_path) -> bytes:
    """Decisions on the lines in their order."""
    run(tmp_path, "--from", write(tmp_path / "order.jsonl", in_order(BY_CUSTOMER)), "--to", "order")
    return (tmp_path / "order").read_bytes()


def test_a_file_by_customer_is_decided_as_if_it_were_in_order(tmp_path, expected):
    write(tmp_path / "e.jsonl", [*BY_CUSTOMER[:5], b"no event", *BY_CUSTOMER[5:]])
    said = run(tmp_path, "--from", "e.jsonl", "--to", "as-it-is")
    assert "came behind later ones, by up to" in said
    assert "--sort reads files in the order of event time" in said
    assert (tmp_path / "as-it-is").read_bytes() != expected
    for to, *more in (("a",), ("b", "--state", "st"), ("sorted", "--set", "input.sort_bytes_max=65536")):
        said = run(tmp_path, "--from", "e.jsonl", "--to", to, "--sort", *more)
        assert "lines were out of order" in said
        assert "came behind" not in said
        assert (tmp_path / to).read_bytes() == expected
    assert not (tmp_path / "st" / "sorted").exists()
    letter = orjson.loads((tmp_path / "sorted.dead-letters").read_bytes())
    assert (letter["line"], letter["source"].rpartition("/")[2]) == (6, "e.jsonl")
    assert (tmp_path / "e.jsonl").read_bytes()[letter["offset"] :].startswith(b"no event\n")


def test_several_files_come_in_the_order_of_time_all_together(tmp_path, expected):
    write(tmp_path / "a.jsonl", BY_CUSTOMER[::2])
    write(tmp_path / "b.jsonl", BY_CUSTOMER[1::2])
    run(tmp_path, "--from", "a.jsonl", "--from", "b.jsonl", "--to", "both", "--sort")
    ids = [orjson.loads(line)["event_id"] for line in (tmp_path / "both").read_bytes().splitlines()]
    assert sorted(ids) == sorted(orjson.loads(line)["event_id"] for line in expected.splitlines())


@pytest.mark.parametrize("grows", [False, True])
def test_a_kill_in_the_middle_makes_no_difference(tmp_path, expected, monkeypatch, grows):
    monkeypatch.chdir(tmp_path)
    file = write(tmp_path / "e.jsonl", BY_CUSTOMER)
    options = ("--from", "e.jsonl", "--to", "d", "--state", "st", "--sort")
    killed = ["run", "fraud", *options, *SHARDS]
    warm()
    # In the middle of a batch, so that the shards have come to different places.
    assert ended(fork(lambda: run_main(killed, tmp_path / "said", partial(end_after, 31)))) == KILLED
    assert list((tmp_path / "st" / "sorted").iterdir())
    if grows:
        with file.open("ab") as more:
            more.write(LATER + b"\n")
    said = run(tmp_path, *options)
    assert "went on at input" in said
    assert "what was sorted before is read to its end" in said
    assert (tmp_path / "d").read_bytes() == expected
    run(tmp_path, *options)
    assert len((tmp_path / "d").read_bytes()) > len(expected) if grows else True
    assert (tmp_path / "d").read_bytes().startswith(expected)
    file.write_bytes(b"{}\n" + file.read_bytes())
    run(tmp_path, *options, code=5)


def end_after(parts: int) -> None:
    """Let this process end when so many parts of batches were applied."""
    process, done = DurableShard.process, count()

    def ending(shard, *given):
        if next(done) == parts:
            os._exit(KILLED)
        return process(shard, *given)

    DurableShard.process = ending


def test_what_a_file_gets_later_is_sorted_by_itself(tmp_path):
    first, later = BY_CUSTOMER[:300], BY_CUSTOMER[300:]
    file = write(tmp_path / "e.jsonl", first)
    options = ("--from", "e.jsonl", "--to", "d", "--state", "st", "--sort")
    run(tmp_path, *options)
    with file.open("ab") as more:
        more.write(b"".join(line + b"\n" for line in later) + later[0][:20])
    said = run(tmp_path, *options)
    assert "its last line has no newline yet" in said
    run(tmp_path, *options)
    parts = write(tmp_path / "parts.jsonl", in_order(first) + in_order(later))
    run(tmp_path, "--from", parts, "--to", "parts")
    assert (tmp_path / "d").read_bytes() == (tmp_path / "parts").read_bytes()


def test_a_file_that_was_begun_as_it_is_goes_on_sorted(tmp_path):
    file = write(tmp_path / "e.jsonl", BY_CUSTOMER[:200])
    options = ("--from", "e.jsonl", "--to", "d", "--state", "st")
    run(tmp_path, *options)
    with file.open("ab") as more:
        more.write(b"".join(line + b"\n" for line in BY_CUSTOMER[200:]))
    run(tmp_path, *options, "--sort")
    parts = write(tmp_path / "parts.jsonl", BY_CUSTOMER[:200] + in_order(BY_CUSTOMER[200:]))
    run(tmp_path, "--from", parts, "--to", "parts")
    assert (tmp_path / "d").read_bytes() == (tmp_path / "parts").read_bytes()
    assert "the state has read it with --sort" in run(tmp_path, *options, code=7)


def test_a_file_that_changed_or_was_moved(tmp_path):
    file = write(tmp_path / "e.jsonl", BY_CUSTOMER)
    run(tmp_path, "--from", "e.jsonl", "--to", "d", "--state", "st", "--sort")
    decided = (tmp_path / "d").read_bytes()
    moved = ("--from", "moved.jsonl", "--to", "d", "--state", "st", "--sort")
    file.rename(tmp_path / "moved.jsonl")
    assert "--moved follow" in run(tmp_path, *moved, code=5)
    run(tmp_path, *moved, "--moved", "follow")
    run(tmp_path, *moved)
    assert (tmp_path / "d").read_bytes() == decided
    write(tmp_path / "moved.jsonl", BY_CUSTOMER[1:])
    assert "moved.jsonl" in run(tmp_path, *moved, code=5)


def test_a_pipe_is_sorted_only_without_a_state(tmp_path):
    assert "a pipe can't be sorted with --state" in run(
        tmp_path, "--from", "-", "--to", "d", "--state", "st", "--sort", code=3
    )
    run(tmp_path, "--from", "-", "--to", "d", "--sort")


def test_an_input_is_passed_over_by_its_place_in_the_file(tmp_path):
    file = write(tmp_path / "e.jsonl", BY_CUSTOMER)
    payment = next(line for line in BY_CUSTOMER if b'"payment"' in line)
    at = file.read_bytes().index(payment)
    run(tmp_path, "--from", "e.jsonl", "--to", "d", "--sort", "--skip", f"e.jsonl:{at}")
    assert orjson.loads(payment)["event_id"].encode() not in (tmp_path / "d").read_bytes()
    said = run(tmp_path, "--from", "e.jsonl", "--to", "d", "--sort", "--skip", f"e.jsonl:{at + 1}")
    assert "no such input came" in said
