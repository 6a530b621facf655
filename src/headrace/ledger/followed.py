"""What the journal behind a decision's record tells of it: what a session did, what consumers have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson

from headrace.errors import JournalDamaged
from headrace.journal.frame_reader import read_frame
from headrace.journal.frames import Frame
from headrace.journal.records import Kind, Record
from headrace.journal.segments import segment_path, start_of
from headrace.ledger.explained import ExplainedFollowUp
from headrace.ledger.index import Place
from headrace.operators.events.contract import Cart, Click, Order
from headrace.operators.events.decode import decode_one
from headrace.operators.recommend.slates import rank_of
from headrace.shard.apply_record import DELIVERED

__all__ = ["delivered_otherwise", "followed"]

_USED: Final = (int(Kind.DECIDED), int(Kind.APPLIED))
_BYTES_MAX: Final = 268_435_456
_MINUTE_MS: Final = 60_000
_NOTE_FRAMES_MAX: Final = 64  # it is written in the next turn of the flow


def followed(
    directory: Path, place: Place, click: Click, items: Sequence[str], minutes_max: float
) -> Iterator[ExplainedFollowUp]:
    """Carts and orders of the session up to its next click, and that click, each with its place in the slate.

    At most 256 MB of the journal are read, up to the first event that is later than the slate can wait.

    Parameters
    ----------
    directory
        The shard's.
    place
        Of the slate's record.
    click
        What asked for the slate.
    items
        Of the slate, best first.
    minutes_max
        How long the slate waited for the session's next click.
    """
    mark, until_ms = click.session_id.encode(), click.event_time + minutes_max * _MINUTE_MS
    for record in _behind(directory, place):
        # The session's id as bytes, before anything is decoded: few of the records behind are of this
        # session.
        if record.kind not in _USED or record.erased or mark not in record.input:
            continue
        event = decode_one(record.input, len(record.input))
        if not isinstance(event, Click | Cart | Order) or event.session_id != click.session_id:
            continue
        if event.event_time > until_ms:
            return
        for item_id in event.item_ids if isinstance(event, Order) else [event.item_id]:
            rank = rank_of(item_id, items)
            kind = str(event.__struct_config__.tag)
            yield ExplainedFollowUp(kind, event.event_id, item_id, event.event_time, rank)
        if isinstance(event, Click):
            return


def delivered_otherwise(directory: Path, place: Place, decision_id: str) -> dict[str, Any] | None:
    """Return what consumers have in the place of a decision, if a note soon behind its record says so."""
    for frame in islice(_frames(directory, place.segment, place.position), _NOTE_FRAMES_MAX):
        if frame.head.ordinal_first == frame.head.ordinal_next:
            for record in frame.records:
                note = orjson.loads(record.input) if record.kind == Kind.CONTROL else {}
                if note.get("control") == DELIVERED and note["decision_id"] == decision_id:
                    return dict(note["decision"])
    return None


def _behind(directory: Path, place: Place) -> Iterator[Record]:
    """All records behind one, as far as they are kept and whole."""
    skip, read = place.record + 1, 0
    for frame in _frames(directory, place.segment, place.position):
        yield from frame.records[skip:]
        skip = 0
        read += frame.head.position_next - frame.head.position
        if read > _BYTES_MAX:
            return


def _frames(directory: Path, segment: int, position: int) -> Iterator[Frame]:
    """Frames from a place on; the first one that isn't whole ends them, as a flow may be writing it."""
    with suppress(FileNotFoundError, JournalDamaged):
        while True:
            if position >= segment_path(directory, segment).stat().st_size:
                segment += 1
                position = start_of(directory, segment).byte
                continue
            frame = read_frame(directory, segment, position)
            yield frame
            position = frame.head.position_next
