"""A flow's file, its environment's file, variables and options: which goes before which, and who is told."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from commands import headrace, simulated

from headrace.config.canonical import canonical
from headrace.config.flow_kinds import SHIPPED_ENVIRONMENT, bases, shipped
from headrace.config.fraud_flow import FraudSettings
from headrace.config.layers import ENVIRONMENT
from headrace.config.loading import Sources, load, load_from
from headrace.config.recommend_flow import RecommendSettings
from headrace.errors import ConfigError

FLOW = 'extends = "fraud"\n[policy]\nblock_at = 0.9\n[metrics]\nport = 1\n'
PRODUCTION = '[metrics]\nport = 2\nhost = "::1"\n[journal]\nfsync = true\n'


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """The file of a flow, which says something of its environment, and that of an environment."""
    flow, config = tmp_path / "flow.toml", tmp_path / "production.toml"
    flow.write_text(FLOW)
    config.write_text(PRODUCTION)
    return flow, config


def found(**sources) -> list[tuple[str, str, str]]:
    """File, key and message of each validation error; of files their names."""
    with pytest.raises(ConfigError) as raised:
        load_from(Sources(**sources))
    return [(Path(each.file).name, each.key, each.message) for each in raised.value.errors]


# -- what is shipped


@pytest.mark.parametrize("name", bases())
def test_a_shipped_flow_says_nothing_of_its_environment(name):
    assert not tomllib.loads(shipped(name).read_text()).keys() & set(ENVIRONMENT)
    assert load_from(Sources(base=name, kind=bases()[name])).settings == load(shipped(name))


def test_the_shipped_environment_says_nothing_of_a_flow_and_shows_the_defaults():
    read = load(SHIPPED_ENVIRONMENT)
    assert read == load(None)
    for table in ENVIRONMENT:
        assert getattr(read, table) == getattr(FraudSettings(), table), table
    assert tomllib.loads(SHIPPED_ENVIRONMENT.read_text()).keys() == set(ENVIRONMENT)


def test_each_kind_names_itself_as_the_source_of_its_decisions():
    assert load(None).kafka.ce_source == "/headrace/fraud"
    assert load(None, flow="recommend").kafka.ce_source == "/headrace/recommend"
    assert load(None, ["kafka.ce_source=/shop"]).kafka.ce_source == "/shop"


def test_the_example_for_production_is_sound():
    settings = load(SHIPPED_ENVIRONMENT.with_name("production.toml"), flow="recommend")
    assert settings.kafka.security == "sasl_ssl"
    assert isinstance(settings, RecommendSettings)


# -- what lies over what


def test_the_environment_lies_over_the_flow_and_variables_and_options_over_both(files):
    """S-LAYER-1, S-VAR-1."""
    flow, config = files
    settings = load_from(Sources(flow_file=flow)).settings
    assert (settings.metrics.port, settings.metrics.host, settings.journal.fsync) == (1, "127.0.0.1", False)
    settings = load_from(Sources(flow_file=flow, config=config)).settings
    assert isinstance(settings, FraudSettings)
    assert (settings.metrics.port, settings.metrics.host, settings.journal.fsync) == (2, "::1", True)
    assert settings.policy.block_at == 0.9
    variables = {"HEADRACE__METRICS__PORT": "3", "HEADRACE__KAFKA__BROKERS": '["b:1"]', "HEADRACE_X": "?"}
    sources = Sources(flow_file=flow, config=config, variables=variables)
    settings = load_from(sources).settings
    assert (settings.metrics.port, settings.metrics.host, settings.kafka.brokers) == (3, "::1", ("b:1",))
    settings = load_from(sources._replace(overrides=["metrics.port=4"])).settings
    assert settings.metrics.port == 4


def test_a_single_file_with_both_is_read_wherever_it_is_given(files):
    """S-LAYER-2."""
    flow, _ = files
    assert load_from(Sources(flow_file=flow)).settings == load_from(Sources(config=flow)).settings


def test_one_whole_file_is_what_two_are(tmp_path):
    whole = tmp_path / "whole.toml"
    whole.write_text(shipped("fraud").read_text() + SHIPPED_ENVIRONMENT.read_text())
    assert canonical(load(whole)) == canonical(load(None))


def test_a_shipped_flow_by_its_name_lies_below_its_environment(files):
    _, config = files
    settings = load_from(Sources(config=config, kind="fraud", base="fraud-sessions")).settings
    assert settings.metrics.port == 2
    overrides = ["metrics.port=2", "metrics.host=::1", "journal.fsync=true"]
    assert settings == load(shipped("fraud-sessions"), overrides)


def test_paths_start_at_the_folder_of_the_file_that_has_them(tmp_path):
    """S-LAYER-3."""
    flow, config = tmp_path / "flows" / "flow.toml", tmp_path / "config" / "production.toml"
    for file in (flow, config):
        file.parent.mkdir()
    (flow.parent / "list.txt").write_text("c-1\n")
    flow.write_text(
        '[policy.lists.a]\nfile = "list.txt"\nkey = "customer_id"\naction = "block"\ncode = "high_amount"\n'
    )
    config.write_text('[kafka]\nsecurity = "ssl"\nca_file = "ca.pem"\n')
    settings = load_from(Sources(flow_file=flow, config=config)).settings
    assert settings.lists["a"].file == str(flow.parent / "list.txt")
    assert settings.kafka.ca_file == str(config.parent / "ca.pem")
    other = load_from(
        Sources(
            flow_file=flow,
            config=config,
            overrides=["policy.lists.a.file=list.txt", "kafka.ca_file=other.pem"],
        )
    ).settings
    assert other.lists == settings.lists
    assert other.kafka.ca_file == str(config.parent / "other.pem")


def test_where_a_value_came_from_is_known(files):
    flow, config = files
    variables = {"HEADRACE__JOURNAL__CHECKPOINT_SECONDS": "9.0"}
    origins = load_from(Sources(flow, config, variables, ["policy.review_at=0.2"])).origins

    def of(key: str) -> object:
        origin = origins.of(key.split("."))
        return origin if origin is None or isinstance(origin, str) else Path(origin.file).name

    assert of("policy.block_at") == "flow.toml"
    assert of("policy.review_at") == "--set"
    assert of("metrics.port") == "production.toml"
    assert of("journal.checkpoint_seconds") == "HEADRACE__JOURNAL__CHECKPOINT_SECONDS"
    assert of("journal.checkpoints_max") == "default.toml"
    assert of("features.amount.value") == "fraud.toml"
    assert of("kafka.ce_source") is None


# -- every validation error names where it is


def test_every_error_names_the_file_the_variable_or_the_option_that_it_is_in(files):
    """S-ERROR-1."""
    flow, config = files
    flow.write_text(f"{FLOW}[crosses]\nx = {{ of = ['share'], code = 'y' }}\n[journal]\nfsync = 1\n")
    config.write_text(f"{PRODUCTION}[kafka]\nsecurity = 'ssl'\nkey_file = 'k'\nno = 1\n")
    variables = {"HEADRACE__METRICS__PROT": "1", "HEADRACE__POLICY__BLOCK_AT": "7"}
    said = found(
        flow_file=flow, config=config, variables=variables, overrides=["ids.memory_max=0", "flow.kin=1"]
    )
    assert sorted(said) == sorted(
        [
            ("HEADRACE__METRICS__PROT", "metrics.prot", "unknown key; did you mean port?"),
            ("HEADRACE__POLICY__BLOCK_AT", "policy.block_at", "must be less than or equal to 1 (is 7)"),
            ("--set", "ids.memory_max", "must be greater than or equal to 1 (is 0)"),
            ("--set", "flow.kin", "unknown key; did you mean kind?"),
            ("production.toml", "kafka.no", said[[each[1] for each in said].index("kafka.no")][2]),
            ("flow.toml", "reasons.texts.y", "is required, as crosses.x uses it"),
        ]
    )
    config.write_text("[kafka]\nsecurity = 'ssl'\nkey_file = 'k'\n")
    assert ("production.toml", "kafka.certificate_file", "is required, as key_file is given") in found(
        flow_file=flow, config=config
    )
    assert ("flow.toml", "journal.fsync", "must be true or false (is 1)") in found(
        flow_file=flow, config=config
    )


def test_both_files_that_cant_be_read_are_told(tmp_path):
    (tmp_path / "flow.toml").write_text("[")
    said = found(
        flow_file=tmp_path / "flow.toml",
        config=tmp_path / "none.toml",
        variables={"HEADRACE__X__": "1"},
        overrides=["nothing"],
    )
    assert [each[0] for each in said] == ["flow.toml", "none.toml", "HEADRACE__X__", "--set"]


def test_what_an_environment_extends_is_said_by_the_flow(files):
    flow, config = files
    config.write_text('extends = "fraud"\n')
    ((file, key, message),) = found(flow_file=flow, config=config)
    assert (file, key) == ("production.toml", "extends")
    assert str(flow) in message


# -- variables


@pytest.mark.parametrize(
    ("name", "value", "key", "message"),
    [
        ("HEADRACE__KAKFA__BROKERS", '["b:1"]', "kakfa", "unknown key; did you mean kafka?"),
        ("HEADRACE__metrics__PORT", "1", "", "is no HEADRACE__SECTION__KEY"),
        ("HEADRACE__", "1", "", "is no HEADRACE__SECTION__KEY"),
        ("HEADRACE__METRICS____PORT", "1", "", "is no HEADRACE__SECTION__KEY"),
        ("HEADRACE__METRICS__PORT", "", "metrics.port", "must be an integer"),
        ("HEADRACE__METRICS__PORT__X", "1", "metrics.port", "must be an integer"),
    ],
)
def test_a_variable_that_names_no_key_is_refused(name, value, key, message):
    """S-VAR-1."""
    ((file, at, said),) = found(variables={name: value})
    assert (file, at) == (name, key)
    assert message in said


def test_a_variable_may_name_the_kind():
    settings = load_from(Sources(variables={"HEADRACE__FLOW__KIND": "recommend"})).settings
    assert settings == load(None, flow="recommend")


# -- secrets


@pytest.mark.parametrize("variable", ["HEADRACE__KAFKA__PASSWORD", "HEADRACE__KAFKA__PASSWORD_FILE"])
def test_a_variable_that_holds_a_secret_is_named_and_not_read(variable):
    """S-SECRET-1."""
    settings = load_from(
        Sources(
            variables={
                variable: "hunter2",
                "HEADRACE__KAFKA__SECURITY": "sasl_ssl",
                "HEADRACE__KAFKA__USER": "u",
                "HEADRACE__KAFKA__SASL_MECHANISM": "PLAIN",
            }
        )
    ).settings
    assert settings.kafka.password_env == "HEADRACE__KAFKA__PASSWORD"
    assert b"hunter2" not in canonical(settings)
    assert json.loads(canonical(settings))["kafka"]["password_env"] == "HEADRACE__KAFKA__PASSWORD"


def test_a_secret_anywhere_else_is_refused_and_not_shown(files):
    """S-SECRET-1."""
    flow, config = files
    config.write_text("[kafka]\npassword = 'hunter2'\n")
    flow.write_text("[kafka]\nkey_password = 'hunter3'\n")
    said = found(flow_file=flow, config=config, overrides=["kafka.password=hunter4"])
    assert [each[:2] for each in said] == [
        ("flow.toml", "kafka.key_password"),
        ("production.toml", "kafka.password"),
        ("--set", "kafka.password"),
    ]
    assert "hunter" not in str(said)
    assert "hunter" not in str(found(overrides=["kafka.password:hunter5"]))
    assert "HEADRACE__KAFKA__PASSWORD_FILE" in said[1][2]


def test_variables_change_nothing_that_a_state_has_recorded(tmp_path, monkeypatch):
    """S-VAR-2."""
    events = tmp_path / "events.jsonl"
    events.write_bytes(b"".join(line + b"\n" for line in simulated(200)))
    run = ("run", "fraud", "--from", events, "--to", tmp_path / "d.jsonl", "--state", tmp_path / "state")
    assert headrace(*run).code == 0
    for name, value in {"POLICY__BLOCK_AT": "0.000001", "POLICY__REVIEW_AT": "0.0"}.items():
        monkeypatch.setenv(f"HEADRACE__{name}", value)
    ended = headrace("replay", "--state", tmp_path / "state", "--verify")
    assert ended.code == 0, ended.said
    assert headrace("control", "status", "--state", tmp_path / "state").code == 0
    ended = headrace(*run)
    assert "policy.block_at: 0.8 → 1e-6" in ended.said
