"""What a change of a flow breaks, and for whom."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from commands import headrace

from headrace.config.events import EventSettings
from headrace.operators.events.compatibility import Change, of_decisions, of_events, of_reasons
from headrace.operators.events.declared import contract_of

NUMBER = {"type": "number", "description": "A number."}


def said(changes: Iterable[Change]) -> dict[str, bool]:
    """Whether it breaks something, by what is said."""
    return {change.what: change.breaks for change in changes}


def decisions(actions: list[str] | None = None, **fields: Any) -> dict[str, Any]:
    action = {"enum": actions or ["tell", "ask"], "description": "What to do."}
    properties = {"event_time": {"type": "integer"}, "action": action, **fields}
    return {"eta": {"type": "object", "properties": properties, "required": list(properties)}}


def test_decisions_that_are_gone_or_new():
    assert said(of_decisions(decisions(), {"eta2": decisions()["eta"]})) == {
        "decision eta: is no longer made": True,
        "decision eta2: is new on the topic of decisions": False,
    }
    assert said(of_decisions(decisions(score=NUMBER), decisions(score=NUMBER | {"description": "x"}))) == {}


def test_fields_of_decisions():
    before, now = decisions(score=NUMBER, unit=NUMBER), decisions(unit={"type": "string"}, hours=NUMBER)
    assert said(of_decisions(before, now)) == {
        "decision eta: score is gone": True,
        'decision eta: unit has another form: {"type":"number"} → {"type":"string"}': True,
        "decision eta: hours is new": False,
    }
    before, now = decisions(score=NUMBER), decisions(score=NUMBER)
    now["eta"]["required"].remove("score")
    assert said(of_decisions(before, now)) == {"decision eta: score may be missing": True}


def test_actions_and_reasons():
    assert said(of_decisions(decisions(["tell", "ask"]), decisions(["ask", "wait"]))) == {
        "decision eta: action may be wait, which was not among its values": True,
        "decision eta: action is no longer tell": False,
    }
    assert said(of_reasons(["a", "b"], ["b", "c"])) == {
        "reason a: is no longer given": True,
        "reason c: is new": False,
    }


def types(**events: dict[str, dict[str, Any]]) -> Any:
    declared = {
        name: EventSettings.model_validate({"fields": {key: dict(each) for key, each in fields.items()}})
        for name, fields in events.items()
    }
    return contract_of(declared).types


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        ({"type": "text"}, {"type": "text", "personal": True, "description": "x"}, {}),
        ({"type": "text"}, {"type": "number"}, {"must be number (was text)": True}),
        ({"type": "integer"}, {"type": "number"}, {}),
        ({"type": "number"}, {"type": "integer"}, {"must be integer (was number)": True}),
        ({"type": "id"}, {"type": "id", "required": True}, {"is required": True}),
        ({"type": "id", "required": True}, {"type": "id"}, {"may be missing": False}),
        (
            {"type": "number", "minimum": 0},
            {"type": "number", "minimum": 1},
            {"must be at least 1 (was 0)": True},
        ),
        ({"type": "number", "minimum": 0}, {"type": "number"}, {}),
        ({"type": "text", "maximum": 9}, {"type": "text", "maximum": 8}, {"must be at most 8 (was 9)": True}),
        ({"type": "text"}, {"type": "text", "pattern": "a{1,3}"}, {"must match a{1,3}": True}),
        (
            {"type": "text", "values": ["a", "b"]},
            {"type": "text", "values": ["b", "c"]},
            {"may no longer be a": True},
        ),
        ({"type": "text"}, {"type": "text", "values": ["b"]}, {"must be one of b": True}),
    ],
)
def test_fields_of_events(before, now, found):
    changes = of_events(types(payment={"x": before}), types(payment={"x": now}))
    assert said(changes) == {f"event payment: x {what}": breaks for what, breaks in found.items()}


def test_events_and_fields_that_are_gone_or_new():
    before = types(scan={"a": {"type": "id"}}, payment={"x": {"type": "text", "path": "in.x"}})
    now = types(
        visit={}, payment={"y": {"type": "text", "path": "in.x"}, "z": {"type": "id", "required": True}}
    )
    assert said(of_events(before, now)) == {
        "event scan: is no longer known, and goes to the dead letters": True,
        "event visit: is new": False,
        "event payment: z is required": True,
    }
    assert said(of_events(now, types())) == {
        "event visit: is no longer known, and goes to the dead letters": True,
        "event payment: in.x is no longer read": False,
        "event payment: z is no longer read": False,
    }
    assert said(of_events(types(), types(payment={"z": {"type": "id"}}))) == {
        "event payment: z is read now, as id: what isn't one is a dead letter": False
    }


@pytest.mark.integration
def test_the_command_ends_with_what_breaks(tmp_path):
    flow = tmp_path / "flow.toml"
    flow.write_text(
        '[events.payment.fields]\nbin = { type = "id", required = true }\n[kafka]\nce_source = "/x"\n'
    )
    same = headrace("check", "fraud", "--compatible-with", "fraud")
    assert same.code == 0
    assert b"against fraud: 0 changes, of which 0 break\n" in same.out
    ran = headrace("check", flow, "--compatible-with", "fraud")
    assert ran.code == 18
    assert b"  breaks   senders    event payment: bin is required\n" in ran.out
    assert b"  breaks   consumers  topics: ce_source is /x (was /headrace/fraud)\n" in ran.out
    assert "error: 2 changes would break what consumers or senders of fraud rely on" in ran.said
    other = headrace("check", "fraud", "--compatible-with", "recommend")
    assert b"  breaks   consumers  decision recommend: is no longer made\n" in other.out
    assert b"  breaks   consumers  reason no_candidates: is no longer given\n" in other.out
