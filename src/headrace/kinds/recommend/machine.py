"""The state machine of a recommend shard: each click to a slate of items, and to what is learned from it."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET
from orjson import dumps

from headrace.config.recommend import NETWORK
from headrace.config.recommend_flow import RecommendSettings
from headrace.journal.records import Kind
from headrace.operators.events.contract import Cart, Click, Event, Item, Order
from headrace.operators.events.decode import Undecodable
from headrace.operators.models import NotLearned
from headrace.operators.recommend import detail, kernels
from headrace.operators.recommend.catalogue import Catalogue
from headrace.operators.recommend.coverage import Coverage
from headrace.operators.recommend.engine import Engine
from headrace.operators.recommend.kernels import SOURCE_NAMES
from headrace.operators.recommend.pointwise import Pointwise
from headrace.operators.recommend.prepared import prepare
from headrace.operators.recommend.ranked import NotRanked, Ranked
from headrace.operators.recommend.rules import LIST_SOURCES, Place, Rules, Visit
from headrace.operators.recommend.slates import Evaluated, PendingSlates, rank_of
from headrace.operators.recommend.visitors import Bots, Visitors
from headrace.shard.base import MachineBase, under, version_of
from headrace.shard.clock import Timing
from headrace.shard.commands import Erase, KillSwitch, ReloadList
from headrace.shard.decision_line import ENCODING
from headrace.shard.machine import Held, Output, Position
from headrace.shard.routing import keyed

__all__ = ["EMPTY_REASONS", "KILL_SWITCH", "OVERDUE", "RULED", "RecommendShard", "shape_of"]

_NOTHING: Final = b""
_DECIDED: Final = int(Kind.DECIDED)
_APPLIED: Final = (int(Kind.APPLIED), _NOTHING, _NOTHING)
_ON_TIME: Final = Timing.ON_TIME
_SCORE_DIGITS: Final = 6
_TRENDING: Final = SOURCE_NAMES.index("trending")
# Shared by all clicks that get no slate of their own: nobody changes what ranking gives.
_NO_SLATE: Final = Ranked([], [], [], [], [], 0)
KILL_SWITCH: Final = "kill_switch"
OVERDUE: Final = "deadline"
NOT_RANKED: Final = "ranker_failed"
RULED: Final = ("own", "capped", "filled", "new", "explored")
"""What rules do to items of a slate: leave them out, put them in."""
EMPTY_REASONS: Final = ("no_candidates", KILL_SWITCH, OVERDUE, NOT_RANKED)
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
    "clicks_of_bots",
    "lists_not_ranked",
    *(f"items_{what}" for what in RULED),
    *(f"source_{name}" for name in LIST_SOURCES),
    *(f"empty_{reason}" for reason in EMPTY_REASONS),
)


def shape_of(settings: RecommendSettings) -> dict[str, Any]:
    """Return what a saved state depends on; a state goes on only with a configuration of the same shape."""
    return {
        "flow": settings.flow.model_dump(mode="json"),
        "ranker": settings.ranker.model_dump(mode="json"),
        "features": kernels.FEATURES,
        "hidden": kernels.HIDDEN,
    }


class RecommendShard(MachineBase):
    """Answers each click with a slate of items, and learns from clicks and orders.

    A click first evaluates its session's last slate and teaches the ranker, on what that saw then; then the
    index takes it in; the slate that it asks for is made last, so that it reflects the click.

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
        self.evaluated: list[Evaluated] = []
        prepare()
        ranker = None if settings.ranker.name == NETWORK else Pointwise(settings.ranker)
        self.engine = Engine(settings.engine, ranker)
        self.catalogue = Catalogue(self.engine, settings.rules)
        self.rules = Rules(self.engine, self.catalogue)
        self.visitors, self._bots = Visitors(), Bots(settings.engine.sessions_max)
        self.pending: PendingSlates[Sequence[int]] = PendingSlates()
        self.coverage = Coverage(settings.engine.items_max)
        self.kill_switch = False
        self._unmoved: list[tuple[str, str, int]] = []
        self.configure(settings, learn=learn)

    @property
    def compiled(self) -> bool:
        """Whether the engine works in machine code."""
        return self.engine.compiled

    def take_compiled(self) -> None:
        """Let the engine work in machine code from here on, where that is there by now."""
        self.engine.take_compiled()

    def configure(self, settings: RecommendSettings, *, learn: bool) -> None:
        """Take over a configuration of the same shape; it holds from the next input on."""
        self.settings, self.learn = settings, learn
        self._shards, table = settings.flow.shards, settings.slate
        self._configure_base(settings)
        self._unmoved_max = max(settings.time.quorum_min, settings.time.quorum_alone_events)
        rules = settings.rules
        self.engine.configure(settings.engine)
        self.catalogue.configure(rules)
        self.rules.configure(rules, table.items_max)
        self.visitors.configure(rules.customers_max, rules.past_items_max, rules.bought_items_max)
        self._bots.sessions_max = settings.engine.sessions_max
        self._leave_out_bought = rules.leave_out_bought
        self._bot_clicks_max = rules.bot_clicks_per_minute_max
        self.coverage.items_max = settings.engine.items_max
        self.pending.configure(table.pending_max, table.pending_minutes_max)
        self._items_max, self._leave_out = table.items_max, table.leave_out
        configured = [
            shape_of(settings),
            *(each.model_dump(mode="json") for each in (settings.engine, rules)),
        ]
        self.version = version_of(settings.model_name, configured)

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
        # Each class of events has ids of its own: a cart may bear the id of its click.
        memory, clock = self._ids_by_class[event.__class__], self.clock
        digest = self._digest_if_new(memory, event, payload, position)
        if not isinstance(digest, int):
            return digest
        # The session speaks for a click or cart, as the clock hears customers and visitors who say no name
        # alike.
        who = event.session_id if isinstance(event, Click | Cart) else self.contract.party(event)
        # What `take_back` needs, should the ranker fail: the clock is the only thing that has moved by then.
        before = clock.now, clock.votes, event.event_time, who or ""
        timing, now = clock.observe(event.event_time, who or ""), clock.now
        at = event.event_time if timing is _ON_TIME or not now else now
        if self.engine.may_fail and isinstance(event, Click):
            try:
                self._teach(event, at)
            except NotLearned as error:
                clock.take_back(*before)
                return self._raised(error.cause, payload, position)
        # From here on nothing fails.
        # Not before the ranker has learned: an event that failed may come again, and must not pass for a
        # repeat.
        memory.add(event.event_id, digest, now or event.event_time)
        self.number += 1
        if self._unmoved and not clock.votes:
            self._settle_ahead()
        answer = _APPLIED
        if isinstance(event, Click):
            answer = self._click(event, timing, at, overdue=overdue)
        else:
            self._other(event)
        self.catalogue.forget_dropped()
        return answer

    def _teach(self, click: Click, at: int) -> None:
        """Let a ranker that may fail learn from a click before that changes anything else.

        Raises
        ------
        NotLearned
            If it can't; then nothing has changed.
        """
        session, item = click.session_id, self.engine.items.known(click.item_id)
        # The same conditions under which `_evaluate` will let it learn, asked before anything has moved.
        waits = item is not None and self._own(session) and self.pending.waits(session, at)
        if item is None or not waits or not self.learn:
            return
        if self._bots.with_one_more(session, at) <= self._bot_clicks_max:
            self.engine.teach(session, item)

    def _click(self, click: Click, timing: Timing, at: int, *, overdue: bool) -> Output:
        engine, session = self.engine, click.session_id
        item = engine.items.number_of(click.item_id)
        own, bot = self._own(session), self._bots.clicks(session, at) > self._bot_clicks_max
        if own:
            # The last slate is evaluated, and learned from, before this click moves the index: it couldn't
            # know the click either.
            self._evaluate(session, item, at, bot=bot)
        if timing is not _ON_TIME:
            self._count(f"clicks_{timing.name.lower()}")
        if bot:
            self._count("clicks_of_bots")
        # A bot gets slates like anybody, but others must not learn from hundreds of clicks that nobody made.
        if timing is _ON_TIME and not bot:
            engine.take(session, item, at)
            self.catalogue.clicked(item, at)
        else:
            self._only_move(click, item, timing, at, bot=bot)
        answer = _APPLIED
        # Clicks of other shards' sessions come as well, since what goes with what is learned from all.
        if own:
            answer = self._answer(click, item, at, overdue=overdue)
        else:
            self._count("clicks_of_other_shards")
        if click.customer_id is not None:
            self.visitors.clicked(click.customer_id, item)
        return answer

    def _only_move(self, click: Click, item: int, timing: Timing, at: int, *, bot: bool) -> None:
        """Let only the session itself move; the others as well once a step ahead is accepted."""
        self.engine.follow(click.session_id, item, at)
        if timing is Timing.AHEAD and not bot:
            # The item by its id, not by its number: that may be another item's by the time the step is
            # accepted.
            self._unmoved.append((click.session_id, click.item_id, click.event_time))
            # More than a quorum of them are never needed: with so many, the step would have been accepted.
            del self._unmoved[: -max(self._unmoved_max, self.clock.quorum)]

    def _settle_ahead(self) -> None:
        """Take in the clicks whose step ahead was accepted after all; forget the others."""
        for session, item_id, time_ms in self._unmoved:
            if time_ms <= self.clock.now:
                self.engine.catch_up(session, self.engine.items.number_of(item_id), time_ms)
        self._unmoved.clear()

    def _own(self, session: str) -> bool:
        """Whether the shard answers for a session; others' clicks come to it to be learned from."""
        return self._shards == 1 or keyed(session, self._shards) == self.shard

    def _evaluate(self, session: str, item: int, at: int, *, bot: bool) -> None:
        """Evaluate the session's last slate by what it clicks now, and let the ranker learn."""
        shown = self.pending.take(session, at)
        if shown is None or bot:
            return
        # Asked before the session moves on, which puts the item into its history.
        new = item not in self.engine.history(session)
        self.evaluated.append(Evaluated(rank_of(item, shown.items), len(shown.items), new))
        self.counts["lists_judged"] += 1
        if self.learn:
            self.engine.learn_next(session, item, new=new, taught=True)

    # -- slates

    def _answer(self, click: Click, item: int, at: int, *, overdue: bool) -> Output:
        path, ranked, places = self._path(overdue=overdue), _NO_SLATE, list[Place]()
        visit = self._visit(click, item, at)
        if path is None:
            past = self.visitors.past(click.customer_id) if click.customer_id is not None else ()
            best = self.rules.ranked_max(visit)
            try:
                ranked = self.engine.rank(click.session_id, visit.left_out, past, best=best)
                places = self.rules.arrange(ranked, visit)
            except NotRanked:
                path = NOT_RANKED
                self._count("lists_not_ranked")
        if path is not None and self._fallback(path) == "trending":
            places = self.rules.arrange(self._trending(visit.left_out), visit)
        decision = {
            "decision_id": "recommend:" + click.event_id,
            "event_id": click.event_id,
            "session_id": click.session_id,
            "event_time": click.event_time,
            "kind": "recommend",
            "action": "recommend" if places else "none",
            "items": list(map(self._said, places)),
            "reasons": () if places else ({"code": path or "no_candidates", "contribution": None},),
            "model": self.version,
            "version": 1,
        }
        if path is not None:
            decision["policy"] = path
        self._count_slate(places, path)
        # Kept by number, as the index has them, to be compared with the next click's.
        shown = [place.item for place in places]
        self.pending.put(click.session_id, at, shown)
        self.coverage.note(shown, item, at, self.engine.heat)
        return (
            _DECIDED,
            dumps(decision, None, ENCODING),
            detail.pack(places, ranked.candidates, self.engine.items.name_of),
        )

    def _path(self, *, overdue: bool) -> str | None:
        """Return what stands in the way of the session's own slate."""
        if self.kill_switch:
            return KILL_SWITCH
        return OVERDUE if overdue else None

    def _fallback(self, path: str) -> str:
        policy = self.settings.policy
        return policy.kill_switch if path == KILL_SWITCH else policy.overdue

    def _visit(self, click: Click, item: int, at: int) -> Visit:
        session, left_out = click.session_id, set[int]()
        if self._leave_out == "current":
            left_out.add(item)
        elif self._leave_out == "seen":
            left_out.update(self.engine.history(session))
        if self._leave_out_bought:
            left_out.update(self.visitors.bought(click.customer_id, session))
        return Visit(click.event_id, at, click.customer_id, session, frozenset(left_out))

    def _trending(self, left_out: Collection[int]) -> Ranked:
        items = self.engine.trending(within=lambda item: item not in left_out)
        count = len(items)
        scores = [round(1.0 / place, _SCORE_DIGITS) for place in range(1, count + 1)]
        return Ranked(items, scores, [_TRENDING] * count, [-1] * count, [0] * count, count)

    def _said(self, place: Place) -> dict[str, Any]:
        said = {
            "item_id": self.engine.items.name_of(place.item),
            "score": round(place.score, _SCORE_DIGITS),
            "source": LIST_SOURCES[place.source],
        }
        if place.propensity is not None:
            said["propensity"] = place.propensity
        return said

    def _count_slate(self, places: Sequence[Place], path: str | None) -> None:
        counts = self.counts
        counts["recommend" if places else "none"] += 1
        counts["items_shown"] += len(places)
        if places:
            counts[f"source_{LIST_SOURCES[places[0].source]}"] += 1
        else:
            self._count(f"empty_{path or 'no_candidates'}")
        for what, number in self.rules.counts.items():
            counts[f"items_{what}"] += number
        # What rules did since the last slate; taken over only with the slate that it belongs to.
        self.rules.counts.clear()

    # -- other events

    def _other(self, event: Event) -> None:
        if isinstance(event, Cart):
            self._follow_up("carts", event.session_id, event.item_id)
        elif isinstance(event, Order):
            self._order(event)
        elif isinstance(event, Item):
            self.catalogue.note(event)
        else:
            self._count("events_without_effect")

    def _order(self, order: Order) -> None:
        items = order.item_ids
        if order.session_id is not None and self._own(order.session_id):
            for item_id in items:
                self._follow_up("orders", order.session_id, item_id)
        # Of all sessions, also other shards' and those without one: what was bought is nobody's alone.
        numbers = [self.engine.items.number_of(item_id) for item_id in items]
        self.engine.bought(numbers)
        self.visitors.buys(order.customer_id, order.session_id, numbers)

    def _follow_up(self, kind: str, session: str, item_id: str) -> None:
        """Count what was put into the cart or ordered, by whether it was on the session's last slate."""
        shown = self.pending.of(session)
        if shown is not None:
            on_it = self.engine.items.known(item_id) in shown.items
            self._count(f"{kind}_from_list" if on_it else f"{kind}_beside_list")

    # -- commands

    def _policy_command(self, command: KillSwitch | ReloadList) -> None:
        # It has neither lists nor more than one decision.
        if not isinstance(command, KillSwitch):
            raise ValueError(f"name: the configuration has no list {command.name!r}")  # noqa: TRY004  # refused
        if command.decision is not UNSET:
            message = f"decision: there is no decision {command.decision!r}; the kill switch is for all"
            raise ValueError(message)
        self.kill_switch = command.on

    def _put_back(self, to_ms: int) -> int:
        """Give sessions, slates and items from after a time that time; an index of clicks has no windows."""
        changed = self.pending.put_back(to_ms) + self.engine.put_back(to_ms)
        return changed + self.catalogue.put_back(to_ms) + self.coverage.put_back(to_ms)

    def _erase(self, command: Erase) -> None:
        """Forget a customer's sessions; what the ranker's weights and the items' counts learned stays."""
        for session in command.keys.get("session_id", ()):
            self.engine.forget_session(session)
            self._unmoved = [each for each in self._unmoved if each[0] != session]
            self.pending.forget(session)
            self.clock.forget(session)
            self._bots.forget(session)
        self.visitors.forget(command.customer_id, command.keys.get("session_id", ()))
        self.clock.forget(command.customer_id)
        for kind, memory in self.ids.items():
            memory.forget(command.events.get(kind, ()))

    # -- the state as a whole

    @property
    def lists(self) -> Mapping[str, str]:
        """Digest of the content of each of the configured lists that has one: none."""
        return {}

    moved_by = ("click",)

    def entities(self) -> dict[str, int]:
        """How many items it knows."""
        return {"item": len(self.engine)}

    def holdings(self) -> dict[str, Any]:
        """How much it holds now, part by part."""
        return {"pending": len(self.pending), "entities": self.entities()}

    def held(self) -> Held:
        """How much it holds now."""
        return Held(len(self.pending), len(self.engine), 0)

    def save(self) -> dict[str, bytes | array[int] | array[float]]:
        """Return the state as named blobs."""
        head = {
            # What is small goes into one blob, what grows with items and sessions into blobs of its own.
            **self._base_head(),
            "kill_switch": self.kill_switch,
            "unmoved": self._unmoved,
            "catalogue": self.catalogue.save(),
            "visitors": self.visitors.save(),
            "bots": self._bots.save(),
        }
        blobs: dict[str, bytes | array[int] | array[float]] = {
            "head": msgspec.msgpack.encode(head),
            "pending": self.pending.save(),
            "spread": self.coverage.save(),
        }
        blobs |= self._saved_ids()
        blobs |= {f"engine/{name}": blob for name, blob in self.engine.save().items()}
        return blobs

    def load(self, blobs: Mapping[str, bytes]) -> None:
        """Take over a state that `save` gave."""
        head = msgspec.msgpack.decode(blobs["head"])
        self._load_base(head, blobs)
        self.kill_switch, self._unmoved = head["kill_switch"], list(map(tuple, head["unmoved"]))
        self.catalogue.load(head["catalogue"])
        self.visitors.load(head["visitors"])
        self._bots.load(head["bots"])
        self.pending.load(blobs["pending"])
        self.coverage.load(blobs["spread"])
        self.engine.load(under("engine/", blobs))
