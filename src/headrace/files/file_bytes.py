"""The bytes of files, pipes and standard input, uncompressed, block by block."""

from __future__ import annotations

import os
import select
import stat
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from typing import Final

from headrace.errors import InputError, TruncatedInput
from headrace.files.formats import HEAD_BYTES, foreign_format, refusal_of
from headrace.journal.batches import Mark

__all__ = [
    "BLOCK_BYTES",
    "STANDARD",
    "STREAM_WAIT_MS",
    "FileBytes",
    "begin_streams",
    "begins_as",
    "is_stream",
    "refuse_foreign_formats",
]

STANDARD: Final = "-"
BLOCK_BYTES: Final = 262_144
STREAM_WAIT_MS: Final = 10
STREAM_LOOK_MS: Final = 1000
"""So long a start waits for the first line of its pipes, all together, to see what they are."""

# What a path such as /dev/fd/63 of a shell's <(…) is a link to.
_UNNAMED_PIPE: Final = "/fd/pipe:["
_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_WBITS: Final = 31


class FileBytes:
    """The uncompressed bytes of a file, a pipe or standard input, block by block.

    `error` is set when reading had to stop before the proper end; what came before is handed out first. Of a
    file that `lines` are expected of, nothing is handed out if it is recognised as another format.
    """

    def __init__(self, path: str, block_bytes: int, stream_wait_ms: int, *, lines: bool = False) -> None:
        self.path, self._block_bytes, self._wait_s = path, block_bytes, stream_wait_ms / 1000
        self.error: InputError | None = None
        self._to_judge, self._head = lines, b""
        self._looked: bytes | None = None
        try:
            # Opened once and looked at by its descriptor: the path may name another file a moment later.
            self._file = 0 if path == STANDARD else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            status = os.fstat(self._file)
        except OSError as error:
            raise InputError(f"{path}: can't be read: {error.strerror}") from error
        self.stream = not stat.S_ISREG(status.st_mode)
        self.size = None if self.stream else status.st_size
        self.taken = 0
        self._pending = b""
        self._member: zlib._Decompress | None = None
        self._read: Callable[[], bytes | None] = self._first

    @property
    def foreign(self) -> InputError | None:
        """The error of what can't be read, or is recognised as another format."""
        return None if isinstance(self.error, TruncatedInput) else self.error

    @property
    def position(self) -> int:
        """Bytes of the file that were used up, compressed ones if it is compressed."""
        return self.taken - len(self._pending)

    def read(self) -> bytes | None:
        """Return the next block; empty at the end, None when a pipe has nothing yet."""
        if self._looked is not None:
            block, self._looked = self._looked, None
            return block
        if self.error:
            return b""
        return self._judge() if self._to_judge else self._read()

    def look(self, until_s: float) -> None:
        """Read on until it is known whether these are lines, or a moment has come; nothing of it is lost.

        Parameters
        ----------
        until_s
            The moment, on the monotonic clock, in seconds. What has come by then is looked at in any case.
        """
        looked = self.read()
        while looked is None and time.monotonic() < until_s:
            looked = self.read()
        self._looked = looked

    def _judge(self) -> bytes | None:
        """Look what the first block is; of a pipe so much as has a whole line."""
        block = self._read()
        if block is None:
            return None
        head = self._head = self._head + block
        if self.stream and block and b"\n" not in head and len(head) < HEAD_BYTES:
            return None
        self._to_judge, self._head = False, b""
        looks = foreign_format(head[:HEAD_BYTES])
        if looks:
            self.error = InputError(refusal_of(self.path, looks))
            return b""
        return head

    def close(self) -> None:
        """Close the file; standard input stays open."""
        if self._file > 0:
            os.close(self._file)
        self._file = -1

    def _ready(self) -> bool:
        poll = select.poll()  # unlike select, it takes any file descriptor
        poll.register(self._file, select.POLLIN)
        return bool(poll.poll(self._wait_s * 1000))

    def _raw(self) -> bytes | None:
        if self.stream and not self._ready():
            return None
        try:
            chunk = os.read(self._file, self._block_bytes)
        except OSError as error:
            self.error = InputError(f"{self.path}: byte {self.taken}: can't be read: {error.strerror}")
            return b""
        self.taken += len(chunk)
        return chunk

    def _first(self) -> bytes | None:
        """Tell by its first bytes whether the file is compressed, and read on."""
        chunk = self._raw()
        if chunk is None:
            return None
        head = self._pending = self._pending + chunk
        if chunk and len(head) < len(_GZIP_MAGIC):
            # A pipe may give one byte at a time; None hands the turn back in place of waiting here.
            return None if self.stream else self._first()
        # A file that was cut off within its first two bytes, or is empty: told as gzip that ends too early,
        # and not taken for text.
        short = self.path.endswith(".gz") and _GZIP_MAGIC.startswith(head)
        if short or head.startswith(_GZIP_MAGIC):
            self._member = zlib.decompressobj(_GZIP_WBITS)
            self._read = self._inflate
            return self._inflate()
        self._pending, self._read = b"", self._raw
        return head

    def _inflate(self) -> bytes | None:
        while not self.error:
            if not self._pending:
                chunk = self._raw()
                if not chunk:
                    return chunk if chunk is None else self._gzip_end()
                self._pending = chunk
            if self._member is None:
                # Members may be padded with zeros, as on tape.
                self._pending = self._pending.lstrip(b"\0")
                if not self._pending:
                    continue
                self._member = zlib.decompressobj(_GZIP_WBITS)
            block = self._inflate_some(self._member)
            if block:
                return block
        return b""

    def _inflate_some(self, member: zlib._Decompress) -> bytes:
        # On damage zlib gives nothing of the whole block. From the copy it is fed once more, up to the byte
        # before.
        before = member.copy()
        try:
            block = member.decompress(self._pending, self._block_bytes)
        except zlib.error:
            return self._up_to_damage(before)
        if member.eof:
            # Files that were compressed one by one and put together are one stream of several members.
            self._pending, self._member = member.unused_data, None
        else:
            self._pending = member.unconsumed_tail
        return block

    def _up_to_damage(self, member: zlib._Decompress) -> bytes:
        """Return what was good in a block that zlib refused as a whole, found by feeding it byte by byte."""
        start, good = self.position, []
        # First nothing: zlib may hold bits of the byte before.
        for index in range(-1, len(self._pending)):
            try:
                good.append(member.decompress(self._pending[max(index, 0) : index + 1]))
            except zlib.error as error:
                why = str(error).partition(": ")[2] or str(error)
                self.error = TruncatedInput(self.path, start + index, f"damaged gzip: {why}")
                break
        return b"".join(good)

    def _gzip_end(self) -> bytes:
        if self._member is None or self.error:
            return b""
        rest = self._member.flush()
        self.error = TruncatedInput(self.path, self.taken, "the gzip file ends too early")
        return rest


def is_stream(path: str) -> bool:
    """Whether something is read that can't be read again: standard input, a pipe, a device."""
    if path == STANDARD or _UNNAMED_PIPE in path:
        return True
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def begin_streams(paths: Iterable[str], stack: ExitStack) -> dict[str, FileBytes]:
    """Open standard input and pipes, and refuse those whose first bytes show that they are no lines.

    What doesn't send a line within `STREAM_LOOK_MS` is waited for no longer: its reader finds out. Those that
    can't be opened are passed over, for whoever opens them says so.

    Parameters
    ----------
    paths
        Of all sources; files are left alone.
    stack
        Closes what is opened.

    Raises
    ------
    InputError
        With every one that is of another format.
    """
    begun = dict[str, FileBytes]()
    for path in filter(is_stream, paths):
        with suppress(InputError):
            begun[path] = FileBytes(path, BLOCK_BYTES, STREAM_WAIT_MS, lines=True)
            stack.callback(begun[path].close)
    until_s = time.monotonic() + STREAM_LOOK_MS / 1000
    for each in begun.values():
        each.look(until_s)
    found = [error for each in begun.values() if (error := each.foreign)]
    if found:
        raise InputError("\n".join(map(str, found)))
    return begun


def begins_as(path: str, marks: Sequence[Mark]) -> list[Mark]:
    """Those of the marks up to which a file has the same bytes as the source that the mark is of.

    A pipe has none, as looking at it would use it up, and neither has a file that can't be read.
    """
    found: list[Mark] = []
    try:
        data = FileBytes(path, BLOCK_BYTES, STREAM_WAIT_MS)
    except InputError:
        return found
    left = sorted(marks, key=lambda mark: mark.offset)
    offset, crc = 0, 0
    while left and not data.stream and (block := data.read()):
        while left and left[0].offset <= offset + len(block):
            mark = left.pop(0)
            part = block[: mark.offset - offset]
            crc, offset, block = zlib.crc32(part, crc), mark.offset, block[len(part) :]
            found += [mark] if crc == mark.crc else []
        crc, offset = zlib.crc32(block, crc), offset + len(block)
    data.close()
    return found


def refuse_foreign_formats(paths: Iterable[str]) -> None:
    """Refuse files whose first bytes show that they are no lines of JSON objects.

    Pipes are not looked at, as that would use them up: `begin_streams` does. Files that can't be read are
    passed over, for whoever opens them says so.

    Raises
    ------
    InputError
        With every such file.
    """
    found = []
    for path in paths:
        if is_stream(path):
            continue
        try:
            data = FileBytes(path, BLOCK_BYTES, STREAM_WAIT_MS, lines=True)
        except InputError:
            continue
        data.read()
        data.close()
        if data.foreign is not None:
            found.append(str(data.foreign))
    if found:
        raise InputError("\n".join(found))
