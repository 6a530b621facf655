"""Errors of Kafka's client: each one is known to pass by itself, or becomes one of ours."""

from __future__ import annotations

import subprocess
import sys

import pytest
from confluent_kafka import KafkaError, KafkaException

from headrace.config.kafka import KafkaSettings
from headrace.errors import BrokerError, BrokerRefused, BrokerUnreachable, OffsetLost
from headrace.kafka.connection import Connection
from headrace.kafka.faults import FAULTS, PASSING, error_in, fault_of, raised_as

CODES = {name: getattr(KafkaError, name) for name in dir(KafkaError) if name.lstrip("_").isupper()}


def test_the_tables_name_errors_that_exist():
    assert len(CODES) > 100
    assert {*FAULTS, *PASSING} - {*CODES} == set()
    assert {*FAULTS} & PASSING == set()


@pytest.mark.parametrize("name", sorted(CODES))
def test_each_error_passes_or_is_raised_as_one_of_ours(name):
    error = KafkaError(CODES[name], "why")
    kind = fault_of(error)
    if name in PASSING:
        assert kind is None
    else:
        assert kind is FAULTS.get(name, BrokerError)
    raised = raised_as(error, "text")
    assert isinstance(raised, kind or BrokerUnreachable)
    assert str(raised) == "text"


@pytest.mark.parametrize(
    "alert",
    ["ssl/tls alert bad certificate", "tlsv13 alert certificate required", "tlsv1 alert unknown ca"],
)
def test_a_connection_that_ends_because_of_the_clients_certificate_is_refused(alert):
    text = f"ssl://broker:9094: Receive failed: error:0A000412:SSL routines::{alert}: SSL alert number 42"
    assert fault_of(KafkaError(KafkaError._TRANSPORT, text)) is BrokerRefused
    assert fault_of(KafkaError(KafkaError._TRANSPORT, "Receive failed: Connection reset by peer")) is None


def test_what_is_fatal_does_not_pass():
    assert fault_of(KafkaError(KafkaError._TRANSPORT, "why", fatal=True)) is BrokerError


def test_what_the_client_may_add_later_is_raised():
    assert fault_of(KafkaError(9999, "why")) is BrokerError


def test_the_error_in_an_exception():
    error = KafkaError(KafkaError.OFFSET_OUT_OF_RANGE, "why")
    assert error_in(KafkaException(error)) is error
    assert fault_of(error_in(KafkaException(error))) is OffsetLost
    assert error_in(KafkaException("only a text")).str() == "only a text"


def test_a_missing_client_is_named_with_what_to_install():
    code = (
        "import sys\nsys.modules['confluent_kafka'] = None\n"
        "from headrace.errors import ConfigError\n"
        "try:\n    import headrace.kafka.reader\n"
        "except ConfigError as error:\n    print(error, error.exit_code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "kafka:: needs Kafka's client, which is not installed: pip install 'headrace[kafka]' 2\n"
    )


def test_the_reason_of_a_failed_handshake_is_kept_over_what_comes_after_it():
    connection = Connection(KafkaSettings(brokers=("127.0.0.1:1",), security="ssl"))
    hung_up = KafkaError(KafkaError._TRANSPORT, "Disconnected: SSL connection closed by peer")
    reason = KafkaError(
        KafkaError._TRANSPORT, "SSL handshake failed: connecting to a PLAINTEXT broker listener?"
    )
    down = KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")
    for errors in ((hung_up, reason, down), (reason, hung_up), (down, reason, hung_up)):
        connection.forget()
        for error in errors:
            connection.heard_error(error)
        assert "PLAINTEXT" in connection.trouble
