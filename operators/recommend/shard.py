"""The state machine of a recommend shard: each click to a list of items, and to what is learned from it."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec
import orjson
from orjson import dumps

from headrace.config.settings import RecommendSettings
from headrace.operators.clock import Timing
from headrace.operators.codec import Undecodable, canonical_digest
from headrace.operators.commands import REFUSED, Command, Erase, KillSwitch, ReloadList
from headrace.operators.events import Cart, Click, Event, Item, Order
from headrace.operators.intake import Intake, under, version_of
from headrace.operators.journal import Kind
from headrace.operators.machine import Held, Output, Position
from headrace.operators.recommend import detail
from headrace.operators.recommend.engine import SOURCES, Engine, Ranked, prepare
from headrace.operators.recommend.lists import Graded, PendingLists
from headrace.operators.recommend.spread import Spread
from headrace.operators.routing import keyed, party_of

__all__ = ["EMPTY_REASONS", "KILL_SWITCH", "OVERDUE", "RecommendShard", "shape_of"]

_NOTHING: Final = b""
_DECIDED: Final = int(Kind.DECIDED)
_APPLIED: Final = (int(Kind.APPLIED), _NOTHING, _NOTHING)
_ON_TIME: Final = Timing.ON_TIME
_WITH_NEWLINE: Final = orjson.OPT_APPEND_NEWLINE
_SCORE_DIGITS: Final = 6
_TRENDING: Final = SOURCES.index("trending")
_NO_LIST: Final = Ranked([], [], [], [], [], 0)
KILL_SWITCH: Final = "kill_switch"
OVERDUE: Final = "deadline"
EMPTY_REASONS: Final = ("no_candidates", KILL_SWITCH, OVERDUE)
_COUNTED: Final = (
    "recommend",
    "none",
    "repeats",
    "clicks_late",
    "clicks_ahead",
    "clicks_of_other_shards",
    "events_without_effect",
    "items_shown",
    "lists_judged",
    "carts_from_list",
    "carts_beside_list",
    "orders_from_list",
    "orders_beside_list",
    "commands",
    *(f"source_{name}" for name in SOURCES),
    *(f"empty_{reason}" for reason in EMPTY_REASONS),
)


def shape_of(settings: RecommendSettings) -> dict[str, Any]:
    """What a saved state depends on; a state goes on only with a configuration of the same shape."""
    return {"flow": settings.flow.model_dump(mode="json")}


class RecommendShard(Intake):
    """Answers each click with a list of items, and learns from clicks and orders.

    A click first judges its session's last list and teaches the ranker, on what that saw then; then the index
    takes it in; the list that it asks for is made last, so that it reflects the click.

    Parameters
    ----------
    settings
        The configuration in force.
    shard
        Its number among the shards of the flow.
    learn
        Whether the ranker learns; the index moves on in any case.
    """

    def __init__(self, settings: RecommendSettings, *, shard: int = 0, learn: bool = True) -> None:
        super().__init__(_COUNTED)
        self.shard = shard
        self.graded: list[Graded] = []
        prepare()
        self.engine = Engine(settings.engine)
        self.pending = PendingLists()
        self.spread = Spread(settings.engine.items_max)
        self.kill_switch = False
        self._unmoved: list[tuple[str, str, int]] = []
        self.configure(settings, learn=learn)

    def configure(self, settings: RecommendSettings, *, learn: bool) -> None:
        """Take over a configuration of the same shape; it holds from the next input on."""
        self.settings, self.learn = settings, learn
        self._shards, table = settings.flow.shards, settings.list
        self._configure_intake(settings.time, settings.ids)
        self._unmoved_max = max(settings.time.ahead_agree_events, settings.time.ahead_alone_events)
        self.engine.configure(settings.engine)
        self.spread.items_max = settings.engine.items_max
        self.pending.configure(table.pending_max, table.pending_minutes_max)
        self._items_max, self._leave_out = table.items_max, table.leave_out
        configured = [shape_of(settings), settings.engine.model_dump(mode="json")]
        self.version = version_of("sessions", configured)

    # -- one input

    def apply(
        self, event: Event | Undecodable, payload: bytes, position: Position, *, overdue: bool = False
    ) -> Output:
        """Apply one input.

        Parameters
        ----------
        event
            The decoded input, or why it is none.
        payload
            Its original bytes.
        position
            Where it comes from.
        overdue
            Whether it waited longer than its limit before it was applied.
        """
        if isinstance(event, Undecodable):
            return self._dead(event, payload, position)
        memory, digest = self._ids_by_class[event.__class__], canonical_digest(event)
        if event.event_id in memory.ids:
            known = self._known(memory, event, digest, payload, position)
            if known is not None:
                return known
        who = event.session_id if isinstance(event, Click | Cart) else party_of(event)
        timing = self.clock.observe(event.event_time, who or "")
        now = self.clock.now
        memory.add(event.event_id, digest, now or event.event_time)
        self.number += 1
        if self._unmoved and not self.clock.agreeing:
            self._settle_ahead()
        at = event.event_time if timing is _ON_TIME or not now else now
        if isinstance(event, Click):
            return self._click(event, timing, at, overdue=overdue)
        self._other(event)
        return _APPLIED

    def _click(self, click: Click, timing: Timing, at: int, *, overdue: bool) -> Output:
        engine, session = self.engine, click.session_id
        item = engine.number_of(click.item_id)
        own = self._own(session)
        if own:
            self._judge(session, item, at)
        if timing is _ON_TIME:
            engine.take(session, item, at)
        else:
            self._count(f"clicks_{timing.name.lower()}")
            self._not_on_time(click, item, timing, at)
        if not own:
            self._count("clicks_of_other_shards")
            return _APPLIED
        return self._answer(click, item, at, overdue=overdue)

    def _not_on_time(self, click: Click, item: int, timing: Timing, at: int) -> None:
        """Let only the session itself move; the others as well once a step ahead is believed."""
        self.engine.follow(click.session_id, item, at)
        if timing is Timing.AHEAD:
            self._unmoved.append((click.session_id, click.item_id, click.event_time))
            del self._unmoved[: -self._unmoved_max]

    def _settle_ahead(self) -> None:
        """Take in the clicks whose step ahead was believed after all; forget the others."""
        for session, item_id, time_ms in self._unmoved:
            if time_ms <= self.clock.now:
                self.engine.believe(session, self.engine.number_of(item_id), time_ms)
        self._unmoved.clear()

    def _own(self, session: str) -> bool:
        """Whether the shard answers for a session; others' clicks come to it to be learned from."""
        return self._shards == 1 or keyed(session, self._shards) == self.shard

    def _judge(self, session: str, item: int, at: int) -> None:
        """Judge the session's last list by what it clicks now, and let the ranker learn."""
        shown = self.pending.take(session, at)
        if shown is None:
            return
        rank = shown.items.index(item) + 1 if item in shown.items else 0
        new = item not in self.engine.history(session)
        self.graded.append(Graded(rank, len(shown.items), new))
        self.counts["lists_judged"] += 1
        if self.learn:
            self.engine.learn_next(session, item, new=new)

    # -- lists

    def _answer(self, click: Click, item: int, at: int, *, overdue: bool) -> Output:
        path, ranked = self._path(overdue=overdue), _NO_LIST
        if path is None:
            left_out = self._left_out(click.session_id, item)
            ranked = self.engine.rank(click.session_id, left_out, best=self._items_max)
        elif self._fallback(path) == "trending":
            ranked = self._trending(self._left_out(click.session_id, item))
        shown = ranked.items[: self._items_max]
        decision = {
            "decision_id": "recommend:" + click.event_id,
            "event_id": click.event_id,
            "event_time": click.event_time,
            "kind": "recommend",
            "action": "recommend" if shown else "none",
            "items": self._said(ranked, len(shown)),
            "reasons": () if shown else ({"code": path or "no_candidates", "contribution": None},),
            "model": self.version,
            "version": 1,
        }
        if path is not None:
            decision["policy"] = path
        self._count_list(ranked, len(shown), path)
        self.pending.put(click.session_id, at, shown)
        self.spread.note(shown, item, at, self.engine.heat)
        return (
            _DECIDED,
            dumps(decision, None, _WITH_NEWLINE),
            detail.pack(ranked, len(shown), self.engine.name_of),
        )

    def _path(self, *, overdue: bool) -> str | None:
        """What stands in the way of the session's own list."""
        if self.kill_switch:
            return KILL_SWITCH
        return OVERDUE if overdue else None

    def _fallback(self, path: str) -> str:
        policy = self.settings.policy
        return policy.kill_switch if path == KILL_SWITCH else policy.overdue

    def _left_out(self, session: str, item: int) -> Collection[int]:
        if self._leave_out == "current":
            return (item,)
        return self.engine.history(session) if self._leave_out == "seen" else ()

    def _trending(self, left_out: Collection[int]) -> Ranked:
        items = self.engine.trending(self._items_max, lambda item: item not in left_out)
        count = len(items)
        scores = [round(1.0 / place, _SCORE_DIGITS) for place in range(1, count + 1)]
        return Ranked(items, scores, [_TRENDING] * count, [-1] * count, [0] * count, count)

    def _said(self, ranked: Ranked, count: int) -> list[dict[str, Any]]:
        name_of = self.engine.name_of
        return [
            {"item_id": name_of(item), "score": round(score, _SCORE_DIGITS), "source": SOURCES[source]}
            for item, score, source, _ in zip(
                ranked.items, ranked.scores, ranked.sources, range(count), strict=False
            )
        ]

    def _count_list(self, ranked: Ranked, count: int, path: str | None) -> None:
        counts = self.counts
        counts["recommend" if count else "none"] += 1
        counts["items_shown"] += count
        if count:
            counts[f"source_{SOURCES[ranked.sources[0]]}"] += 1
        else:
            self._count(f"empty_{path or 'no_candidates'}")

    # -- other events

    def _other(self, event: Event) -> None:
        if isinstance(event, Cart):
            self._follow_up("carts", event.session_id, event.item_id)
        elif isinstance(event, Order):
            self._order(event)
        elif isinstance(event, Item):
            self._item(event)
        else:
            self._count("events_without_effect")

    def _order(self, order: Order) -> None:
        items = list(dict.fromkeys(line.item_id for line in order.items))
        if order.session_id is not None and self._own(order.session_id):
            for item_id in items:
                self._follow_up("orders", order.session_id, item_id)
        self.engine.bought([self.engine.number_of(item_id) for item_id in items])

    def _follow_up(self, kind: str, session: str, item_id: str) -> None:
        """Count what was put into the cart or ordered, by whether it was on the session's last list."""
        shown = self.pending.of(session)
        if shown is not None:
            on_it = self.engine.known(item_id) in shown.items
            self._count(f"{kind}_from_list" if on_it else f"{kind}_beside_list")

    def _item(self, item: Item) -> None:
        """Take note of whether an item may be shown; of two notes the one of the later time holds."""
        number = self.engine.number_of(item.item_id)
        if item.event_time >= self.engine.noted_ms.get(number, 0):
            self.engine.noted_ms[number] = item.event_time
            self.engine.hide(number, hidden=item.hidden or not item.available)

    # -- commands

    def command(self, command: Command, payload: bytes, position: Position) -> Output:
        """Carry out a command; one that this flow has no use for is a dead letter."""
        if isinstance(command, KillSwitch):
            self.kill_switch = command.on
        elif isinstance(command, Erase):
            self._erase(command)
        elif isinstance(command, ReloadList):
            message = f"name: the configuration has no list {command.name!r}"
            return self._dead(Undecodable(REFUSED, message, None), payload, position)
        self._count("commands")
        return _APPLIED

    def _erase(self, command: Erase) -> None:
        """Forget a customer's sessions; what the ranker's weights and the items' counts learned stays."""
        for session in command.keys.get("session_id", ()):
            self.engine.forget_session(session)
            self._unmoved = [each for each in self._unmoved if each[0] != session]
            self.pending.forget(session)
            self.clock.forget(session)
        self.clock.forget(command.customer_id)
        for kind, memory in self.ids.items():
            memory.forget(command.events.get(kind, ()))

    # -- the state as a whole

    @property
    def lists(self) -> Mapping[str, str]:
        """Digest of the content of each of the configured lists that has one: none."""
        return {}

    def held(self) -> Held:
        """How much it holds now."""
        return Held(len(self.pending), len(self.engine), 0)

    def save(self) -> dict[str, bytes | array[int] | array[float]]:
        """The state as named blobs."""
        head = {
            **self._intake_head(),
            "kill_switch": self.kill_switch,
            "unmoved": self._unmoved,
        }
        blobs: dict[str, bytes | array[int] | array[float]] = {
            "head": msgspec.msgpack.encode(head),
            "pending": self.pending.save(),
            "spread": self.spread.save(),
        }
        blobs |= self._saved_ids()
        blobs |= {f"engine/{name}": blob for name, blob in self.engine.save().items()}
        return blobs

    def load(self, blobs: Mapping[str, bytes]) -> None:
        """Take over a state that `save` gave."""
        head = msgspec.msgpack.decode(blobs["head"])
        self._load_intake(head, blobs)
        self.kill_switch, self._unmoved = head["kill_switch"], list(map(tuple, head["unmoved"]))
        self.pending.load(blobs["pending"])
        self.spread.load(blobs["spread"])
        self.engine.load(under("engine/", blobs))
