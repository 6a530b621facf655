"""Inputs of several shards come once each, in the order in which they were read."""

from __future__ import annotations

from pathlib import Path

import pytest
from ledgers import Journal, decided, note, outcome

from headrace.config.canonical import canonical
from headrace.config.loading import load
from headrace.errors import StateError
from headrace.journal.records import Kind
from headrace.replay.past import Past

SETTINGS = canonical(load(None)).decode()
CONFIG = note(control="config", settings=SETTINGS, learn=True, code="0.1.0", kernel="k")


def noted(directory: Path) -> Journal:
    """A journal that begins with a configuration, which covers no input."""
    journal = Journal(directory)
    at = journal.writer.end.ordinal
    journal.writer.append([CONFIG], ordinal_first=at, ordinal_next=at, accepted_ms=0, marks=())
    return journal


@pytest.fixture
def shards(tmp_path) -> list[Path]:
    """Inputs 0 and 2 are the first shard's, 1 the second's; 3, an outcome, is a duplicate to the first."""
    first, second = noted(tmp_path / "shard-00"), noted(tmp_path / "shard-01")
    duplicate = outcome("p1")._replace(kind=Kind.DUPLICATE)
    for journal, records in (
        (first, {0: decided("p0"), 2: decided("p2"), 3: duplicate}),
        (second, {1: decided("p1"), 3: outcome("p1")}),
    ):
        for ordinal, record in records.items():
            journal.writer.append(
                [record._replace(ordinal=ordinal)],
                ordinal_first=ordinal,
                ordinal_next=ordinal + 1,
                accepted_ms=0,
                marks=(),
            )
    return [tmp_path / "shard-00", tmp_path / "shard-01"]


def test_each_input_comes_once_with_what_was_of_use(shards):
    told = []
    found = list(Past(shards).inputs(lambda length, records: told.append((length, records))))
    assert [record.ordinal for record in found] == [0, 1, 2, 3]
    assert [record.kind for record in found] == [Kind.DECIDED] * 3 + [Kind.APPLIED]
    assert sum(records for _, records in told) == 7


def test_the_order_of_the_shards_makes_no_difference(shards):
    assert [record.kind for record in Past(shards[::-1]).inputs()][3] == Kind.APPLIED


def test_configurations_are_told_with_the_input_that_they_hold_from(shards):
    journal = Journal(shards[0])
    journal.append([decided("p9")])
    other = canonical(load(None, ["policy.block_at=0.9"])).decode()
    changed = note(control="config", settings=other, learn=False, code="0.2.0")
    journal.writer.append(
        [changed._replace(ordinal=5)], ordinal_first=5, ordinal_next=5, accepted_ms=0, marks=()
    )
    past = Past(shards)
    assert [(each.ordinal, each.learn, each.code, each.platform) for each in past.configurations] == [
        (0, True, "0.1.0", "k"),
        (5, False, "0.2.0", None),
    ]
    assert past.configuration_at(4).learn is True
    assert past.configuration_at(5).settings.policy.block_at == 0.9


def test_a_past_without_any_configuration_is_refused(tmp_path):
    Journal(tmp_path / "shard-00").append([decided("p0")])
    with pytest.raises(StateError, match="names a configuration"):
        Past([tmp_path / "shard-00"])


def test_a_configuration_that_can_not_be_read_is_told_with_its_version(tmp_path):
    journal = Journal(tmp_path / "shard-00")
    strange = note(control="config", settings='{"nothing":1}', learn=True, code="9.9.9")
    journal.writer.append([strange], ordinal_first=0, ordinal_next=0, accepted_ms=0, marks=())
    with pytest.raises(StateError, match=r"version 9\.9\.9"):
        Past([tmp_path / "shard-00"])
