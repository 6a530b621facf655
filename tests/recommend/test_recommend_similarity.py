"""How alike two slates are, against slow and obvious ways to say it."""

from __future__ import annotations

import random

import pytest

from headrace.operators.recommend.similarity import overlap, rank_biased_overlap

P = 0.9


def slow(one: list[str], other: list[str]) -> float:
    """The sum itself, for slates of one length that agree from their end on as they did there."""
    depths = range(1, len(one) + 1)
    agreement = [len(set(one[:depth]) & set(other[:depth])) / depth for depth in depths]
    total = sum((1 - P) * P ** (depth - 1) * agreement[depth - 1] for depth in depths)
    beyond = sum((1 - P) * P ** (depth - 1) * agreement[-1] for depth in range(len(one) + 1, 2000))
    return total + beyond


@pytest.mark.parametrize("seed", range(20))
def test_slates_of_one_length_are_as_alike_as_the_sum_says(seed):
    draws = random.Random(seed)
    names = [f"i{number}" for number in range(30)]
    one, other = draws.sample(names, 20), draws.sample(names, 20)
    assert rank_biased_overlap(one, other) == pytest.approx(slow(one, other), abs=1e-9)
    assert rank_biased_overlap(one, other) == rank_biased_overlap(other, one)


def test_the_ends_of_the_scale():
    assert rank_biased_overlap("abc", "abc") == pytest.approx(1.0)
    assert rank_biased_overlap("abc", "def") == 0.0
    assert rank_biased_overlap("", "") == 1.0
    assert rank_biased_overlap("", "a") == rank_biased_overlap("a", "") == 0.0
    assert rank_biased_overlap("ab", "abcd") == pytest.approx(1.0)  # the shorter one may go on likewise


def test_what_stands_first_counts_most():
    assert rank_biased_overlap("abcd", "bacd") < rank_biased_overlap("abcd", "abdc") < 1.0


def test_the_overlap_is_of_the_longer_list():
    assert overlap("abcd", "dcba") == 1.0
    assert overlap("ab", "abcd") == 0.5
    assert overlap("", "") == 1.0
    assert overlap("", "a") == 0.0
