"""Looks at the start whether the topics are as a flow needs them, and creates them when that is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from headrace.errors import BrokerRefused, TopicMismatch
from headrace.operators.kafka.client import AdminClient, ConfigResource, KafkaException, NewTopic
from headrace.operators.kafka.connection import Connection
from headrace.operators.kafka.faults import error_in, fault_of

__all__ = ["CREATE_OPTION", "Checked", "Needed", "check_topics"]

CREATE_OPTION: Final = "--create-topics"
_DAY_MS: Final = 86_400_000
_RETENTION: Final = "retention.ms"
_CLEANUP: Final = "cleanup.policy"
_SPARE_DAYS: Final = 1


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
    """

    topic: str
    written: bool = False
    partitions_min: int = 1
    partitions: int | None = None


class Checked(NamedTuple):
    """What was found.

    Attributes
    ----------
    partitions
        Of each topic.
    created
        Topics that were created.
    warnings
        What a person should know; the flow can go on.
    """

    partitions: Mapping[str, int]
    created: tuple[str, ...]
    warnings: tuple[str, ...]


def check_topics(
    connection: Connection, needed: Sequence[Needed], *, memory_days_max: float, create: bool = False
) -> Checked:
    """Look whether topics are there, and as they are needed.

    A topic that is written must keep its messages as long as ids are remembered: what was delivered is read
    back from it after a crash or a restore. One that is read and keeps them for less is worth a warning: a
    flow that stands still for longer loses events.

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
    missing = [each for each in needed if each.topic not in counts]
    wrong = [] if create else [_missing(each) for each in missing]
    there = [each for each in needed if each.topic in counts]
    wrong += [text for each in there for text in _miscounted(each, counts[each.topic])]
    configs, warnings = _configs(connection, admin, there)
    for each in there:
        errors, told = _retained(each, configs.get(each.topic, {}), memory_days_max)
        wrong += errors
        warnings += told
    if wrong:
        raise TopicMismatch(wrong)
    created = _create(connection, admin, missing, memory_days_max)
    partitions = {each.topic: counts.get(each.topic) or created[each.topic] for each in needed}
    return Checked(partitions, tuple(created), tuple(warnings))


def _missing(needed: Needed) -> str:
    return f"{needed.topic}: there is no such topic; {CREATE_OPTION} creates it"


def _miscounted(needed: Needed, count: int) -> Iterator[str]:
    if needed.partitions is not None and count != needed.partitions:
        change = "made anew" if count < needed.partitions else "enlarged"
        known = f"but the state knows {needed.partitions}"
        yield f"{needed.topic}: has {count} partitions, {known}: the topic was {change}"
    elif count < needed.partitions_min:
        yield f"{needed.topic}: has {count} partitions; at least {needed.partitions_min} are needed"


def _configs(
    connection: Connection, admin: AdminClient, topics: Sequence[Needed]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Settings of topics, and warnings about those that one may not see."""
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
    """What is wrong with how long a topic keeps messages, and what is worth a warning."""
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
                f"{name}: keeps messages for {kept}; a flow that stands still for longer loses events"
            )
    return errors, warnings


def _create(
    connection: Connection, admin: AdminClient, missing: Sequence[Needed], days: float
) -> dict[str, int]:
    """Create topics; gives the number of partitions of each."""
    settings = connection.settings
    counts = {
        each.topic: each.partitions or max(each.partitions_min, settings.create_partitions)
        for each in missing
    }
    if not counts:
        return {}
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
    if wrong:
        raise TopicMismatch(wrong)
    return counts
