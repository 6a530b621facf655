"""The columns that the ranker sees: kernels, models and explanations know each by one name."""

from __future__ import annotations

import pytest

from headrace.operators.recommend import explained, kernels
from headrace.operators.recommend.kernels import FEATURE_NAMES, FEATURES, SOURCE_NAMES, SOURCES

NAMED = {
    name: place
    for name, place in vars(kernels).items()
    if name.startswith("FEATURE_") and name[8:] != "NAMES"
}


def test_every_column_has_a_name():
    assert len(FEATURE_NAMES) == len(set(FEATURE_NAMES)) == FEATURES
    described = len(kernels.DESCRIBED) * kernels.OF_SOURCE
    assert sorted(NAMED.values()) == list(range(described, FEATURES))


@pytest.mark.parametrize("name", NAMED)
def test_a_named_column_is_where_its_name_stands(name):
    assert FEATURE_NAMES[NAMED[name]] == name.removeprefix("FEATURE_").lower()


def test_columns_of_a_source_are_named_for_it():
    for place, source in enumerate(kernels.DESCRIBED):
        first = place * kernels.OF_SOURCE
        assert FEATURE_NAMES[first + kernels.OF_MOST] == f"{SOURCE_NAMES[source]}_of_most"
        assert FEATURE_NAMES[first + kernels.OF_ALL] == f"{SOURCE_NAMES[source]}_of_all"


def test_every_source_has_a_name_and_words_for_it():
    assert len(SOURCE_NAMES) == SOURCES
    assert SOURCE_NAMES.index("trending") == kernels.TRENDING
    assert set(SOURCE_NAMES) | {"new"} == set(explained._TEXTS)
