"""What is a customer's: which inputs, ids, and keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ledgers import Journal, erase, note

from headrace.config.events import EventSettings
from headrace.erasure.search import Found, Lines, find_customer
from headrace.journal.records import COMMAND, CONTROL_SOURCE, NO_SOURCE, Kind, Record
from headrace.operators.events.declared import contract_of
from headrace.shard.commands import KillSwitch, ReloadList, decode_command, encode_command
from headrace.shard.kinds import Personal

PAYMENT = {"type": "payment", "merchant_id": "m", "amount": 1.0, "currency": "EUR"}

PERSONAL = Personal(keys=("session_id", "device_id", "ip"), about=("payment",))


def record(kind: Kind, line: dict[str, Any] | bytes, **fields: Any) -> Record:
    payload = line if isinstance(line, bytes) else json.dumps(line).encode()
    return Record(kind, 0, 0, 0, 0, 0, payload, b"", b"")._replace(**fields)


def paid(event_id: str, customer_id: str, **more: Any) -> Record:
    return record(Kind.DECIDED, {**PAYMENT, "event_id": event_id, "customer_id": customer_id, **more})


def outcome(event_id: str, about: str, **more: Any) -> Record:
    return record(Kind.APPLIED, {"type": "outcome", "event_id": event_id, "about": about, "label": 1, **more})


def click(event_id: str, session_id: str, **more: Any) -> Record:
    return record(
        Kind.APPLIED,
        {"type": "click", "event_id": event_id, "session_id": session_id, "item_id": "i", **more},
    )


def found_in(folder: Path, *shards: list[Record], customer: str = "c1") -> Found:
    directories = []
    for number, records in enumerate(shards):
        directory = folder / f"shard-{number:02}"
        Journal(directory).append(records[:2], records[2:])
        directories.append(directory)
    return find_customer(directories, customer, personal=PERSONAL)


def mine(found: Found, shard: str = "shard-00") -> list[int]:
    return sorted(found.ordinals[shard])


def test_events_with_the_id_are_theirs(tmp_path):
    found = found_in(tmp_path, [paid("p1", "c1"), paid("p2", "c12"), paid("p3", "c1"), paid("p4", "c")])
    assert mine(found) == [0, 2]
    assert found.events == {"payment": {"p1": None, "p3": None}}
    assert found.kinds == {"decided": 2}


def test_an_id_that_is_written_with_escapes_is_the_same(tmp_path):
    line = b'{"type":"payment","event_id":"p1","customer_id":"\\u0063\\u0031"}'
    assert mine(found_in(tmp_path, [paid("p0", "x"), record(Kind.DECIDED, line)])) == [1]


def test_another_field_with_the_same_value_is_not_theirs(tmp_path):
    assert not found_in(tmp_path, [paid("c1", "x", merchant_id="c1")]).ordinals


def test_outcomes_about_their_payments_are_theirs_in_any_shard(tmp_path):
    home = [outcome("o0", "p1"), paid("p1", "c1"), outcome("o1", "p1", customer_id="c1"), outcome("o2", "p9")]
    other = [paid("p9", "x"), outcome("o3", "p1"), outcome("o4", "p9", customer_id="c1")]
    found = found_in(tmp_path, home, other)
    assert (mine(found), mine(found, "shard-01")) == ([0, 1, 2], [1, 2])
    assert list(found.events["outcome"]) == ["o1", "o4", "o0", "o3"]
    assert list(found.about) == ["p1", "p9"]


def test_a_session_is_theirs_alone_or_shared(tmp_path):
    records = [
        paid("p1", "c1", session_id="own", device_id="d", ip="1.2.3.4"),
        paid("p2", "c1", session_id="common", device_id="e"),
        click("k1", "own"),
        click("k2", "common"),
        click("k3", "common", customer_id="x"),
        click("k4", "elses"),
        paid("p3", "x", device_id="e"),
    ]
    found = found_in(tmp_path, records)
    assert mine(found) == [0, 1, 2]
    assert {name: list(values) for name, values in found.keys.items()} == {
        "customer_id": ["c1"],
        "session_id": ["own"],
        "device_id": ["d"],
        "ip": ["1.2.3.4"],
    }
    assert found.shared == {"session_id": 1, "device_id": 1}


def test_lines_that_could_not_be_used_are_theirs_if_they_name_them(tmp_path):
    records = [
        record(Kind.DEAD, {**PAYMENT, "event_id": "p1", "customer_id": "c1", "amount": "much"}),
        record(Kind.DEAD, b'{"event_id":"p2","customer_id":"c1","am'),
        record(Kind.DEAD, b'{"event_id":"p3","customer_id":"c11","am'),
        record(Kind.DEAD, b"\xff\xfe"),
        record(Kind.DEAD, b'["c1"]'),
    ]
    found = found_in(tmp_path, records)
    assert mine(found) == [0, 1, 4]
    # What was refused left no id in memory; it may be the id of somebody else's event.
    assert found.events == {}


def test_unusable_lines_in_other_shapes_are_theirs_too_and_what_nobody_can_judge_is_told(tmp_path):
    shapes = [
        b'{"customer":{"id":"c1"},"amount":1}',
        b'{"Customer_ID":"c1"}',
        b"{'customer_id': 'c1'}",
        b'{"customer_id":"\\u0063\\u0031","am',
        b'{"customer_id":"c1","city":"K\xf6ln"}',
        b'{"customer_id":"c12"}',
        b"\x1f\x8b\x08\x00compressed",
        b'{"ref":"order-c1"}',
    ]
    records = [record(Kind.DEAD, shape) for shape in shapes]
    found = found_in(tmp_path, [*records, paid("p1", "x", gift_to="c1"), outcome("o1", "p9", note="for c1")])
    assert mine(found) == [0, 1, 2, 3, 4]
    assert found.unsure == {"shard-00": {6: None, 7: None}}
    assert found.mentioned == 2
    assert found.command().ordinals == {"shard-00": (0, 1, 2, 3, 4)}
    found.take_unsure()
    assert found.command().ordinals == {"shard-00": (0, 1, 2, 3, 4, 6, 7)}
    assert not found.unsure


def test_what_is_linked_is_not_a_mention(tmp_path):
    found = found_in(tmp_path, [paid("p1", "c1"), outcome("o1", "p1", note="for c1")])
    assert (mine(found), found.mentioned) == ([0, 1], 0)


def test_a_conflicting_id_stays_that_of_the_first_event(tmp_path):
    conflicting = record(Kind.DEAD, {**PAYMENT, "event_id": "p1", "customer_id": "c1"})
    found = found_in(tmp_path, [paid("p1", "x"), conflicting, outcome("o1", "p1")])
    assert (mine(found), found.events) == ([1], {})


def test_reloads_of_lists_that_name_them(tmp_path):
    def reload(name: str, *entries: str) -> Record:
        command = ReloadList(name=name, entries=entries, digest="0" * 64)
        return record(Kind.APPLIED, encode_command(command), flags=COMMAND, source=CONTROL_SOURCE)

    switch = record(Kind.APPLIED, encode_command(KillSwitch(on=True)), flags=COMMAND, source=CONTROL_SOURCE)
    found = found_in(tmp_path, [reload("a", "x", "c1"), reload("b", "c1"), reload("a", "x"), switch])
    assert (mine(found), found.lists) == ([0, 1], ("b",))


def test_what_is_erased_already_and_notes_are_passed_over(tmp_path):
    journal = Journal(tmp_path / "shard-00").append([paid("p1", "c1"), paid("p2", "c1")])
    journal.writer.append(
        [note(control="source", number=0, name="c1")._replace(source=NO_SOURCE)],
        ordinal_first=2,
        ordinal_next=2,
        accepted_ms=1,
        marks=(),
    )
    erase(journal.directory, journal.frames()[0], 0)
    assert mine(find_customer([journal.directory], "c1", personal=PERSONAL)) == [1]


def test_where_it_came_from(tmp_path):
    lines = [paid("p1", "c1")._replace(line=9), paid("p2", "c1")._replace(line=4), paid("p3", "x")]
    found = found_in(tmp_path, lines)
    assert found.lines == {0: Lines(2, 4, 9)}


def test_the_command_says_all_of_it(tmp_path):
    found = found_in(tmp_path, [paid("p1", "c1", session_id="s"), outcome("o1", "p1")])
    command = found.command()
    assert decode_command(encode_command(command)) == command
    assert (command.ordinals, command.about) == ({"shard-00": (0, 1)}, ("p1",))
    assert command.events == {"outcome": ("o1",), "payment": ("p1",)}
    assert command.keys == {"customer_id": ("c1",), "session_id": ("s",)}


@pytest.mark.parametrize(("kept", "complete"), [(1, True), (2, False)])
def test_a_journal_whose_beginning_is_gone_says_so(tmp_path, kept, complete):
    journal = (
        Journal(tmp_path / "shard-00")
        .append([paid("p1", "c1")])
        .roll()
        .append([paid("p2", "c1")._replace(line=2)])
    )
    for number in range(1, kept):
        (journal.directory / f"journal-{number:08d}.seg").unlink()
    found = find_customer([journal.directory], "c1", personal=PERSONAL)
    assert (found.inputs, found.complete) == (3 - kept, complete)


def test_a_customer_is_found_where_the_contract_says_that_the_id_stands(tmp_path):
    fields = {"customer_id": {"type": "id", "path": "who.id"}, "phone": {"type": "id", "path": "who.phone"}}
    contract = contract_of({"visit": EventSettings.model_validate({"fields": fields})})
    theirs = {"type": "visit", "event_id": "v1", "who": {"id": "c1", "phone": "123"}}
    journal = Journal(tmp_path / "shard-00")
    others = [
        record(Kind.APPLIED, theirs | {"event_id": "v2", "who": {"id": "c2", "phone": "9"}}),
        record(Kind.APPLIED, theirs | {"event_id": "v3", "who": {"phone": "123"}}),
        record(Kind.APPLIED, theirs | {"event_id": "v4", "who": "c1"}),
    ]
    journal.append([record(Kind.APPLIED, theirs), *others], [])
    naming = Personal(keys=("phone",), about=())
    found = find_customer([journal.directory], "c1", personal=naming, contract=contract)
    assert found.events == {"visit": {"v1": None, "v3": None}}
    assert found.keys == {"customer_id": {"c1": None}, "phone": {"123": None}}
