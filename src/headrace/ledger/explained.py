"""What the ledger tells of one decision, as plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.journal.records import Record
from headrace.ledger.sections import Aside, Grid, Section, signed_text

__all__ = [
    "Asked",
    "Config",
    "Explained",
    "ExplainedLetter",
    "ExplainedOutcome",
    "ExplainedReason",
    "Position",
    "Why",
    "explained_reasons",
    "reasons_shown",
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
class Asked:
    """A decision of which its kind is asked why it was made so.

    Attributes
    ----------
    settings
        The configuration that was in force.
    decision
        The decision, as it went out.
    number
        Which of the decisions of its input it is, from 0.
    record
        Where the journal has it.
    outcomes
        What the journal holds about its event.
    behind
        Gives the records behind this one in the shard's journal, as far as they are kept and whole.
    """

    settings: Any
    decision: dict[str, Any]
    number: int
    record: Record
    outcomes: tuple[ExplainedOutcome, ...]
    behind: Callable[[], Iterator[Record]]


@dataclass(frozen=True, slots=True)
class Why:
    """Why a decision was made so, as its kind tells it.

    Attributes
    ----------
    told
        A dataclass of plain values; its fields stand beside those of `Explained` in JSON.
    title
        What stands behind the action in a heading: a score, a count.
    before, after
        Parts of the view: before the event, and behind it.
    """

    told: Any
    title: str
    before: tuple[Section, ...] = ()
    after: tuple[Section, ...] = ()


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
    beside
        Ids of the other decisions on the same event.
    why
        What its kind tells of it; None of an erased one.
    tone
        How its action is shown.
    delivered
        The decision that consumers have, where it is another one: it was delivered before the state lost its
        end and made this one anew. None otherwise.
    """

    decision_id: str
    erased: bool
    retried: bool
    overdue: bool
    letter: ExplainedLetter | None
    decision: dict[str, Any] | None
    input: Any
    config: Config | None
    position: Position
    accepted_ms: int
    committed_ms: int
    outcomes: tuple[ExplainedOutcome, ...]
    others: tuple[Position, ...]
    beside: tuple[str, ...] = ()
    why: Why | None = None
    tone: str = ""
    delivered: dict[str, Any] | None = None


def explained_reasons(
    given: Iterable[Mapping[str, Any]], texts: Mapping[str, str]
) -> tuple[ExplainedReason, ...]:
    """Return a decision's reasons with their texts, in their order."""
    return tuple(
        ExplainedReason(reason["code"], reason.get("contribution"), texts.get(reason["code"]))
        for reason in given
    )


def reasons_shown(reasons: Iterable[ExplainedReason]) -> str | Grid:
    """Return reasons as they are shown: what each added, its code, its text."""
    rows = [
        (signed_text(reason.contribution), reason.code, reason.text or Aside("(no text)"))
        for reason in reasons
    ]
    return Grid(("right", "left", "left"), rows) if rows else "none"
