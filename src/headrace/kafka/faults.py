"""What the client's errors mean: which pass by themselves, and as which of ours the others are raised."""

from __future__ import annotations

import re
from typing import Final

from headrace.errors import (
    BrokerError,
    BrokerRefused,
    BrokerUnreachable,
    DeliveryFailed,
    OffsetLost,
    TopicMismatch,
)
from headrace.kafka.client import KafkaError, KafkaException

__all__ = ["FAULTS", "PASSING", "error_in", "fault_of", "raised_as"]

PASSING: Final = frozenset(
    {
        "_ALL_BROKERS_DOWN",
        "_DESTROY_BROKER",
        "_INTR",
        "_IN_PROGRESS",
        "_NODE_UPDATE",
        "_NOOP",
        "_PARTITION_EOF",
        "_PREV_IN_PROGRESS",
        "_RESOLVE",
        "_RETRY",
        "_TIMED_OUT",
        "_TRANSPORT",
        "_WAIT_CACHE",
        "_WAIT_COORD",
        "BROKER_NOT_AVAILABLE",
        "COORDINATOR_LOAD_IN_PROGRESS",
        "COORDINATOR_NOT_AVAILABLE",
        "FENCED_LEADER_EPOCH",
        "FETCH_SESSION_ID_NOT_FOUND",
        "INVALID_FETCH_SESSION_EPOCH",
        "KAFKA_STORAGE_ERROR",
        "LEADER_NOT_AVAILABLE",
        "LISTENER_NOT_FOUND",
        "NETWORK_EXCEPTION",
        "NOT_CONTROLLER",
        "NOT_COORDINATOR",
        "NOT_ENOUGH_REPLICAS",
        "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
        "NOT_LEADER_FOR_PARTITION",
        "OFFSET_NOT_AVAILABLE",
        "PREFERRED_LEADER_NOT_AVAILABLE",
        "REBOOTSTRAP_REQUIRED",
        "REPLICA_NOT_AVAILABLE",
        "REQUEST_TIMED_OUT",
        "STALE_BROKER_EPOCH",
        "THROTTLING_QUOTA_EXCEEDED",
        "UNKNOWN_LEADER_EPOCH",
    }
)
"""The client tries again by itself until they are over; a run goes on meanwhile."""

FAULTS: Final[dict[str, type[BrokerError]]] = {
    "_AUTHENTICATION": BrokerRefused,
    "_SSL": BrokerRefused,
    "CLUSTER_AUTHORIZATION_FAILED": BrokerRefused,
    "DELEGATION_TOKEN_AUTHORIZATION_FAILED": BrokerRefused,
    "GROUP_AUTHORIZATION_FAILED": BrokerRefused,
    "ILLEGAL_SASL_STATE": BrokerRefused,
    "SASL_AUTHENTICATION_FAILED": BrokerRefused,
    "SECURITY_DISABLED": BrokerRefused,
    "TOPIC_AUTHORIZATION_FAILED": BrokerRefused,
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED": BrokerRefused,
    "UNSUPPORTED_SASL_MECHANISM": BrokerRefused,
    "_UNKNOWN_PARTITION": TopicMismatch,
    "_UNKNOWN_TOPIC": TopicMismatch,
    "INCONSISTENT_TOPIC_ID": TopicMismatch,
    "INVALID_CONFIG": TopicMismatch,
    "INVALID_PARTITIONS": TopicMismatch,
    "INVALID_REPLICATION_FACTOR": TopicMismatch,
    "POLICY_VIOLATION": TopicMismatch,
    "TOPIC_EXCEPTION": TopicMismatch,
    "UNKNOWN_TOPIC_ID": TopicMismatch,
    "UNKNOWN_TOPIC_OR_PART": TopicMismatch,
    "_AUTO_OFFSET_RESET": OffsetLost,
    "_LOG_TRUNCATION": OffsetLost,
    "_NO_OFFSET": OffsetLost,
    "OFFSET_OUT_OF_RANGE": OffsetLost,
    "_FENCED": DeliveryFailed,
    "_GAPLESS_GUARANTEE": DeliveryFailed,
    "_INCONSISTENT": DeliveryFailed,
    "_MSG_TIMED_OUT": DeliveryFailed,
    "_PURGE_INFLIGHT": DeliveryFailed,
    "_PURGE_QUEUE": DeliveryFailed,
    "_TIMED_OUT_QUEUE": DeliveryFailed,
    "DUPLICATE_SEQUENCE_NUMBER": DeliveryFailed,
    "INVALID_MSG": DeliveryFailed,
    "INVALID_MSG_SIZE": DeliveryFailed,
    "INVALID_PRODUCER_EPOCH": DeliveryFailed,
    "INVALID_PRODUCER_ID_MAPPING": DeliveryFailed,
    "INVALID_RECORD": DeliveryFailed,
    "INVALID_REQUIRED_ACKS": DeliveryFailed,
    "INVALID_TIMESTAMP": DeliveryFailed,
    "MSG_SIZE_TOO_LARGE": DeliveryFailed,
    "OUT_OF_ORDER_SEQUENCE_NUMBER": DeliveryFailed,
    "PRODUCER_FENCED": DeliveryFailed,
    "RECORD_LIST_TOO_LARGE": DeliveryFailed,
    "UNKNOWN_PRODUCER_ID": DeliveryFailed,
}
"""What ends a run, by the name that the client has for it; any other is a plain `BrokerError`."""

# Brokers refuse a client's certificate, or that there is none, after the client's handshake only. The client
# sees a broken connection, and the text alone says why.
_CERTIFICATE_REFUSED: Final = re.compile(
    "alert (bad certificate|unsupported certificate|unknown ca"
    "|certificate (required|unknown|expired|revoked))"
)
_LISTED: Final = (OffsetLost, TopicMismatch)


def fault_of(error: KafkaError) -> type[BrokerError] | None:
    """As what an error is raised; None if it passes by itself."""
    name = error.name()
    if name == "_TRANSPORT" and _CERTIFICATE_REFUSED.search(error.str()):
        return BrokerRefused
    if name in PASSING and not error.fatal():
        return None
    return FAULTS.get(name, BrokerError)


def error_in(exception: KafkaException) -> KafkaError:
    """Return the error that an exception of the client carries."""
    error = exception.args[0] if exception.args else None
    return error if isinstance(error, KafkaError) else KafkaError(-1, str(exception))


def raised_as(error: KafkaError, text: str) -> BrokerError:
    """One of our errors with this text; for one that passes, but not in time, it is `BrokerUnreachable`."""
    kind = fault_of(error) or BrokerUnreachable
    return kind([text]) if issubclass(kind, _LISTED) else kind(text)
