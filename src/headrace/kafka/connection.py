"""How the brokers are reached: the client's options, with passwords that never leave it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from headrace.config.bounded import read_bounded
from headrace.config.kafka import FILE_SUFFIX, FILES, KafkaSettings
from headrace.errors import BrokerError, BrokerRefused, ConfigError, Invalid
from headrace.kafka.client import AdminClient, Consumer, KafkaError, KafkaException, Producer
from headrace.kafka.faults import error_in, fault_of, raised_as
from headrace.kafka.scheduling import as_batch_work

__all__ = ["Connection"]

_Answer = TypeVar("_Answer")

_log = logging.getLogger(__name__)
# The client's own log repeats each failed attempt; what matters of it comes as errors.
_client_log = logging.getLogger("headrace.kafka_client")
_client_log.propagate = False
_client_log.addHandler(logging.NullHandler())

_FILE_OPTIONS: Final = {
    "ca_file": "ssl.ca.location",
    "certificate_file": "ssl.certificate.location",
    "key_file": "ssl.key.location",
}
_SECRET_OPTIONS: Final = {"password_env": "sasl.password", "key_password_env": "ssl.key.password"}
_REASON: Final = "handshake failed"
_HIDDEN: Final = "***"
_TABLE: Final = "[kafka]"
_SECRET_BYTES_MAX: Final = 65_536
_PROBE_S: Final = 0.5
_AGAIN_S: Final = 0.1


class Connection:
    """Makes the client's objects, all with the same options, and tells what went wrong with them.

    Parameters
    ----------
    settings
        The configuration's `[kafka]`.
    file_of
        Says where a key is to be changed.
    environ
        Where the variables that the configuration names are looked up.

    Raises
    ------
    ConfigError
        With everything that is missing: brokers, variables of the environment, files.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        file_of: Callable[[str], str] = lambda _key: _TABLE,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        secrets, wrong = _secrets(settings, environ)
        found = [
            Invalid(file_of(f"kafka.{key}"), f"kafka.{key}", message)
            for key, message in _errors(settings, wrong)
        ]
        if found:
            raise ConfigError(found)
        self.settings = settings
        self._options = _options(settings) | secrets
        self._secrets = list(secrets.values())
        self._last: KafkaError | None = None

    @classmethod
    def of(cls, settings: KafkaSettings, file_of: Callable[[str], str]) -> Self:
        """Return a connection with the variables of this process."""
        return cls(settings, file_of=file_of)

    @property
    def brokers(self) -> str:
        """The configured brokers, for a person."""
        return ", ".join(self.settings.brokers)

    def consumer(self, options: Mapping[str, Any]) -> Consumer:
        """Return a consumer; options are named as the client names them."""
        # The client makes no consumer without a group, also where nothing is committed and partitions are
        # assigned.
        group = {"group.id": self.settings.group_id or self.settings.client_id}
        made: Consumer = self._made(Consumer, {**group, **options})
        return made

    def producer(self, options: Mapping[str, Any]) -> Producer:
        """Return a producer; options are named as the client names them."""
        with as_batch_work():
            made: Producer = self._made(Producer, options)
        return made

    def admin(self) -> AdminClient:
        """Return a client for topics and their settings."""
        made: AdminClient = self._made(AdminClient, {})
        return made

    def _made(self, kind: Callable[..., Any], options: Mapping[str, Any]) -> Any:
        options = {"error_cb": self.heard_error, **self._options, **options}
        try:
            return kind(options, logger=_client_log)
        except KafkaException as exception:
            raise self.fault(error_in(exception), "Kafka's client can't be set up") from None

    def heard_error(self, error: KafkaError) -> None:
        """Take in an error that a client reports besides, and keep the most telling one."""
        if self._last is None or _telling(error) >= _telling(self._last):
            self._last = error

    def forget(self) -> None:
        """Note that what was reported is over: the brokers answer."""
        self._last = None

    def probe(self, client: Consumer | Producer | AdminClient) -> dict[str, int]:
        """Wait until a broker answers; gives the number of partitions of each topic.

        Raises
        ------
        BrokerRefused
            If the user, the password or a certificate is wrong; as soon as that is known.
        BrokerUnreachable
            If none answers within `metadata_seconds_max`.
        """
        until, self._last = time.monotonic() + self.settings.metadata_seconds_max, None
        while True:
            try:
                # Short calls, as a refused login doesn't end one: it is reported in between, and seen below.
                found = client.list_topics(timeout=_PROBE_S)
            except KafkaException as exception:
                error = error_in(exception)
                # The client reports its errors in this call. Nothing is assigned yet that could be lost.
                client.poll(0)
                if self._refused() or time.monotonic() >= until or fault_of(error) is not None:
                    raise self.unanswered(error) from None
            else:
                return {name: len(topic.partitions) for name, topic in found.topics.items()}

    def answer(self, ask: Callable[[float], _Answer]) -> _Answer:
        """Return what the brokers answer.

        Asked again while what keeps them passes, such as the choice of a leader.

        Parameters
        ----------
        ask
            Asks, and waits for so many seconds at most.

        Raises
        ------
        BrokerRefused, TopicMismatch
            If they refuse, or know no such topic.
        BrokerUnreachable
            If they haven't answered within `metadata_seconds_max`.
        """
        until = time.monotonic() + self.settings.metadata_seconds_max
        while True:
            try:
                return ask(max(until - time.monotonic(), _AGAIN_S))
            except KafkaException as exception:
                error = error_in(exception)
                if fault_of(error) is not None or self._refused() or time.monotonic() + _AGAIN_S >= until:
                    raise self.unanswered(error) from None
            time.sleep(_AGAIN_S)

    def _refused(self) -> bool:
        return self._last is not None and fault_of(self._last) is BrokerRefused

    @property
    def trouble(self) -> str:
        """What the client reported that doesn't end a run, the most telling or last; empty if nothing."""
        return "" if self._last is None else self.redact(self._last.str())

    def unanswered(self, error: KafkaError) -> BrokerError:
        """Return what to say when the brokers didn't answer in time, or not as wanted."""
        told = self._last or error
        # A listener of another kind closes connections without a word.
        hint = (
            "" if _telling(told) else f" (or they listen with other security than {self.settings.security})"
        )
        return self.fault(told, f"no answer from {self.brokers}{hint}")

    def fault(self, error: KafkaError, what: str) -> BrokerError:
        """One of our errors, without passwords, that says what failed and why."""
        return raised_as(error, self.redact(f"{what}: {error.str()}"))

    def redact(self, text: str) -> str:
        """Return the text, with passwords replaced."""
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return text

    def __repr__(self) -> str:
        return f"Connection({self.brokers})"


def _telling(error: KafkaError) -> int:
    """How much an error says of why nothing works: a refusal most, that brokers are down least.

    When a handshake fails, the client tells now the reason and now only that the other side hung up.
    """
    if error.name() == "_ALL_BROKERS_DOWN":
        return 0
    if fault_of(error) is not None:
        return 3
    return 2 if _REASON in error.str() else 1


def _errors(settings: KafkaSettings, of_secrets: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    if not settings.brokers:
        yield "brokers", "is required for topics"
    yield from of_secrets
    for key in FILES:
        path = getattr(settings, key)
        if path is not None and (why := _unreadable(path)):
            yield key, f"{path} can't be read: {why}"


def _secrets(
    settings: KafkaSettings, environ: Mapping[str, str]
) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return the client's options that are secrets, and what is wrong with where they should come from."""
    found, wrong = {}, []
    for key, option in _SECRET_OPTIONS.items():
        variable = getattr(settings, key)
        if variable is not None:
            secret, why = _secret(variable, environ)
            found[option] = secret
            wrong += [(key, why)] if why else []
    return found, wrong


def _secret(variable: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the secret that a variable holds, or the file that another one names; and why there is none."""
    value, file = environ.get(variable), environ.get(f"{variable}{FILE_SUFFIX}")
    if value and file:
        return "", f"{variable} and {variable}{FILE_SUFFIX} are both set; set one of them"
    if not file:
        return value or "", "" if value else f"the environment variable {variable} is not set"
    try:
        secret = read_bounded(Path(file), _SECRET_BYTES_MAX).decode().rstrip("\r\n")
    except OSError as error:
        return "", f"{variable}{FILE_SUFFIX}: {file} can't be read: {error.strerror}"
    except UnicodeDecodeError:
        return "", f"{variable}{FILE_SUFFIX}: {file} is not UTF-8"
    return secret, "" if secret else f"{variable}{FILE_SUFFIX}: {file} is empty"


def _unreadable(path: str) -> str | None:
    try:
        with open(path, "rb"):
            return None
    except OSError as error:
        return error.strerror


def _options(settings: KafkaSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bootstrap.servers": ",".join(settings.brokers),
        "security.protocol": settings.security.upper(),
        "client.id": settings.client_id,
        # The client refuses a first wait that is longer than the longest.
        "reconnect.backoff.ms": min(50, settings.reconnect_ms_max),
        "reconnect.backoff.max.ms": settings.reconnect_ms_max,
        "topic.metadata.refresh.interval.ms": int(settings.metadata_seconds * 1000),
        # A misspelled topic ends the start; it must not come into being by being asked for.
        "allow.auto.create.topics": False,
    }
    if settings.sasl:
        options |= {"sasl.mechanism": settings.sasl_mechanism, "sasl.username": settings.user}
    for key, option in _FILE_OPTIONS.items():
        if getattr(settings, key):
            options[option] = getattr(settings, key)
    return options
