"""Every command on a state whose events have hostile ids, texts and file names: none acts on a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from commands import Ended, headrace, simulated

pytestmark = pytest.mark.integration

ACTING = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
BAD = "\x1b[2J\x1b]0;pwned\x07\x9b5m\r\u202egnp\x7f[red]x[/red]\n"
FILE = "e\x1b[2Jvents\u202e.jsonl"


def events() -> list[bytes]:
    lines = simulated(60)
    payment = {
        "type": "payment",
        "event_id": f"p{BAD}",
        "event_time": json.loads(lines[-1])["event_time"],
        "customer_id": f"c{BAD}",
        "merchant_id": f"m{BAD}",
        "amount": 950.0,
        "currency": "EUR",
    }
    other = [
        payment,
        {**payment, "amount": 951.0},  # the same id with other content
        {**payment, "event_id": f"q{BAD}", "currency": "\x1b[2"},
        {**payment, "event_id": f"r{BAD}", "type": f"t{BAD}"},
        {**payment, "event_id": f"s{BAD}", "amount": f"a{BAD}"},
    ]
    dumped = [json.dumps(each, ensure_ascii=False).encode() for each in other]
    return [*lines, *dumped, b"\x1b[2J no json", "\u202e{}\x9b".encode()]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / FILE).write_bytes(b"\n".join(events()) + b"\n")
    return folder


def check(ended: Ended, code: int = 0) -> str:
    said = ended.out.decode("utf-8", "surrogatepass") + ended.said
    assert ended.code == code, said
    assert not ACTING.search(said), said
    return said


def test_no_command_lets_it_through(world: Path) -> None:
    arguments = ("run", "fraud", "--from", FILE, "--to", "d\x1b[1m.jsonl", "--state", "state")
    assert "dead letters" in check(headrace(*arguments, folder=world))
    letters = "d\x1b[1m.dead-letters.jsonl"
    assert r"\u001b" in (world / letters).read_text()
    state = ("--state", "state")
    assert r"\x1b[2J" in check(headrace("explain", f"p{BAD}", *state, folder=world))
    check(headrace("explain", f"p{BAD}", *state, "--json", folder=world))
    assert r"\x1b[2J" in check(headrace("explain", f"none{BAD}", *state, folder=world), 9)
    for which in ((letters,), state):
        listed = check(headrace("dead-letters", "list", *which, folder=world))
        numbers = [json.loads(line)["number"] for line in listed.splitlines()]
        assert len(numbers) == 6
        for number in numbers:
            check(headrace("dead-letters", "show", number, *which, folder=world))
    for command in (
        ("state", "inspect", *state),
        ("state", "inspect", *state, "--json"),
        ("ledger", "verify", *state),
        ("ledger", "verify", *state, "--json"),
        ("ledger", "export", *state, "--to", "t\x1b[1m.jsonl"),
        ("control", "status", *state),
        ("erase", "--customer", f"c{BAD}", *state, "--list"),
        ("replay", *state, "--verify"),
        ("replay", *state, "--set", "policy.block_at=0.5"),
        ("replay", *state, "--set", "policy.review_at=0.0001", "--html", "p\x1b.html"),
        ("state", "backup", *state, "--to", "b\x1b[1m.tar"),
        ("state", "restore", "--from", "b\x1b[1m.tar", "--state", "r\x1b[1m"),
    ):
        check(headrace(*command, folder=world))
    refused = (
        ("run", "fraud", "--from", "no\x1b[1m.jsonl", "--to", "x.jsonl"),
        ("check", "no\x1b[1m.toml"),
        ("state", "inspect", "--state", "no\x1b[1m"),
        ("ledger", "verify", "--state", "no\x1b[1m"),
        ("dead-letters", "list", "no\x1b[1m.jsonl"),
        ("run", "fraud", "--from", FILE, "--to", "x.jsonl", "--set", "policy.x\x1b[1m=1"),
    )
    for command in refused:
        ended = headrace(*command, folder=world)
        assert not ACTING.search(ended.said), command
        assert ended.code != 0, command


def test_a_page_shows_it_and_does_nothing(world: Path, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes((world / FILE).read_bytes())
    check(headrace("run", "fraud", "--from", FILE, "--to", "d.jsonl", "--state", "state", folder=tmp_path))
    check(
        headrace(
            "replay",
            "--state",
            "state",
            "--set",
            "policy.review_at=0.0001",
            "--html",
            "p.html",
            folder=tmp_path,
        )
    )
    page = (tmp_path / "p.html").read_text()
    assert not ACTING.search(page)
