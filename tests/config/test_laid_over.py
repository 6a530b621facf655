"""Overrides are laid over settings, and files over the shipped configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from configurations import found

from headrace.config.canonical import canonical, restore
from headrace.config.flow_kinds import shipped
from headrace.config.fraud_flow import FraudSettings
from headrace.config.loading import lay_over, load
from headrace.errors import ConfigError


def test_overrides_are_laid_over_settings_as_over_a_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_bytes(shipped("fraud").read_bytes())
    overrides = ["policy.cost.review_cost=2.5", "model.parameters={lr=0.1}", "bins.streak.edges=[1, 4]"]
    assert lay_over(load(file), overrides, "known") == load(file, overrides)
    assert lay_over(load(file, overrides), [], "known") == load(file, overrides)


def test_their_mistakes_are_told_all_at_once():
    with pytest.raises(ConfigError) as caught:
        lay_over(load(None), ["policy.block_at=2", "policy.review_at=0.95", "nothing", "flow.x=1"], "known")
    said = [(invalid.file, invalid.key) for invalid in caught.value.errors]
    assert said == [("--set", "flow.x"), ("--set", "policy.block_at"), ("--set", "nothing")]


def test_a_file_of_a_known_list_need_not_be_there_but_that_of_a_new_one(tmp_path):
    entries = tmp_path / "entries.txt"
    entries.write_text("c1\n")
    listed = f'policy.lists.known={{file="{entries}", key="customer_id", action="block", code="high_amount"}}'
    known = load(None, [listed])
    entries.unlink()
    assert lay_over(known, ["policy.block_at=0.9"], "known").policy.lists == known.policy.lists
    other = tmp_path / "other.txt"
    with pytest.raises(ConfigError) as caught:
        lay_over(known, [f"policy.lists.known.file={other}"], "known")
    (invalid,) = caught.value.errors
    assert (invalid.file, invalid.key) == ("--set", "policy.lists.known.file")
    assert str(other) in invalid.message


def test_what_a_file_leaves_out_is_as_shipped(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        "[policy]\nblock_at = 0.9\n[model.parameters]\nlr = 0.1\n[entities.customer]\nidle_days_max = 9.0\n"
    )
    expected = load(
        None, ["policy.block_at=0.9", "model.parameters.lr=0.1", "entities.customer.idle_days_max=9.0"]
    )
    assert load(path) == expected
    assert canonical(load(path)) == canonical(expected)


def test_a_cross_is_added_to_the_shipped_ones_behind_them(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[crosses]\nnew = { of = ["share", "streak"], code = "frauds_at_merchant" }\n')
    assert list(load(path).crosses) == [*load(None).crosses, "new"]


def test_a_declaration_of_another_kind_replaces_the_shipped_one(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'extends = "fraud"\n[features]\nhighest_14d = { kind = "field", value = "amount" }\n'
        '[model]\nname = "river_arf"\n'
    )
    settings = load(path)
    assert list(settings.features) == list(load(None).features)
    assert settings.features["highest_14d"].kind == "field"
    assert dict(settings.model.parameters) == {}


def test_a_file_with_features_stands_alone_unless_it_says_what_it_extends(sound, tmp_path):
    alone = load(sound)
    assert list(alone.features) == ["amount", "mean", "ratio", "high"]
    assert list(alone.entities) == ["customer"]
    assert alone.model == FraudSettings().model
    both = tmp_path / "both.toml"
    both.write_text(
        'extends = "fraud-sessions"\n[features]\nhour = { kind = "field", value = "hour_of_day" }\n'
    )
    sessions = load(shipped("fraud-sessions"))
    assert list(load(both).features) == [*sessions.features, "hour"]
    assert load(both).crosses == sessions.crosses


def test_lists_of_the_other_flow_lie_over_its_shipped_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[rules]\nfill = false\n")
    assert load(path, flow="recommend") == load(None, ["rules.fill=false"], flow="recommend")
    path.write_text('flow = { kind = "recommend" }\n[rules]\nfill = false\n')
    assert load(path) == load(None, ["rules.fill=false"], flow="recommend")


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        (
            'extends = "none"\n[policy]\nblock_at = 0.9\n',
            "features",
            "there are none, and neither lists nor rules",
        ),
        ('[features]\na = { kind = "field", value = "amount" }\n', "crosses", 'extends = "fraud"'),
        ('extends = "mine"\n', "extends", "must be one of fraud, fraud-sessions, none (is 'mine')"),
        ('extends = "recommend"\n', "extends", "must be one of fraud, fraud-sessions, none (is 'recommend')"),
        ("extends = 1\n", "extends", "must be one of"),
    ],
)
def test_what_would_decide_with_nothing_is_refused(tmp_path, text, key, message):
    assert message in found(tmp_path, text)[f"flow.toml: {key}"]


def test_rules_are_something_to_decide_with(tmp_path):
    path = tmp_path / "flow.toml"
    path.write_text(
        'extends = "none"\n[policy.rules]\nhigh = { when = "amount > 5", action = "review", code = "high" }\n'
        '[reasons.texts]\nhigh = "High."\n'
    )
    assert load(path).features == {}


def test_recorded_settings_are_read_as_they_were(tmp_path):
    written = canonical(FraudSettings())
    assert restore(written).features == {}
    assert canonical(lay_over(restore(written), [], "recorded")) == written


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf[policy]\nblock_at = 0.9\n")
    assert load(path).policy.block_at == 0.9


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"#" * 4_194_305, "is larger than 4194304 bytes"),
        (b"a = " + b"[" * 100_000, "nested too deep"),
        (b"a = " + b"9" * 5_000, "not TOML: Exceeds the limit"),
        ("[policy]\n".encode("utf-16"), "not UTF-8 at byte 0"),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path, content, message):
    path = tmp_path / "flow.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        load(path)
    assert message in str(raised.value)


def test_a_device_without_an_end_is_refused():
    with pytest.raises(ConfigError, match="is larger than 4194304 bytes"):
        load(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[kafka]\nbrokers = 'o:1'",
            "kafka.brokers: must be a list, in square brackets (is 'o:1')",
        ),
        ("[policy]\nshadow = 1", "policy.shadow: must be true or false (is 1)"),
        ("[flow]\nshards = 1.5", "flow.shards: must be an integer (is 1.5)"),
        ("[flow]\ncurrency = 5", "flow.currency: must be a text, in quotes (is 5)"),
        ("[bins]\na = { of = 'amount', edges = [] }", "bins.a.edges: must have at least 1 entry (has 0)"),
        ("[bins]\na = { of = 'amount', edges = ['x'] }", "bins.a.edges.0: must be a number (is 'x')"),
        ("[model.parameters]\nlr = [1]", "model.parameters.lr: must be true or false, a number or a text"),
    ],
)
def test_mistakes_are_told_in_plain_words(tmp_path, text, message):
    path = tmp_path / "flow.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load(path)
    assert str(raised.value) == f"{path}: {message}"
