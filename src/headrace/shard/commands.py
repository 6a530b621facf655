"""The contract of commands: what a running flow can be told beside its events."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from headrace.journal.records import COMMAND
from headrace.operators.events.contract import Event
from headrace.operators.events.declared import Contract
from headrace.operators.events.decode import Undecodable, base64_text
from headrace.operators.policy import commands as policy

__all__ = [
    "REFUSED",
    "Command",
    "Erase",
    "KillSwitch",
    "ReloadList",
    "Retry",
    "SetClock",
    "decode_command",
    "decode_flagged",
    "encode_command",
    "payload_of",
    "retry_of",
]

REFUSED: Final = "refused_command"
Text = Annotated[str, Meta(max_length=4096)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
TIME_MS_END: Final = 253_402_300_800_000  # the year 10000, which no event's time reaches


class KillSwitch(
    policy.KillSwitch,
    frozen=True,
    kw_only=True,
    tag_field="command",
    tag="kill_switch",
    forbid_unknown_fields=True,
):
    """Give every event the configured fallback action, of one decision or of all, or stop doing so.

    Attributes
    ----------
    type
        Always `control`.
    """

    type: Literal["control"] = "control"


class ReloadList(
    policy.ReloadList,
    frozen=True,
    kw_only=True,
    tag_field="command",
    tag="reload_list",
    forbid_unknown_fields=True,
):
    """Put a list's new content in place of the old.

    Attributes
    ----------
    type
        Always `control`.
    """

    type: Literal["control"] = "control"


class Retry(Struct, frozen=True, kw_only=True, tag_field="command", tag="retry", forbid_unknown_fields=True):
    """Give a dead letter's input to its shard once more.

    Attributes
    ----------
    type
        Always `control`.
    payload_base64
        The bytes to try: the letter's, or mended ones.
    source, offset, line
        Where the letter says they came from.
    """

    type: Literal["control"] = "control"
    payload_base64: str
    source: Text
    offset: Count
    line: Count


class SetClock(
    Struct, frozen=True, kw_only=True, tag_field="command", tag="set_clock", forbid_unknown_fields=True
):
    """Put every shard's clock to a time, where it accepted a wrong one, or doesn't accept the right one yet.

    Attributes
    ----------
    type
        Always `control`.
    to_ms
        Milliseconds since the epoch.
    """

    type: Literal["control"] = "control"
    to_ms: Annotated[int, Meta(gt=0, lt=TIME_MS_END)]


class Erase(Struct, frozen=True, kw_only=True, tag_field="command", tag="erase", forbid_unknown_fields=True):
    """Forget a customer: what the state holds of them, and the payloads of their inputs in the journal.

    All that is to go is named, so that carrying it out depends on nothing but the state. The command's own
    record goes with the rest.

    Attributes
    ----------
    type
        Always `control`.
    customer_id
        Who.
    ordinals
        Of the inputs that are theirs, ascending, by the shard's name.
    events
        Ids of the events that were accepted, by type.
    about
        Ids of payments that their outcomes name.
    keys
        Values that stand for nobody else, by field: `customer_id`, `session_id`, `device_id`, `ip`.
    by_row
        Whether memory may have payments of theirs that are not among the events, because the journals'
        beginning is no longer kept; it is then searched for them.
    """

    type: Literal["control"] = "control"
    customer_id: Text
    ordinals: dict[str, tuple[Count, ...]] = {}
    events: dict[str, tuple[Text, ...]] = {}
    about: tuple[Text, ...] = ()
    keys: dict[str, tuple[Text, ...]] = {}
    by_row: bool = False


Command = Erase | KillSwitch | ReloadList | Retry | SetClock

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
    except (UnicodeDecodeError, RecursionError, msgspec.MsgspecError) as error:
        raise ValueError(f"no command: {error}") from error
    if isinstance(command, Retry):
        payload_of(command)
    return command


def payload_of(retry: Retry) -> bytes:
    """Return the bytes to try.

    Raises
    ------
    ValueError
        If they are not in base64, or hold a line break, which no line does.
    """
    try:
        payload = b64decode(retry.payload_base64, validate=True)
    except ValueError as error:  # also of characters that aren't ASCII
        raise ValueError(f"no command: payload_base64: {error}") from error
    if b"\n" in payload:
        raise ValueError("no command: payload_base64: more than one line")
    return payload


def retry_of(payload: bytes, source: str, offset: int, line: int) -> Retry:
    """Return a command to try bytes once more."""
    return Retry(payload_base64=base64_text(payload), source=source, offset=offset, line=line)


def decode_flagged(
    payloads: Sequence[bytes], flags: Sequence[int], contract: Contract, line_bytes_max: int
) -> list[Command | Event | Undecodable]:
    """Decode the lines of a batch from the control channel: commands where the flag says so, else events.

    Parameters
    ----------
    payloads
        The lines.
    flags
        Of each line, as the journal's records have them.
    contract
        The types of the events.
    line_bytes_max
        Longer events are not looked into.
    """
    return [
        decode_command(payload) if flag & COMMAND else contract.decode_one(payload, line_bytes_max)
        for payload, flag in zip(payloads, flags, strict=True)
    ]
