"""What `config show` prints: all that is in force, where it came from, and no secret."""

from __future__ import annotations

import os
import tomllib

import pytest
from commands import headrace

from headrace.config.canonical import canonical
from headrace.config.flow_kinds import SHIPPED_ENVIRONMENT, bases
from headrace.config.in_force import as_toml
from headrace.config.loading import Loaded, Sources, load, load_from

VARIABLES = {
    "HEADRACE__KAFKA__PASSWORD": "hunter2",
    "HEADRACE__KAFKA__SECURITY": "sasl_ssl",
    "HEADRACE__KAFKA__SASL_MECHANISM": "PLAIN",
    "HEADRACE__KAFKA__USER": 'a "user" \\ of\nours\u202e',
    "HEADRACE__POLICY__COST": "{ review_cost = 2.5 }",
    "HEADRACE__OUTCOMES__LEGITIMATE_AFTER_DAYS": "1e-3",
}
LISTED = (
    """policy.lists.a={file="a 'list' \\u007f.txt",key='customer_id',action='block',code='high_amount'}"""
)
RULE = "policy.rules.r={when='not missing(customer_mean)', action='review', code='high_amount'}"


def printed(loaded: Loaded, is_set=VARIABLES.__contains__) -> str:
    return "\n".join(as_toml(loaded.settings, loaded.origins, is_set)) + "\n"


def test_declared_events_are_printed_too(tmp_path):
    flow, again = tmp_path / "flow.toml", tmp_path / "again.toml"
    flow.write_text(
        'extends = "fraud"\n[events.payment.fields]\nos = { type = "text", path = "device.os" }\n'
        '[events.scan.fields]\norder_id = { type = "id" }\n'
    )
    loaded = load_from(Sources(flow_file=flow))
    again.write_text(printed(loaded))
    assert canonical(load(again)) == canonical(loaded.settings)


@pytest.mark.parametrize("name", bases())
def test_what_is_printed_of_a_shipped_flow_means_the_same_again(tmp_path, name):
    """S-SHOW-1."""
    loaded = load_from(Sources(kind=bases()[name], base=name))
    again = tmp_path / "again.toml"
    again.write_text(printed(loaded))
    assert canonical(load(again)) == canonical(loaded.settings)


def test_what_is_printed_of_everything_means_the_same_again(tmp_path):
    listed = tmp_path / "a 'list' \x7f.txt"
    listed.write_text("c-1\n")
    config = tmp_path / "config.toml"
    config.write_text("[journal]\nkeep_days_max = 9\n")
    loaded = load_from(Sources(config=config, variables=VARIABLES, overrides=(LISTED, RULE)))
    assert loaded.settings.lists["a"].file == str(listed)
    text = printed(loaded)
    assert "hunter2" not in text
    again = tmp_path / "again.toml"
    again.write_text(text)
    assert canonical(load(again)) == canonical(loaded.settings)


def test_each_value_says_where_it_came_from(tmp_path):
    """S-SHOW-1."""
    flow, config = tmp_path / "flow.toml", tmp_path / "config.toml"
    flow.write_text(
        'extends = "fraud"\n[policy]\nblock_at = 0.9\n[features]\nx.kind = "field"\nx.value="amount"\n'
    )
    config.write_text(SHIPPED_ENVIRONMENT.with_name("production.toml").read_text())
    variables = {"HEADRACE__METRICS__PORT": "9"}
    overrides = ["policy.review_at=0.2", "features.x.value=hour_of_day"]
    lines = printed(load_from(Sources(flow, config, variables, overrides)), lambda _name: False).splitlines()
    for expected in (
        "review_at = 0.2  # --set",
        f"block_at = 0.9  # {flow}",
        "shadow = false  # shipped flows/fraud.toml",
        "port = 9  # HEADRACE__METRICS__PORT",
        f"fsync = true  # {config}",
        "checkpoints_max = 2  # shipped config/default.toml",
        'ce_source = "/headrace/fraud"  # default',
        f'x = {{ kind = "field", value = "hour_of_day" }}  # {flow}, --set',
        f'password_env = "HEADRACE_KAFKA_PASSWORD"  # {config}; HEADRACE_KAFKA_PASSWORD is not set',
        "# keep_bytes_max: not set",
    ):
        assert expected in lines, expected


def test_the_command_shows_variables_and_masks_secrets(tmp_path, monkeypatch):
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    ended = headrace("config", "show", "fraud-sessions", folder=tmp_path)
    assert ended.code == 0, ended.said
    assert "hunter2" not in ended.text + ended.said
    assert "HEADRACE__KAFKA__PASSWORD is set, and not shown" in ended.text
    assert "clicks" in tomllib.loads(ended.text)["features"]
    (tmp_path / "again.toml").write_text(ended.text)
    for name in list(os.environ):
        if name.startswith("HEADRACE__"):
            monkeypatch.delenv(name)
    assert "12 crosses" in headrace("check", "again.toml", folder=tmp_path).text


def test_the_command_tells_every_error(tmp_path, monkeypatch):
    (tmp_path / "flow.toml").write_text("[policy]\nblock_at = 2\n")
    monkeypatch.setenv("HEADRACE__METRICS__PROT", "1")
    ended = headrace("config", "show", "./flow.toml", folder=tmp_path)
    assert ended.code == 2
    assert "flow.toml: policy.block_at: must be less than or equal to 1 (is 2)" in ended.said
    assert "HEADRACE__METRICS__PROT: metrics.prot: unknown key; did you mean port?" in ended.said
    assert headrace("config", "show", "frau").code == 2
    assert "did you mean fraud?" in headrace("run", "frau", "--from", "a", "--to", "b").said
