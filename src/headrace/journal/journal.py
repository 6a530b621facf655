"""The journal: a shard's append-only record of its inputs, in the order in which they were applied.

The format, and what a reader may conclude from damage, is specified in docs/specs/journal.md; the clauses
named there (J-...) are what the tests name too.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import struct
import time
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, TypeAlias

from headrace.config.private_files import open_file
from headrace.errors import JournalDamaged, StateError, StateMismatch
from headrace.journal.batches import Mark
from headrace.journal.keys import KEYED, configured_keys
from headrace.journal.passed_headers import DetailWithHeaders, PassedHeaders

__all__ = [
    "COMMAND",
    "CONTROL_SOURCE",
    "CUT",
    "ERASED",
    "FORMAT_VERSION",
    "GENESIS",
    "HEADERS",
    "NO_SOURCE",
    "OVERDUE",
    "RETRIED",
    "SKIPPED",
    "UNREADABLE",
    "Boundary",
    "Frame",
    "FrameHead",
    "JournalReader",
    "JournalWriter",
    "Kind",
    "Record",
    "RecordFields",
    "TornTail",
    "Verified",
    "erase_records",
    "first_boundary",
    "fsync_directory",
    "index_path",
    "read_frame",
    "segment_numbers",
    "segment_path",
    "start_of",
    "verify",
    "write_all",
]

FORMAT_VERSION: Final = 2
ERASED: Final = 0x01
OVERDUE: Final = 0x02
RETRIED: Final = 0x04
COMMAND: Final = 0x08
CUT: Final = 0x10
SKIPPED: Final = 0x20
UNREADABLE: Final = 0x40
HEADERS: Final = 0x80
NO_SOURCE: Final = 0xFFFF
CONTROL_SOURCE: Final = 0xFFFE

_SEGMENT_MAGIC: Final = b"HRS\x01"
_FRAME_MAGIC: Final = b"HRF\x02"
_WRITTEN_FLAGS: Final = OVERDUE | RETRIED | COMMAND | CUT | SKIPPED | UNREADABLE | HEADERS
_NO_MAGIC: Final = bytes(4)
_SEGMENT_NAME: Final = re.compile(r"journal-([0-9]{8})\.seg")
_SEGMENTS_MAX: Final = 99_999_999
_FRAME_BODY_BYTES_MAX: Final = 0xFFFF_FFFF
_SALT_BYTES: Final = 32
_ZEROS_READ_BYTES: Final = 1 << 20
_READ_BUFFER_BYTES: Final = 1 << 18
_HEADS_BUFFER_BYTES: Final = 1 << 13  # most of what a larger one reads would be passed over

_SEGMENT_HEAD: Final = struct.Struct("<4sIIIIQQQQ32s")
_FRAME_HEAD: Final = struct.Struct("<4sIIIIIQQQQQQQQQ32s32s")
_FRAME_FIELDS: Final = struct.Struct("<IIIIQQQQQQQQQ")
_GUARDED: Final = struct.Struct("<4sI")
_MARK: Final = struct.Struct("<IIQQ")
_RECORD_HEAD: Final = struct.Struct("<BBHIIIQQQ")
_FLAGS_AT: Final = 1

_log = logging.getLogger(__name__)

RecordFields: TypeAlias = tuple[int, int, int, int, int, int, bytes, bytes, bytes]


class Kind(IntEnum):
    """What became of an input."""

    DECIDED = 1
    APPLIED = 2
    DEAD = 3
    REPEAT = 4
    CONTROL = 5
    ABSENT = 6


# Comparing with a plain integer is faster than with a member.
_DECIDED: Final = int(Kind.DECIDED)
_DEAD: Final = int(Kind.DEAD)


class Record(NamedTuple):
    """One input and what became of it.

    Attributes
    ----------
    kind
        A `Kind`, as a plain integer when it was read.
    flags
        0, or what is true of it: `ERASED`, which no writer takes; `OVERDUE`, it had waited longer than its
        limit when it was applied; `RETRIED`, it is a dead letter's input, given once more; `COMMAND`, it is
        a command and no event; `CUT`, of an input too large to keep there is the head, and in `detail` the
        length and the digest of the whole; `SKIPPED`, an operator had it passed over.
    source
        Number of the source; `CONTROL_SOURCE` for commands, `NO_SOURCE` for what came from none.
    ordinal
        Place in the merged order of all sources, over the life of the state.
    offset, line
        Byte offset of the line's start in the source, and its 1-based number.
    input, output, detail
        The line without newline; the line that goes out, with its newline; what only the journal keeps.
        Of an erased record zeros are left, as many as there were bytes.
    """

    kind: int
    flags: int
    source: int
    ordinal: int
    offset: int
    line: int
    input: bytes
    output: bytes
    detail: bytes

    @property
    def erased(self) -> bool:
        """Whether the payload was erased."""
        return bool(self.flags & ERASED)

    @property
    def overdue(self) -> bool:
        """Whether it had waited longer than its limit when it was applied."""
        return bool(self.flags & OVERDUE)

    @property
    def cut(self) -> bool:
        """Whether only the head of the input is there, as the whole was too large to keep."""
        return bool(self.flags & CUT)

    @property
    def headers(self) -> PassedHeaders:
        """Headers of the input's message that go on to what comes of it."""
        return self.detail.headers if isinstance(self.detail, DetailWithHeaders) else []

    @property
    def retried(self) -> bool:
        """Whether it is a dead letter's input, given once more."""
        return bool(self.flags & RETRIED)


class Boundary(NamedTuple):
    """A place between two frames, with everything that was counted up to there.

    Attributes
    ----------
    segment, byte
        Number of the segment and position in its file; byte 0 stands before the segment's head.
    seq
        Sequence number of the next record.
    ordinal
        Lowest ordinal that the next frame may start with.
    decisions_bytes, dead_letters_bytes
        Lengths of all decisions and dead letters so far.
    chain
        Value of the hash chain, 32 bytes.
    marks
        How far every source was read, by its number.
    """

    segment: int
    byte: int
    seq: int
    ordinal: int
    decisions_bytes: int
    dead_letters_bytes: int
    chain: bytes
    marks: tuple[Mark, ...]


GENESIS: Final = Boundary(1, 0, 0, 0, 0, 0, bytes(32), ())


class FrameHead(NamedTuple):
    """What can be known of a frame without its records.

    Attributes
    ----------
    segment, position
        Number of the segment, and the byte in its file at which the frame starts.
    records
        How many there are.
    body_bytes
        Their length in the file.
    seq
        Sequence number of the first record.
    ordinal_first, ordinal_next
        Ordinals of the first line of the batch, and of the first line after it.
    accepted_ms
        Wall clock when the batch was read, milliseconds since the epoch.
    committed_ms
        The same just before the frame was written.
    decisions_bytes, decisions_bytes_next, dead_letters_bytes, dead_letters_bytes_next
        Lengths of all decisions and dead letters before the frame and after it.
    content
        SHA-256 over the frame's fields, marks, record heads and the digests of their payloads.
    chain
        Value of the hash chain after the frame.
    marks
        How far the sources that moved were read when the batch was complete.
    """

    segment: int
    position: int
    records: int
    body_bytes: int
    seq: int
    ordinal_first: int
    ordinal_next: int
    accepted_ms: int
    committed_ms: int
    decisions_bytes: int
    decisions_bytes_next: int
    dead_letters_bytes: int
    dead_letters_bytes_next: int
    content: bytes
    chain: bytes
    marks: tuple[Mark, ...]

    @property
    def counted(self) -> tuple[int, ...]:
        """The fields from `seq` to `dead_letters_bytes_next`, in the order of the file."""
        return self[4:13]

    @property
    def position_next(self) -> int:
        """The byte after the frame."""
        return self.position + _FRAME_HEAD.size + len(self.marks) * _MARK.size + self.body_bytes


class Frame(NamedTuple):
    """The records of one batch, with the head they were written under."""

    head: FrameHead
    records: list[Record]


class TornTail(NamedTuple):
    """What an interrupted write left at the end of the last segment."""

    file: str
    byte: int
    bytes_left: int
    why: str

    def __str__(self) -> str:
        return f"{self.file}: byte {self.byte}: {self.bytes_left} bytes of an interrupted write ({self.why})"


@dataclass(slots=True)
class Verified:
    """What a complete walk through a journal has counted; `torn` is what was not counted."""

    end: Boundary
    segments: int = 0
    frames: int = 0
    records: int = 0
    erased: int = 0
    kinds: Counter[int] = field(default_factory=Counter)
    torn: TornTail | None = None


class _Torn(Exception):
    """What could be the rest of an interrupted write, if it stands at the end of the last segment."""


# ---------------------------------------------------------------- files


def index_path(directory: Path, segment: int) -> Path:
    """Name the index of a segment."""
    return directory / f"index-{segment:08d}.idx"


def segment_path(directory: Path, segment: int) -> Path:
    """Name the file of a segment."""
    return directory / f"journal-{segment:08d}.seg"


def segment_numbers(directory: Path) -> list[int]:
    """List the segments that are there, oldest first.

    Raises
    ------
    JournalDamaged
        If one between the first and the last is missing.
    """
    matches = map(_SEGMENT_NAME.fullmatch, os.listdir(directory))
    found = sorted(int(match[1]) for match in matches if match)
    for expected, number in enumerate(found, start=found[0] if found else 0):
        if number != expected:
            raise JournalDamaged(segment_path(directory, expected), 0, "this segment is missing")
    return found


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of the data, in as many writes as the system wants for it.

    Raises
    ------
    OSError
        If a write fails; part of the data may be written.
    """
    left = memoryview(data)
    while left:
        written = os.write(fd, left)
        if not written:
            raise OSError(errno.EIO, "a write made no progress")
        left = left[written:]


def _name(error: BaseException, path: Path) -> None:
    """Have an error of the system name the file, which it doesn't know by its descriptor."""
    if isinstance(error, OSError) and error.filename is None:
        error.filename = str(path)


def fsync_directory(directory: Path) -> None:
    """Force a directory's entries to the disk."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# ---------------------------------------------------------------- writing


def _pack_marks(marks: Iterable[Mark]) -> bytes:
    return b"".join([_MARK.pack(mark.source, mark.crc, mark.offset, mark.line) for mark in marks])


def _unpack_marks(packed: bytes) -> tuple[Mark, ...]:
    return tuple(Mark(source, offset, line, crc) for source, crc, offset, line in _MARK.iter_unpack(packed))


def _segment_head(boundary: Boundary, flag: int) -> bytes:
    """Lay out the head of a segment that begins at a boundary; `flag` says whether its chain is keyed."""
    head = _SEGMENT_HEAD.pack(
        _SEGMENT_MAGIC,
        0,
        FORMAT_VERSION | flag,
        boundary.segment,
        len(boundary.marks),
        boundary.seq,
        boundary.ordinal,
        boundary.decisions_bytes,
        boundary.dead_letters_bytes,
        boundary.chain,
    )
    guarded = head[_GUARDED.size :] + _pack_marks(boundary.marks)
    return _GUARDED.pack(_SEGMENT_MAGIC, zlib.crc32(guarded)) + guarded


def _create_segment(directory: Path, head: bytes, segment: int, *, fsync: bool) -> int:
    """Make a segment, which has its name only when its head is complete (J-SEG-2); return its descriptor."""
    path = segment_path(directory, segment)
    unnamed = path.with_suffix(".tmp")
    fd = open_file(unnamed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    try:
        write_all(fd, head)
        if fsync:
            os.fsync(fd)
        os.replace(unnamed, path)
        if fsync:
            fsync_directory(directory)
    except BaseException as error:
        _name(error, path)
        os.close(fd)
        unnamed.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise
    return fd


def _seal(records: Sequence[RecordFields]) -> tuple[bytes, list[bytes], list[bytes], int, int]:
    """Lay out records: their heads, sealed payloads and digests, and how long their outputs are.

    This loop is what journalling costs, therefore all in it is local.
    """
    join, pack, salt_bytes = b"".join, _RECORD_HEAD.pack, _SALT_BYTES
    salts, at, flags_seen = os.urandom(salt_bytes * len(records)), 0, 0
    decisions_bytes = dead_letters_bytes = 0
    heads: list[bytes] = []
    sealed: list[bytes] = []
    add_head, add_sealed = heads.append, sealed.append
    for kind, flags, source, ordinal, offset, line, received, output, detail in records:
        length = len(output)
        if kind == _DECIDED:
            decisions_bytes += length
        elif kind == _DEAD:
            dead_letters_bytes += length
        flags_seen |= flags
        add_head(pack(kind, flags, source, len(received), length, len(detail), ordinal, offset, line))
        add_sealed(join((salts[at : at + salt_bytes], received, output, detail)))
        at += salt_bytes
    if flags_seen & ~_WRITTEN_FLAGS:
        raise ValueError("a record is written with flags that no writer sets")
    return join(heads), sealed, [sha256(one).digest() for one in sealed], decisions_bytes, dead_letters_bytes


def _pack_fields(body_bytes: int, packed_marks: bytes, records: int, counted: tuple[int, ...]) -> bytes:
    """Lay out what a frame's head says of its frame, apart from the digests."""
    if body_bytes > _FRAME_BODY_BYTES_MAX:
        raise ValueError(f"a frame of {body_bytes} bytes is longer than {_FRAME_BODY_BYTES_MAX}")
    marks = len(packed_marks) // _MARK.size
    return _FRAME_FIELDS.pack(body_bytes, zlib.crc32(packed_marks), marks, records, *counted)


def _content(fields: bytes, packed_marks: bytes, outline: bytes, digests: list[bytes]) -> bytes:
    """Digest a frame, its payloads by their own digests, so that one can be erased later (J-CHAIN-1)."""
    return sha256(b"".join((fields, packed_marks, outline, *digests))).digest()


class JournalWriter:
    """Appends frames at the end of a journal.

    One writer at a time may be open on a directory; to see to that is the owner's part, as is calling `roll`
    when `needs_roll` says so, because a checkpoint goes with a new segment.

    Parameters
    ----------
    directory
        The shard's directory; it exists.
    end
        Where the journal ends, as `JournalReader.boundary` says after its last frame, or `GENESIS`.
    segment_bytes_max
        From this length on a segment asks to be followed by a new one.
    fsync
        Whether each frame and each new segment is forced to the disk before it counts.

    Attributes
    ----------
    frames_written, bytes_written
        By this writer.

    Raises
    ------
    JournalDamaged
        If the journal doesn't end at `end`.
    """

    def __init__(self, directory: Path, end: Boundary, *, segment_bytes_max: int, fsync: bool) -> None:
        self._directory = directory
        self._segment_bytes_max = segment_bytes_max
        self._fsync = fsync
        self._refuses = ""
        self.frames_written = self.bytes_written = 0
        self._segment, self._byte = end.segment, end.byte
        self._seq, self._ordinal = end.seq, end.ordinal
        self._decisions_bytes, self._dead_letters_bytes = end.decisions_bytes, end.dead_letters_bytes
        self._chain = end.chain
        self._marks = {mark.source: mark for mark in end.marks}
        self._keys = configured_keys()
        self._fd = self._open(end)
        if _is_keyed(segment_path(directory, self._segment)) != bool(self._keys.flag):
            self.roll()  # a key is new

    def _open(self, end: Boundary) -> int:
        numbers = segment_numbers(self._directory)
        last = numbers[-1] if numbers else 0
        path = segment_path(self._directory, end.segment)
        if end.byte == 0 and last == end.segment - 1:
            return self._start_segment(end)
        if last != end.segment:
            raise JournalDamaged(path, end.byte, f"expected as the last segment, but that is {last}")
        self._frames_from = 0
        fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        size = os.fstat(fd).st_size
        if size != end.byte:
            os.close(fd)
            raise JournalDamaged(path, end.byte, f"expected as the end, but the file has {size} bytes")
        return fd

    def _start_segment(self, start: Boundary) -> int:
        head = _segment_head(start, self._keys.flag)
        fd = _create_segment(self._directory, head, start.segment, fsync=self._fsync)
        self._segment = start.segment
        self._byte = self._frames_from = len(head)
        return fd

    @property
    def end(self) -> Boundary:
        """Where the next frame will stand."""
        return Boundary(
            self._segment,
            self._byte,
            self._seq,
            self._ordinal,
            self._decisions_bytes,
            self._dead_letters_bytes,
            self._chain,
            tuple(self._marks[source] for source in sorted(self._marks)),
        )

    @property
    def needs_roll(self) -> bool:
        """Whether the segment holds a frame and is as long as it may get."""
        return self._byte >= self._segment_bytes_max and self._byte > self._frames_from

    def append(
        self,
        records: Sequence[RecordFields],
        *,
        ordinal_first: int,
        ordinal_next: int,
        accepted_ms: int,
        marks: Sequence[Mark],
        committed_ms: int | None = None,
    ) -> int:
        """Write one frame with one write.

        Parameters
        ----------
        records
            `Record`, or plain tuples of the same fields, in the order in which they were applied.
        ordinal_first, ordinal_next
            The ordinals that the batch covers, whether or not each has a record here.
        accepted_ms
            Wall clock when the batch was read, milliseconds since the epoch.
        marks
            How far the sources that moved were read when the batch was complete.
        committed_ms
            Wall clock of the writing, milliseconds since the epoch; None for the present one.

        Returns
        -------
        int
            Bytes written.

        Raises
        ------
        OSError
            If the system could not write all of it. The journal is then as it was before, and the same frame
            may be tried again, except after a failed fsync.
        ValueError
            If ordinals run backwards, a record has a flag that isn't a writer's, or the frame is longer than
            the format allows.
        struct.error
            If a number is out of its field's range. Nothing was written.
        StateError
            If an earlier failure has left the end of the file uncertain.
        """
        if self._refuses:
            raise StateError(f"{self._directory}: {self._refuses}")
        if not self._ordinal <= ordinal_first <= ordinal_next:
            raise ValueError(f"ordinals run backwards: {self._ordinal}, {ordinal_first}, {ordinal_next}")
        outline, sealed, digests, decisions_bytes, dead_letters_bytes = _seal(records)
        packed_marks = _pack_marks(marks)
        decisions_next = self._decisions_bytes + decisions_bytes
        dead_letters_next = self._dead_letters_bytes + dead_letters_bytes
        fields = _pack_fields(
            len(outline) + sum(map(len, sealed)),
            packed_marks,
            len(records),
            (
                self._seq,
                ordinal_first,
                ordinal_next,
                accepted_ms,
                time.time_ns() // 1_000_000 if committed_ms is None else committed_ms,
                self._decisions_bytes,
                decisions_next,
                self._dead_letters_bytes,
                dead_letters_next,
            ),
        )
        content = _content(fields, packed_marks, outline, digests)
        chain = self._keys.link(self._chain, content)
        guarded = fields + content + chain
        guard = _GUARDED.pack(_FRAME_MAGIC, zlib.crc32(guarded))
        frame = b"".join((guard, guarded, packed_marks, outline, *sealed))
        self._write(frame)
        self._byte += len(frame)
        self.frames_written += 1
        self.bytes_written += len(frame)
        self._seq += len(records)
        self._ordinal, self._chain = ordinal_next, chain
        self._decisions_bytes, self._dead_letters_bytes = decisions_next, dead_letters_next
        for mark in marks:
            self._marks[mark.source] = mark
        return len(frame)

    def _write(self, frame: bytes) -> None:
        try:
            write_all(self._fd, frame)
            if self._fsync:
                self._force()
        except BaseException as error:
            _name(error, segment_path(self._directory, self._segment))
            self._take_back()
            raise

    def _force(self) -> None:
        # After a failed fsync the kernel may have dropped the pages and call the next fsync a success.
        self._refuses = "the journal can't be written on after a failed fsync"
        os.fsync(self._fd)
        self._refuses = ""

    def _take_back(self) -> None:
        """Cut the file back to the last whole frame (J-WRITE-3)."""
        try:
            os.ftruncate(self._fd, self._byte)
        except OSError:
            self._refuses = "the journal can't be written on: an incomplete frame could not be taken back"

    def roll(self) -> int:
        """Begin the next segment and return its number.

        Raises
        ------
        OSError
            If the new segment could not be made; the journal goes on in the old one.
        """
        start = self.end._replace(segment=self._segment + 1, byte=0)
        if start.segment > _SEGMENTS_MAX:
            raise ValueError(f"a journal has at most {_SEGMENTS_MAX} segments")
        finished, self._fd = self._fd, self._start_segment(start)
        os.close(finished)
        return self._segment

    def close(self) -> None:
        """Let go of the file; what was appended is complete."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._refuses = -1, "the journal is closed"


# ---------------------------------------------------------------- reading


def _checked_head(file: BinaryIO, path: Path) -> tuple[int, int, list[int], bytes, bytes]:
    """Version, number, counts, chain and packed marks of the head at the start of a segment."""
    raw = file.read(_SEGMENT_HEAD.size)
    if len(raw) < _SEGMENT_HEAD.size:
        raise JournalDamaged(path, 0, f"a segment's head has {_SEGMENT_HEAD.size} bytes, here are {len(raw)}")
    magic, crc, version, number, marks, *counted, chain = _SEGMENT_HEAD.unpack(raw)
    if magic != _SEGMENT_MAGIC:
        raise JournalDamaged(path, 0, "not the start of a journal segment")
    # The count is not to be believed before the checksum, which covers what it counts.
    fits = len(raw) + marks * _MARK.size <= os.fstat(file.fileno()).st_size
    packed = file.read(marks * _MARK.size) if fits else b""
    if not fits or zlib.crc32(raw[_GUARDED.size :] + packed) != crc:
        raise JournalDamaged(path, 0, "the segment's head doesn't fit its checksum")
    return version, number, counted, chain, packed


def _read_segment_head(file: BinaryIO, path: Path, segment: int) -> Boundary:
    """Read the head at the start of a segment; it is never torn (J-SEG-2)."""
    version, number, counted, chain, packed = _checked_head(file, path)
    if version & ~KEYED != FORMAT_VERSION:
        raise StateMismatch([_other_version(path, version)])
    if number != segment:
        raise JournalDamaged(path, 12, f"this is segment {number} under the name of segment {segment}")
    start = _SEGMENT_HEAD.size + len(packed)
    return Boundary._make((number, start, *counted, chain, _unpack_marks(packed)))


def _is_keyed(path: Path) -> bool:
    """Whether the chain of a segment's frames is keyed; a damaged head must not pass for a keyed one."""
    with open(path, "rb") as file:
        version, *_ = _checked_head(file, path)
    return bool(version & KEYED)


def _other_version(path: Path, version: int) -> str:
    return (
        f"{path}: is in journal format {version}; this program reads format {FORMAT_VERSION}:"
        " go on with the version of Headrace that wrote it, or begin a new state"
    )


def _only_zeros(file: BinaryIO) -> bool:
    while chunk := file.read(_ZEROS_READ_BYTES):
        if chunk.count(0) != len(chunk):
            return False
    return True


def _read_frame_head(file: BinaryIO, path: Path, segment: int, position: int, size: int) -> FrameHead:
    """Read the frame head and the marks at the file's position (J-FRAME-2, J-TORN-1 to J-TORN-3).

    Raises
    ------
    _Torn
        If what is there could be the beginning of a frame that was never finished.
    JournalDamaged
        If it could not.
    """
    raw = file.read(_FRAME_HEAD.size)
    magic = raw[: len(_FRAME_MAGIC)]
    if _NO_MAGIC.startswith(magic):
        if raw.count(0) == len(raw) and _only_zeros(file):
            raise _Torn("only zeros are left")
        raise JournalDamaged(path, position, "zeros in the place of a frame")
    if not _FRAME_MAGIC.startswith(magic):
        raise JournalDamaged(path, position, "no frame starts here")
    if len(raw) < _FRAME_HEAD.size:
        raise _Torn("the frame's head is incomplete")
    _, crc, body_bytes, marks_crc, marks, records, *rest = _FRAME_HEAD.unpack(raw)
    if zlib.crc32(raw[_GUARDED.size :]) != crc:
        raise JournalDamaged(path, position, "the frame's head doesn't fit its checksum")
    if position + _FRAME_HEAD.size + marks * _MARK.size + body_bytes > size:
        raise _Torn("the frame is incomplete")
    packed = file.read(marks * _MARK.size)
    if zlib.crc32(packed) != marks_crc:
        raise JournalDamaged(path, position, "the frame's marks don't fit their checksum")
    return FrameHead._make((segment, position, records, body_bytes, *rest, _unpack_marks(packed)))


def _split(outline: bytes, body: bytes, path: Path, position: int) -> tuple[list[Record], list[bytes], bytes]:
    """Cut a body into records, their digests, and their heads as they were before any was erased."""
    records: list[Record] = []
    digests: list[bytes] = []
    written = bytearray(outline)
    at, make = len(outline), Record._make
    for index, (kind, flags, source, inputs, outputs, details, ordinal, offset, line) in enumerate(
        _RECORD_HEAD.iter_unpack(outline)
    ):
        start = at + _SALT_BYTES
        output_at, detail_at = start + inputs, start + inputs + outputs
        end = detail_at + details
        if flags & ERASED:
            digests.append(body[at:start])
            written[index * _RECORD_HEAD.size + _FLAGS_AT] &= ~ERASED
            if body.count(0, start, end) != end - start:
                raise JournalDamaged(path, position, f"record {index} of the frame is erased but not empty")
        else:
            digests.append(sha256(body[at:end]).digest())
        received, output, detail = body[start:output_at], body[output_at:detail_at], body[detail_at:end]
        records.append(make((kind, flags, source, ordinal, offset, line, received, output, detail)))
        at = end
    if at != len(body):
        raise JournalDamaged(path, position, "the lengths of the records don't add up to the frame's")
    return records, digests, bytes(written)


def _read_body(file: BinaryIO, path: Path, head: FrameHead) -> Frame:
    """Read the records after a head, and see that they are what was written (J-FRAME-5)."""
    body = file.read(head.body_bytes)
    outline = body[: head.records * _RECORD_HEAD.size]
    if len(body) != head.body_bytes or len(outline) != head.records * _RECORD_HEAD.size:
        raise JournalDamaged(path, head.position, "the frame is shorter than its records")
    records, digests, written = _split(outline, body, path, head.position)
    packed_marks = _pack_marks(head.marks)
    fields = _pack_fields(head.body_bytes, packed_marks, head.records, head.counted)
    if _content(fields, packed_marks, written, digests) != head.content:
        raise JournalDamaged(path, head.position, "the frame's records are not what was written")
    if any(record.flags & HEADERS for record in records):
        records = [_apart(record) for record in records]
    return Frame(head, records)


def _apart(record: Record) -> Record:
    """A record with its detail and its headers taken apart."""
    if record.flags & ERASED or not record.flags & HEADERS:
        return record
    return record._replace(detail=DetailWithHeaders.from_journal(record.detail))


class JournalReader:
    """Walks through a journal from a boundary on, and checks what it passes.

    Of `frames` and `heads` one is called, once. `heads` passes over the records, which makes it fast: it
    checks order, counts and the chain, but not that the records are what was written.

    Parameters
    ----------
    directory
        The shard's directory.
    start
        Where to begin: `start_of` a segment, `first_boundary`, or what an earlier reader or writer said.
    cut_torn_tail
        Whether the rest of an interrupted write is cut off, with a warning in the log. Only the owner of
        the journal may do so; to others it may be a frame in the making.

    Attributes
    ----------
    torn
        What was left at the end by an interrupted write, cut off or not.
    """

    def __init__(self, directory: Path, start: Boundary, *, cut_torn_tail: bool) -> None:
        self._directory = directory
        self._cut_torn_tail = cut_torn_tail
        self._boundary = start
        self._marks = {mark.source: mark for mark in start.marks}
        self._keys, self._keyed = configured_keys(), False
        self.torn: TornTail | None = None

    @property
    def boundary(self) -> Boundary:
        """The boundary after the last frame that was handed out."""
        return self._boundary._replace(marks=tuple(self._marks[source] for source in sorted(self._marks)))

    def frames(self) -> Iterator[Frame]:
        """Read all frames from the start on, each checked in full.

        Raises
        ------
        JournalDamaged
            If bytes are not what was written, or some are missing. A torn tail is no damage.
        """
        for file, path, head in self._walk(_READ_BUFFER_BYTES):
            frame = _read_body(file, path, head)
            self._pass(head)
            yield frame

    def heads(self) -> Iterator[FrameHead]:
        """Read the heads of all frames from the start on.

        Raises
        ------
        JournalDamaged
            If a head is not what was written, or frames are missing.
        """
        for file, _, head in self._walk(_HEADS_BUFFER_BYTES):
            file.seek(head.position_next)
            self._pass(head)
            yield head

    def _walk(self, buffer_bytes: int) -> Iterator[tuple[BinaryIO, Path, FrameHead]]:
        numbers = [number for number in segment_numbers(self._directory) if number >= self._boundary.segment]
        if not numbers and self._boundary == GENESIS:
            return
        if not numbers or numbers[0] != self._boundary.segment:
            missing = segment_path(self._directory, self._boundary.segment)
            raise JournalDamaged(missing, 0, "this segment is missing")
        for number in numbers:
            path = segment_path(self._directory, number)
            self._keyed = _is_keyed(path)
            refusal = self._keys.refusal(keyed=self._keyed)
            if refusal:
                raise StateMismatch([f"{path}: {refusal}"])
            with open(path, "rb", buffering=buffer_bytes) as file:
                self._enter(file, path, number)
                for head in self._segment_heads(file, path, last=number == numbers[-1]):
                    yield file, path, head

    def _enter(self, file: BinaryIO, path: Path, segment: int) -> None:
        """Go to the boundary in its own segment, or past the head of the next one (J-SEG-4)."""
        if self._boundary.segment == segment and self._boundary.byte:
            file.seek(self._boundary.byte)
            return
        start = _read_segment_head(file, path, segment)
        if start != self.boundary._replace(segment=segment, byte=start.byte):
            raise JournalDamaged(path, 0, "the segment doesn't go on where the one before it ended")
        self._boundary = start

    def _segment_heads(self, file: BinaryIO, path: Path, *, last: bool) -> Iterator[FrameHead]:
        size = os.fstat(file.fileno()).st_size
        if size < self._boundary.byte:
            raise JournalDamaged(path, size, f"the file ends before byte {self._boundary.byte}")
        while self._boundary.byte < size:
            position = self._boundary.byte
            try:
                head = _read_frame_head(file, path, self._boundary.segment, position, size)
            except _Torn as torn:
                if not last:
                    why = f"{torn}, and this is not the last segment"
                    raise JournalDamaged(path, position, why) from None
                self._leave(TornTail(str(path), position, size - position, str(torn)))
                return
            self._check(path, head)
            yield head

    def _check(self, path: Path, head: FrameHead) -> None:
        """See that a frame follows upon the one before it (J-FRAME-3, J-CHAIN-2)."""
        here = self._boundary
        if head.seq != here.seq:
            raise JournalDamaged(path, head.position, f"sequence number {head.seq} instead of {here.seq}")
        if not here.ordinal <= head.ordinal_first <= head.ordinal_next:
            raise JournalDamaged(path, head.position, f"ordinals {head.ordinal_first} to {head.ordinal_next}")
        lengths = (head.decisions_bytes, head.dead_letters_bytes)
        if lengths != (here.decisions_bytes, here.dead_letters_bytes):
            raise JournalDamaged(path, head.position, "the lengths of the outputs don't go on")
        if not self._keys.fits(here.chain + head.content, head.chain, keyed=self._keyed):
            other = ", or was made with another key" if self._keyed else ""
            raise JournalDamaged(path, head.position, f"the hash chain is broken{other}")

    def _pass(self, head: FrameHead) -> None:
        for mark in head.marks:
            self._marks[mark.source] = mark
        self._boundary = Boundary(
            head.segment,
            head.position_next,
            head.seq + head.records,
            head.ordinal_next,
            head.decisions_bytes_next,
            head.dead_letters_bytes_next,
            head.chain,
            (),
        )

    def _leave(self, torn: TornTail) -> None:
        self.torn = torn
        if self._cut_torn_tail:
            os.truncate(torn.file, torn.byte)
            _log.warning("%s: cut off", torn)


def start_of(directory: Path, segment: int) -> Boundary:
    """Tell the boundary before a segment's first frame.

    Raises
    ------
    JournalDamaged
        If there is no such segment, or its head is not what was written.
    StateMismatch
        If another version of the format was written there.
    """
    path = segment_path(directory, segment)
    try:
        with open(path, "rb") as file:
            return _read_segment_head(file, path, segment)
    except FileNotFoundError:
        raise JournalDamaged(path, 0, "this segment is missing") from None


def first_boundary(directory: Path) -> Boundary:
    """Tell the boundary before the oldest frame that is kept; `GENESIS` if there is no segment."""
    numbers = segment_numbers(directory)
    return start_of(directory, numbers[0]) if numbers else GENESIS


def read_frame(directory: Path, segment: int, position: int) -> Frame:
    """Read one frame by its place, as a head tells it.

    Raises
    ------
    JournalDamaged
        If there is no whole frame, or its records are not what was written. Its place in the chain isn't
        looked at.
    """
    path = segment_path(directory, segment)
    with open(path, "rb") as file:
        file.seek(position)
        try:
            head = _read_frame_head(file, path, segment, position, os.fstat(file.fileno()).st_size)
        except _Torn as torn:
            raise JournalDamaged(path, position, str(torn)) from None
        return _read_body(file, path, head)


def erase_records(frame: Frame, written: bytes, places: Collection[int]) -> bytes:
    """Lay a frame out as it is when some of its records are erased (J-ERASE-1).

    Parameters
    ----------
    frame
        As it was read.
    written
        Its bytes, from its head to its end.
    places
        Numbers of the records in the frame, from 0; of one that is erased already nothing changes.

    Raises
    ------
    JournalDamaged
        If these bytes are not that frame, so that it would not verify afterwards.
    """
    head, records, erased = frame.head, frame.records, bytearray(written)
    outline = _FRAME_HEAD.size + len(head.marks) * _MARK.size
    sealed = outline + len(records) * _RECORD_HEAD.size
    ends = [*accumulate((_sealed_bytes(record) for record in records), initial=sealed)]
    for place in places:
        if not records[place].erased:
            start, end = ends[place], ends[place + 1]
            erased[start:end] = sha256(erased[start:end]).digest() + bytes(end - start - _SALT_BYTES)
            erased[outline + place * _RECORD_HEAD.size + _FLAGS_AT] |= ERASED
    _read_body(BytesIO(erased[outline:]), Path(f"segment {head.segment}"), head)
    return bytes(erased)


def _sealed_bytes(record: Record) -> int:
    detail = record.detail
    detail_bytes = detail.kept_bytes if isinstance(detail, DetailWithHeaders) else len(detail)
    return _SALT_BYTES + len(record.input) + len(record.output) + detail_bytes


def verify(directory: Path) -> Verified:
    """Walk through all that is kept of a journal, check every byte, and count.

    Raises
    ------
    JournalDamaged
        At the first byte that isn't what was written.
    """
    numbers = segment_numbers(directory)
    reader = JournalReader(directory, first_boundary(directory), cut_torn_tail=False)
    counted = Verified(reader.boundary, segments=len(numbers))
    for frame in reader.frames():
        counted.frames += 1
        counted.records += len(frame.records)
        counted.erased += sum(record.erased for record in frame.records)
        counted.kinds.update(record.kind for record in frame.records)
    counted.end, counted.torn = reader.boundary, reader.torn
    return counted
