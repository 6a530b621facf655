"""Ranks items for a session from an index of recent sessions that every click moves, in plain Python.

The neighbours are those of VMIS-kNN, with these differences: the index is updated by each click, an item is
counted once a session, and how much each source of candidates counts is learned from the next clicks.

References
----------
Kersbergen, Sprangers, Schelter: Serenade: low-latency session-based recommendation in e-commerce at scale.
SIGMOD (2022).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import nlargest
from math import exp, log
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.config.recommend import EngineSettings

__all__ = ["SOURCES", "Engine", "Ranked"]

SOURCES: Final = ("neighbours", "next_clicks", "session", "bought_together", "trending")
_NEIGHBOURS, _NEXT, _SESSION, _BOUGHT, _TRENDING = range(len(SOURCES))
_START_WEIGHTS: Final = (6.0, 4.0, 2.0, 2.0, 1.0)
# Shares, their roots, both of items that are new to the session apart, and logarithms.
_FEATURES: Final = 5 * len(SOURCES)
_LEAST_SHARE: Final = 0.001  # smaller ones hardly differ in their logarithms
_LENGTHS: Final = (1, 3, 6)  # different items of a session; longer ones are a class of their own
_STEP: Final = 0.1  # of Adagrad
_LOOKED_AT_MAX: Final = 6  # distinct items at a session's end that find neighbours
_DECAY: Final = tuple(exp(-place / 1.5) for place in range(128))
_NEAR: Final = tuple(exp(-distance / 8.0) for distance in range(128))  # in a neighbour, from what is shared
_FOLLOWERS_MAX: Final = 64  # that are remembered of one item
_HOT_MAX: Final = 256
_HOT_AMONG_CANDIDATES: Final = 20
_HOTTEST_EVERY_CLICKS: Final = 32
_HOUR_MS: Final = 3_600_000
_POPULARITY_MAX: Final = 1e100
Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]


class Ranked(NamedTuple):
    """Candidates of a session, best first.

    Attributes
    ----------
    items
        Their numbers.
    scores
        The share that the ranker gives each of them, 0 to 1; together 1.
    sources
        Which of `SOURCES` speaks most for it.
    anchors
        The item of the session that this source goes out from; -1 for none.
    support
        In how many recent sessions, or how many times, it was seen so.
    """

    items: list[int]
    scores: list[float]
    sources: list[int]
    anchors: list[int]
    support: list[int]


_NONE: Final = Ranked([], [], [], [], [])


class _Found:
    """What the sources say of candidates."""

    def __init__(self) -> None:
        self.weights: list[dict[int, float]] = [{} for _ in SOURCES]
        self.anchors: list[dict[int, tuple[int, int]]] = [{} for _ in SOURCES]

    def blended(self) -> dict[int, float]:
        """A first guess, before the ranker."""
        guess: dict[int, float] = {}
        for weights, start in zip(self.weights, _START_WEIGHTS, strict=True):
            if weights:
                scale = start / max(weights.values())
                for item, weight in weights.items():
                    guess[item] = guess.get(item, 0.0) + scale * weight
        return guess

    def shares(self, items: Sequence[int]) -> Floats32:
        """For each source a row: of each item the share of the source's largest weight."""
        shares = np.zeros((len(SOURCES), len(items)), dtype=np.float32)
        places = {item: place for place, item in enumerate(items)}
        for source, weights in enumerate(self.weights):
            if not weights:
                continue
            if len(weights) < len(items):
                known = [(places[item], weight) for item, weight in weights.items() if item in places]
                shares[source, [place for place, _ in known]] = [weight for _, weight in known]
            else:
                shares[source] = [weights.get(item, 0.0) for item in items]
            shares[source] /= max(weights.values())
        return shares

    def said(self, sources: Sequence[int], items: Sequence[int]) -> list[tuple[int, int]]:
        """Anchor and support of each item by its source."""
        anchors, nothing = self.anchors, (-1, 0)
        return [anchors[source].get(item, nothing) for source, item in zip(sources, items, strict=True)]


class Engine:
    """An index of sessions, and a ranker that learns from each next click.

    Numbers of items and sessions ascend and are never given again, so that what was dropped stays unknown.

    Parameters
    ----------
    settings
        Its limits.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self.hidden: set[int] = set()  # learned from, and never ranked
        self.noted_ms: dict[int, int] = {}  # when the catalogue said so, event time
        self._numbers: dict[str, int] = {}  # the item that was idle for longest comes first
        self._names: dict[int, str] = {}
        self._next_number = 0
        self._sessions: dict[str, int] = {}
        self._histories: dict[int, list[int]] = {}
        self._next_session = 0
        self._postings: dict[int, deque[int]] = {}
        self._followers: dict[int, dict[int, float]] = {}
        self._bought: dict[int, dict[int, float]] = {}
        self._popularity: dict[int, float] = {}
        self._unit, self._unit_at_ms = 1.0, 0
        self._hot: dict[int, None] = {}
        self._hottest_of_late: list[int] = []
        self._taken = 0
        self._shown: dict[str, tuple[list[int], bytes, int]] = {}
        # One row for all sessions, and one for those of a class of length.
        self._weights = np.zeros((len(_LENGTHS) + 2, _FEATURES))
        self._weights[0, : len(SOURCES)] = _START_WEIGHTS
        self._squares = np.full(self._weights.shape, 1e-6)
        self.configure(settings)

    def configure(self, settings: EngineSettings) -> None:
        """Change the limits; they hold from the next click on."""
        self._settings = settings
        self._half_life_ms = settings.trending_half_life_hours * _HOUR_MS

    def __len__(self) -> int:
        return len(self._names)

    # -- names

    def number_of(self, item_id: str) -> int:
        """The item's number, a new one for a new item; the one idle for longest makes room."""
        number = self._numbers.pop(item_id, None)
        if number is None:
            number, self._next_number = self._next_number, self._next_number + 1
            self._names[number] = item_id
            if len(self._numbers) >= self._settings.items_max:
                self._drop_item(next(iter(self._numbers)))
        self._numbers[item_id] = number
        return number

    def known(self, item_id: str) -> int | None:
        """The item's number; None if it has none."""
        return self._numbers.get(item_id)

    def name_of(self, number: int) -> str:
        """The item's id; empty if it was dropped."""
        return self._names.get(number, "")

    def _drop_item(self, item_id: str) -> None:
        number = self._numbers.pop(item_id)
        del self._names[number]
        tables: tuple[dict[int, Any], ...] = (self._postings, self._followers, self._bought, self._popularity)
        for table in (*tables, self._hot, self.noted_ms):
            table.pop(number, None)
        self.hidden.discard(number)

    # -- learning

    def learn_next(self, session: str, item: int) -> bool:
        """Let the ranker learn from what came after the session's last list, on what it saw then."""
        shown = self._shown.pop(session, None)
        if shown is None or item not in shown[0]:
            return False
        items, kept, length = shown
        features = _features(np.frombuffer(kept, dtype=np.float32).reshape(len(SOURCES), -1))
        shares = _softmax((features * self._weights_of(length)).sum(axis=1))
        step = features[items.index(item)] - (shares[:, None] * features).sum(axis=0)
        for row in (0, length):
            self._squares[row] += step * step
            self._weights[row] += _STEP * step / np.sqrt(self._squares[row])
        return True

    def _weights_of(self, length: int) -> Floats:
        weights: Floats = self._weights[0] + self._weights[length]
        return weights

    def take(self, session: str, item: int, time_ms: int) -> None:
        """Let the index learn from a click."""
        self._warm(item, time_ms)
        number = self._session(session)
        history = self._histories[number]
        if history and history[-1] != item:
            _count(self._followers.setdefault(history[-1], {}), item)
        if item not in history:
            self._postings.setdefault(item, deque(maxlen=self._settings.postings_max)).append(number)
        self._move(history, item)

    def follow(self, session: str, item: int) -> None:
        """Move the session by a click that others learn nothing from."""
        self._move(self._histories[self._session(session)], item)

    def bought(self, items: Sequence[int]) -> None:
        """Learn which items were bought together."""
        for item in items:
            for other in items:
                if other != item:
                    _count(self._bought.setdefault(item, {}), other)

    def forget_session(self, session: str) -> None:
        """Drop a session with what it says for items."""
        number = self._sessions.pop(session, None)
        self._shown.pop(session, None)
        if number is not None:
            del self._histories[number]

    def _session(self, session: str) -> int:
        number = self._sessions.pop(session, None)
        if number is None:
            number, self._next_session = self._next_session, self._next_session + 1
            self._histories[number] = []
            if len(self._sessions) >= self._settings.sessions_max:
                self.forget_session(next(iter(self._sessions)))
        self._sessions[session] = number
        return number

    def _move(self, history: list[int], item: int) -> None:
        if item in history:
            history.remove(item)
        history.append(item)
        del history[: -self._settings.session_items_max]

    # -- popularity

    def _warm(self, item: int, time_ms: int) -> None:
        """Count a click for what is trending: what counts is not the old ones less, but the new ones more."""
        if time_ms > self._unit_at_ms:
            passed = time_ms - self._unit_at_ms if self._unit_at_ms else 0
            self._unit_at_ms = time_ms
            self._unit *= 2.0 ** min(passed / self._half_life_ms, 100.0)
            if self._unit > _POPULARITY_MAX:
                self._scale_down()
        self._popularity[item] = self._popularity.get(item, 0.0) + self._unit
        self._hot.setdefault(item)
        self._taken += 1
        if self._taken % _HOTTEST_EVERY_CLICKS == 1:
            self._hottest_of_late = self._hottest(_HOT_AMONG_CANDIDATES)
        if len(self._hot) > _HOT_MAX:
            self._hot = dict.fromkeys(self._hottest(_HOT_MAX // 2))

    def heat(self, item: int, otherwise: float = 0.0) -> float:
        """How many of its clicks still count."""
        heat = self._popularity.get(item)
        return otherwise if heat is None else heat / self._unit

    def _scale_down(self) -> None:
        self._popularity = {item: heat / self._unit for item, heat in self._popularity.items()}
        self._unit = 1.0

    def _hottest(self, count: int) -> list[int]:
        heat = self._popularity
        return nlargest(count, self._hot, key=lambda item: (heat.get(item, 0.0), item))

    def trending(self, count: int, within: Callable[[int], bool] | None = None) -> list[int]:
        """Items that are clicked most of late, best first."""
        shown = [item for item in self._hottest(_HOT_MAX) if item not in self.hidden]
        return [item for item in shown if within is None or within(item)][:count]

    # -- ranking

    def history(self, session: str) -> list[int]:
        """The different items at a session's end, the newest last."""
        number = self._sessions.get(session)
        return [] if number is None else list(self._histories[number])

    def rank(self, session: str, excluded: Iterable[int] = ()) -> Ranked:
        """Rank candidates for the session as it stands; what the ranker saw is kept for its next click.

        Parameters
        ----------
        session
            Its id.
        excluded
            Items that are no candidates.
        """
        gone = {*excluded, *self.hidden}
        found = self._find(self._sessions.get(session, -1))
        for weights in found.weights:
            for item in [item for item in weights if item in gone or item not in self._names]:
                del weights[item]
        guess = found.blended()
        # As sorting in full is quicker here than a heap; of equal ones the one that was found first.
        items = sorted(guess, key=guess.__getitem__, reverse=True)[: self._settings.candidates_max]
        if not items:
            return _NONE
        shares, length = found.shares(items), 1 + bisect_left(_LENGTHS, len(self.history(session)))
        self._keep(session, items, shares, length)
        return self._ranked(items, _features(shares) * self._weights_of(length), found)

    def _ranked(self, items: list[int], parts: Floats, found: _Found) -> Ranked:
        shares = _softmax(parts.sum(axis=1))
        order = np.argsort(-shares, kind="stable").tolist()
        by_source = parts.reshape(len(items), -1, len(SOURCES)).sum(axis=1)
        strongest = np.where(by_source != 0.0, by_source, -np.inf).argmax(axis=1).tolist()
        scores = shares.tolist()
        ordered = [items[place] for place in order]
        sources = [strongest[place] for place in order]
        said = found.said(sources, ordered)
        return Ranked(
            ordered,
            [scores[place] for place in order],
            sources,
            [anchor for anchor, _ in said],
            [support for _, support in said],
        )

    def _keep(self, session: str, items: list[int], shares: Floats32, length: int) -> None:
        shown = self._shown
        shown.pop(session, None)
        shown[session] = items, shares.tobytes(), length
        if len(shown) > self._settings.shown_max:
            del shown[next(iter(shown))]

    def _find(self, number: int) -> _Found:
        found, history = _Found(), self._histories.get(number, ())
        last = list(reversed(history))
        if last:
            self._add_neighbours(found, number, last[:_LOOKED_AT_MAX])
            self._add_followers(found, _NEXT, self._followers, last[:_LOOKED_AT_MAX])
            self._add_followers(found, _BOUGHT, self._bought, last)
            for place, item in enumerate(last):
                found.weights[_SESSION][item] = _DECAY[place]
                found.anchors[_SESSION][item] = item, 1
        for item in self._hottest_of_late if last else self._hottest(self._settings.candidates_max):
            found.weights[_TRENDING][item] = self._popularity.get(item, 0.0) / self._unit
        return found

    def _add_neighbours(self, found: _Found, number: int, last: list[int]) -> None:
        alike: dict[int, float] = {}
        through: dict[int, int] = {}
        for place, item in enumerate(last):
            weight = _DECAY[place]
            for session in reversed(self._postings.get(item, ())):
                if session in alike:
                    alike[session] += weight
                elif session in self._histories:
                    alike[session], through[session] = weight, item
        alike.pop(number, None)
        weights, seen, popularity = found.weights[_NEIGHBOURS], found.anchors[_NEIGHBOURS], self._popularity
        most = self._settings.neighbours_max
        # Of those equally alike the one that was found first, through a later item or as the newer one.
        for session in sorted(alike, key=alike.__getitem__, reverse=True)[:most]:
            weight, anchor = alike[session], through[session]
            history = self._histories[session]
            stood = history.index(anchor) if anchor in history else len(history)
            for place, item in enumerate(history):
                weights[item] = weights.get(item, 0.0) + weight * _NEAR[abs(place - stood)]
                first = seen.get(item)
                seen[item] = (anchor, 1) if first is None else (first[0], first[1] + 1)
        for item in weights:
            # What is clicked by everybody says less.
            weights[item] /= log(2.0 + popularity.get(item, 0.0) / self._unit)

    @staticmethod
    def _add_followers(
        found: _Found, source: int, table: Mapping[int, dict[int, float]], last: Sequence[int]
    ) -> None:
        weights, seen = found.weights[source], found.anchors[source]
        for place, anchor in enumerate(last):
            followers = table.get(anchor)
            if followers:
                share = _DECAY[place] / sum(followers.values())
                for item, count in followers.items():
                    weights[item] = weights.get(item, 0.0) + share * count
                    seen.setdefault(item, (anchor, round(count)))

    # -- the state as a whole

    def save(self) -> dict[str, bytes]:
        """The state as named blobs."""
        return {name: msgspec.msgpack.encode(part) for name, part in self._parts().items()}

    def _parts(self) -> dict[str, Any]:
        sessions = [[name, number, self._histories[number]] for name, number in self._sessions.items()]
        return {
            "items": list(self._numbers.items()),
            "sessions": sessions,
            "postings": [[item, list(sessions)] for item, sessions in self._postings.items()],
            "followers": _flat(self._followers),
            "bought": _flat(self._bought),
            "popularity": list(self._popularity.items()),
            "shown": [[session, *shown] for session, shown in self._shown.items()],
            "rest": {
                "next": [self._next_number, self._next_session],
                "unit": [self._unit, self._unit_at_ms],
                "hot": list(self._hot),
                "hottest": [self._taken, self._hottest_of_late],
                "hidden": sorted(self.hidden),
                "noted_ms": list(self.noted_ms.items()),
                "weights": self._weights.tolist(),
                "squares": self._squares.tolist(),
            },
        }

    def load(self, blobs: Mapping[str, bytes]) -> None:
        """Take over a state that `save` gave."""
        parts = {name: msgspec.msgpack.decode(blob) for name, blob in blobs.items()}
        self._numbers = dict(parts["items"])
        self._names = {number: name for name, number in self._numbers.items()}
        self._sessions = {name: number for name, number, _ in parts["sessions"]}
        self._histories = {number: history for _, number, history in parts["sessions"]}
        most = self._settings.postings_max
        self._postings = {item: deque(sessions, maxlen=most) for item, sessions in parts["postings"]}
        self._followers = {item: dict(pairs) for item, pairs in parts["followers"]}
        self._bought = {item: dict(pairs) for item, pairs in parts["bought"]}
        self._popularity = dict(parts["popularity"])
        self._shown = {session: (items, kept, length) for session, items, kept, length in parts["shown"]}
        rest = parts["rest"]
        self._next_number, self._next_session = rest["next"]
        self._unit, self._unit_at_ms = rest["unit"]
        self._hot, self.hidden = dict.fromkeys(rest["hot"]), set(rest["hidden"])
        self.noted_ms = dict(rest["noted_ms"])
        self._taken, self._hottest_of_late = rest["hottest"]
        self._weights, self._squares = np.array(rest["weights"]), np.array(rest["squares"])


def _flat(table: Mapping[int, dict[int, float]]) -> list[Any]:
    return [[item, list(followers.items())] for item, followers in table.items()]


def _count(followers: dict[int, float], item: int) -> None:
    """Count one more, moved to the end; the one idle for longest makes room."""
    followers[item] = followers.pop(item, 0.0) + 1.0
    if len(followers) > _FOLLOWERS_MAX:
        del followers[next(iter(followers))]


def _features(shares: Floats32) -> Floats:
    """For each item a row, each kind of feature with a column for each source."""
    new = shares[_SESSION] == 0.0
    roots, logs = np.sqrt(shares), np.log1p(shares / _LEAST_SHARE) / log(1.0 + 1.0 / _LEAST_SHARE)
    features: Floats = np.concatenate((shares, roots, shares * new, roots * new, logs)).T.astype(np.float64)
    return features


def _softmax(logits: Floats) -> Floats:
    shares: Floats = np.exp(logits - logits.max())
    shares /= shares.sum()
    return shares
