"""The policy's tables: every validation error at once, with its key, and lists and rules in their order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headrace.config.canonical import canonical, digest, restore
from headrace.config.flow_kinds import shipped
from headrace.config.loading import load
from headrace.config.policy import (
    CapacitySettings,
    CostSettings,
    DeadlineSettings,
    KillSwitchSettings,
    ListSettings,
)
from headrace.errors import ConfigError
from headrace.kinds.fraud.machine import shape_of

RULE = '{{ when = "{}", action = "block", code = "c" }}'
TEXTS = '[reasons.texts]\nc = "C."\n'


def found(tmp_path: Path, text: str, *overrides: str) -> dict[str, list[str]]:
    path = tmp_path / "flow.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load(path, overrides)
    messages: dict[str, list[str]] = {}
    for invalid in raised.value.errors:
        messages.setdefault(f"{Path(invalid.file).name}: {invalid.key}", []).append(invalid.message)
    return messages


def test_everything_is_off_unless_it_is_asked_for():
    policy = load(None).policy
    assert (policy.review_at, policy.block_at, policy.shadow) == (0.3, 0.8, False)
    assert (policy.lists, policy.rules) == ({}, {})
    assert policy.cost is policy.capacity is policy.deadline is None


def test_every_mistake_is_reported_at_once(tmp_path):
    (tmp_path / "bad.txt").write_bytes(b"a\n\xff\n")
    text = """
[policy]
review_at = 2
shado = true
[policy.kill_switch]
acton = "block"
[policy.deadline]
wait_ms_max = 0
action = "later"
[policy.lists.lost]
file = "nothere.txt"
key = "customer"
action = "approve"
code = "friend"
[policy.lists.bad]
file = "bad.txt"
key = "ip"
action = "block"
code = "c"
[policy.lists.Upper]
file = "bad.txt"
[policy.rules.one]
when = "amout > 5 and customer_id > 'x'"
action = "blok"
code = "c"
[policy.rules.two]
when = "ip.x == 1"
action = "block"
code = "nowhere"
cod = 1
[policy.rules.three]
when = ""
action = "block"
[policy.cost]
review_cost = -1
review_catch_share = 1.5
wrong_block = 3
[policy.capacity]
reviews_per_day = 3
[reasons.texts]
c = "C."
"""
    expected = {
        "policy.review_at": ["less than or equal to 1"],
        "policy.shado": ["did you mean shadow?"],
        "policy.kill_switch.acton": ["unknown key; did you mean action?"],
        "policy.deadline.wait_ms_max": ["greater than or equal to 1"],
        "policy.deadline.action": ["'block' (is 'later')"],
        "policy.lists.lost.key": ["(is 'customer')"],
        "policy.lists.lost.file": ["nothere.txt: can't be read: No such file"],
        "policy.lists.bad.file": ["bad.txt: line 2: not UTF-8 at byte 0"],
        "policy.lists.Upper": ["a name is lower-case"],
        "policy.lists.Upper.key": ["is required"],
        "policy.lists.Upper.action": ["is required"],
        "policy.lists.Upper.code": ["is required"],
        "policy.lists.Upper.file": ["line 2: not UTF-8"],
        "policy.rules.one.action": ["(is 'blok')"],
        "policy.rules.one.when": ["did you mean amount?", "texts have no order here"],
        "policy.rules.two.when": ["not allowed: an attribute"],
        "policy.rules.two.cod": ["did you mean code?"],
        "policy.rules.three.when": ["at least 1 character"],
        "policy.rules.three.code": ["is required"],
        "policy.cost.review_cost": ["greater than or equal to 0"],
        "policy.cost.review_catch_share": ["less than or equal to 1"],
        "policy.cost.wrong_block": ["did you mean wrong_block_cost?"],
        "policy.capacity.reviews_per_day_max": ["is required"],
        "policy.capacity.otherwise": ["is required"],
        "policy.capacity.reviews_per_day": ["did you mean reviews_per_day_max?"],
        "reasons.texts.friend": ["is required, as policy.lists.lost uses it"],
        "reasons.texts.nowhere": ["is required, as policy.rules.two uses it"],
    }
    messages = found(tmp_path, text)
    assert messages.keys() == {f"flow.toml: {key}" for key in expected}
    for key, parts in expected.items():
        for part, message in zip(parts, messages[f"flow.toml: {key}"], strict=True):
            assert part in message, key


@pytest.mark.parametrize("override", ["policy.lists=3", "policy.rules=[1]", "policy.cost=3", "policy=3"])
def test_what_should_be_a_table(tmp_path, override):
    ((key, (message,)),) = found(tmp_path, "", override).items()
    assert key == f"--set: {override.partition('=')[0]}"
    assert "must be a table" in message


def test_a_mistake_in_one_rule_hides_none_in_another(tmp_path):
    text = f"[policy.rules]\na = {RULE.format('amount > 1')}\nb = {RULE.format('amout > 1')}\n{TEXTS}"
    assert found(tmp_path, text, "policy.rules.a.action=no").keys() == {
        "--set: policy.rules.a.action",
        "flow.toml: policy.rules.b.when",
    }


def test_features_that_can_not_be_read_are_not_called_unknown(tmp_path):
    rule = RULE.format("lost > 1 and gone > 1")
    text = f"[policy.rules]\na = {rule}\n{TEXTS}[features]\nlost = {{ kind = 'x' }}\n"
    assert found(tmp_path, text).keys() == {"flow.toml: features.lost.kind", "flow.toml: policy.rules.a.when"}
    assert found(tmp_path, text, "features=3").keys() == {"--set: features"}


def test_built_in_codes_need_no_text(tmp_path):
    rule = RULE.format("amount > 1").replace('"c"', "'kill_switch'")
    (tmp_path / "flow.toml").write_text(f"[policy.rules]\na = {rule}\n")
    assert load(tmp_path / "flow.toml").policy.rules["a"].code == "kill_switch"


def test_overrides_reach_into_the_policy(tmp_path):
    (tmp_path / "l.txt").write_text("x\n")
    (tmp_path / "flow.toml").write_text(TEXTS)
    settings = load(
        tmp_path / "flow.toml",
        [
            "policy.shadow=true",
            "policy.cost={}",
            "policy.capacity.reviews_per_day_max=9",
            "policy.capacity.otherwise=block",
            "policy.rules.r.when=amount > 5 and ip == 'x'",
            "policy.rules.r.action=block",
            "policy.rules.r.code=c",
            "policy.lists.l={file = 'l.txt', key = 'ip', action = 'block', code = 'c'}",
        ],
    ).policy
    assert settings.shadow
    assert settings.cost is not None
    assert settings.capacity is not None
    assert settings.rules["r"].when == "amount > 5 and ip == 'x'"
    assert settings.lists["l"].file == str(tmp_path / "l.txt")


@pytest.fixture
def ordered(tmp_path: Path) -> Path:
    for name in "zab":
        (tmp_path / name).write_text("x\n")
    lists = "".join(
        f'[policy.lists.{name}]\nfile = "{name}"\nkey = "ip"\naction = "block"\ncode = "c"\n'
        for name in "zab"
    )
    rules = "".join(f"{name} = {RULE.format('amount > 1')}\n" for name in "zab")
    path = tmp_path / "flow.toml"
    path.write_text(f"{lists}[policy.rules]\n{rules}{TEXTS}")
    return path


def test_the_order_of_lists_and_rules_is_kept(ordered):
    settings = load(ordered)
    again = restore(canonical(settings))
    assert again == settings
    assert list(again.policy.lists) == list(again.policy.rules) == ["z", "a", "b"]
    assert canonical(again) == canonical(settings)


@pytest.mark.parametrize("kind", ["lists", "rules"])
def test_the_order_of_lists_and_rules_has_a_meaning(ordered, kind):
    settings = load(ordered)
    moved = dict(sorted(getattr(settings.policy, kind).items()))
    other = settings.model_copy(update={"policy": settings.policy.model_copy(update={kind: moved})})
    assert digest(other) != digest(settings)


def test_a_state_does_not_depend_on_the_policy(ordered):
    plain = load(None)
    other = plain.model_copy(update={"policy": load(ordered).policy})
    assert shape_of(other) == shape_of(plain)


def test_the_commented_examples_of_the_shipped_file_are_sound(tmp_path):
    """With the `# ` before each table and key taken away, the file is still right, and shows the defaults."""
    whole = shipped("fraud").read_text()
    examples = re.sub(r"^# (?=\[(?:policy|events)|[a-z_]+ = )", "", whole, flags=re.MULTILINE)
    texts = "".join(
        f'{code} = "T."\n' for code in ("trusted_customer", "stolen_device", "new_customer_large_amount")
    )
    (tmp_path / "trusted.txt").write_text("c-1\n")
    (tmp_path / "stolen.txt").write_text("d-1\n")
    path = tmp_path / "flow.toml"
    path.write_text(examples.replace("[reasons.texts]\n", f"[reasons.texts]\n{texts}"))
    policy = load(path).policy
    assert list(policy.lists) == ["trusted", "stolen"]
    assert list(policy.rules) == ["new_customer"]
    assert policy.lists["trusted"].entries_max == ListSettings.model_fields["entries_max"].default
    assert policy.cost == CostSettings()
    assert policy.capacity == CapacitySettings(reviews_per_day_max=200, otherwise="approve")
    assert policy.deadline == DeadlineSettings(wait_ms_max=500, action="approve")
    assert policy.kill_switch == KillSwitchSettings()
