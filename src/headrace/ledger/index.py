"""An index beside each segment of a journal: from the id of a decision to the place of its record.

The format is specified in docs/specs/index.md; the clauses named there (IX-...) are what the tests name too.
An index is made from the journal and can be made again at any time. It is never trusted over the journal:
whoever follows a place compares what stands there.
"""

from __future__ import annotations

import os
import struct
import sys
import zlib
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from headrace.config.private_files import opener
from headrace.errors import JournalDamaged, StateError
from headrace.journal.frames import Boundary, Frame, FrameHead
from headrace.journal.reader import JournalReader
from headrace.journal.records import Kind
from headrace.journal.segments import index_path, segment_numbers, segment_path, start_of
from headrace.ledger.keys import digest_of, keys_of, number_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "LedgerIndex",
    "Place",
    "Progress",
    "unindexed_bytes",
]

FORMAT_VERSION: Final = 1
_MAGIC: Final = b"HRI\x01"
_HEAD: Final = struct.Struct("<4sII")
_PAIR_BYTES: Final = 16
_BLOCK_PAIRS: Final = 512
_RECORD_BITS: Final = 24
_RECORDS_MAX: Final = 1 << _RECORD_BITS
_DIGEST_BYTES: Final = 8
_KEEP_FROM_PAIRS: Final = 1024  # what fewer records of the newest segment hold is quicker read than written
_DECIDED: Final = int(Kind.DECIDED)

Progress = Callable[[int, int], None]
"""Told of bytes and records that were gone through since the last call."""


class Place(NamedTuple):
    """Where a record stands: segment, byte of its frame, and its number in the frame, from 0."""

    segment: int
    position: int
    record: int


# ---------------------------------------------------------------- what is scanned


@dataclass(slots=True)
class _Scanned:
    """What was read of a segment that no index holds yet."""

    digests: list[bytes] = field(default_factory=list)
    places: array[int] = field(default_factory=lambda: array("Q"))
    before: Boundary | None = None
    chain: bytes = b""
    decisions: int = 0
    erased: int = 0
    accepted_first_ms: int = 0
    accepted_last_ms: int = 0

    def take(self, frame: Frame, before: Boundary) -> None:
        """Take in a frame, and the boundary before it."""
        head = frame.head
        if head.records > _RECORDS_MAX:
            place_of_it = f"segment {head.segment}, byte {head.position}"
            raise StateError(f"{place_of_it}: a frame of more than {_RECORDS_MAX:,} records can't be indexed")
        base, add, place = head.position << _RECORD_BITS, self.digests.append, self.places.append
        for number, record in enumerate(frame.records):
            if record.flags and record.erased:
                self.erased += 1
                continue
            for key in keys_of(record):
                self.decisions += record.kind == _DECIDED
                add(digest_of(key))
                place(base + number)
        self.accepted_first_ms = self.accepted_first_ms or head.accepted_ms
        self.accepted_last_ms, self.before, self.chain = head.accepted_ms, before, head.chain

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Digests with their places."""
        return zip(map(number_of, self.digests), self.places, strict=True)


def _scan(directory: Path, start: Boundary, size: int, progress: Progress | None) -> _Scanned:
    """Read a segment from a boundary on; to its size, or where a frame in the making begins."""
    scanned, before = _Scanned(), start
    reader = JournalReader(directory, start, cut_torn_tail=False)
    frames = reader.frames()
    while before.byte < size:  # one frame more would be the next segment's
        frame = next(frames, None)
        if frame is None:
            break
        scanned.take(frame, before)
        before = reader.boundary
        if progress is not None:
            progress(before.byte - frame.head.position, frame.head.records)
    return scanned


# ---------------------------------------------------------------- the file


class _Head(msgspec.Struct, frozen=True, array_like=True):
    """What an index says of itself.

    Attributes
    ----------
    version
        Of the format.
    before, chain
        The boundary before the last frame that it covers, and the hash chain after that frame. The chain runs
        over all frames before, so that it tells whether this is an index of this journal (IX-3).
    pairs, decisions, erased
        Pairs of digest and place; how many of them are decisions; erased records, which have none.
    accepted_first_ms, accepted_last_ms
        When the first and the last frame were accepted.
    firsts, sums
        For each block its first digest, and the CRC-32 of its bytes.
    """

    version: int
    before: Boundary
    chain: bytes
    pairs: int
    decisions: int
    erased: int
    accepted_first_ms: int
    accepted_last_ms: int
    firsts: bytes
    sums: bytes


class _Unusable(Exception):
    """An index that is damaged, of another journal, or of another version."""


class _IndexFile:
    """An index as it lies in its file; a block is read when it is needed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with open(path, "rb") as file:
            raw = file.read(_HEAD.size)
            if len(raw) < _HEAD.size:
                raise _Unusable
            magic, crc, length = _HEAD.unpack(raw)
            size = os.fstat(file.fileno()).st_size
            packed = file.read(length) if magic == _MAGIC and _HEAD.size + length <= size else b""
        if not packed or zlib.crc32(packed) != crc:
            raise _Unusable
        try:
            self.head = msgspec.msgpack.decode(packed, type=_Head)
        except msgspec.MsgspecError as error:
            raise _Unusable from error
        self._blocks_at = _HEAD.size + length
        if self.head.version != FORMAT_VERSION or size != self._blocks_at + self.head.pairs * _PAIR_BYTES:
            raise _Unusable
        self._firsts, self._sums = _unpack("Q", self.head.firsts), _unpack("I", self.head.sums)

    def find(self, digest: int) -> list[int]:
        """Places that are filed under a digest."""
        # One block back: equal digests may begin at its end, and the next block's first is then the same.
        block = max(0, bisect_left(self._firsts, digest) - 1)
        found: list[int] = []
        while block < len(self._firsts) and self._firsts[block] <= digest:
            digests, places = self._block(block)
            at = bisect_left(digests, digest)
            while at < len(digests) and digests[at] == digest:
                found.append(places[at])
                at += 1
            block += 1
        return found

    def _block(self, number: int) -> tuple[array[int], array[int]]:
        pairs = min(_BLOCK_PAIRS, self.head.pairs - number * _BLOCK_PAIRS)
        with open(self.path, "rb") as file:
            file.seek(self._blocks_at + number * _BLOCK_PAIRS * _PAIR_BYTES)
            raw = file.read(pairs * _PAIR_BYTES)
        if zlib.crc32(raw) != self._sums[number]:
            raise _Unusable
        half = pairs * _DIGEST_BYTES
        return _unpack("Q", raw[:half]), _unpack("Q", raw[half:])

    def all(self) -> Iterator[tuple[array[int], array[int]]]:
        """All blocks."""
        return map(self._block, range(len(self._firsts)))


def _unpack(code: str, raw: bytes) -> array[int]:
    values = array(code)
    values.frombytes(raw)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _blocks(digests: NDArray[np.uint64], places: NDArray[np.uint64]) -> Iterator[bytes]:
    for at in range(0, len(digests), _BLOCK_PAIRS):
        end = at + _BLOCK_PAIRS
        yield digests[at:end].astype("<u8").tobytes() + places[at:end].astype("<u8").tobytes()


def _sorted(digests: Any, places: Any) -> tuple[Any, Any]:
    import numpy as np

    # By place within a digest, so that what is found comes in the journal's order without another sort.
    order = np.lexsort((places, digests))
    return digests[order], places[order]


def _together(kept: _IndexFile | None, scanned: _Scanned) -> tuple[Any, Any]:
    """All pairs of an index and of what was scanned since, as arrays, sorted."""
    import numpy as np

    digests = [np.frombuffer(b"".join(scanned.digests), dtype="<u8")]
    places = [np.frombuffer(scanned.places, dtype=np.uint64)] if scanned.places else [np.empty(0, np.uint64)]
    for more_digests, more_places in kept.all() if kept else ():
        digests.append(np.frombuffer(more_digests, dtype=np.uint64))
        places.append(np.frombuffer(more_places, dtype=np.uint64))
    return _sorted(np.concatenate(digests), np.concatenate(places))


def _packed(kept: _IndexFile | None, scanned: _Scanned) -> list[bytes]:
    """Return the parts of an index file."""
    if scanned.before is None:
        raise ValueError("an index covers at least one frame")
    digests, places = _together(kept, scanned)
    blocks = list(_blocks(digests, places))
    was = kept.head if kept else None
    head = msgspec.msgpack.encode(
        _Head(
            version=FORMAT_VERSION,
            before=scanned.before,
            chain=scanned.chain,
            pairs=len(digests),
            decisions=scanned.decisions + (was.decisions if was else 0),
            erased=scanned.erased + (was.erased if was else 0),
            accepted_first_ms=was.accepted_first_ms if was else scanned.accepted_first_ms,
            accepted_last_ms=scanned.accepted_last_ms,
            firsts=digests[::_BLOCK_PAIRS].astype("<u8").tobytes(),
            sums=struct.pack(f"<{len(blocks)}I", *map(zlib.crc32, blocks)),
        )
    )
    return [_HEAD.pack(_MAGIC, zlib.crc32(head), len(head)), head, *blocks]


def _write(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file that has its name only when it is complete."""
    unnamed = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        with open(unnamed, "wb", opener=opener) as file:
            file.writelines(parts)
        os.replace(unnamed, path)
    except OSError:
        unnamed.unlink(missing_ok=True)
        raise


# ---------------------------------------------------------------- looking up


class _Segment:
    """What is known of one segment: its index file, and what was scanned behind it."""

    def __init__(self, directory: Path, number: int, *, sealed: bool) -> None:
        self.directory, self.number, self.sealed = directory, number, sealed
        self.unkept: OSError | None = None
        self.kept: _IndexFile | None = None
        self.scanned = _Scanned()
        self._tail: dict[int, list[int]] = {}

    def open(self, progress: Progress | None, *, anew: bool = False) -> None:
        """Take the index file if it is one of this segment, and read what is not in it (IX-3, IX-4)."""
        size = segment_path(self.directory, self.number).stat().st_size
        self.kept, covered = (None, None) if anew else self._usable(size)
        if self.kept and covered is None:
            self.scanned, self._tail = _Scanned(), {}
            return
        start = covered or start_of(self.directory, self.number)
        scanned_file = _identity(self.directory, self.number)
        self.scanned = _scan(self.directory, start, size, progress)
        if self.scanned.before and (self.sealed or len(self.scanned.digests) >= _KEEP_FROM_PAIRS):
            try:
                self._keep()
            except _Unusable:
                self.open(progress, anew=True)
                return
            if _identity(self.directory, self.number) != scanned_file:
                # An erasure has put another file in its place meanwhile: the digests may be of erased ids.
                index_path(self.directory, self.number).unlink(missing_ok=True)
        self._tail = _by_digest(self.scanned)

    def _usable(self, size: int) -> tuple[_IndexFile | None, Boundary | None]:
        """Return the index file and the boundary up to which it holds, None for all.

        No file if it isn't usable.
        """
        try:
            kept = _IndexFile(index_path(self.directory, self.number))
            before = kept.head.before
            if before.segment != self.number:
                return None, None
            # A sealed segment's chain stands in the head of the next one, so its index is proved without
            # reading it.
            if self.sealed and start_of(self.directory, self.number + 1).chain == kept.head.chain:
                return kept, None
            reader = JournalReader(self.directory, before, cut_torn_tail=False)
            last: FrameHead | None = next(reader.heads(), None)
        except (_Unusable, OSError, JournalDamaged):
            return None, None
        # Of a growing segment the last frame that is covered is read, and must be the same: erased or
        # restored, another one stands there.
        if last is None or last.chain != kept.head.chain or last.position_next > size:
            return None, None
        return kept, reader.boundary

    def _keep(self) -> None:
        """Write the index; where that can't be done, what was scanned stays in memory (IX-5)."""
        path = index_path(self.directory, self.number)
        try:
            _write(path, _packed(self.kept, self.scanned))
            self.kept, self.scanned = _IndexFile(path), _Scanned()
        except OSError as error:
            self.unkept = error

    def find(self, digest: int, progress: Progress | None) -> list[Place]:
        """Where records filed under a digest stand."""
        try:
            found = self._places(digest)
        except (_Unusable, OSError):
            found = self._found_again(digest, progress)
        return [Place(self.number, at >> _RECORD_BITS, at % _RECORDS_MAX) for at in found]

    def _places(self, digest: int) -> list[int]:
        return sorted((self.kept.find(digest) if self.kept else []) + self._tail.get(digest, []))

    def _found_again(self, digest: int, progress: Progress | None) -> list[int]:
        """Find in the index that another reader has put there meanwhile, or else in a new one."""
        self.open(progress)
        try:
            return self._places(digest)
        except (_Unusable, OSError):
            self.open(progress, anew=True)
            return self._places(digest)

    def counts(self) -> tuple[int, int]:
        """How many decisions and erased records there are."""
        head = self.kept.head if self.kept else None
        decisions, erased = self.scanned.decisions, self.scanned.erased
        return decisions + (head.decisions if head else 0), erased + (head.erased if head else 0)

    def accepted_ms(self) -> tuple[int, int]:
        """When the first and the last frame were accepted, 0 if there is none."""
        head = self.kept.head if self.kept else None
        first = head.accepted_first_ms if head else self.scanned.accepted_first_ms
        return first, self.scanned.accepted_last_ms or (head.accepted_last_ms if head else 0)


def _identity(directory: Path, segment: int) -> int:
    return segment_path(directory, segment).stat().st_ino


def _by_digest(scanned: _Scanned) -> dict[int, list[int]]:
    tail: dict[int, list[int]] = defaultdict(list)
    for digest, place in scanned.pairs():
        tail[digest].append(place)
    return dict(tail)


class LedgerIndex:
    """Finds records of a shard's journal, whether or not a flow is writing it.

    Opening it reads what of the journal is not indexed yet, and keeps the index beside the journal where that
    is allowed.

    Parameters
    ----------
    directory
        The shard's.
    progress
        Told of what is being read.

    Attributes
    ----------
    damage
        By segment why it could not be read to its end; nothing is found in these.
    unkept
        Why an index could not be kept; None if all are.
    """

    def __init__(self, directory: Path, progress: Progress | None = None) -> None:
        self.directory, self._progress = directory, progress
        self.damage: dict[int, JournalDamaged] = {}
        numbers = segment_numbers(directory)
        self._segments = [_Segment(directory, number, sealed=number != numbers[-1]) for number in numbers]
        for segment in self._segments:
            try:
                segment.open(progress)
            except JournalDamaged as damage:
                self.damage[segment.number] = damage
        self.unkept = next((segment.unkept for segment in self._segments if segment.unkept), None)

    def find(self, key: int) -> list[Place]:
        """Where records filed under a key stand, in the order of the journal.

        Among them may be, very rarely, one of another key with the same digest.
        """
        return [place for segment in self._segments for place in segment.find(key, self._progress)]

    @property
    def first_segment(self) -> int:
        """Number of the oldest segment that is kept; 1 if there is none."""
        return self._segments[0].number if self._segments else 1

    @property
    def segments(self) -> int:
        """How many segments there are."""
        return len(self._segments)

    @property
    def decisions(self) -> int:
        """How many decisions are indexed."""
        return sum(segment.counts()[0] for segment in self._segments)

    @property
    def erased(self) -> int:
        """How many erased records were passed over."""
        return sum(segment.counts()[1] for segment in self._segments)

    @property
    def accepted_ms(self) -> tuple[int, int] | None:
        """When the first and the last batch were accepted; None without any."""
        times = [time for segment in self._segments for time in segment.accepted_ms() if time]
        return (min(times), max(times)) if times else None


def unindexed_bytes(directory: Path) -> int:
    """About how many bytes of a journal have to be read before something can be found in it."""
    left = 0
    for number in segment_numbers(directory):
        try:
            covered = _IndexFile(index_path(directory, number)).head.before.byte
        except (_Unusable, OSError):
            covered = 0
        left += max(0, segment_path(directory, number).stat().st_size - covered)
    return left
