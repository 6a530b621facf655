"""Ranks items for a session from an index of recent sessions that every click moves.

What costs is in `kernels`; here are the names of items and sessions, the limits, and the state as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...config.recommend import EngineSettings
from ..compiled.kernels import kernels_of
from . import kernels
from .arrays import Arrays, Slots, new_room, padded, start_weights
from .items import OF_ITEMS, Items
from .pointwise import Pointwise
from .ranked import NotRanked, Ranked

__all__ = ["Engine"]

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 3_600_000
_SLOT_BITS: Final = kernels.SLOT_BITS
_SLOT: Final = kernels.SLOT
_LENGTHS: Final = (1, 3, 6)  # different items of a session; longer ones are a class of their own
_RANKER: Final = {
    "linear": (kernels.LENGTHS + 1) * kernels.FEATURES,
    "inner": kernels.FEATURES * kernels.HIDDEN,
    "bias": kernels.HIDDEN,
    "outer": kernels.HIDDEN,
}
_OF_SESSIONS: Final[dict[str, DTypeLike]] = {"last": "i8", "number": "i4"}
_OF_SLATES: Final[dict[str, DTypeLike]] = {"size": "i4", "length": "i4"}
_NOT_SAVED: Final = frozenset({"active", "gradient", "share", "mark"})


class Engine:
    """An index of sessions, and a ranker that learns from each next click.

    Parameters
    ----------
    settings
        Its limits.
    ranker
        In the place of the network, which is compiled.

    Attributes
    ----------
    items
        Those that it knows.
    """

    def __init__(self, settings: EngineSettings, ranker: Pointwise | None = None) -> None:
        self._pointwise = ranker
        self._best: dict[int, list[int]] = {}  # of a slate, the candidates that such a ranker put first
        self._sessions: dict[str, int] = {}  # the session that was idle for longest comes first
        self._next_session = 0
        self._slates: dict[str, int] = {}  # the slate made longest ago comes first
        self._slots = {"sessions": Slots(), "lists": Slots()}
        self.slates_dropped = 0
        self._width = 0  # candidates of a slate that are kept
        self._kernels = kernels_of(kernels.__name__, may_wait=True)
        self._rooms = new_room(self._kernels)
        self._room_arrays = self._rooms.of
        self._arrays = Arrays(
            {
                "blocks": (settings.posting_blocks_max * kernels.BLOCK, "i4"),
                "chunks": (settings.chunks_max * kernels.CHUNK, "i4"),
                "orders": (settings.order_lines_max * kernels.LINE, "i4"),
                "head": (8, "i8"),
                "unit": (2, "f8"),
                "hot": (kernels.HOT_MAX, "i4"),
                "hottest": (kernels.HOT_MAX, "i4"),
                **{name: (size, "f8") for name, size in _RANKER.items()},
                **{f"{name}_squares": (size, "f8") for name, size in _RANKER.items()},
                "gradient": (kernels.WEIGHTS, "f8"),
                **{name: (0, kind) for name, kind in (OF_ITEMS | _OF_SESSIONS | _OF_SLATES).items()},
                "active": (0, "f8"),
                "share": (0, "f8"),
                "shown": (0, "i4"),
                "features": (0, "u1"),
            },
            self._kernels,
        )
        self.items = Items(self._arrays)
        self._arrays.of["unit"][0] = 1.0
        start_weights(self._arrays.of)
        self.configure(settings)

    def configure(self, settings: EngineSettings) -> None:
        """Change the limits; they hold from the next click on."""
        self._settings = settings
        self._half_life_ms = settings.trending_half_life_hours * _HOUR_MS
        arrays, head = self._arrays, self._arrays.of["head"]
        arrays.resize_ring("blocks", kernels.BLOCK, settings.posting_blocks_max, int(head[kernels.BLOCKS]))
        arrays.resize_ring("chunks", kernels.CHUNK, settings.chunks_max, int(head[kernels.CHUNKS]))
        arrays.resize_ring("orders", kernels.LINE, settings.order_lines_max, int(head[kernels.LINES]))
        self.items.configure(settings.items_max)
        arrays.grow(_OF_SESSIONS, settings.sessions_max)
        arrays.grow(_OF_SLATES, settings.shown_max)
        arrays.grow(("active",), settings.candidates_max * kernels.HIDDEN)
        arrays.grow(("share",), settings.candidates_max)
        self._take_over_slates(settings)
        self._view()
        self.items.keep_within()
        while len(self._sessions) > settings.sessions_max:
            self._drop_session(next(iter(self._sessions)))

    def _take_over_slates(self, settings: EngineSettings) -> None:
        """Make room for what slates were ranked by; with another number of candidates old ones are let go."""
        of, width = self._arrays.of, settings.candidates_max
        # Rows are as wide as there are candidates, so that those kept can't be read with another width.
        if self._width != width:
            self._width = width
            self._slates.clear()
            self._best.clear()
            self._slots["lists"] = Slots()
            of["shown"], of["features"] = np.zeros(0, np.int32), np.zeros(0, np.uint8)
        self._arrays.grow(("shown",), settings.shown_max * width)
        self._arrays.grow(("features",), settings.shown_max * width * kernels.FEATURES)
        while len(self._slates) > settings.shown_max:
            self._slots["lists"].give_back(self._slates.pop(next(iter(self._slates))))

    def _view(self) -> None:
        """Hand the arrays to the kernels; anew whenever one of them was replaced."""
        arrays = self._arrays
        self.items.view()
        self._room = self._rooms.as_cells(kernels.Room)
        self._index = arrays.as_cells(kernels.Index)
        self._ranker = arrays.as_cells(kernels.Ranker)
        index, room = self._index, self._room
        # A call with few arrays is cheaper than one with whole tuples of them.
        self._past_of = (
            index.chunks, index.head, index.last, index.tag, room.past, room.distance, room.times
        )  # fmt: skip
        self._shown, self._features = map(self._kernels.cells, (arrays.of["shown"], arrays.of["features"]))

    @property
    def compiled(self) -> bool:
        """Whether its kernels are machine code."""
        return self._kernels.compiled

    def take_compiled(self) -> None:
        """Go on with kernels in machine code, where they are there by now."""
        found = kernels_of(kernels.__name__, may_wait=True)
        if found is not self._kernels:
            self._kernels = self._rooms.kernels = self._arrays.kernels = found
            self._view()

    def __len__(self) -> int:
        return len(self.items)

    # -- learning

    @property
    def may_fail(self) -> bool:
        """Whether the ranker is a model that may raise anything; the network's kernels raise nothing."""
        return self._pointwise is not None

    def teach(self, session: str, item: int) -> None:
        """Let a ranker that may fail learn what `learn_next` will then take as learned; else nothing changes.

        Raises
        ------
        NotLearned
            If it can't; then nothing has changed.
        """
        row = self._slates.get(session)
        if row is not None and self._pointwise is not None:
            size = int(self._arrays.of["size"][row])
            found = np.flatnonzero(self._shown_of(row)[:size] == self._tagged(item))
            if len(found):
                best = self._best.get(row, [])
                self._pointwise.learn(self._features_of(row)[:size], int(found[0]), best)

    def _tagged(self, item: int) -> int:
        slot = item & _SLOT
        return slot | int(self._arrays.of["tag"][slot]) << _SLOT_BITS

    def learn_next(self, session: str, item: int, *, new: bool, taught: bool = False) -> bool:
        """Let the ranker learn from what came after the session's last slate, on what it saw then.

        Parameters
        ----------
        session, item
            The session, and what it clicked.
        new
            Whether the item is new to the session.
        taught
            Whether `teach` has done its part.

        Returns
        -------
        bool
            Whether the item was among the candidates of a slate that is still remembered.
        """
        # A model may raise: whoever must not be stopped halfway has taught it before, and says so.
        if not taught:
            self.teach(session, item)
        row = self._slates.pop(session, None)
        if row is None:
            return False
        self._slots["lists"].give_back(row)
        of, tagged = self._arrays.of, self._tagged(item)
        if self._pointwise is not None:
            self._best.pop(row, None)
            return bool((self._shown_of(row)[: int(of["size"][row])] == tagged).any())
        return bool(
            self._kernels.learn(
                self._ranker,
                self._shown,
                self._features,
                row * self._width,
                int(of["size"][row]),
                int(of["length"][row]),
                tagged,
                new,
            )
        )

    def _shown_of(self, row: int) -> NDArray[Any]:
        return self._arrays.of["shown"][row * self._width : (row + 1) * self._width]

    def _features_of(self, row: int) -> NDArray[Any]:
        width = self._width * kernels.FEATURES
        return self._arrays.of["features"][row * width : (row + 1) * width].reshape(-1, kernels.FEATURES)

    def take(self, session: str, item: int, time_ms: int) -> None:
        """Let the index learn from a click."""
        live = self._session(session)
        self._kernels.take(self._index, item & _SLOT, live, time_ms, False, self._half_life_ms)

    def follow(self, session: str, item: int, time_ms: int) -> None:
        """Move the session by a click that others learn nothing from."""
        live = self._session(session)
        self._kernels.take(self._index, item & _SLOT, live, time_ms, True, self._half_life_ms)

    def catch_up(self, session: str, item: int, time_ms: int) -> None:
        """Let the index learn after all from a click that so far moved its session only."""
        live = self._sessions.get(session)
        if live is None or not self._kernels.catch_up(
            self._index, item & _SLOT, live, time_ms, self._half_life_ms
        ):
            self.take(session, item, time_ms)

    def put_back(self, to_ms: int) -> int:
        """Give what was clicked after a time that time; say how many pieces of sessions."""
        of, minute = self._arrays.of, to_ms // _MINUTE_MS
        of["head"][kernels.UNIT_AT_MS] = min(int(of["head"][kernels.UNIT_AT_MS]), to_ms)
        minutes = of["chunks"].reshape(-1, kernels.CHUNK)[:, kernels.MINUTE]
        ahead = minutes > minute
        minutes[ahead] = minute
        return int(np.count_nonzero(ahead))

    def bought(self, items: Sequence[int]) -> None:
        """Learn which items, each given once, were bought together."""
        most = self._settings.order_items_max
        slots = np.array([item & _SLOT for item in items[:most]], np.int32)
        self._kernels.take_order(self._index, self._kernels.cells(slots), len(slots))

    def forget_session(self, session: str) -> None:
        """Drop a session with what it says for items."""
        live = self._sessions.get(session)
        if live is not None:
            self._kernels.erase(self._index, live)
            self._drop_session(session)

    def _session(self, session: str) -> int:
        """Return the session's place among those that go on; the one idle for longest makes room."""
        # Out and in again keeps the mapping in the order of last use, without a list of its own.
        live = self._sessions.pop(session, None)
        if live is None:
            if len(self._sessions) >= self._settings.sessions_max:
                self._drop_session(next(iter(self._sessions)))
            live = self._slots["sessions"].take()
            of = self._arrays.of
            of["last"][live], of["number"][live] = 0, self._next_session
            # Numbers come round after 134 million sessions, when no chunk of the first ones is left.
            self._next_session = (self._next_session + 1) & kernels.NUMBER
        self._sessions[session] = live
        return live

    def _drop_session(self, session: str) -> None:
        """Let a session end; what others learn from it stays."""
        self._slots["sessions"].give_back(self._sessions.pop(session))
        row = self._slates.pop(session, None)
        if row is not None:
            self._slots["lists"].give_back(row)

    # -- popularity

    def heat(self, item: int, otherwise: float = 0.0) -> float:
        """How many of its clicks still count."""
        of, slot = self._arrays.of, item & _SLOT
        return float(of["heat"][slot] / of["unit"][0]) if self.items.number_at[slot] == item else otherwise

    def trending(self, count: int | None = None, within: Callable[[int], bool] | None = None) -> list[int]:
        """Items that are clicked most of late and may be shown, best first; all hot ones without a count."""
        of = self._arrays.of
        hot = of["hot"][: of["head"][kernels.HOT_COUNT]]
        hot = hot[(of["gone"][hot] == 0) & (of["heat"][hot] > 0.0)]
        ordered = hot[np.lexsort((hot, -of["heat"][hot]))].tolist()
        numbers = [self.items.number_at[slot] for slot in ordered]
        return [number for number in numbers if within is None or within(number)][:count]

    # -- ranking

    def history(self, session: str) -> list[int]:
        """Return the different items at a session's end, the newest last."""
        live = self._sessions.get(session)
        if live is None:
            return []
        count = self._kernels.past_of(*self._past_of, live, self._settings.session_clicks_max)
        return [self.items.number_at[slot] for slot in self._room_arrays["past"][:count][::-1].tolist()]

    def rank(
        self, session: str, excluded: Iterable[int] = (), past: Sequence[int] = (), *, best: int | None = None
    ) -> Ranked:
        """Rank candidates for the session as it stands; what the ranker saw is kept for its next click.

        Parameters
        ----------
        session
            Its id.
        excluded
            Items that are no candidates.
        past
            Items that its customer clicked in earlier sessions, the newest first; they come after its own.
        best
            How many are asked for; all candidates, unless given.

        Raises
        ------
        NotRanked
            If a model in the network's place raises anything.
        """
        settings, room, of = self._settings, self._room, self._arrays.of
        live = self._session(session)
        count = self._kernels.past_of(*self._past_of, live, settings.session_clicks_max)
        anchored = self._add_past(count, past) if past else count
        row = self._slate_row(session)
        # A number whose slot went to another item since must not exclude that one.
        left_out = [each & _SLOT for each in excluded if self.items.number_at[each & _SLOT] == each]
        length = 1 + (count > _LENGTHS[0]) + (count > _LENGTHS[1]) + (count > _LENGTHS[2])
        most = settings.candidates_max if best is None else best
        asked = kernels.Asked(
            live,
            count,
            anchored,
            self._kernels.cells(np.array(left_out, np.int32)),
            settings.postings_max,
            settings.neighbours_max,
            settings.candidates_max,
            self._shown,
            row * self._width,
            self._features,
        )
        ranker = self._pointwise
        if ranker is None:
            candidates = self._kernels.rank(self._index, room, self._ranker, asked, length, most)
        else:
            candidates = self._kernels.search(self._index, room, asked)
            of["size"][row] = 0  # nothing is learned from this slate unless it is ranked
            shares = self._shares(ranker, self._features_of(row)[:candidates])
            self._kernels.order(room, self._kernels.cells(shares), candidates, most)
            kept = min(ranker.negatives_max, most, candidates)
            self._best[row] = self._room_arrays["out_place"][:kept].tolist()
        of["size"][row], of["length"][row] = candidates, length
        return self._ranked(row, candidates, candidates if best is None else min(best, candidates))

    @staticmethod
    def _shares(ranker: Pointwise, features: NDArray[Any]) -> NDArray[Any]:
        try:
            return ranker.shares(features)
        except MemoryError:
            raise
        except Exception as error:
            raise NotRanked from error

    def _add_past(self, count: int, past: Sequence[int]) -> int:
        own = self._room_arrays["past"]
        known = set(own[:count].tolist())
        for item in past:
            slot = item & _SLOT
            if count < kernels.PAST_MAX and self.items.number_at[slot] == item and slot not in known:
                own[count] = slot
                count += 1
        return count

    def _slate_row(self, session: str) -> int:
        """Where what a session's slate was ranked by is kept; the slate made longest ago makes room."""
        row = self._slates.pop(session, None)
        if row is None:
            if len(self._slates) >= self._settings.shown_max:
                self.slates_dropped += 1
                self._slots["lists"].give_back(self._slates.pop(next(iter(self._slates))))
            row = self._slots["lists"].take()
        self._slates[session] = row
        return row

    def _ranked(self, row: int, candidates: int, best: int) -> Ranked:
        room, number_at = self._room_arrays, self.items.number_at
        shown = self._shown_of(row)
        anchors = room["out_anchor"][:best].tolist()
        return Ranked(
            [number_at[tagged & _SLOT] for tagged in shown[room["out_place"][:best]].tolist()],
            room["out_score"][:best].tolist(),
            room["out_source"][:best].tolist(),
            [number_at[slot] if slot >= 0 else -1 for slot in anchors],
            room["out_support"][:best].tolist(),
            candidates,
        )

    # -- the state as a whole

    def save(self) -> dict[str, bytes]:
        """Return the state as named blobs."""
        names = {
            "items": list(self.items.by_name.items()),
            "numbers": self.items.number_at,
            "best": list(self._best.items()),
            "slots": {
                kind: [slots.used, slots.free]
                for kind, slots in {"items": self.items.slots, **self._slots}.items()
            },
            "sessions": list(self._sessions.items()),
            "lists": list(self._slates.items()),
            "rest": [self._next_session, self._width, self.slates_dropped],
            "sizes": {name: len(array) for name, array in self._arrays.of.items()},
        }
        used = self._used()
        ranker = {} if self._pointwise is None else {"ranker": self._pointwise.model.save()}
        return {
            "names": msgspec.msgpack.encode(names),
            **ranker,
            **{
                # Copies of what is used, not of what is reserved: limits are set for the largest day.
                name: array[: used.get(name, len(array))].tobytes()
                for name, array in self._arrays.of.items()
                if name not in _NOT_SAVED
            },
        }

    def _used(self) -> dict[str, int]:
        """How many cells of an array say anything, where it is less than all."""
        head, slates = self._arrays.of["head"], self._slots["lists"].used
        return {
            "blocks": int(head[kernels.BLOCKS]) * kernels.BLOCK,
            "chunks": int(head[kernels.CHUNKS]) * kernels.CHUNK,
            "orders": int(head[kernels.LINES]) * kernels.LINE,
            **dict.fromkeys(OF_ITEMS, len(self.items.names)),
            **dict.fromkeys(_OF_SESSIONS, self._slots["sessions"].used),
            **dict.fromkeys(_OF_SLATES, slates),
            "shown": slates * self._width,
            "features": slates * self._width * kernels.FEATURES,
        }

    def load(self, blobs: Mapping[str, bytes]) -> None:
        """Take over a state that `save` gave."""
        names = msgspec.msgpack.decode(blobs["names"])
        for name, array in self._arrays.of.items():
            size, saved = names["sizes"][name], np.frombuffer(blobs.get(name, b""), array.dtype)
            self._arrays.of[name] = padded(saved, size)
        self.items.load(names)
        self._slots = {kind: Slots(*names["slots"][kind]) for kind in self._slots}
        self._sessions, self._slates = dict(names["sessions"]), dict(names["lists"])
        self._best = dict(names["best"])
        if self._pointwise is not None:
            self._pointwise.load(blobs["ranker"])
        self._next_session, self._width, self.slates_dropped = names["rest"]
        self.configure(self._settings)
