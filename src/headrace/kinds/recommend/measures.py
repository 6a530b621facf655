"""The metrics that slates have beside those of every flow."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

from headrace.kinds.recommend.machine import EMPTY_REASONS, RULED, RecommendShard
from headrace.metrics.metric import Metric
from headrace.metrics.scrape import Reader, Sample, Scrape
from headrace.operators.recommend.coverage import Popularity
from headrace.operators.recommend.rules import LIST_SOURCES
from headrace.operators.recommend.slates import SlateQuality

__all__ = ["SLATE_METRICS"]


def _slates(scrape: Scrape) -> list[RecommendShard]:
    return scrape.machines(RecommendShard)


def _of_slates(name: str) -> Reader:
    """Read a figure of the window's slates, by its name in `SlateQuality`."""

    def read(scrape: Scrape) -> Iterator[Sample]:
        quality = scrape.quality
        value = getattr(quality, name) if isinstance(quality, SlateQuality) else None
        if value is not None:
            yield (), value

    return read


def _slate_counts(key: str) -> Reader:
    """Read a count that only slates have."""

    def read(scrape: Scrape) -> Iterator[Sample]:
        if _slates(scrape):
            yield (), scrape.counts[key]

    return read


def _slate_sources(scrape: Scrape) -> Iterator[Sample]:
    """By the source that spoke most for a slate's first item."""
    return scrape.counted((name, f"source_{name}") for name in (LIST_SOURCES if _slates(scrape) else ()))


def _empty_slates(scrape: Scrape) -> Iterator[Sample]:
    """By reason."""
    return scrape.counted((name, f"empty_{name}") for name in (EMPTY_REASONS if _slates(scrape) else ()))


def _ruled_items(scrape: Scrape) -> Iterator[Sample]:
    """By what was done."""
    return scrape.counted((name, f"items_{name}") for name in (RULED if _slates(scrape) else ()))


def _hidden_items(scrape: Scrape) -> Iterator[Sample]:
    """Of the shard that knows most."""
    if _slates(scrape):
        # Each shard hears of every item: their sum would count an item once for each shard.
        yield (), max(state.engine.items.hidden_count() for state in _slates(scrape))


def _visitors_dropped(scrape: Scrape) -> Iterator[Sample]:
    """Over all shards."""
    if _slates(scrape):
        yield (), sum(state.visitors.dropped for state in _slates(scrape))


def _learnable_dropped(scrape: Scrape) -> Iterator[Sample]:
    """Over all shards."""
    if _slates(scrape):
        yield (), sum(state.engine.slates_dropped for state in _slates(scrape))


def _slates_waiting(scrape: Scrape) -> Iterator[Sample]:
    """Over all shards."""
    if _slates(scrape):
        yield (), sum(len(state.pending) for state in _slates(scrape))


def _catalogue_share(scrape: Scrape) -> Iterator[Sample]:
    """Of the known items, of the shard that has shown most."""
    # Of an empty catalogue there is no share.
    known = [state for state in _slates(scrape) if len(state.engine)]
    if known:
        shares = [state.coverage.shown_of_late(state.clock.now) / len(state.engine) for state in known]
        yield (), min(1.0, max(shares))


def _popularity_of_items(scrape: Scrape) -> Iterator[Sample]:
    """By whether shown or clicked, the mean over the shards."""
    for name in Popularity._fields if _slates(scrape) else ():
        means = [getattr(state.coverage.popularity, name) for state in _slates(scrape)]
        yield (name,), sum(means) / len(means)


def _follow_ups(scrape: Scrape) -> Iterator[Sample]:
    """By what was done, and whether with an item of the session's last slate."""
    for kind, on_it in product(("cart", "order"), ("from", "beside")) if _slates(scrape) else ():
        yield (kind, on_it), scrape.counts[f"{kind}s_{on_it}_list"]


SLATE_METRICS: Final = (
    Metric(
        "headrace_slate_hit_rate",
        "gauge",
        "Share of next clicks that were on their session's last slate, of the last ones evaluated.",
        (),
        "now",
        _of_slates("hit_rate"),
    ),
    Metric(
        "headrace_slate_reciprocal_rank",
        "gauge",
        "Mean of 1 / rank of the next click, 0 where it wasn't on the slate, of the last ones evaluated.",
        (),
        "now",
        _of_slates("mrr"),
    ),
    Metric(
        "headrace_slate_ndcg",
        "gauge",
        "Mean of 1 / log2(1 + rank) of the next click, of the last ones evaluated.",
        (),
        "now",
        _of_slates("ndcg"),
    ),
    Metric(
        "headrace_slate_new_hit_rate",
        "gauge",
        "As the hit rate, of next clicks on items that were new to their session.",
        (),
        "now",
        _of_slates("new_hit_rate"),
    ),
    Metric(
        "headrace_slate_new_reciprocal_rank",
        "gauge",
        "As the reciprocal rank, of items that were new to their session.",
        (),
        "now",
        _of_slates("new_mrr"),
    ),
    Metric(
        "headrace_slate_length",
        "gauge",
        "Mean number of items, of the last ones evaluated.",
        (),
        "now",
        _of_slates("length"),
    ),
    Metric(
        "headrace_slates_evaluated_total",
        "counter",
        "Lists that a next click followed in time.",
        (),
        "state",
        _slate_counts("lists_judged"),
    ),
    Metric(
        "headrace_slates_waiting",
        "gauge",
        "Lists that wait for their session's next click.",
        (),
        "now",
        _slates_waiting,
    ),
    Metric(
        "headrace_slates_empty_total",
        "counter",
        "Empty slates, by reason.",
        ("reason",),
        "state",
        _empty_slates,
    ),
    Metric(
        "headrace_slates_by_origin_total",
        "counter",
        "Lists, by what spoke most for their first item.",
        ("origin",),
        "state",
        _slate_sources,
    ),
    Metric(
        "headrace_slate_items_total",
        "counter",
        "Items of all slates.",
        (),
        "state",
        _slate_counts("items_shown"),
    ),
    Metric(
        "headrace_slate_items_ruled_total",
        "counter",
        "Items that rules left out (`own`, `capped`) or put in (`filled`, `new`, `explored`).",
        ("rule",),
        "state",
        _ruled_items,
    ),
    Metric(
        "headrace_items_hidden",
        "gauge",
        "Known items that the catalogue or a rule keeps off all slates.",
        (),
        "now",
        _hidden_items,
    ),
    Metric(
        "headrace_clicks_of_bots_total",
        "counter",
        "Clicks that taught nothing, as their session made too many in a minute.",
        (),
        "state",
        _slate_counts("clicks_of_bots"),
    ),
    Metric(
        "headrace_slates_not_ranked_total",
        "counter",
        "Lists that could not be ranked, as the model in the ranker's place raised an error.",
        (),
        "state",
        _slate_counts("lists_not_ranked"),
    ),
    Metric(
        "headrace_visitors_dropped_total",
        "counter",
        "Known customers, and buyers, whose past made room for others'.",
        (),
        "state",
        _visitors_dropped,
    ),
    Metric(
        "headrace_slates_unlearnable_total",
        "counter",
        "Lists that can no longer be learned from, as newer ones needed the room.",
        (),
        "state",
        _learnable_dropped,
    ),
    Metric(
        "headrace_slates_followed_total",
        "counter",
        "Items put into the cart or ordered after a slate, by whether they were on it.",
        ("event", "item"),
        "state",
        _follow_ups,
    ),
    Metric(
        "headrace_slate_catalogue_share",
        "gauge",
        "Share of the known items that slates have shown in the last day of event time.",
        (),
        "now",
        _catalogue_share,
    ),
    Metric(
        "headrace_slate_popularity",
        "gauge",
        "Clicks of late that items have had: the mean over those on slates, and over those clicked.",
        ("items",),
        "now",
        _popularity_of_items,
    ),
)
