"""Deep nesting stops nothing: no run, no way back for a dead letter, nothing that reads a state."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Ended, headrace

pytestmark = pytest.mark.integration

START_MS = 1_700_000_000_000
KINDS = {
    "payment": {"customer_id": "c1", "merchant_id": "m", "amount": 1, "currency": "EUR"},
    "outcome": {"about": "p1", "label": 1, "customer_id": "c1"},
    "click": {"session_id": "s", "item_id": "i", "customer_id": "c1"},
    "cart": {"session_id": "s", "item_id": "i", "customer_id": "c1"},
    "order": {"order_id": "o", "customer_id": "c1", "items": []},
    "item": {"item_id": "i"},
}


def event(kind: str, number: int, depth: int = 0, opening: str = "[", closing: str = "]") -> bytes:
    fields = {"type": kind, "event_id": f"{kind[0]}{number}", "event_time": START_MS + number * 1000}
    nested = f',"x":{opening * depth}1{closing * depth}' if depth else ""
    return json.dumps(fields | KINDS[kind]).encode()[:-1] + nested.encode() + b"}"


def run(folder: Path, flow: str) -> Ended:
    given = ("--from", folder / "in.jsonl", "--to", folder / "out.jsonl", "--state", folder / "state")
    ended = headrace("run", flow, *given)
    assert ended.code == 0, ended.said
    return ended


def reasons(folder: Path) -> list[str]:
    listed = headrace("dead-letters", "list", "--state", folder / "state")
    assert listed.code == 0, listed.said
    return [json.loads(line)["reason"] for line in listed.text.splitlines()]


@pytest.mark.parametrize(("flow", "asks"), [("fraud", "payment"), ("recommend", "click")])
def test_it_is_a_dead_letter_of_any_type_and_of_any_way_in(tmp_path, flow, asks):
    lines = [event(asks, number) for number in range(20)]
    for kind in KINDS:
        lines += [event(kind, 100, 1500), event(kind, 101, 1500, '{"a":', "}"), event(asks, 200 + len(lines))]
    lines += [event(asks, 300, 240), event(asks, 301, 450), b"[" * 60_000]
    (tmp_path / "in.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    run(tmp_path, flow)
    decided = (tmp_path / "out.jsonl").read_bytes().splitlines()
    assert len(decided) == 20 + len(KINDS) + 2
    assert reasons(tmp_path) == ["nested_too_deep"] * (2 * len(KINDS) + 1)
    state = ("--state", tmp_path / "state")

    # What looks into stored bytes.
    assert headrace("dead-letters", "show", 20, *state).code == 0
    assert headrace("erase", "--list", "--customer", "nobody", *state).code == 0
    ids = [json.loads(line)["decision_id"] for line in decided]
    for each in (ids[0], ids[-2], ids[-1]):
        for options in ((), ("--json",)):
            told = headrace("explain", each, *state, *options)
            assert told.code == 0, told.said
    assert headrace("ledger", "export", *state, "--to", tmp_path / "export.jsonl").code == 0

    # The way back: the same bytes, and others of the same kind, for a flow that isn't running.
    def retry(*options: object) -> None:
        assert headrace("dead-letters", "retry", *state, *options).code == 0

    mended = tmp_path / "mended.json"
    mended.write_bytes(event(asks, 400, 3000))
    retry("--number", 20, "--payload", mended)
    retry("--number", 21)
    for _ in range(2):
        run(tmp_path, flow)
    assert reasons(tmp_path).count("nested_too_deep") == 2 * len(KINDS) + 1
    assert headrace("replay", *state, "--verify").code == 0
    mended.write_bytes(event(asks, 400))
    last = json.loads(headrace("dead-letters", "list", *state).text.splitlines()[-1])
    retry("--number", last["number"], "--payload", mended)
    run(tmp_path, flow)
    assert json.loads((tmp_path / "out.jsonl").read_bytes().splitlines()[-1])["retried"]
    assert not list((tmp_path / "state" / "control").glob("refused/*"))


def test_a_command_that_is_nested_too_deep_is_refused(tmp_path):
    (tmp_path / "in.jsonl").write_bytes(event("payment", 1) + b"\n")
    run(tmp_path, "fraud")
    control = tmp_path / "state" / "control"
    control.mkdir(exist_ok=True)
    command = b'{"type":"control","command":"kill_switch","on":' + b"[" * 5000 + b"}\n"
    (control / "000000000001.jsonl").write_bytes(command)
    said = run(tmp_path, "fraud").said
    assert "no command" in said
    assert [path.name for path in (control / "refused").iterdir()] == ["000000000001.jsonl"]


@pytest.mark.parametrize("flow", ["fraud", "recommend"])
@pytest.mark.parametrize("time", ["99999999999999999999", "-99999999999999999999", "18446744073709551616"])
def test_numbers_beyond_64_bits_are_dead_letters(tmp_path, flow, time):
    lines = [
        event("item", 1)[:-1] + f',"published_at":{time}}}'.encode(),
        event("item", 2).replace(str(START_MS + 2000).encode(), time.encode()),
        event("cart", 3)[:-1] + f',"quantity":{time}}}'.encode(),
        event("payment", 4),
        event("click", 5),
    ]
    (tmp_path / "in.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    run(tmp_path, flow)
    assert reasons(tmp_path) == ["invalid_field", "event_time_out_of_range", "invalid_field"]
    assert len((tmp_path / "out.jsonl").read_bytes().splitlines()) == 1
