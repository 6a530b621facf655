"""Settings of the connection to Kafka: every validation error at once, and no password in any message."""

from __future__ import annotations

import pytest

from headrace.config.canonical import canonical, restore
from headrace.config.fraud_flow import FraudSettings
from headrace.config.kafka import KafkaSettings
from headrace.config.loading import load
from headrace.errors import ConfigError
from headrace.kafka.connection import Connection

SECRET = "hunter2"


def validation_errors(tmp_path, kafka: str, *overrides: str) -> list[str]:
    config = tmp_path / "flow.toml"
    config.write_text(f"[kafka]\n{kafka}")
    with pytest.raises(ConfigError) as raised:
        load(config, overrides)
    return [f"{invalid.key}: {invalid.message}" for invalid in raised.value.errors]


def connect(environ=None, **settings) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        Connection(KafkaSettings(**settings), environ=environ or {})
    return [str(invalid) for invalid in raised.value.errors]


def test_every_mistake_is_reported_at_once(tmp_path):
    found = validation_errors(
        tmp_path,
        'brokers = ["one", "two:0", "user@three:9092", "four:9092"]\nsecurity = "tls"\n'
        "metadata_seconds_max = 0\nretention = 1\nmessage_bytes_max = 1\n",
    )
    assert [each.partition(":")[0] for each in found] == [
        "kafka.brokers.0",
        "kafka.brokers.1",
        "kafka.brokers.2",
        "kafka.security",
        "kafka.metadata_seconds_max",
        "kafka.message_bytes_max",
        "kafka.retention",
    ]
    assert "kafka.brokers.1: must be host:port (is 'two:0')" in found


def test_what_sasl_needs_is_required_together(tmp_path):
    assert validation_errors(tmp_path, 'security = "sasl_ssl"') == [
        "kafka.sasl_mechanism: is required, as security is 'sasl_ssl'",
        "kafka.user: is required, as security is 'sasl_ssl'",
        "kafka.password_env: is required, as security is 'sasl_ssl'",
    ]


def test_what_has_no_meaning_is_refused(tmp_path):
    found = validation_errors(tmp_path, 'user = "u"\nca_file = "ca.pem"\nkey_password_env = "KEY"\n')
    said = "not supported, as security is 'plaintext'"
    assert found == [f"kafka.user: {said}", f"kafka.ca_file: {said}", f"kafka.key_password_env: {said}"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ('certificate_file = "c.pem"', "kafka.key_file: is required, as certificate_file is given"),
        ('key_file = "c.key"', "kafka.certificate_file: is required, as key_file is given"),
        ('key_password_env = "KEY"', "kafka.key_password_env: not supported without key_file"),
    ],
)
def test_a_certificate_and_its_key_belong_together(tmp_path, given, expected):
    assert validation_errors(tmp_path, f'security = "ssl"\n{given}\n') == [expected]


def test_a_password_is_not_sent_unencrypted(tmp_path):
    given = 'security = "sasl_plaintext"\nsasl_mechanism = "PLAIN"\nuser = "u"\npassword_env = "P"\n'
    assert validation_errors(tmp_path, given) == [
        "kafka.sasl_mechanism: PLAIN would send the password unencrypted; take sasl_ssl, or SCRAM-SHA-512"
    ]
    assert load_kafka(tmp_path, given.replace("PLAIN", "SCRAM-SHA-256", 1)).user == "u"


def test_limits_fit_each_other(tmp_path):
    given = (
        'brokers = ["one:9092", "one:9092"]\nmessage_bytes_max = 1_000_000\nfetch_queue_bytes_max = 65_536\n'
        "send_queue_bytes_max = 100_000\n"
    )
    assert validation_errors(tmp_path, given) == [
        "kafka.brokers: names a broker twice",
        "kafka.fetch_queue_bytes_max: must be at least message_bytes_max (1000000; is 65536)",
        "kafka.send_queue_bytes_max: must be at least message_bytes_max (1000000; is 100000)",
    ]


def load_kafka(tmp_path, kafka: str) -> KafkaSettings:
    config = tmp_path / "flow.toml"
    config.write_text(f"[kafka]\n{kafka}")
    return load(config).kafka


def test_paths_start_at_the_folder_of_the_configuration(tmp_path):
    given = (
        'security = "ssl"\nca_file = "certificates/ca.pem"\ncertificate_file = "/own.pem"\n'
        'key_file = "own.key"\n'
    )
    kafka = load_kafka(tmp_path, given)
    assert kafka.ca_file == str(tmp_path / "certificates" / "ca.pem")
    assert kafka.certificate_file == "/own.pem"
    assert kafka.key_file == str(tmp_path / "own.key")


@pytest.mark.parametrize(
    "given",
    [
        f'password = "{SECRET}"',
        f'password_env = "{SECRET}"',
        f'password_env = "{SECRET} "',
        f'key_password_env = "{SECRET}"',
        f'sasl_password = "{SECRET}"',
    ],
)
def test_a_password_in_the_file_is_refused_and_not_shown(tmp_path, given):
    config = tmp_path / "flow.toml"
    config.write_text(f"[kafka]\n{given}\n")
    with pytest.raises(ConfigError) as raised:
        load(config)
    assert SECRET not in str(raised.value)
    with pytest.raises(ConfigError) as raised:
        load(None, [f"kafka.{given}"])
    assert SECRET not in str(raised.value)


def test_what_is_journalled_names_the_variable_only():
    kafka = KafkaSettings(security="sasl_ssl", sasl_mechanism="PLAIN", user="u", password_env="SOME_VARIABLE")
    settings = FraudSettings(kafka=kafka)
    assert b'"password_env":"SOME_VARIABLE"' in canonical(settings)
    assert restore(canonical(settings)) == settings


def test_what_a_start_needs_is_reported_together(tmp_path):
    found = connect(
        {"SET": ""},
        security="sasl_ssl",
        sasl_mechanism="PLAIN",
        user="u",
        password_env="SET",
        key_password_env="UNSET",
        ca_file=str(tmp_path / "missing.pem"),
        key_file=str(tmp_path),
    )
    assert found == [
        "[kafka]: kafka.brokers: is required for topics",
        "[kafka]: kafka.password_env: the environment variable SET is not set",
        "[kafka]: kafka.key_password_env: the environment variable UNSET is not set",
        f"[kafka]: kafka.ca_file: {tmp_path}/missing.pem can't be read: No such file or directory",
        f"[kafka]: kafka.key_file: {tmp_path} can't be read: Is a directory",
    ]


def test_a_connection_shows_no_password():
    connection = Connection(
        KafkaSettings(
            brokers=("one:9092",),
            security="sasl_ssl",
            sasl_mechanism="PLAIN",
            user="u",
            password_env="VARIABLE",
        ),
        environ={"VARIABLE": SECRET},
    )
    assert repr(connection) == "Connection(one:9092)"
    assert connection.redact(f"x {SECRET} y") == "x *** y"


SECURED = {"brokers": ("one:9092",), "security": "sasl_ssl", "sasl_mechanism": "PLAIN", "user": "u"}


def test_a_variable_may_name_the_file_of_a_secret(tmp_path):
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    settings = KafkaSettings(**SECURED, password_env="VARIABLE")
    connection = Connection(settings, environ={"VARIABLE_FILE": str(file)})
    assert connection.redact(f"x {SECRET} y") == "x *** y"


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"X": SECRET, "X_FILE": "f"}, "X and X_FILE are both set; set one of them"),
        ({"X_FILE": "{}/none"}, "X_FILE: {}/none can't be read: No such file or directory"),
        ({"X_FILE": "{}/empty"}, "X_FILE: {}/empty is empty"),
        ({"X_FILE": "{}/latin"}, "X_FILE: {}/latin is not UTF-8"),
        ({}, "the environment variable X is not set"),
    ],
)
def test_where_a_secret_should_come_from_is_told_without_it(tmp_path, environ, message):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "latin").write_bytes(b"\xe9")
    given = {name: value.format(tmp_path) for name, value in environ.items()}
    found = connect(given, **SECURED, password_env="X")
    assert found == [f"[kafka]: kafka.password_env: {message.format(tmp_path, tmp_path)}"]
