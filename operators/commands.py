"""The contract of commands: what a running flow can be told beside its events."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from headrace.operators.codec import Undecodable, base64_text, decode_one
from headrace.operators.events import Event
from headrace.operators.journal import COMMAND

__all__ = [
    "Command",
    "KillSwitch",
    "ListReload",
    "Retry",
    "decode_command",
    "decode_flagged",
    "encode_command",
    "payload_of",
    "retry_of",
]

ENTRIES_MAX: Final = 10_000_000
Name = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]*$", max_length=64)]
Text = Annotated[str, Meta(max_length=4096)]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class _Command(Struct, frozen=True, kw_only=True, tag_field="command", forbid_unknown_fields=True, gc=False):
    """What every command has.

    Attributes
    ----------
    type
        Always `control`.
    """

    type: Literal["control"] = "control"


class KillSwitch(_Command, frozen=True, kw_only=True, tag="kill_switch", forbid_unknown_fields=True):
    """Give every payment the configured fallback action, or stop doing so.

    Attributes
    ----------
    on
        Whether it holds from here on.
    """

    on: bool


class ListReload(_Command, frozen=True, kw_only=True, tag="list_reload", forbid_unknown_fields=True):
    """Put a list's new content in place of the old.

    Attributes
    ----------
    name
        As the configuration calls the list.
    entries
        All of the content; what was there before is dropped.
    digest
        SHA-256 of the content, as the one who read it computed it.
    """

    name: Name
    entries: Annotated[tuple[Text, ...], Meta(max_length=ENTRIES_MAX)]
    digest: Digest


class Retry(_Command, frozen=True, kw_only=True, tag="retry", forbid_unknown_fields=True):
    """Give a dead letter's input to its shard once more.

    Attributes
    ----------
    payload_base64
        The bytes to try: the letter's, or mended ones.
    source, offset, line
        Where the letter says they came from.
    """

    payload_base64: str
    source: Text
    offset: Count
    line: Count


Command = KillSwitch | ListReload | Retry

_decoder: Final = msgspec.json.Decoder(Command)
_encoder: Final = msgspec.json.Encoder()


def encode_command(command: Command) -> bytes:
    """One line of JSON, without a newline."""
    return _encoder.encode(command)


def decode_command(line: bytes) -> Command:
    """Read a line that `encode_command` wrote; unlike an event, it must hold nothing unknown.

    Raises
    ------
    ValueError
        If it is no command, in words for a person.
    """
    try:
        command: Command = _decoder.decode(line)
    except (UnicodeDecodeError, msgspec.MsgspecError) as error:
        raise ValueError(f"no command: {error}") from error
    if isinstance(command, Retry):
        payload_of(command)
    return command


def payload_of(retry: Retry) -> bytes:
    """The bytes to try.

    Raises
    ------
    ValueError
        If they are not in base64, or hold a line break, which no line does.
    """
    try:
        payload = b64decode(retry.payload_base64, validate=True)
    except binascii.Error as error:
        raise ValueError(f"no command: payload_base64: {error}") from error
    if b"\n" in payload:
        raise ValueError("no command: payload_base64: more than one line")
    return payload


def retry_of(payload: bytes, source: str, offset: int, line: int) -> Retry:
    """A command to try bytes once more."""
    return Retry(payload_base64=base64_text(payload), source=source, offset=offset, line=line)


def decode_flagged(
    payloads: Sequence[bytes], flags: Sequence[int], line_bytes_max: int
) -> list[Command | Event | Undecodable]:
    """Decode the lines of a batch from the control channel: commands where the flag says so, else events.

    Parameters
    ----------
    payloads
        The lines.
    flags
        Of each line, as the journal's records have them.
    line_bytes_max
        Longer events are not looked into.
    """
    return [
        decode_command(payload) if flag & COMMAND else decode_one(payload, line_bytes_max)
        for payload, flag in zip(payloads, flags, strict=True)
    ]
