"""Settings of the connection to Kafka, and of what goes over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Strict, StringConstraints

from headrace.errors import Invalid

from .base import Settings

__all__ = [
    "FILES",
    "FILE_SUFFIX",
    "SECRETS",
    "KafkaSettings",
    "kafka_errors",
    "named_secret",
    "resolve_files",
    "take_out_secrets",
]

FILES: Final = ("ca_file", "certificate_file", "key_file")
SECRETS: Final = ("password_env", "key_password_env")
FILE_SUFFIX: Final = "_FILE"
"""Behind the name of a variable that holds a secret: the variable that names a file with it."""

_ENV: Final = "_env"
_SASL: Final = ("sasl_mechanism", "user", "password_env")


def _variable(given: Any) -> Any:
    """Return the name of an environment variable.

    Whatever else is given is not shown, for it may be the secret.
    """
    words = given.replace("_", "") if isinstance(given, str) else ""
    if not (words.isascii() and words.isalnum() and words.isupper() and given[0].isalpha()):
        raise ValueError(
            "must be the name of an environment variable, in capitals (what is given is not shown)"
        )
    return given


def _address(given: str) -> str:
    host, colon, port = given.rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65_536) or set(host) & set(" ,/@"):
        raise ValueError(f"must be host:port (is {given!r})")
    return given


def _not_of_ours(given: str) -> str:
    if given.startswith(("ce_", "headrace_")) or given == "content-type":
        raise ValueError(f"{given!r} is a header that is written anew")
    return given


Address = Annotated[str, StringConstraints(max_length=300), AfterValidator(_address)]
Variable = Annotated[str, BeforeValidator(_variable), Field(max_length=128)]
FileName = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+$", max_length=249)]


HeaderName = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_not_of_ours)]


class KafkaSettings(Settings):
    """How Kafka is reached, when a source or a sink is a topic.

    Passwords are in no configuration: it names the environment variables that hold them. In place of the
    variable X another one, X_FILE, may name a file that holds it.

    Attributes
    ----------
    brokers
        Some of the cluster's brokers, `host:port`.
    security
        What the connection is: `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`.
    sasl_mechanism, user, password_env
        How one proves who one is; `password_env` names the environment variable with the password.
    ca_file
        The certificates to trust, PEM; not set: those of the system. A relative path, of this file and of
        the next two, starts at the configuration's folder.
    certificate_file, key_file, key_password_env
        One's own certificate, when the brokers ask for one.
    group_id
        Positions are committed for this consumer group, so that lag can be watched with Kafka's tools; they
        are never read. Not set: they aren't committed.
    client_id
        The name in the brokers' logs and quotas.
    ce_source
        What decisions and dead letters name as their source, a CloudEvents attribute.
    metadata_seconds_max
        Brokers must have answered within this time when a flow starts.
    metadata_seconds
        Added partitions are noticed within this time.
    silent_seconds_max
        When nothing was heard of the brokers for longer, a warning is given.
    reconnect_ms_max
        Longest pause between two attempts to connect.
    commit_seconds
        Positions are committed at most so often.
    fetch_wait_ms_max
        A broker without new messages answers after this time.
    fetch_backoff_ms
        Pause before a partition whose queue is full is fetched again.
    fetch_queue_messages
        Messages of a partition that are fetched ahead.
    fetch_queue_bytes_max
        Bytes fetched ahead, all partitions of a worker together.
    message_bytes_max
        The largest message that is sent: a dead letter that would be larger is cut. Messages that are read
        may be larger.
    send_queue_messages_max, send_queue_bytes_max
        What waits to be delivered; beyond it the flow waits.
    delivery_seconds_max
        A message that the brokers haven't taken for longer ends the flow.
    linger_ms
        How long a message waits for others to travel with. Under load they do so without it (see the runbook
        on Kafka, "Speed"); it helps where the client's threads can't be scheduled as batch work, and makes
        each decision come a millisecond later.
    read_back_seconds_max
        When what was sent is read back, the next message must come within this time.
    look_back_messages
        So many of the last messages of each partition of decisions are looked at, to see who decided there,
        when a state writes to it for the first time.
    create_partitions, create_replicas
        Of topics that are created; replicas not set: as the brokers do by default.
    output_offsets_seconds
        So often it is journalled up to where the outputs are known to be complete; what came later is read
        back after a crash.
    settle_ms
        After a crash an output topic is read back once it hasn't grown for so long: the last messages of a
        killed process may still be on their way.
    unpacked_bytes_max
        The largest answer of a broker, and what a batch of messages packed with zstd may unpack to. The
        client unpacks what is packed with gzip, lz4 or snappy whatever it comes to.
    unreadable
        What becomes of a batch of messages that can't be unpacked: a `dead_letter` in its place, or the end
        of the run (`stop`).
    pass_headers
        Headers of an input's message that go on to its decision or dead letter, by name.
    pass_headers_max, pass_headers_bytes_max
        How many of a message go on, and bytes of their names and values; what comes beyond is dropped.
    partitions_max
        Partitions of all input topics together.
    merge_messages_max
        Messages of a partition that are held, while those of other partitions come first by event time.
    merge_wait_ms_max
        A partition that is behind and brings nothing is waited for no longer.
    clock_skew_ms_max
        By so much the timestamp of a message may be wrong and is still used, when it is told how long the
        message has waited; with one that is off by more it waits since it was read.
    ahead_messages_max
        With several processes, messages that each may read in the second that all of them end together.
    """

    brokers: Annotated[tuple[Address, ...], Strict(strict=False), Field(max_length=64)] = ()
    security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] | None = None
    user: Annotated[str, StringConstraints(min_length=1, max_length=300)] | None = None
    password_env: Variable | None = None
    ca_file: FileName | None = None
    certificate_file: FileName | None = None
    key_file: FileName | None = None
    key_password_env: Variable | None = None
    group_id: Label | None = None
    client_id: Label = "headrace"
    ce_source: Annotated[str, StringConstraints(pattern=r"^[!-~]+$", max_length=300)] = "/headrace/fraud"
    metadata_seconds_max: float = Field(default=10.0, ge=0.1, le=300.0)
    metadata_seconds: float = Field(default=30.0, ge=0.1, le=3600.0)
    silent_seconds_max: float = Field(default=10.0, ge=1.0, le=3600.0)
    reconnect_ms_max: int = Field(default=1000, ge=100, le=60_000)
    commit_seconds: float = Field(default=5.0, ge=0.1, le=3600.0)
    fetch_wait_ms_max: int = Field(default=100, ge=1, le=10_000)
    fetch_backoff_ms: int = Field(default=5, ge=0, le=10_000)
    fetch_queue_messages: int = Field(default=50_000, ge=1, le=10_000_000)
    fetch_queue_bytes_max: int = Field(default=67_108_864, ge=65_536, le=2_147_483_648)
    message_bytes_max: int = Field(default=1_000_000, ge=1000, le=1_000_000_000)
    send_queue_messages_max: int = Field(default=100_000, ge=1, le=10_000_000)
    send_queue_bytes_max: int = Field(default=67_108_864, ge=65_536, le=2_147_483_648)
    delivery_seconds_max: float = Field(default=300.0, ge=1.0, le=3600.0)
    linger_ms: float = Field(default=0.0, ge=0.0, le=10_000.0)
    read_back_seconds_max: float = Field(default=30.0, ge=0.1, le=3600.0)
    look_back_messages: int = Field(default=100, ge=1, le=100_000)
    create_partitions: int = Field(default=1, ge=1, le=10_000)
    create_replicas: int | None = Field(default=None, ge=1, le=32)
    output_offsets_seconds: float = Field(default=10.0, ge=0.05, le=3600.0)
    settle_ms: int = Field(default=1000, ge=0, le=600_000)
    unpacked_bytes_max: int = Field(default=67_108_864, ge=2_000_000, le=2_147_483_647)
    unreadable: Literal["dead_letter", "stop"] = "dead_letter"
    pass_headers: Annotated[tuple[HeaderName, ...], Strict(strict=False), Field(max_length=32)] = (
        "traceparent",
        "tracestate",
    )
    pass_headers_max: int = Field(default=16, ge=1, le=64)
    pass_headers_bytes_max: int = Field(default=4096, ge=0, le=65_536)
    partitions_max: int = Field(default=1000, ge=1, le=65_534)
    merge_messages_max: int = Field(default=20_000, ge=1, le=10_000_000)
    merge_wait_ms_max: int = Field(default=1000, ge=0, le=600_000)
    clock_skew_ms_max: int = Field(default=1000, ge=0, le=86_400_000)
    ahead_messages_max: int = Field(default=100_000, ge=1, le=10_000_000)

    @property
    def sasl(self) -> bool:
        """Whether one says who one is, by name and password."""
        return self.security.startswith("sasl")

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.security.endswith("ssl")


def resolve_files(read: dict[str, Any], folder: Path) -> None:
    """Make the paths of certificates and keys absolute, in a configuration as it was read."""
    table = read.get("kafka")
    if not isinstance(table, dict):
        return
    for key in FILES:
        if isinstance(table.get(key), str) and table[key]:
            table[key] = str((folder / table[key]).absolute())


def named_secret(path: Sequence[str], variable: str) -> tuple[list[str], str] | None:
    """Return the key that names a secret's variable, and that name, where a variable holds a secret itself.

    Parameters
    ----------
    path
        The key that the variable's name spells: `kafka`, `password` (or `password_file`).
    variable
        The variable's name.

    Examples
    --------
    >>> named_secret(["kafka", "password"], "HEADRACE__KAFKA__PASSWORD")
    (['kafka', 'password_env'], 'HEADRACE__KAFKA__PASSWORD')
    """
    variable = variable.removesuffix(FILE_SUFFIX)
    key = f"{path[-1].removesuffix(FILE_SUFFIX.lower())}{_ENV}"
    return (["kafka", key], variable) if len(path) == 2 and path[0] == "kafka" and key in SECRETS else None


def take_out_secrets(read: dict[str, Any]) -> Iterator[Invalid]:
    """Take secrets out of a configuration as it was read, and say where each belongs; none is shown."""
    table = read.get("kafka")
    if not isinstance(table, dict):
        return
    for key in SECRETS:
        secret = key.removesuffix(_ENV)
        if table.pop(secret, None) is not None:
            variable = f"HEADRACE__KAFKA__{secret.upper()}"
            yield Invalid(
                "",
                f"kafka.{secret}",
                f"a secret comes from a variable: {variable}, or the one that {key} names; or from a file,"
                f" which {variable}{FILE_SUFFIX} names (what is given is not shown)",
            )


def kafka_errors(kafka: KafkaSettings) -> Iterator[Invalid]:
    """Yield what is wrong between settings of the connection that are each well-formed."""
    for key, message in (*_security_errors(kafka), *_limit_errors(kafka)):
        yield Invalid("", f"kafka.{key}", message)


def _security_errors(kafka: KafkaSettings) -> Iterator[tuple[str, str]]:
    given = kafka.model_dump()
    said = f"security is {kafka.security!r}"
    for key in _SASL:
        if kafka.sasl and given[key] is None:
            yield key, f"is required, as {said}"
    yield from _without_meaning(given, () if kafka.sasl else _SASL, said)
    yield from _without_meaning(given, () if kafka.tls else (*FILES, "key_password_env"), said)
    if kafka.security == "sasl_plaintext" and kafka.sasl_mechanism == "PLAIN":
        yield "sasl_mechanism", "PLAIN would send the password unencrypted; take sasl_ssl, or SCRAM-SHA-512"
    for key, needed in (("certificate_file", "key_file"), ("key_file", "certificate_file")):
        if kafka.tls and given[key] is None and given[needed] is not None:
            yield key, f"is required, as {needed} is given"
    if kafka.tls and kafka.key_password_env and not kafka.key_file:
        yield "key_password_env", "not supported without key_file"


def _without_meaning(given: Mapping[str, Any], keys: tuple[str, ...], said: str) -> Iterator[tuple[str, str]]:
    for key in keys:
        if given[key] is not None:
            yield key, f"not supported, as {said}"


def _limit_errors(kafka: KafkaSettings) -> Iterator[tuple[str, str]]:
    if len(set(kafka.brokers)) < len(kafka.brokers):
        yield "brokers", "names a broker twice"
    for key in ("fetch_queue_bytes_max", "send_queue_bytes_max"):
        size = getattr(kafka, key)
        if size < kafka.message_bytes_max:
            yield key, f"must be at least message_bytes_max ({kafka.message_bytes_max}; is {size})"
