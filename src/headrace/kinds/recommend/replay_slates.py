"""Makes the slates of the past once more under another configuration, beside those that went out then."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from headrace.config.recommend_flow import RecommendSettings
from headrace.journal.records import Kind, Record
from headrace.kinds.recommend.machine import RecommendShard
from headrace.operators.events.contract import Cart, Click, Event, Order
from headrace.operators.events.decode import Undecodable
from headrace.operators.recommend.explained import ExplainedItem, explained_items
from headrace.operators.recommend.similarity import overlap, rank_biased_overlap
from headrace.operators.recommend.slates import PendingSlates, rank_of, reciprocal
from headrace.replay.examples import Examples
from headrace.replay.past import Past
from headrace.replay.walk import Progress, Walk, Walked, why_not

__all__ = [
    "FOLLOWED",
    "GAINED",
    "LOST",
    "FollowUps",
    "SlateExample",
    "Slates",
    "SlatesReplayed",
    "slate_again",
]

GAINED: Final = "gained"
LOST: Final = "lost"
FOLLOWED: Final = ("cart", "order")
_DECIDED: Final = int(Kind.DECIDED)
_APPLIED: Final = int(Kind.APPLIED)
_NOT_JUDGED: Final = -1
_SEEN_MAX: Final = 256

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Slates(NamedTuple):
    """Slates that both configurations made, n of them; each array has the shape (n,).

    Attributes
    ----------
    time_ms
        Event time of the click.
    session
        Number of the session, from 0.
    changed, other_items, other_first
        1 where order or items differ; where items do; where the first item does.
    overlap, similarity
        Share of the longer slate that is on both; rank-biased overlap.
    old_rank, new_rank
        Where the session's next click stood, from 1; 0 where it wasn't on the slate, and -1 where there was
        no next click in time.
    fresh
        1 where that click was on an item that was new to the session.
    """

    time_ms: Ints
    session: Ints
    changed: Ints
    other_items: Ints
    other_first: Ints
    overlap: Floats
    similarity: Floats
    old_rank: Ints
    new_rank: Ints
    fresh: Ints


class FollowUps(NamedTuple):
    """Items put into the cart or ordered after slates, n of them; each array has the shape (n,).

    Attributes
    ----------
    time_ms
        Event time.
    session
        Number of the session, as of its slates.
    kind
        Number in `FOLLOWED`.
    on_old, on_new
        1 where the item was on the session's last slate.
    """

    time_ms: Ints
    session: Ints
    kind: Ints
    on_old: Ints
    on_new: Ints


class SlateExample(NamedTuple):
    """A click whose two slates differ in where the next click stood.

    Attributes
    ----------
    event_id, event_time, session_id
        Of the click that asked for the slates.
    clicked, next_clicked
        What it was on, and what the session clicked next.
    old_rank, new_rank
        Of that; 0 where it wasn't on the slate.
    old, new
        The slates with what speaks for each item, best first.
    """

    event_id: str
    event_time: int
    session_id: str
    clicked: str
    next_clicked: str
    old_rank: int
    new_rank: int
    old: Sequence[ExplainedItem]
    new: Sequence[ExplainedItem]


@dataclass(slots=True, kw_only=True)
class SlatesReplayed(Walked):
    """What came of making the slates again.

    Attributes
    ----------
    slates
        Those that both made.
    follow_ups
        Carts and orders after them.
    examples
        By day (since the epoch, UTC), and by whether the next click stood higher (`gained`) or lower (`lost`)
        than then.
    model
        Of the other configuration, as its slates have it.
    """

    slates: Slates
    follow_ups: FollowUps
    examples: dict[int, dict[str, list[SlateExample]]]
    model: str


def slate_again(
    past: Past,
    settings: RecommendSettings,
    *,
    learn: bool = True,
    examples_max: int = 10,
    progress: Progress | None = None,
) -> SlatesReplayed:
    """Answer all clicks that a past holds under a configuration, from an empty state.

    Inputs come in the order of the journals, decoded anew, and go to as many shards as the configuration
    has. The kill switch is on where it was on, and inputs that were overdue are so again. Both slates of a
    click wait for the session's next click as long as `slate.pending_minutes_max` of the configuration says.

    Parameters
    ----------
    past
        What was.
    settings
        The other configuration.
    learn
        Whether its ranker learns.
    examples_max
        Examples that are kept for each day, gained and lost.
    progress
        Told of bytes and records.

    Raises
    ------
    JournalDamaged
        At the first byte that is not what was written.
    """
    run = _Run(past, settings, learn=learn, examples_max=examples_max)
    run.through(progress)
    return run.replayed()


# ---------------------------------------------------------------- the run


class _Pair(NamedTuple):
    """Both slates of a click, while they wait for the next one.

    Attributes
    ----------
    row
        In the columns.
    click, seen
        The click, and the session's items up to it.
    old, new
        Their items.
    change
        Lines and details of both, to show them.
    """

    row: int
    click: Click
    seen: tuple[str, ...]
    old: tuple[str, ...]
    new: tuple[str, ...]
    change: tuple[bytes, bytes, bytes, bytes]


@dataclass(slots=True)
class _Columns:
    """Columns of `Slates` and of `FollowUps` while they grow, 30 bytes a slate."""

    time_ms: array[int] = field(default_factory=lambda: array("q"))
    session: array[int] = field(default_factory=lambda: array("I"))
    changed: array[int] = field(default_factory=lambda: array("b"))
    other_items: array[int] = field(default_factory=lambda: array("b"))
    other_first: array[int] = field(default_factory=lambda: array("b"))
    overlap: array[float] = field(default_factory=lambda: array("f"))
    similarity: array[float] = field(default_factory=lambda: array("f"))
    old_rank: array[int] = field(default_factory=lambda: array("h"))
    new_rank: array[int] = field(default_factory=lambda: array("h"))
    fresh: array[int] = field(default_factory=lambda: array("b"))
    follow_ups: list[tuple[int, int, int, int, int]] = field(default_factory=list)

    def add(self, time_ms: int, session: int, old: Sequence[str], new: Sequence[str]) -> int:
        """Add both slates of a click that nobody has evaluated yet, and say in which row."""
        changed = old != new
        self.time_ms.append(time_ms)
        self.session.append(session)
        self.changed.append(changed)
        self.other_items.append(changed and set(old) != set(new))
        self.other_first.append(changed and old[:1] != new[:1])
        # Most slates stay as they are: neither measure is worked out for those.
        self.overlap.append(overlap(old, new) if changed else 1.0)
        self.similarity.append(rank_biased_overlap(old, new) if changed else 1.0)
        for column in (self.old_rank, self.new_rank):
            column.append(_NOT_JUDGED)
        self.fresh.append(0)
        return len(self.time_ms) - 1

    def slates(self) -> Slates:
        """All slates."""
        return Slates(*(_array(getattr(self, name)) for name in Slates._fields))

    def followed(self) -> FollowUps:
        """All follow-ups."""
        rows = np.array(self.follow_ups, dtype=np.int64).reshape(-1, len(FollowUps._fields))
        return FollowUps(*rows.T)


class _Run(Walk[RecommendShard]):
    """The shards under the other configuration, and what is noted beside them."""

    def __init__(self, past: Past, settings: RecommendSettings, *, learn: bool, examples_max: int) -> None:
        shards = range(settings.flow.shards)
        super().__init__(past, [RecommendShard(settings, shard=number, learn=learn) for number in shards])
        self.pending: PendingSlates[_Pair] = PendingSlates()
        self.pending.configure(settings.slate.pending_max, settings.slate.pending_minutes_max)
        self.sessions: dict[str, int] = {}
        self.columns, self.examples = _Columns(), Examples(examples_max)
        self.old_only: Counter[str] = Counter()
        self._set_kill_switch()

    def _set_kill_switch(self) -> None:
        """Where the journal's beginning is gone, the checkpoint says whether the switch was on."""
        heads = self.past.policies
        for state in self.states if heads else ():
            state.kill_switch = msgspec.msgpack.decode(heads[0])["kill_switch"]

    def input(self, record: Record, event: Event | Undecodable) -> None:
        """Answer a click, and let what other events say meet both slates."""
        output = self.apply(record, event)
        kind, line, _ = output
        if isinstance(event, Click) and record.kind == kind == _DECIDED:
            self._both(record, event, line, output[2])
        elif record.kind == _DECIDED:
            self.old_only[why_not(kind, line)] += 1
        elif kind == _DECIDED:
            self.noted["new_only"] += 1
        elif record.kind == kind == _APPLIED:
            self._follow(event)

    def _both(self, record: Record, click: Click, line: bytes, detail: bytes) -> None:
        # Of the shard that is farthest: a replay feeds all of them, each with a clock of its own.
        now = max(state.clock.now for state in self.states)
        at = min(click.event_time, now) if now else click.event_time
        before = self.pending.take(click.session_id, at)
        seen: tuple[str, ...] = ()
        if before is not None:
            self._evaluate(before.items, click)
            seen = before.items.seen
        # The newest items only, or a bot's session would make each of its pairs longer than the last.
        if click.item_id not in seen:
            seen = (*seen, click.item_id)[-_SEEN_MAX:]
        # What went out then is read from the journal, not made again: the old configuration may not run any
        # more.
        old, new = _items(record.output), _items(line)
        session = self.sessions.setdefault(click.session_id, len(self.sessions))
        row = self.columns.add(at, session, old, new)
        change = (record.output, record.detail, line, detail)
        self.pending.put(click.session_id, at, _Pair(row, click, seen, old, new, change))

    def _evaluate(self, pair: _Pair, click: Click) -> None:
        columns, row = self.columns, pair.row
        old, new = (rank_of(click.item_id, items) for items in (pair.old, pair.new))
        columns.old_rank[row], columns.new_rank[row] = old, new
        columns.fresh[row] = click.item_id not in pair.seen
        gain = reciprocal(new) - reciprocal(old)
        if gain:
            by = GAINED if gain > 0 else LOST
            self.examples.add(columns.time_ms[row], {by: abs(gain)}, (pair, click.item_id))

    def _follow(self, event: Event | Undecodable) -> None:
        """Note what was put into the cart, or ordered, and on which of its session's slates it was."""
        if isinstance(event, Cart):
            session, kind, items = event.session_id, 0, [event.item_id]
        elif isinstance(event, Order) and event.session_id is not None:
            session, kind, items = event.session_id, 1, event.item_ids
        else:
            return
        shown = self.pending.of(session)
        if shown is not None:
            pair, number = shown.items, self.sessions[session]
            self.columns.follow_ups += [
                (event.event_time, number, kind, item in pair.old, item in pair.new) for item in items
            ]

    def replayed(self) -> SlatesReplayed:
        """Everything that was gathered."""
        return SlatesReplayed(
            slates=self.columns.slates(),
            follow_ups=self.columns.followed(),
            examples=self.examples.days(_example),
            model=self.states[0].version,
            old_only=dict(sorted(self.old_only.items())),
            new_only=self.noted["new_only"],
            **self.walked(),
        )


def _items(line: bytes) -> tuple[str, ...]:
    return tuple(each["item_id"] for each in orjson.loads(line)["items"])


def _array(column: array[Any]) -> Any:
    # Wide ones only here, where sums are taken: while they grow, narrow columns keep a slate at 30 bytes.
    return np.array(column, dtype=np.float64 if column.typecode == "f" else np.int64)


def _example(change: tuple[_Pair, str]) -> SlateExample:
    pair, next_clicked = change
    old_line, old_detail, new_line, new_detail = pair.change
    return SlateExample(
        pair.click.event_id,
        pair.click.event_time,
        pair.click.session_id,
        pair.click.item_id,
        next_clicked,
        rank_of(next_clicked, pair.old),
        rank_of(next_clicked, pair.new),
        explained_items(orjson.loads(old_line), old_detail),
        explained_items(orjson.loads(new_line), new_detail),
    )
