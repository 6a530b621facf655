"""A listener with TLS and passwords: who may enter, what others are told, and that secrets stay secret."""

from __future__ import annotations

import logging
import time
import traceback
import urllib.request
from pathlib import Path

import pytest
from entrances import begin, check_everything_works

from headrace.config.kafka import KafkaSettings
from headrace.config.loading import load
from headrace.errors import BrokerError, BrokerRefused, BrokerUnreachable
from headrace.kafka.connection import Connection
from headrace.kafka.topics import check_topics
from headrace.metrics.serving import served
from headrace.operators import simulator
from headrace.runtime.file_run import run
from headrace.runtime.runs import Progress, RunRequest, RunSummary

pytestmark = [pytest.mark.integration, pytest.mark.broker]

VARIABLE = "TEST_KAFKA_PASSWORD"
WRONG = "Tr0ub4dor-and-3"


def secured(broker, password: str, **changed) -> Connection:
    settings = {
        "brokers": (broker.secure_brokers,),
        "security": "sasl_ssl",
        "sasl_mechanism": "SCRAM-SHA-512",
        "user": broker.user,
        "password_env": VARIABLE,
        "ca_file": str(broker.ca_file),
    }
    return Connection(KafkaSettings(**settings | changed), environ={VARIABLE: password})


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
def test_with_the_right_password_everything_works(broker, mechanism):
    topic = broker.create_topic(f"secured-{time.time_ns()}", retention_ms="-1")
    connection = secured(broker, broker.password, sasl_mechanism=mechanism)
    check_everything_works(connection, topic)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
@pytest.mark.parametrize("what", ["reader", "producer", "topics", "read_back"])
def test_a_wrong_password_is_refused_at_once_and_shown_nowhere(broker, mechanism, what, caplog):
    log = logging.getLogger("headrace.kafka_client")
    log.addHandler(caplog.handler)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(
        BrokerRefused, match=rf"no answer from {broker.secure_brokers}: .*uthentication"
    ) as raised:
        begin(secured(broker, WRONG, sasl_mechanism=mechanism, metadata_seconds_max=300.0), what)
    log.removeHandler(caplog.handler)
    shown = "".join(traceback.format_exception(raised.value)) + caplog.text + repr(raised.value.__dict__)
    assert "uthentication" in caplog.text
    assert WRONG not in shown


def test_a_broker_that_is_not_trusted_is_refused(broker):
    with pytest.raises(BrokerRefused, match="certificate verify failed"):
        begin(secured(broker, broker.password, ca_file=None), "reader")


def test_a_certificate_file_that_is_none(broker, tmp_path):
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(BrokerError, match=r"can't be set up: .*ssl\.ca\.location failed"):
        begin(secured(broker, broker.password, ca_file=str(tmp_path / "ca.pem")), "reader")


def test_another_kind_of_listener_is_told(broker):
    settings = KafkaSettings(brokers=(broker.secure_brokers,), metadata_seconds_max=2.0)
    with pytest.raises(
        BrokerUnreachable, match=rf"{broker.secure_brokers} \(or they listen with other security"
    ):
        begin(Connection(settings), "reader")
    settings = KafkaSettings(brokers=(broker.brokers,), security="ssl", metadata_seconds_max=2.0)
    with pytest.raises(BrokerUnreachable, match="connecting to a PLAINTEXT broker listener"):
        begin(Connection(settings), "reader")


class Watching:
    """Takes down all that a run says."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def started(self, request: RunRequest) -> None:
        self.said.append(repr(request))

    def progress(self, progress: Progress) -> None:
        self.said.append(repr(progress))

    def warning(self, message: str) -> None:
        self.said.append(message)

    def finished(self, summary: RunSummary) -> None:
        self.said.append(repr(summary))


def test_a_password_is_in_no_log_no_state_and_no_metric(broker, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(VARIABLE, broker.password)
    config = tmp_path / "secured.toml"
    shipped = Path(load.__code__.co_filename).with_name("default.toml").read_text()
    keys = (
        f'brokers = ["{broker.secure_brokers}"]\nsecurity = "sasl_ssl"\nsasl_mechanism = "PLAIN"\n'
        f'user = "{broker.user}"\npassword_env = "{VARIABLE}"\nca_file = "{broker.ca_file}"\n'
    )
    before, table, after = shipped.partition("[kafka]")
    config.write_text(f"{before}{table}\n{keys}#{after}")
    settings = load(config)
    connection = Connection.of(settings.kafka, lambda _key: str(config))
    check_topics(connection, [], memory_days_max=settings.ids.memory_days_max)
    events, watching = tmp_path / "events.jsonl", Watching()
    blocks = b"".join(simulator.event_blocks(simulator.simulate("demo", 1, days=2)))
    events.write_bytes(blocks + b"no event\n")
    with served(settings, 0, config) as metrics:
        assert metrics is not None
        request = RunRequest(
            flow="fraud",
            sources=(str(events),),
            to=str(tmp_path / "decisions.jsonl"),
            dead_letters=None,
            state=tmp_path / "state",
            settings=settings,
            config_file=config,
            speed=None,
            learn=True,
            telemetry=metrics.recorder,
        )
        assert run(request, watching).exit_code == 0
        with urllib.request.urlopen(metrics.url) as answer:
            watching.said.append(answer.read().decode())
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    # The configuration is in the journal, so that what is looked for there could have been found.
    assert any(VARIABLE.encode() in content for path, content in written.items() if "state" in path.parts)
    assert [path for path, content in written.items() if broker.password.encode() in content] == []
    shown = "\n".join((*watching.said, caplog.text, repr(connection), repr(settings)))
    assert broker.user in shown
    assert broker.password not in shown
