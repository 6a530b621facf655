"""Kafka's client, imported here and nowhere else."""

from __future__ import annotations

from headrace.errors import ConfigError, Invalid

try:
    from confluent_kafka import (
        OFFSET_END,
        TIMESTAMP_CREATE_TIME,
        TIMESTAMP_LOG_APPEND_TIME,
        TIMESTAMP_NOT_AVAILABLE,
        Consumer,
        KafkaError,
        KafkaException,
        Message,
        Producer,
        TopicCollection,
        TopicPartition,
    )
    from confluent_kafka.admin import (  # type: ignore[attr-defined]
        AdminClient,
        ConfigResource,
        NewTopic,
        OffsetSpec,
    )
except ModuleNotFoundError as error:
    if error.name != "confluent_kafka":
        raise
    _missing = "needs Kafka's client, which is not installed: pip install 'headrace[kafka]'"
    raise ConfigError([Invalid("kafka:", "", _missing)]) from error

__all__ = [
    "OFFSET_END",
    "TIMESTAMP_CREATE_TIME",
    "TIMESTAMP_LOG_APPEND_TIME",
    "TIMESTAMP_NOT_AVAILABLE",
    "AdminClient",
    "ConfigResource",
    "Consumer",
    "KafkaError",
    "KafkaException",
    "Message",
    "NewTopic",
    "OffsetSpec",
    "Producer",
    "TopicCollection",
    "TopicPartition",
]
