"""Looks at the start whether the topics are as a flow needs them, and creates them when that is asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from headrace.errors import BrokerRefused, TopicMismatch
from headrace.kafka.client import AdminClient, ConfigResource, KafkaException, NewTopic, TopicCollection
from headrace.kafka.connection import Connection
from headrace.kafka.faults import error_in, fault_of
from headrace.kafka.starts import START_OPTION

__all__ = ["CREATE_OPTION", "Checked", "Needed", "check_topics"]

CREATE_OPTION: Final = "--create-topics"
_DAY_MS: Final = 86_400_000
_RETENTION: Final = "retention.ms"
_CLEANUP: Final = "cleanup.policy"
_LARGEST: Final = "max.message.bytes"
_SPARE_DAYS: Final = 1
_PAUSE_S: Final = 0.05


class Needed(NamedTuple):
    """A topic that a flow reads or writes.

    Attributes
    ----------
    topic
        Its name.
    written
        Whether it is written; else it is read.
    partitions_min
        Partitions that it must have at least.
    partitions
        Partitions that it must have, as in a state that knows it; None for any number.
    topic_id
        What the brokers must call it, as in a state that knows it; None for any. A topic that was deleted and
        made anew has the same name, and another id.
    """

    topic: str
    written: bool = False
    partitions_min: int = 1
    partitions: int | None = None
    topic_id: str | None = None


class Checked(NamedTuple):
    """What was found.

    Attributes
    ----------
    partitions
        Of each topic.
    topic_ids
        Of each topic, for `Needed.topic_id` of the next start.
    created
        Topics that were created.
    warnings
        What a person should know; the flow can go on.
    bytes_max
        Of topics that are written, how large a batch of messages they take; left out where one may not see.
    """

    partitions: Mapping[str, int]
    topic_ids: Mapping[str, str]
    created: tuple[str, ...]
    warnings: tuple[str, ...]
    bytes_max: Mapping[str, int] = {}


def check_topics(
    connection: Connection, needed: Sequence[Needed], *, memory_days_max: float, create: bool = False
) -> Checked:
    """Look whether topics are there, and as they are needed.

    A topic that is written must keep its messages as long as ids are remembered: what was delivered is read
    back from it after a crash or a restore. One that is read and keeps them for less is worth a warning: a
    flow that is stalled for longer loses events.

    Parameters
    ----------
    connection
        To the brokers.
    needed
        The topics.
    memory_days_max
        How long ids are remembered, days: `ids.memory_days_max`.
    create
        Create those that are missing.

    Raises
    ------
    TopicMismatch
        With everything that is wrong.
    BrokerUnreachable, BrokerRefused
        If no broker answers within `metadata_seconds_max`, or one refuses.
    """
    admin = connection.admin()
    counts = connection.probe(admin)
    ids = _ids(connection, admin, [each.topic for each in needed if each.topic in counts])
    missing = [each for each in needed if each.topic not in counts]
    wrong = [_missing(each) for each in missing if each.topic_id is not None or not create]
    there = [each for each in needed if each.topic in counts]
    wrong += [text for each in there for text in _changed(each, counts[each.topic], ids[each.topic])]
    configs, warnings = _configs(connection, admin, there)
    for each in there:
        errors, told = _retained(each, configs.get(each.topic, {}), memory_days_max)
        wrong += errors
        warnings += told
    if wrong:
        raise TopicMismatch(wrong)
    created = _create(connection, admin, missing, memory_days_max)
    counts |= _await(connection, admin, created)
    ids |= _ids(connection, admin, created)
    partitions = {each.topic: counts[each.topic] for each in needed}
    if created:
        # As the brokers made them: how large a message may be is their default.
        made, _ = _configs(connection, admin, missing)
        configs |= made
    bytes_max = {
        each.topic: int(configs[each.topic][_LARGEST])
        for each in needed
        if each.written and _LARGEST in configs.get(each.topic, {})
    }
    return Checked(partitions, ids, tuple(created), tuple(warnings), bytes_max)


def _missing(needed: Needed) -> str:
    if needed.topic_id is not None:
        return (
            f"{needed.topic}: the state knows this topic, but the brokers don't: it was deleted, or this is"
            f" another cluster; point kafka.brokers to the right one, or begin with a new --state"
        )
    return f"{needed.topic}: there is no such topic; {CREATE_OPTION} creates it"


def _changed(needed: Needed, count: int, topic_id: str) -> Iterator[str]:
    """How a topic differs from what was asked for, and from what the state knows of it."""
    if needed.topic_id is not None and topic_id != needed.topic_id:
        yield (
            f"{needed.topic}: was deleted and made anew since the state knew it, or this is another cluster,"
            " so that offsets mean other messages; point kafka.brokers to the right cluster, or begin with a"
            f" new --state, where {START_OPTION} says at which message"
        )
    elif needed.partitions is not None and count != needed.partitions:
        yield f"{needed.topic}: has {count} partitions, but the state knows {needed.partitions}"
    elif count < needed.partitions_min:
        yield f"{needed.topic}: has {count} partitions; at least {needed.partitions_min} are needed"


def _ids(connection: Connection, admin: AdminClient, topics: Sequence[str]) -> dict[str, str]:
    """Return what the brokers call topics."""
    if not topics:
        return {}
    seconds_max, found = connection.settings.metadata_seconds_max, {}
    asked = admin.describe_topics(TopicCollection(list(topics)), request_timeout=seconds_max)
    for name, future in asked.items():
        try:
            found[name] = str(future.result(seconds_max + 1).topic_id)
        except KafkaException as exception:
            raise connection.fault(error_in(exception), name) from None
    return found


def _configs(
    connection: Connection, admin: AdminClient, topics: Sequence[Needed]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return settings of topics, and warnings about those that one may not see."""
    resources = [ConfigResource(ConfigResource.Type.TOPIC, each.topic) for each in topics]
    if not resources:
        return {}, []
    found, warnings = {}, []
    seconds_max = connection.settings.metadata_seconds_max
    for resource, future in admin.describe_configs(resources, request_timeout=seconds_max).items():
        try:
            entries = future.result(seconds_max + 1)
        except KafkaException as exception:
            error = error_in(exception)
            if fault_of(error) is not BrokerRefused:
                raise connection.fault(error, resource.name) from None
            warnings.append(f"{resource.name}: one may not see its settings, so its retention is not checked")
        else:
            found[resource.name] = {key: entry.value for key, entry in entries.items()}
    return found, warnings


def _retained(needed: Needed, config: Mapping[str, str], days: float) -> tuple[list[str], list[str]]:
    """Return what is wrong with how long a topic keeps messages, and what is worth a warning."""
    errors: list[str] = []
    warnings: list[str] = []
    kept_ms = int(config.get(_RETENTION, "-1"))
    policy = config.get(_CLEANUP, "delete")
    name, kept = needed.topic, f"{kept_ms / _DAY_MS:g} days"
    if "compact" in policy:
        text = f"{name}: {_CLEANUP} is {policy}, which drops all but the last message of a key"
        (errors if needed.written else warnings).append(text)
    if "delete" in policy and 0 <= kept_ms < days * _DAY_MS:
        if needed.written:
            errors.append(
                f"{name}: keeps messages for {kept}, but ids are remembered for {days:g} days: raise its"
                f" {_RETENTION} to {int(days * _DAY_MS)}, or lower ids.memory_days_max"
            )
        else:
            warnings.append(
                f"{name}: keeps messages for {kept}; a flow that is stalled for longer loses events"
            )
    return errors, warnings


def _create(connection: Connection, admin: AdminClient, missing: Sequence[Needed], days: float) -> list[str]:
    """Create topics; gives their names."""
    settings = connection.settings
    counts = {
        each.topic: each.partitions or max(each.partitions_min, settings.create_partitions)
        for each in missing
    }
    if not counts:
        return []
    config = {_RETENTION: str(int((days + _SPARE_DAYS) * _DAY_MS)), _CLEANUP: "delete"}
    replicas = settings.create_replicas or -1
    asked = [NewTopic(name, count, replicas, config=config) for name, count in counts.items()]
    wrong = []
    for name, future in admin.create_topics(asked, operation_timeout=settings.metadata_seconds_max).items():
        try:
            future.result(settings.metadata_seconds_max + 1)
        except KafkaException as exception:
            error = error_in(exception)
            if error.name() != "TOPIC_ALREADY_EXISTS":  # another process was quicker
                wrong.append(connection.redact(f"{name}: can't be created: {error.str()}"))
    # Before anything is created, so that a refused start leaves the cluster as it was.
    if wrong:
        raise TopicMismatch(wrong)
    return list(counts)


def _await(connection: Connection, admin: AdminClient, created: Sequence[str]) -> dict[str, int]:
    """Wait until the brokers tell each other of new topics; gives the number of partitions of each."""
    until = time.monotonic() + connection.settings.metadata_seconds_max
    while created:
        counts = connection.probe(admin)
        unknown = [name for name in created if name not in counts]
        if not unknown:
            return {name: counts[name] for name in created}
        if time.monotonic() >= until:
            raise TopicMismatch(
                [f"{name}: was created, but the brokers don't know it yet" for name in unknown]
            )
        time.sleep(_PAUSE_S)
    return {}
