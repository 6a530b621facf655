"""What is said of a replay of slates, in words and tables that terminal and page share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from headrace.kinds.recommend.replay_report import SlateReport
from headrace.kinds.recommend.replay_slates import FOLLOWED, GAINED, LOST, SlateExample
from headrace.operators.recommend.explained import ExplainedItem
from headrace.replay import words
from headrace.replay.intervals import Compared
from headrace.replay.words import Part

__all__ = ["LIST_MEASURED", "limits", "parts", "period"]

LIST_MEASURED: Final = {
    "hit_rate": "hit rate",
    "mrr": "reciprocal rank",
    "ndcg": "NDCG",
    "new_hit_rate": "hit rate, new items",
    "new_mrr": "reciprocal rank, new items",
    "new_ndcg": "NDCG, new items",
    "carts_on_list": "carts on slate",
    "orders_on_list": "orders on slate",
}
_ITEMS_SHOWN: Final = 3
_EXAMPLE_HEAD: Final = ("slate", "next click", "old", "new")
_EXAMPLES: Final = {
    GAINED: "Next clicks that stand higher now",
    LOST: "Next clicks that stand lower now",
}


def period(report: SlateReport) -> Iterator[str]:
    """Which slates count."""
    period = report.period
    if not report.slates:
        yield "No click was answered by both configurations."
        return
    yield (
        f"{report.slates:,} clicks were answered by both, from {words.day(period.first_ms)} to"
        f" {words.day(period.last_ms)}. {words.began(period.warm_up_days)}"
    )
    yield f"{report.compared:,} slates from {words.day(period.from_ms)} on are compared."
    yield (
        f"{report.evaluated:,} of them are evaluated by what their session clicked next,"
        f" {report.evaluated_new:,} of these clicks on items that were new to the session;"
        f" {report.sessions:,} sessions."
    )
    if not report.evaluated:
        yield "Nothing can be evaluated: no next click came in time. Choose a shorter --warm-up-days."


def parts(report: SlateReport) -> Iterator[Part]:
    """All sections behind the first words."""
    yield Part("Slates changed", list(_changed(report)))
    yield Part(
        "What sessions did next",
        [_followed(*(report.followed[kind] for kind in FOLLOWED))],
        words.BOUNDS_HEAD,
        [_measured(LIST_MEASURED[name], each) for name, each in report.quality.items()],
    )
    for by, title in _EXAMPLES.items():
        if report.examples[by]:
            yield Part(title, (), _EXAMPLE_HEAD, list(map(_example, report.examples[by])))
    yield Part(words.NOT_COMPARABLE, points=list(words.not_comparable(report.replayed, "clicks")))
    yield Part(words.LIMITS, points=list(limits(report)))
    yield Part(words.ORIGIN, rows=list(words.origin(report, "sessions")))


def _changed(report: SlateReport) -> Iterator[str]:
    changes, whole = report.changes, max(report.compared, 1)
    yield (
        f"{changes.changed:,} of {report.compared:,} slates ({changes.changed / whole:.2%}) are others,"
        f" {changes.other_items:,} ({changes.other_items / whole:.2%}) by their items and not by the order"
        f" alone; {changes.other_first:,} ({changes.other_first / whole:.2%}) begin with another item."
    )
    if changes.overlap is not None and changes.similarity is not None:
        yield (
            f"Old and new have {changes.overlap:.1%} of the items in common (mean overlap of whole slates);"
            f" rank-biased overlap {changes.similarity:.3f} (persistence 0.9; 1 for the same slates)."
        )


def _followed(carts: int, orders: int) -> str:
    return (
        f"After these slates, {carts:,} items were put into the cart and {orders:,} ordered; how many of them"
        " were on their session's last slate say the last two lines."
    )


def _measured(name: str, compared: Compared) -> tuple[str, ...]:
    sides = (words.spread(name, each, between="\n") for each in (compared.old, compared.new))
    return (name, *sides, words.spread(name, compared.difference, signed=True, between="\n"))


def _example(each: SlateExample) -> tuple[str, ...]:
    return (
        f"{each.event_id}\n{words.day(each.event_time)}, session {each.session_id}\nclicked {each.clicked}",
        each.next_clicked,
        _side(each.old, each.old_rank),
        _side(each.new, each.new_rank),
    )


def _side(items: Sequence[ExplainedItem], rank: int) -> str:
    """Where the next click stood and why, and what stood first."""
    shown = list(enumerate(items, start=1))
    told = [*shown[:_ITEMS_SHOWN], *shown[max(rank - 1, _ITEMS_SHOWN) : rank]]
    place = f"place {rank} of {len(items)}" if rank else f"not among {len(items)}"
    return "\n".join([place, *(f"{number}. {item.item_id}: {item.text}" for number, item in told)])


def limits(report: SlateReport) -> Iterator[str]:
    """Yield what a replay can't know."""
    yield (
        "The clicks followed the old slates: what was not shown could not be clicked there, and what was"
        " shown was clicked because it was shown. The measures are therefore biased towards the old"
        " configuration; a new one that looks a little worse may be better. Only both at once, on sessions"
        " drawn by lot, would tell."
    )
    yield "What a session would have clicked, put into the cart or ordered on the new slate is in no journal."
    yield (
        "Both slates of a click wait for the next one as long as the new configuration says"
        " (slate.pending_minutes_max); an item counts as new to a session that was quiet for longer."
    )
    if not report.learn:
        yield "The new ranker did not learn (--no-learn)."
