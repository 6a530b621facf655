"""A listener that asks for a client's certificate: who may enter, what others are told, what stays secret."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from entrances import begin, check_everything_works

from headrace.config.flow_kinds import SHIPPED_ENVIRONMENT
from headrace.config.kafka import KafkaSettings
from headrace.errors import BrokerError, BrokerRefused, ConfigError
from headrace.kafka.connection import Connection
from headrace.kafka.producer import DecisionProducer
from headrace.kafka.read_back import read_back

pytestmark = [pytest.mark.integration, pytest.mark.broker]

VARIABLE = "TEST_KAFKA_KEY_PASSWORD"
WRONG = "Tr0ub4dor-and-3"
PATIENCE_S = 600


@pytest.fixture
def client(broker):
    if broker.client is None and os.environ.get("CI") != "true":
        pytest.skip("needs OpenSSL, which makes a client's certificate")
    assert broker.client is not None
    return broker.client


def connected(broker, certificate, **changed) -> Connection:
    """A connection with a client's certificate, or with none."""
    settings = {
        "brokers": (broker.mutual_brokers,),
        "security": "ssl",
        "ca_file": str(broker.ca_file),
        "metadata_seconds_max": 300.0,
    }
    environ = {}
    if certificate is not None:
        settings |= {"certificate_file": str(certificate.file), "key_file": str(certificate.key_file)}
        settings |= {"key_password_env": VARIABLE}
        environ = {VARIABLE: certificate.password}
    return Connection(KafkaSettings(**settings | changed), environ=environ)


def test_with_a_certificate_everything_works(broker, client):
    topic = broker.create_topic(f"mutual-{time.time_ns()}", retention_ms="-1")
    connection = connected(broker, client)
    check_everything_works(connection, topic)


@pytest.mark.parametrize("what", ["reader", "producer", "topics"])
@pytest.mark.parametrize("whose", ["nobody", "a stranger"])
def test_without_one_that_the_brokers_trust_nobody_enters(broker, client, what, whose, caplog):
    log = logging.getLogger("headrace.kafka_client")
    log.addHandler(caplog.handler)
    caplog.set_level(logging.DEBUG)
    certificate = broker.certificate(f"stranger-{what}") if whose == "a stranger" else None
    with pytest.raises(BrokerRefused, match=rf"no answer from {broker.mutual_brokers}: .*") as raised:
        begin(connected(broker, certificate), what)
    log.removeHandler(caplog.handler)
    shown = "".join(traceback.format_exception(raised.value)) + caplog.text
    assert "certificate" in str(raised.value)
    assert certificate is None or certificate.password not in shown


def test_a_wrong_password_of_the_key_is_refused_and_shown_nowhere(broker, client, caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(BrokerError, match="can't be set up") as raised:
        begin(connected(broker, client._replace(password=WRONG)), "topics")
    shown = "".join(traceback.format_exception(raised.value)) + caplog.text + repr(raised.value.__dict__)
    assert "ssl.key" in shown
    assert WRONG not in shown


def test_what_is_missing_is_named_all_at_once(broker, client, tmp_path):
    lost = client._replace(file=tmp_path / "lost.pem", key_file=tmp_path / "lost.key")
    with pytest.raises(ConfigError) as raised:
        Connection(
            connected(broker, client).settings.model_copy(
                update={"certificate_file": str(lost.file), "key_file": str(lost.key_file)}
            ),
            environ={},
        )
    keys = {invalid.key for invalid in raised.value.errors}
    assert keys == {"kafka.certificate_file", "kafka.key_file", "kafka.key_password_env"}


PAYMENT = {
    "type": "payment",
    "event_id": "p-1",
    "event_time": "2026-03-01T09:30:00Z",
    "customer_id": "c-7",
    "merchant_id": "m-3",
    "amount": 15.49,
    "currency": "EUR",
}


def wait_for(reached: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_whole_run_keeps_the_key_and_its_password_to_itself(broker, client, tmp_path, processes):
    stamp = time.time_ns()
    topics = [broker.create_topic(f"{name}-{stamp}", retention_ms="-1") for name in ("in", "out", "dead")]
    connection = connected(broker, client)
    producer = DecisionProducer(connection)
    producer.send(topics[0], [(None, json.dumps(PAYMENT).encode(), [])])
    producer.send(topics[0], [(None, b"no event", [])])
    producer.flush()
    config, state, said = tmp_path / "mutual.toml", tmp_path / "state", tmp_path / "said"
    keys = (
        f'brokers = ["{broker.mutual_brokers}"]\nsecurity = "ssl"\nca_file = "{broker.ca_file}"\n'
        f'certificate_file = "{client.file}"\nkey_file = "{client.key_file}"\n'
        f'key_password_env = "{VARIABLE}"\n'
    )
    before, table, after = SHIPPED_ENVIRONMENT.read_text().partition("[kafka]")
    config.write_text(f"{before}{table}\n{keys}#{after}")
    arguments = ["run", "fraud", "--from", f"kafka:{topics[0]}", "--to", f"kafka:{topics[1]}"]
    arguments += ["--dead-letters", f"kafka:{topics[2]}", "--state", str(state), "--config", str(config)]
    arguments += ["--processes", processes, "--set", "flow.shards=2", "--metrics-port", "0"]
    with said.open("wb") as stream:
        running = subprocess.Popen(
            [sys.executable, "-m", "headrace", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env={**os.environ, VARIABLE: client.password},
        )
    try:
        wait_for(lambda: running.poll() is not None or list(read_back(connection, topics[1], {})))
        running.send_signal(signal.SIGTERM)
        assert running.wait(PATIENCE_S) == 0, said.read_text()
    finally:
        running.kill()
        running.wait()
    assert len(list(read_back(connection, topics[2], {}))) == 1
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert any(VARIABLE.encode() in content for path, content in written.items() if "state" in path.parts)
    lines = Path(client.key_file).read_text().splitlines()
    secret = [client.password.encode(), *(line.encode() for line in lines if not line.startswith("-"))]
    assert [path for path, content in written.items() if any(each in content for each in secret)] == []
