"""The metrics that lists have beside those of every flow."""

from __future__ import annotations

from typing import Final

from headrace.operators import scrape
from headrace.operators.metric import Metric

__all__ = ["LIST_METRICS"]

LIST_METRICS: Final = (
    Metric(
        "headrace_list_hit_rate",
        "gauge",
        "Share of next clicks that were on their session's last list, of the last ones judged.",
        (),
        "now",
        scrape.of_lists("hit_rate"),
    ),
    Metric(
        "headrace_list_reciprocal_rank",
        "gauge",
        "Mean of 1 / rank of the next click, 0 where it wasn't on the list, of the last ones judged.",
        (),
        "now",
        scrape.of_lists("mrr"),
    ),
    Metric(
        "headrace_list_ndcg",
        "gauge",
        "Mean of 1 / log2(1 + rank) of the next click, of the last ones judged.",
        (),
        "now",
        scrape.of_lists("ndcg"),
    ),
    Metric(
        "headrace_list_new_hit_rate",
        "gauge",
        "As the hit rate, of next clicks on items that were new to their session.",
        (),
        "now",
        scrape.of_lists("new_hit_rate"),
    ),
    Metric(
        "headrace_list_new_reciprocal_rank",
        "gauge",
        "As the reciprocal rank, of items that were new to their session.",
        (),
        "now",
        scrape.of_lists("new_mrr"),
    ),
    Metric(
        "headrace_list_length",
        "gauge",
        "Mean number of items, of the last ones judged.",
        (),
        "now",
        scrape.of_lists("length"),
    ),
    Metric(
        "headrace_lists_judged_total",
        "counter",
        "Lists that a next click followed in time.",
        (),
        "state",
        scrape.list_counts("lists_judged"),
    ),
    Metric(
        "headrace_lists_waiting",
        "gauge",
        "Lists that wait for their session's next click.",
        (),
        "now",
        scrape.lists_waiting,
    ),
    Metric(
        "headrace_lists_empty_total",
        "counter",
        "Empty lists, by reason.",
        ("reason",),
        "state",
        scrape.empty_lists,
    ),
    Metric(
        "headrace_lists_by_origin_total",
        "counter",
        "Lists, by what spoke most for their first item.",
        ("origin",),
        "state",
        scrape.list_sources,
    ),
    Metric(
        "headrace_list_items_total",
        "counter",
        "Items of all lists.",
        (),
        "state",
        scrape.list_counts("items_shown"),
    ),
    Metric(
        "headrace_lists_followed_total",
        "counter",
        "Items put into the cart or ordered after a list, by whether they were on it.",
        ("event", "item"),
        "state",
        scrape.follow_ups,
    ),
    Metric(
        "headrace_list_catalogue_share",
        "gauge",
        "Share of the known items that lists have shown in the last day of event time.",
        (),
        "now",
        scrape.catalogue_share,
    ),
    Metric(
        "headrace_list_popularity",
        "gauge",
        "Clicks of late that items have had: the mean over those on lists, and over those clicked.",
        ("items",),
        "now",
        scrape.popularity_of_items,
    ),
)
