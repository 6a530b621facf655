"""The tables of a declared decision's policy: every validation error at once, with its key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from declared_policies import CREDIT, ESTIMATE, FIELDS, SCORE, Given
from pydantic import ValidationError

from headrace.config.decision_policy import (
    ActionCapacity,
    DecisionPolicySettings,
    PolicyScope,
)
from headrace.config.decision_policy_errors import action_errors, deadline_errors, policy_errors
from headrace.config.lists import read_declared, read_list
from headrace.config.policy import list_errors, resolve_lists
from headrace.errors import ConfigError

LADDER = [[0.02, 20_000], [0.05, 5000], [1.0, 0]]
COST = {"actions": {"approve": {}, "block": {"fixed": 1.0}}}


def found(policy: dict[str, Any], scope: PolicyScope = SCORE, **more: Any) -> dict[str, list[str]]:
    """Messages by key, of what is well-formed and of what isn't."""
    messages: dict[str, list[str]] = {}
    for invalid in policy_errors("d", policy, scope, **more):
        messages.setdefault(invalid.key, []).append(invalid.message)
    return messages


def misshapen(policy: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ValidationError) as raised:
        DecisionPolicySettings.model_validate(policy)
    return {".".join(map(str, error["loc"])): error["msg"] for error in raised.value.errors()}


def test_everything_is_off_unless_it_is_asked_for():
    plain = DecisionPolicySettings()
    assert plain.thresholds == plain.lists == plain.rules == plain.capacity == {}
    assert plain.cost is plain.ladder is plain.raise_at_most is plain.promise is plain.deadline is None
    assert plain.fallback is plain.kill_switch.action is None
    assert ActionCapacity(per_day_max=1, otherwise="a").days_remembered_max == 400
    assert found(plain.model_dump()) == found({}) == {}


def test_what_is_sound_has_no_errors_read_or_dumped():
    read = {
        "thresholds": {"step_up": 0.1, "block": 0.9},
        "capacity": {"block": {"per_day_max": 3, "otherwise": "review"}},
        "lists": {
            "one": {"file": "f", "key": "country", "action": "block", "code": "c"},
            "two": {"file": "f", "key": ["customer_id", "order_id"], "action": "block", "code": "c"},
            "three": {"file": "f", "key": ["item_ids"], "action": "block", "code": "kill_switch"},
        },
        "rules": {"r": {"when": "gift and age > 3", "action": "review", "code": "c"}},
        "deadline": {"wait_ms_max": 3, "action": "approve"},
        "kill_switch": {"action": "block"},
        "fallback": "review",
    }
    settings = DecisionPolicySettings.model_validate(read)
    assert settings.lists["one"].key == ("country",)
    for each in (read, settings.model_dump(), settings.model_dump(mode="json")):
        assert found(each, texts={"c"}) == {}
    assert DecisionPolicySettings.model_validate(settings.model_dump(mode="json")) == settings
    ladder = {"ladder": LADDER, "raise_at_most": 2}
    assert found(DecisionPolicySettings.model_validate(ladder).model_dump(), CREDIT) == {}
    promise = {"promise": 0.9, "rules": {"r": {"when": "promise > 3", "action": "hold", "code": "c"}}}
    assert found(DecisionPolicySettings.model_validate(promise).model_dump(), ESTIMATE) == {}


def test_every_mistake_is_reported_at_once():
    """P-CHG-2."""
    policy = {
        "thresholds": {"reviw": 0.3, "approve": 0.1, "block": 0.2, "review": 0.8},
        "cost": {"of": "amuont", "actions": {"approve": {}, "blok": {}}},
        "raise_at_most": 2.0,
        "promise": 0.3,
        "capacity": {
            "review": {"per_day_max": 1, "otherwise": "block"},
            "block": {"per_day_max": 1, "otherwise": "review"},
            "stepup": {"per_day_max": 1, "otherwise": "nothing"},
        },
        "deadline": {"wait_ms_max": 1, "action": "later"},
        "kill_switch": {"action": "of"},
        "fallback": "aprove",
        "lists": {
            "l": {
                "key": ["customr_id", "amount", "item_ids", "order_id", "order_id"],
                "action": "x",
                "code": "z",
            },
            "m": {"key": "gift", "action": "block", "code": "z", "limit": 3.0, "promise": 0.5},
        },
        "rules": {"r": {"when": "amuont > 1 and gift > 2", "action": "y", "code": "w"}},
    }
    actions = "known are approve, step_up, review, block"
    assert found(policy, texts=()) == {
        "d.cost": ["can't stand beside thresholds: both say what a score leads to"],
        "d.raise_at_most": ["needs a ladder, whose limits are raised"],
        "d.promise": ["only an estimate promises something"],
        "d.thresholds.reviw": ["there is no action reviw; did you mean review?"],
        "d.thresholds.approve": ["the first action is what is done below all thresholds"],
        "d.thresholds.block": ["must be at least that of review (0.8; is 0.2)"],
        "d.cost.of": ["there is no number amuont; did you mean amount?"],
        "d.cost.actions.blok": ["there is no action blok; did you mean block?"],
        "d.capacity.review.otherwise": ["leads back to review: review → block → review"],
        "d.capacity.stepup": ["there is no action stepup; did you mean step_up?"],
        "d.capacity.stepup.otherwise": [f"there is no action nothing; {actions}"],
        "d.deadline.action": [f"there is no action later; {actions}"],
        "d.kill_switch.action": [f"there is no action of; {actions}"],
        "d.fallback": ["there is no action aprove; did you mean approve?"],
        "d.lists.l.action": [f"there is no action x; {actions}"],
        "d.lists.l.key": [
            "there is no field customr_id; did you mean customer_id?",
            "must be of type id or text, but amount is of type number",
            "item_ids has several values, and must be looked up alone",
            "names a field twice",
        ],
        "d.lists.m.key": ["must be of type id or text, but gift is of type boolean"],
        "d.lists.m.limit": ["needs a ladder"],
        "d.lists.m.promise": ["only an estimate promises something"],
        "d.rules.r.when": [
            "there is no feature or field amuont; did you mean amount?",
            "a condition can't be compared: gift",
        ],
        "d.rules.r.action": [f"there is no action y; {actions}"],
        "reasons.texts.z": ["is required, as d.lists.l uses it"],
        "reasons.texts.w": ["is required, as d.rules.r uses it"],
    }


def test_thresholds_may_be_equal():
    assert found({"thresholds": {"review": 0.5, "block": 0.5}}) == {}


def test_an_estimate_has_no_score():
    policy = {
        "thresholds": {"hold": 0.3},
        "cost": {"actions": {"promise": {}, "hold": {}}},
        "ladder": LADDER,
        "raise_at_most": 2.0,
        "promise": 0.8,
        "rules": {"r": {"when": "quantil > 1", "action": "hold", "code": "c", "promise": 0.7}},
    }
    message = "an estimate has no score; rules can look at promise"
    names = [*ESTIMATE.features, "promise", *ESTIMATE.vocabulary.fields]
    unknown = f"there is no feature or field quantil; known are {', '.join(names)}"
    assert found(policy, ESTIMATE) == {
        **{f"d.{key}": [message] for key in ("thresholds", "cost", "ladder", "raise_at_most")},
        "d.promise": ["must be one of the quantiles that are estimated: 0.1, 0.5, 0.9 (is 0.8)"],
        "d.rules.r.when": [unknown],
        "d.rules.r.promise": ["must be one of the quantiles that are estimated: 0.1, 0.5, 0.9 (is 0.7)"],
    }


def test_what_a_ladder_needs():
    one = PolicyScope("score", ("grant",), (), {})
    message = "needs two actions: the first for a limit above 0, the last for 0"
    assert found({"ladder": LADDER}, one) == {"d.ladder": [message]}
    rules = {
        "a": {"when": "known", "action": "refuse", "code": "c", "limit": 3.0},
        "b": {"when": "known", "action": "grant", "code": "c", "limit": 0.0},
        "c": {"when": "known", "action": "review", "code": "c", "limit": 0.0},
    }
    assert found({"ladder": LADDER, "rules": rules}, CREDIT) == {
        "d.rules.a.limit": ["refuse always has the limit 0"],
        "d.rules.b.limit": ["grant needs a limit above 0"],
    }


@pytest.mark.parametrize(
    ("capacity", "keys"),
    [
        ({"block": "review", "review": "approve"}, []),
        ({"block": "block"}, ["block"]),
        ({"block": "review", "review": "step_up", "step_up": "block"}, ["block"]),
        ({"block": "review", "review": "step_up", "step_up": "review"}, ["review"]),
    ],
)
def test_what_is_done_otherwise_comes_to_an_end(capacity, keys):
    tables = {name: {"per_day_max": 1, "otherwise": other} for name, other in capacity.items()}
    assert list(found({"capacity": tables})) == [f"d.capacity.{key}.otherwise" for key in keys]


def test_names_that_can_not_be_read_are_not_called_unknown():
    policy = {
        "cost": {"of": "lost", **COST},
        "lists": {"l": {"key": ["lost", "gone"], "action": "block", "code": "c"}},
        "rules": {"r": {"when": "lost > 1 and gone > 1", "action": "block", "code": "c"}},
    }
    assert found(policy, unsure=lambda name: name == "lost") == {
        "d.lists.l.key": ["there is no field gone; known are " + ", ".join(texts(FIELDS))],
        "d.rules.r.when": [found(policy)["d.rules.r.when"][1]],
    }


def texts(fields: dict[str, Given]) -> list[str]:
    return [name for name, field in fields.items() if field.type in {"id", "text", "ids"}]


def test_actions_that_can_not_be_read_are_not_looked_for():
    policy = {"thresholds": {"x": 0.1}, "fallback": "y", "capacity": {"z": {"otherwise": "w"}}}
    assert found(policy, PolicyScope("score", (), (), {})) == {}


def test_what_has_not_the_right_shape_is_passed_over():
    policy = {
        "thresholds": 3,
        "cost": {"of": 3, "actions": [1]},
        "ladder": 3,
        "capacity": {"block": 3, "review": {"otherwise": 3}},
        "deadline": 3,
        "kill_switch": {"action": 3},
        "fallback": 3,
        "lists": {"a": 3, "b": {"key": 3, "action": 3, "code": 3}, "c": {"key": [3], "limit": "x"}},
        "rules": {"a": 3, "b": {"when": 3}, "c": {"when": ""}, "d": {"when": "x" * 2001}},
    }
    both = ["can't stand beside thresholds: both say what a score leads to"]
    assert found(policy, texts=()) == {"d.cost": both, "d.ladder": both}
    assert found({"thresholds": {"review": "x", "block": True}}) == {}


@pytest.mark.parametrize(
    ("policy", "key", "message"),
    [
        ({"thresholds": {"a": 2.0}}, "thresholds.a", "less than or equal to 1"),
        ({"thresholds": {"A": 0.5}}, "thresholds.A.[key]", "should match pattern"),
        ({"ladder": []}, "ladder", "at least 1 item"),
        (
            {"ladder": [[0.5, 3]]},
            "ladder",
            "the last bound must be 1.0, so that each score has a limit (is 0.5)",
        ),
        (
            {"ladder": [[0.5, 3], [0.5, 2], [1, 0]]},
            "ladder",
            "bounds must increase, but rung 2 has 0.5 after 0.5",
        ),
        ({"ladder": [[0.5, 3], [1, 4]]}, "ladder", "limits must not rise with the score, but rung 2 has 4.0"),
        ({"ladder": [[1.0, -1]]}, "ladder.0.1", "greater than or equal to 0"),
        ({"ladder": [[1.0]]}, "ladder.0.1", "Field required"),
        ({"raise_at_most": 0.5}, "raise_at_most", "greater than or equal to 1"),
        ({"promise": 1.0}, "promise", "less than 1"),
        (
            {"zone": "Europe/Berlyn"},
            "zone",
            "there is no time zone Europe/Berlyn; did you mean Europe/Berlin?",
        ),
        ({"cost": {"actions": {"a": {}}}}, "cost.actions", "at least 2 items"),
        ({"cost": {"actions": {"a": {}, "b": {"shar": 1}}}}, "cost.actions.b.shar", "Extra inputs"),
        ({"capacity": {"a": {"per_day_max": -1, "otherwise": "b"}}}, "capacity.a.per_day_max", "equal to 0"),
        ({"deadline": {"wait_ms_max": 0, "action": "a"}}, "deadline.wait_ms_max", "equal to 1"),
        ({"rules": {"r": {"when": "", "action": "a", "code": "c"}}}, "rules.r.when", "at least 1 character"),
        (
            {"lists": {"l": {"file": "f", "key": 3, "action": "a", "code": "c"}}},
            "lists.l.key",
            "must be a field, such as customer_id, or a list of fields (is 3)",
        ),
        (
            {"lists": {"l": {"file": "f", "key": list("abcde"), "action": "a", "code": "c"}}},
            "lists.l.key",
            "at most 4 items",
        ),
    ],
)
def test_what_is_misshapen(policy, key, message):
    errors = misshapen(policy)
    assert message in errors[key]


def test_actions_are_different_and_those_that_censor_are_among_them():
    assert list(action_errors("decisions.d", ("a", "b"), ("b",))) == []
    messages = [
        (invalid.key, invalid.message)
        for invalid in action_errors("decisions.d", ("a", "block", "a"), ("blok",))
    ]
    assert messages == [
        ("decisions.d.actions", "names an action twice"),
        ("decisions.d.censors", "there is no action blok; did you mean block?"),
    ]


def test_a_flow_has_one_deadline():
    def read(*waits: Any) -> dict[str, Any]:
        tables = {f"d{n}": {"policy": {"deadline": {"wait_ms_max": wait}}} for n, wait in enumerate(waits)}
        return {"decisions": {"none": {}, "odd": 3, **tables}}

    assert list(deadline_errors({})) == list(deadline_errors(read(5, 5, "x"))) == []
    (invalid,) = deadline_errors(read(5, 7, 5))
    assert invalid.key == "decisions.d1.policy.deadline.wait_ms_max"
    assert invalid.message == "must be that of d0 (5), as a flow has one deadline (is 7)"


@pytest.fixture
def listed(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "pairs.txt").write_text("c-1\tDE # why\n\n# a comment\n c 2 \t FR\n")
    (tmp_path / "bad.txt").write_text("c-1\nc-1\t\na\tb\tc\nd\te\n")
    table = {"key": ["customer_id", "country"], "action": "block", "code": "c"}
    lists = {name: {"file": f"{name}.txt", **table} for name in ("pairs", "bad", "lost")}
    read = {"decisions": {"d": {"policy": {"lists": lists}}, "e": 3, "f": {"policy": {"lists": {"g": 3}}}}}
    resolve_lists(read, tmp_path)
    return read


def test_lists_of_decisions_are_read_beside_the_configuration(listed, tmp_path):
    lists = listed["decisions"]["d"]["policy"]["lists"]
    assert lists["pairs"]["file"] == str(tmp_path / "pairs.txt")
    settings = DecisionPolicySettings.model_validate({"lists": lists})
    assert read_declared(settings.lists["pairs"]).entries == ("c 2\tFR", "c-1\tDE")
    with pytest.raises(ConfigError) as raised:
        read_declared(settings.lists["bad"])
    message = "must have 2 values, with a tab between two"
    assert [(each.key, each.message) for each in raised.value.errors] == [
        (f"line {number}", message) for number in (1, 2, 3)
    ]


def test_each_value_of_an_entry_is_there(tmp_path):
    path = tmp_path / "entries.txt"
    path.write_bytes(b"a\tb\tc\na\t\tc\na\t\xffb\tc\na\t" + b"x" * 129 + b"\tc\n")
    with pytest.raises(ConfigError) as raised:
        read_list(path, 10, 3)
    assert [(each.key, each.message) for each in raised.value.errors] == [
        ("line 2", "must have 3 values, with a tab between two"),
        ("line 3", "not UTF-8 at byte 2"),
        ("line 4", "a value of more than 128 characters"),
    ]


def test_files_of_lists_of_decisions_are_looked_at(listed):
    errors = [
        (each.key, each.message) for each in list_errors(listed, lambda name, _table: name != "d.pairs")
    ]
    assert [key for key, _ in errors] == [
        *["decisions.d.policy.lists.bad.file"] * 3,
        "decisions.d.policy.lists.lost.file",
    ]
    assert "line 1: must have 2 values" in errors[0][1]
    assert "can't be read: No such file" in errors[3][1]
    assert list(list_errors(listed, lambda _name, _table: False)) == []
    listed["decisions"]["d"]["policy"]["lists"]["bad"]["key"] = 3
    listed["decisions"]["d"]["policy"]["lists"]["lost"]["key"] = "country"
    (lost,) = list_errors(listed, lambda name, _table: name != "d.pairs")
    assert lost.key == "decisions.d.policy.lists.lost.file"
