"""What the ledger tells of one decision, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headrace.operators.recommend.explained import ExplainedItem

__all__ = [
    "Config",
    "Cross",
    "Explained",
    "ExplainedFollowUp",
    "ExplainedLetter",
    "ExplainedOutcome",
    "ExplainedReason",
    "Position",
    "Range",
]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a record stands, and where its input came from.

    Attributes
    ----------
    shard, segment, file
        The shard's name, the number of the segment, and its file.
    byte, record
        Where its frame starts in the file, and its number in the frame, from 0.
    sequence, ordinal
        Its number in the shard's journal, and in the merged order of all sources; both from 0.
    source, offset, line
        The source, the byte in it at which the line starts, and the line's number, from 1. None for what came
        from no source.
    """

    shard: str
    segment: int
    file: str
    byte: int
    record: int
    sequence: int
    ordinal: int
    source: str | None
    offset: int | None
    line: int | None


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration that was in force.

    Attributes
    ----------
    digest
        SHA-256 of its canonical form.
    code, platform
        Version of Headrace; and of Python, machine and C library.
    learn
        Whether the model learned.
    segment, byte, record
        Where the journal holds it; None if only a checkpoint does.
    """

    digest: str
    code: str
    platform: str | None
    learn: bool
    segment: int | None = None
    byte: int | None = None
    record: int | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """The range of a bin that a feature's value fell into: `low` <= value < `high`.

    Attributes
    ----------
    bin, feature
        Their names.
    value
        NaN where missing; then there is no range.
    low, high
        None where the range is open.
    """

    bin: str
    feature: str
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Cross:
    """The active slot of a cross.

    Attributes
    ----------
    name, code
        The cross, and the reason code that it stands for.
    slot
        Its number among all slots.
    contribution
        What it added to the score, log-odds; None if the model doesn't read crosses.
    ranges
        One for each bin of the cross.
    """

    name: str
    code: str
    slot: int
    contribution: float | None
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class ExplainedReason:
    """A reason with the text that the configuration had for it, None if it had none."""

    code: str
    contribution: float | None
    text: str | None


@dataclass(frozen=True, slots=True)
class ExplainedOutcome:
    """An outcome that the journal holds about a decision's event."""

    event_id: str
    label: int
    event_time: int
    accepted_ms: int
    position: Position


@dataclass(frozen=True, slots=True)
class ExplainedFollowUp:
    """What a session did after a slate.

    Attributes
    ----------
    kind
        `click`, `cart` or `order`.
    event_id, item_id, event_time
        Of the event; an order is told once for each item.
    rank
        Where the item stood on the slate, from 1; 0 if it wasn't on it.
    """

    kind: str
    event_id: str
    item_id: str
    event_time: int
    rank: int


@dataclass(frozen=True, slots=True)
class ExplainedLetter:
    """The dead letter that an input was before it was given once more.

    Attributes
    ----------
    reason, message
        Why it could not be used.
    ordinal
        Where it stood in the merged order of all sources, from 0; on topics with several shards a number that
        tells the shard as well.
    replaced
        Whether other bytes were tried in place of the letter's.
    payload
        The letter's bytes, as text.
    """

    reason: str
    message: str
    ordinal: int
    replaced: bool
    payload: str


@dataclass(frozen=True, slots=True)
class Explained:
    """All that the ledger knows of a decision; of an erased one its place and times only.

    Attributes
    ----------
    decision_id, erased
        Which decision, and whether its record was erased.
    retried, overdue
        Whether its input was a dead letter's, given once more; whether it had waited longer than its limit.
    letter
        What a retried input was before; None if the ledger has that no more.
    decision, input
        The line that went out, and the event as it came in.
    features
        Values by name, NaN where missing.
    crosses
        The active slots.
    contributions
        By name of the cross, or of the feature; None if none were computed.
    base
        What they are added to, so that the sum is the log-odds of the score; None without them, or for a
        score of 0 or 1.
    reasons
        The strongest first.
    policy
        The trace of the policy's path, None if there is none.
    config
        What was in force.
    position
        Where the record stands.
    accepted_ms, committed_ms
        Wall clock when its batch was read and when it was journalled, milliseconds since the epoch.
    outcomes
        About its event, in the order in which they came, at most 100.
    others
        Where the same id was decided besides: an event that came again after its id was forgotten.
    items
        Of a slate, best first.
    delivered
        The decision that consumers have, where it is another one: it was delivered before the state lost its
        end and made this one anew. None otherwise.
    followed
        What the session of a slate did next: carts, orders, and its next click as the last one, as far as
        they came within the time that the slate waited.
    """

    decision_id: str
    erased: bool
    retried: bool
    overdue: bool
    letter: ExplainedLetter | None
    decision: dict[str, Any] | None
    input: Any
    features: dict[str, float]
    crosses: tuple[Cross, ...]
    contributions: dict[str, float] | None
    base: float | None
    reasons: tuple[ExplainedReason, ...]
    policy: Any
    config: Config | None
    position: Position
    accepted_ms: int
    committed_ms: int
    outcomes: tuple[ExplainedOutcome, ...]
    others: tuple[Position, ...]
    items: tuple[ExplainedItem, ...] = ()
    followed: tuple[ExplainedFollowUp, ...] = ()
    delivered: dict[str, Any] | None = None
