"""What is read and changed in the bytes of a decision is what decoding it would say, whichever kind it is."""

from __future__ import annotations

import orjson
import pytest
from feeder import Feeder
from houses import House
from hypothesis import given
from hypothesis import strategies as st

from headrace.journal.records import Kind
from headrace.operators.events.contract import DeadLetter
from headrace.operators.events.oversized import encode_dead_letter, has_reason
from headrace.shard import decision_line

IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
HARD_IDS = ("p", 'a","event_id":"b', "a\\", 'quote"', "é\n", '{"decision_id":"x"}')


def of_payment(event_id: str) -> bytes:
    kind, line, _ = Feeder().pay(event_id)
    assert kind == Kind.DECIDED
    return line


def of_click(session: str) -> bytes:
    kind, line, _ = House().tell("click", session_id=session, item_id="item")
    assert kind == Kind.DECIDED
    return line


def agrees(line: bytes) -> None:
    decision = orjson.loads(line)
    assert tuple(decision)[: len(decision_line.FIRST_FIELDS)] == decision_line.FIRST_FIELDS
    assert decision_line.decision_id(line) == decision["decision_id"]
    assert decision_line.id_token(line) == orjson.dumps(decision["decision_id"])
    marked = decision_line.marked_retried(line)
    assert marked == orjson.dumps(decision | {"retried": True}, option=decision_line.ENCODING)
    assert decision_line.without(line) == line
    assert orjson.loads(decision_line.without(line, "score")) == {
        name: value for name, value in decision.items() if name != "score"
    }


@pytest.mark.parametrize("event_id", HARD_IDS)
def test_the_line_of_a_payments_decision(event_id):
    agrees(of_payment(event_id))


@pytest.mark.parametrize("session", HARD_IDS)
def test_the_line_of_a_slate(session):
    agrees(of_click(session))


@given(decision_id=IDS, event_id=IDS)
def test_any_ids(decision_id, event_id):
    decision = {"decision_id": decision_id, "event_id": event_id, "kind": "fraud"}
    agrees(orjson.dumps(decision, option=decision_line.ENCODING))


@pytest.mark.parametrize("reason", ["invalid_field", "id_conflict"])
def test_a_dead_letters_reason_is_seen_in_its_line(reason):
    letter = DeadLetter(reason=reason, message="", field=None, source="", offset=0, line=1, payload_base64="")
    assert has_reason(encode_dead_letter(letter), reason)
    assert not has_reason(encode_dead_letter(letter), "invalid_json")
