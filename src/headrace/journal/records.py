"""Records of a journal: an input, what became of it, and what is true of it."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from headrace.journal.passed_headers import DetailWithHeaders, PassedHeaders

__all__ = [
    "COMMAND",
    "CONTROL_SOURCE",
    "CUT",
    "ERASED",
    "HEADERS",
    "NO_SOURCE",
    "OVERDUE",
    "RETRIED",
    "SKIPPED",
    "UNREADABLE",
    "WRITTEN_FLAGS",
    "Kind",
    "Record",
    "RecordFields",
]

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
WRITTEN_FLAGS: Final = OVERDUE | RETRIED | COMMAND | CUT | SKIPPED | UNREADABLE | HEADERS
RecordFields: TypeAlias = tuple[int, int, int, int, int, int, bytes, bytes, bytes]


class Kind(IntEnum):
    """What became of an input."""

    DECIDED = 1
    APPLIED = 2
    DEAD = 3
    DUPLICATE = 4
    CONTROL = 5
    ABSENT = 6


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
