"""`headrace run` from end to end, as a person starts it."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections import Counter
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import orjson
import pytest
from commands import contents, headrace, started_anew

from headrace.operators import simulator

pytestmark = pytest.mark.integration

LINES = 900
NO_USE = b'{"type": "payment", "event_id": "cut off\n'


@pytest.fixture(scope="module")
def world() -> bytes:
    """The first events of a simulated shop, and a line of no use."""
    blocks = b"".join(simulator.event_blocks(simulator.simulate("tiny", 1)))
    lines = blocks.splitlines(keepends=True)[:LINES]
    return b"".join([*lines[:400], NO_USE, *lines[400:]])


@pytest.fixture(scope="module")
def events(tmp_path_factory, world) -> Path:
    path = tmp_path_factory.mktemp("world") / "events.jsonl"
    path.write_bytes(world)
    return path


@pytest.fixture(scope="module")
def decided(tmp_path_factory, events) -> bytes:
    """The decisions on it."""
    to = tmp_path_factory.mktemp("plain") / "decisions.jsonl"
    ended = headrace("run", "fraud", "--from", events, "--to", to)
    assert ended.code == 0, ended.said
    return to.read_bytes()


def ids(decisions: bytes) -> list[str]:
    return [orjson.loads(line)["event_id"] for line in decisions.splitlines()]


def payments(lines: bytes) -> list[str]:
    return [
        event["event_id"]
        for event in map(orjson.loads, lines.replace(NO_USE, b"").splitlines())
        if event["type"] == "payment"
    ]


def test_each_payment_is_decided_once_in_order(world, decided):
    assert ids(decided) == payments(world)
    first = orjson.loads(decided.splitlines()[0])
    assert first["decision_id"] == "fraud:" + first["event_id"]
    assert first["action"] in ("approve", "review", "block")


def test_what_is_no_use_goes_beside_the_decisions_or_where_it_is_told(tmp_path, events, decided):
    plain, told = tmp_path / "decisions.jsonl", tmp_path / "elsewhere.jsonl"
    assert headrace("run", "fraud", "--from", events, "--to", plain).code == 0
    beside = (tmp_path / "decisions.dead-letters.jsonl").read_bytes()
    ended = headrace("run", "fraud", "--from", events, "--to", plain, "--dead-letters", told)
    assert ended.code == 0
    (letter,) = map(orjson.loads, told.read_bytes().splitlines())
    assert (letter["reason"], letter["line"], letter["source"]) == ("invalid_json", 401, str(events))
    assert told.read_bytes() == beside
    assert plain.read_bytes() == decided
    assert "1 dead letter" in ended.said


@pytest.mark.parametrize("name", ["events.jsonl.gz", "events"])
def test_a_gzip_is_told_by_its_content(tmp_path, world, decided, name):
    (tmp_path / name).write_bytes(gzip.compress(world))
    to = tmp_path / "decisions.jsonl"
    assert headrace("run", "fraud", "--from", tmp_path / name, "--to", to).code == 0
    assert to.read_bytes() == decided


def test_standard_input_to_standard_output(tmp_path, world, decided):
    dead = tmp_path / "dead.jsonl"
    for given in (world, gzip.compress(world)):
        ended = started_anew("run", "fraud", "--from", "-", "--to", "-", "--dead-letters", dead, given=given)
        assert ended.code == 0, ended.said
        assert ended.out == decided
    assert orjson.loads(dead.read_bytes())["source"] == "-"


def test_two_files_are_merged_by_event_time(tmp_path, world, decided):
    lines = world.replace(NO_USE, b"").splitlines(keepends=True)
    halves = [tmp_path / "even.jsonl", tmp_path / "odd.jsonl.gz"]
    # Lines of one time stay in one file: of equal times the file named first goes first.
    together = [b"".join(same) for _, same in groupby(lines, lambda line: orjson.loads(line)["event_time"])]
    halves[0].write_bytes(b"".join(together[::2]))
    halves[1].write_bytes(gzip.compress(b"".join(together[1::2])))
    to = tmp_path / "decisions.jsonl"
    ended = headrace("run", "fraud", "--from", halves[0], "--from", halves[1], "--to", to)
    assert ended.code == 0, ended.said
    assert to.read_bytes() == decided


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_before_the_cut_of_a_gzip_everything_is_decided(tmp_path, world, decided, share):
    whole = gzip.compress(world, mtime=0)
    cut = whole[: int(len(whole) * share)]
    path, to = tmp_path / "cut.jsonl.gz", tmp_path / "decisions.jsonl"
    path.write_bytes(cut)
    ended = headrace("run", "fraud", "--from", path, "--to", to)
    assert ended.code == 4, ended.said
    assert f"{path}: byte {len(cut)}" in ended.said
    found = to.read_bytes()
    assert decided.startswith(found)
    readable = zlib.decompressobj(31).decompress(cut)
    assert ids(found) == payments(readable[: readable.rindex(b"\n") + 1])


def test_a_damaged_gzip_ends_where_the_damage_is(tmp_path, world, decided):
    damaged = bytearray(gzip.compress(world, mtime=0))
    damaged[-6] ^= 1  # in the checksum: all lines are read before it is
    path, to = tmp_path / "damaged.jsonl.gz", tmp_path / "decisions.jsonl"
    path.write_bytes(damaged)
    ended = headrace("run", "fraud", "--from", path, "--to", to)
    assert ended.code == 4, ended.said
    assert f"{path}: byte " in ended.said
    assert to.read_bytes() == decided


def test_hash_seeds_change_no_byte(tmp_path, events, decided):
    written = []
    for seed in (1, 4_000_000_000):
        to = tmp_path / f"{seed}.jsonl"
        ended = started_anew(
            "run", "fraud", "--from", events, "--to", to, "--set", "flow.shards=4", hash_seed=seed
        )
        assert ended.code == 0, ended.said
        written.append((to.read_bytes(), (tmp_path / f"{seed}.dead-letters.jsonl").read_bytes()))
    assert written[0] == written[1]
    # Four shards decide on the same payments in the same order; they learn each for itself.
    assert ids(written[0][0]) == ids(decided)
    to = tmp_path / "one.jsonl"
    assert started_anew("run", "fraud", "--from", events, "--to", to, hash_seed=7).code == 0
    assert to.read_bytes() == decided


def test_without_learning_the_model_stays_as_it_was(tmp_path, events, decided):
    to = tmp_path / "decisions.jsonl"
    assert headrace("run", "fraud", "--from", events, "--to", to, "--no-learn").code == 0
    scores = [orjson.loads(line)["score"] for line in to.read_bytes().splitlines()]
    assert scores == [pytest.approx(0.01)] * len(scores)
    assert len({orjson.loads(line)["score"] for line in decided.splitlines()}) > 10


def test_a_temporary_run_begins_its_outputs_anew(tmp_path, events, decided):
    to = tmp_path / "decisions.jsonl"
    to.write_bytes(b"from before\n")
    assert headrace("run", "fraud", "--from", events, "--to", to).code == 0
    assert to.read_bytes() == decided


@pytest.mark.parametrize("with_state", [False, True])
def test_a_missing_input_is_named_and_costs_no_output(tmp_path, with_state):
    to, missing = tmp_path / "decisions.jsonl", tmp_path / "missing.jsonl"
    to.write_bytes(b"" if with_state else b"from before\n")
    state = ["--state", tmp_path / "state"] if with_state else []
    ended = headrace("run", "fraud", "--from", missing, "--to", to, *state)
    assert ended.code == 3, ended.said
    assert str(missing) in ended.said
    assert "Traceback" not in ended.said
    assert to.read_bytes() == (b"" if with_state else b"from before\n")


def test_other_mistakes_have_their_exit_codes(tmp_path, events):
    to = tmp_path / "decisions.jsonl"
    run = ("run", "fraud", "--from", events, "--to")
    nowhere = headrace(*run, tmp_path / "no" / "folder.jsonl")
    assert (nowhere.code, "no/folder.jsonl" in nowhere.said) == (1, True)
    wrong = headrace(*run, to, "--set", "policy.block_at=2", "--set", "flow.shard=3")
    assert wrong.code == 2
    assert "policy.block_at" in wrong.said
    assert "flow.shard" in wrong.said
    assert headrace(*run, to, "--config", tmp_path / "missing.toml").code == 2
    assert headrace("run", "fraud", "--to", to).code == 2
    assert not to.exists()


def test_a_speed_lets_event_time_pass_so_much_faster(tmp_path):
    lines = [
        {
            "type": "payment",
            "event_id": f"p{number}",
            "event_time": 1_700_000_000_000 + number * 60_000,
            "customer_id": "c",
            "merchant_id": "m",
            "amount": 1.0,
            "currency": "EUR",
        }
        for number in range(11)
    ]
    path, to = tmp_path / "events.jsonl", tmp_path / "decisions.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ended = headrace("run", "fraud", "--from", path, "--to", to, "--speed", "1200")
    assert ended.code == 0, ended.said
    assert len(ids(to.read_bytes())) == 11
    seconds = float(ended.said.split("events in ")[1].split(" s")[0])
    assert seconds >= 0.4  # ten minutes at 1,200 times their speed take half a second


def test_a_journal_that_can_not_be_written_ends_the_run_with_a_plain_error(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    line = (
        '{"type":"payment","event_id":"p-%d","event_time":%d,"customer_id":"c","merchant_id":"m",'
        '"amount":5.0,"currency":"EUR"}\n'
    )
    events.write_text("".join(line % (number, 1_600_000_000_000 + number) for number in range(3000)))
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000));"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from headrace.cli.app import main; sys.exit(main())"
    )
    command = [
        "run",
        "fraud",
        "--from",
        str(events),
        "--to",
        str(tmp_path / "d.jsonl"),
        "--state",
        str(tmp_path / "s"),
    ]
    ended = subprocess.run(
        [sys.executable, "-c", script, *command], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 14
    _, said = ended.stderr.splitlines()
    segment = tmp_path / "s" / "shard-00" / "journal-00000001.seg"
    assert said.startswith("error: the system refused")
    assert str(segment) in said
    # What was journalled before is complete, and the run goes on behind it.
    ended = headrace(*command)
    assert ended.code == 0, ended.said
    assert ids((tmp_path / "d.jsonl").read_bytes()) == [f"p-{number}" for number in range(3000)]


@pytest.mark.parametrize("options", [(), ("--state", "s")])
def test_a_reader_that_leaves_ends_the_run_quietly(
    tmp_path: Path, events: Path, options: tuple[str, ...]
) -> None:
    command = [sys.executable, "-m", "headrace", "run", "fraud", "--from", events, "--to", "-", *options]
    reads, writes = os.pipe()
    os.close(reads)
    ended = subprocess.run(
        command, cwd=tmp_path, stdout=writes, stderr=subprocess.PIPE, check=False, timeout=600
    )
    os.close(writes)
    assert ended.returncode == 141
    assert ended.stderr.decode().splitlines() == [f"fraud: {events} to standard output"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_told_to_stop_says_that_it_did(tmp_path: Path, number: signal.Signals) -> None:
    line = (
        '{"type":"payment","event_id":"p-%d","event_time":%d,"customer_id":"c","merchant_id":"m",'
        '"amount":5.0,"currency":"EUR"}\n'
    )
    command = [sys.executable, "-m", "headrace", "run", "fraud", "--from", "-", "--to", str(tmp_path / "d")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        child.stdin.write((line % (1, 1_600_000_000_000)).encode())
        child.stdin.flush()
        while not (tmp_path / "d").exists() or not (tmp_path / "d").stat().st_size:
            assert child.poll() is None
            time.sleep(0.01)
        child.send_signal(number)
        said = child.stderr.read()  # its standard input stays open
    assert child.returncode == 0
    assert said.decode().splitlines()[-1] == "stopped early, as asked: what was read is decided"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "moment",
    ["config.loading.load_from", "runtime.file_run.on_topics", "journal.reader.JournalReader.frames"],
)
def test_a_run_that_is_told_to_stop_before_it_decides_ends_at_once(
    tmp_path: Path, events: Path, moment: str, number: signal.Signals
) -> None:
    """D-DRAIN-3."""
    to_state = ("--from", str(events), "--to", str(tmp_path / "d"), "--state", str(tmp_path / "s"))
    assert headrace("run", "fraud", *to_state).code == 0
    before = contents(tmp_path / "s")

    def signalled(*_arguments: object, **_options: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(600)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"headrace.{moment}", signalled)
        ended = headrace("run", "fraud", *to_state)
    assert (ended.code, ended.said) == (0, "stopped, as asked\n")
    assert contents(tmp_path / "s") == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_on_topics_that_is_told_to_stop_before_it_decides_ends_at_once(
    tmp_path: Path, processes: int, number: signal.Signals
) -> None:
    """D-DRAIN-3."""

    def signalled(*_arguments: object, **_options: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(600)

    topics = ("--from", "kafka:a", "--to", "kafka:b", "--dead-letters", "kafka:c", "--processes", processes)
    settings = ("--set", "kafka.brokers=['127.0.0.1:1']", "--set", "flow.shards=2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("headrace.runtime.launcher.check_topics", signalled)
        ended = headrace("run", "fraud", *topics, *settings, "--state", tmp_path / "s")
    assert (ended.code, ended.said.splitlines()[-1]) == (0, "stopped, as asked")


def reviews_unused(tmp_path: Path, lines: list[bytes], *overrides: str) -> str:
    """The line that tells the reviews left after a run with a capacity of 20."""
    events, to = tmp_path / "events.jsonl", tmp_path / "decisions.jsonl"
    events.write_bytes(b"".join(line + b"\n" for line in lines))
    capacity = ("policy.capacity.reviews_per_day_max=20", "policy.capacity.otherwise=approve", *overrides)
    settings = [word for each in capacity for word in ("--set", each)]
    ended = headrace("run", "fraud", "--from", events, "--to", to, *settings)
    assert ended.code == 0, ended.said
    return next(line for line in ended.said.splitlines() if line.startswith("reviews unused"))


def dated(number: int, time: str) -> bytes:
    fields = {"event_id": f"p{number}", "event_time": time, "customer_id": f"c{number}"}
    return orjson.dumps({"type": "payment", "merchant_id": "m", "amount": 10.0, "currency": "EUR", **fields})


def test_reviews_left_are_told_of_days_that_had_decisions_only(tmp_path: Path) -> None:
    days = [dated(number, f"2024-03-0{1 + number // 4}T0{number % 4}:00:00Z") for number in range(12)]
    lines = [dated(90, "2031-01-01T00:00:00Z"), *days, dated(91, "2019-01-01T00:00:00Z")]
    assert reviews_unused(tmp_path, lines) == (
        "reviews unused: 80 on 4 days of 20 each; 2019-01-01 20, 2024-03-01 20, 2024-03-02 20, 2024-03-03 20"
    )


def test_in_shadow_mode_no_real_review_is_used(tmp_path: Path) -> None:
    lines = [dated(number, f"2024-03-01T0{number}:00:00Z") for number in range(6)]
    found = reviews_unused(tmp_path, lines, "policy.shadow=true", "policy.review_at=0.0001")
    assert found == "reviews unused: 20 on 1 days of 20 each; 2024-03-01 20"


def test_reviews_left_are_told_at_the_end(tmp_path: Path) -> None:
    events, to = tmp_path / "events.jsonl", tmp_path / "decisions.jsonl"
    simulator.write(simulator.simulate("tiny", 1), events)
    settings = ("policy.review_at=0.005", "policy.block_at=0.9", "policy.capacity.reviews_per_day_max=20")
    overrides = [
        word for each in (*settings, "policy.capacity.otherwise=approve") for word in ("--set", each)
    ]
    ended = headrace("run", "fraud", "--from", events, "--to", to, *overrides)
    assert ended.code == 0
    told = next(line for line in ended.said.splitlines() if line.startswith("reviews unused"))
    reviews = Counter(
        datetime.fromtimestamp(decision["event_time"] / 1000, UTC).date().isoformat()
        for decision in map(orjson.loads, to.read_bytes().splitlines())
        if decision["action"] == "review"
    )
    assert max(reviews.values()) == 20
    left = dict(part.rsplit(" ", 1) for part in told.split("; ")[1].split(", "))
    assert len(left) == 7
    assert {day: 20 - reviews[day] for day in left} == {day: int(count) for day, count in left.items()}
