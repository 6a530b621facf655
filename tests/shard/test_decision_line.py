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


_LINES = st.lists(
    st.builds(
        lambda decision_id, text: orjson.dumps(
            {"decision_id": decision_id, "event_id": text, "customer_id": text, "action": text},
            option=decision_line.ENCODING,
        ),
        st.text(max_size=20),
        st.text(max_size=20),
    ),
    min_size=1,
    max_size=4,
)


@given(_LINES)
def test_an_output_of_several_decisions_is_taken_apart_as_it_was_put_together(lines):
    output = b"".join(lines)
    assert decision_line.lines_of(output) == lines
    assert decision_line.each_line([(7, output), (8, lines[0])]) == [
        *((7, line) for line in lines),
        (8, lines[0]),
    ]
    for number, line in enumerate(lines):
        wanted = orjson.loads(line)["decision_id"]
        found = decision_line.line_of(output, wanted)
        assert found is not None
        assert found[0] <= number
        assert orjson.loads(found[1])["decision_id"] == wanted
    assert decision_line.line_of(output, "there is no such decision") is None


@given(_LINES)
def test_what_is_changed_in_an_output_is_changed_in_each_of_its_lines(lines):
    output, marked = b"".join(lines), decision_line.marked_retried(b"".join(lines))
    assert [orjson.loads(each) for each in decision_line.lines_of(marked)] == [
        {**orjson.loads(line), "retried": True} for line in lines
    ]
    bare = decision_line.without(output, "customer_id")
    assert [orjson.loads(each).keys() for each in decision_line.lines_of(bare)] == [
        {"decision_id", "event_id", "action"}
    ] * len(lines)
