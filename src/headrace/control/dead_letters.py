"""Dead letters as they are looked at, chosen, and sent back."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from heapq import merge
from operator import attrgetter
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import orjson

from headrace.errors import InputError, JournalDamaged
from headrace.files.sources import source_path
from headrace.journal.frame_reader import read_frame
from headrace.journal.reader import JournalReader
from headrace.journal.records import COMMAND, CONTROL_SOURCE, Kind, Record
from headrace.journal.scan import counted_apart
from headrace.journal.segments import first_boundary
from headrace.operators.events.contract import DeadLetter
from headrace.operators.events.oversized import is_cut
from headrace.shard.commands import Retry, encode_command, retry_of

__all__ = [
    "Letter",
    "Wanted",
    "completed",
    "letter_retried",
    "letters_in_file",
    "letters_in_state",
    "payload_shown",
    "portions",
]

_decoder: Final = msgspec.json.Decoder(DeadLetter)
_HEX_BYTES_A_LINE: Final = 16
_LETTERS_MAX: Final = 512


class Letter(NamedTuple):
    """A dead letter, and how it is found again.

    Attributes
    ----------
    number
        Its line in the file; in a state the ordinal of its input. On topics with several shards, which count
        their own inputs, that times how many there are, and the shard's number added.
    letter
        As it was written.
    whole
        Of a cut letter, the whole bytes, where the journal has them.
    """

    number: int
    letter: DeadLetter
    whole: bytes | None = None

    @property
    def payload(self) -> bytes:
        """The bytes that could not be used; of a cut letter, their head if the whole is nowhere."""
        return b64decode(self.letter.payload_base64) if self.whole is None else self.whole

    @property
    def complete(self) -> bool:
        """Whether `payload` has all bytes of the input."""
        return self.whole is not None or not is_cut(self.letter)

    @property
    def event_id(self) -> str | None:
        """The id that the bytes name, if they can be read so far."""
        try:
            found = orjson.loads(self.payload)
        except (ValueError, RecursionError):
            return None
        event_id = found.get("event_id") if isinstance(found, dict) else None
        return event_id if isinstance(event_id, str) else None


class Wanted(NamedTuple):
    """Which letters; what is empty or None doesn't matter.

    Attributes
    ----------
    reasons
        Codes.
    source
        The file they came from, or the end of its path.
    offset
        Byte at which the line starts there.
    event_id
        The id that the bytes name.
    numbers
        As `Letter` has them.
    """

    reasons: Sequence[str] = ()
    source: str | None = None
    offset: int | None = None
    event_id: str | None = None
    numbers: Sequence[int] = ()

    def fits(self, each: Letter) -> bool:
        """Whether it is one of them."""
        letter = each.letter
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.source is None or source_path(letter.source).endswith(self.source))
            and (self.offset is None or letter.offset == self.offset)
            and (not self.numbers or each.number in self.numbers)
            and (self.event_id is None or each.event_id == self.event_id)
        )


def letters_in_file(path: Path) -> Iterator[Letter]:
    """Letters of a file as a flow writes it.

    Raises
    ------
    InputError
        If it can't be read, or a line is no dead letter.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                # A flow may be in the middle of its last line; the line of an erased record is blank.
                if line.endswith(b"\n") and not line.isspace():
                    yield Letter(number, _decoder.decode(line))
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}") from error
    except (UnicodeDecodeError, RecursionError, msgspec.MsgspecError) as error:
        raise InputError(f"{path}: line {number}: no dead letter: {error}") from error


def letters_in_state(state: Path) -> list[Letter]:
    """Letters of a state whose inputs have not been used since, by their ordinals.

    Raises
    ------
    JournalDamaged, StateMismatch
        If a journal can't be read.
    """
    left: dict[tuple[int, int, int], Letter] = {}
    directories = sorted(state.glob("shard-*"))
    numbers = _Numbers(directories)
    shards = [_records_of_interest(directory, number) for number, directory in enumerate(directories)]
    for each in merge(*shards, key=numbers.order):
        record = each.record
        place = (record.source, record.offset, record.line)
        if record.kind == Kind.DEAD:
            if not record.erased and not record.flags & COMMAND:
                left[place] = _letter_of(numbers.of(each), record)
        # In the journal's order: a retry takes out the letter before it, unless it failed too and is the
        # letter now.
        elif record.retried:
            left.pop(place, None)
    return sorted(left.values(), key=attrgetter("number"))


def letter_retried(directories: Sequence[Path], retried: Record) -> Letter | None:
    """Return the letter that an input came from which was given once more; None if it isn't kept.

    Parameters
    ----------
    directories
        Of all shards: bytes that can't be read stay with the first one, mended ones go where they belong.
    retried
        The input's record.
    """
    place = (retried.source, retried.offset, retried.line)
    numbers, found = _Numbers(directories), None
    for number, directory in enumerate(directories):
        try:
            for each in _records_of_interest(directory, number):
                record = each.record
                if not numbers.apart and record.ordinal >= retried.ordinal:
                    break
                is_it = record.kind == Kind.DEAD and not record.erased and not record.flags & COMMAND
                if is_it and (record.source, record.offset, record.line) == place:
                    found = max(found, each, key=numbers.order) if found else each
        except JournalDamaged:
            continue  # what can be read may still have it
    return _letter_of(numbers.of(found), found.record) if found else None


def completed(letters: Sequence[Letter], state: Path) -> list[Letter]:
    """Letters of a file, the cut ones with their whole bytes where a journal of the state has them.

    Raises
    ------
    JournalDamaged, StateMismatch
        If a journal can't be read.
    """
    wanted = {each.letter.payload_sha256 for each in letters if not each.complete}
    # By length first: hashing every large record of a journal would take longer than reading it.
    lengths = {each.letter.payload_bytes for each in letters if not each.complete}
    wholes: dict[str | None, bytes] = {}
    for number, directory in enumerate(sorted(state.glob("shard-*")) if wanted else ()):
        for _, _, record in _records_of_interest(directory, number):
            if len(record.input) in lengths and not record.erased:
                wholes[sha256(record.input).hexdigest()] = record.input
    return [
        each if each.complete else each._replace(whole=wholes.get(each.letter.payload_sha256))
        for each in letters
    ]


def _letter_of(number: int, record: Record) -> Letter:
    letter = _decoder.decode(record.output)
    cut_here = is_cut(letter) and len(record.input) == letter.payload_bytes
    return Letter(number, letter, record.input if cut_here else None)


class _Found(NamedTuple):
    """A record, the number of its shard, and the wall clock of its batch, milliseconds since the epoch."""

    shard: int
    accepted_ms: int
    record: Record


class _Numbers:
    """Numbers and order of records over all shards, which on topics count their own inputs."""

    def __init__(self, directories: Sequence[Path]) -> None:
        self._shards = len(directories)
        self.apart = counted_apart(directories)

    def order(self, each: _Found) -> int:
        """Return what is greater of the later one."""
        return each.accepted_ms if self.apart else each.record.ordinal

    def of(self, each: _Found) -> int:
        """Return a number that no other record has."""
        ordinal = each.record.ordinal
        return ordinal * self._shards + each.shard if self.apart else ordinal


def _records_of_interest(directory: Path, shard: int) -> Iterator[_Found]:
    """Dead letters, and what came through the control channel; the heads tell in which frames they are."""
    for head in JournalReader(directory, first_boundary(directory), cut_torn_tail=False).heads():
        controlled = any(mark.source == CONTROL_SOURCE for mark in head.marks)
        if controlled or head.dead_letters_bytes != head.dead_letters_bytes_next:
            for record in read_frame(directory, head.segment, head.position).records:
                if record.flags or record.kind == Kind.DEAD:
                    yield _Found(shard, head.accepted_ms, record)


def payload_shown(payload: bytes) -> str:
    """Return the bytes for a person: JSON set out, else text, else hexadecimal."""
    with suppress(ValueError, TypeError, RecursionError):  # no JSON, or nested too deep to be set out
        return orjson.dumps(orjson.loads(payload), option=orjson.OPT_INDENT_2).decode()
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return "\n".join(_hex_lines(payload))
    return text if text.isprintable() else "\n".join(_hex_lines(payload))


def _hex_lines(payload: bytes) -> Iterator[str]:
    for at in range(0, len(payload), _HEX_BYTES_A_LINE):
        some = payload[at : at + _HEX_BYTES_A_LINE]
        plain = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in some)
        yield f"{at:08x}  {some.hex(' '):<{_HEX_BYTES_A_LINE * 3}} {plain}"


def portions(letters: Iterable[Letter], payload: bytes | None, bytes_max: int) -> Iterator[list[Retry]]:
    """Commands to try letters again, in portions that fit into a file.

    Parameters
    ----------
    letters
        Which, in order.
    payload
        Mended bytes to try in the place of theirs; None for theirs.
    bytes_max
        Of a file.
    """
    some: list[Retry] = []
    room = bytes_max
    for each in letters:
        letter = each.letter
        retry = retry_of(
            each.payload if payload is None else payload, letter.source, letter.offset, letter.line
        )
        needs = len(encode_command(retry)) + 1
        if some and (needs > room or len(some) == _LETTERS_MAX):
            yield some
            some, room = [], bytes_max
        some.append(retry)
        room -= needs
    if some:
        yield some
