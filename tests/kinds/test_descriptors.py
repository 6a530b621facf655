"""What each registered kind says of itself fits together."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
from declared_flows import parcels

from headrace.config.flow_kinds import base_of, bases, kind_names, settings_of, shipped
from headrace.config.loading import load
from headrace.ledger.export_columns import columns_of
from headrace.operators.events.declared import contract_of
from headrace.shard.kinds import actions_of, build_machine, kind_named, kind_of, kinds

HEAVY = ("numpy", "numba", "river", "rich", "bytewax", "prometheus_client", "confluent_kafka")
KINDS = ("fraud", "recommend", "decisions")


@pytest.fixture(params=KINDS)
def settings(request, tmp_path):
    if request.param == "decisions":
        return parcels(tmp_path)
    return load(None, flow=request.param)


def test_the_shipped_kinds_are_known_and_the_first_is_meant_where_none_is_named():
    assert kind_names()[: len(KINDS)] == KINDS
    assert load(None).flow.kind == KINDS[0]
    assert len(list(kinds())) == len(kind_names())
    for name in kind_names():
        base = base_of(name)
        if base is not None:
            assert bases()[base] == name
            assert shipped(base).is_file()
    with pytest.raises(ValueError, match="no kind of flow 'other'"):
        settings_of("other")
    with pytest.raises(LookupError, match="'other'"):
        kind_named("other")


def test_nothing_that_decisions_may_say_was_said_yet_and_several_lines_are_announced(settings):
    machine = build_machine(settings)
    assert actions_of(settings)
    assert not any(machine.counts.get(action) for action in actions_of(settings))
    asked = Counter(each.on for each in getattr(settings, "decisions", {}).values())
    assert machine.several == any(count > 1 for count in asked.values())


def test_what_asks_and_what_outcomes_are_about_are_types_of_the_contract(settings):
    kind, types = kind_of(settings), contract_of(settings.events).types
    assert kind.asked_by(settings)
    assert {*kind.asked_by(settings), *kind.personal(settings).about} <= set(types)


def test_no_column_of_its_table_stands_twice(settings):
    names = [column.name for column in columns_of(kind_of(settings).layout(settings))]
    assert len(names) == len(set(names))
    assert names[0] == "decision_id"


def test_schemas_and_ids_have_the_same_names(settings):
    kind = kind_of(settings)
    assert list(kind.decision_schemas(settings)) in ([], list(kind.names(settings)))


def test_before_anything_came_there_is_nothing_to_tell_of_quality(settings):
    kind = kind_of(settings)
    evaluation = kind.evaluation
    assert evaluation.run(settings).told() is None
    assert evaluation.window(10).copy().quality() is None
    assert evaluation.together([]) is None
    assert "-" in kind.view.quality(None, evaluation.by)
    assert kind.view.evaluated(None) == ""


def test_to_ask_a_kind_loads_nothing_that_takes_long():
    program = (
        "import sys, headrace.flows.kinds\nfrom headrace.shard.kinds import kinds\n"
        f"assert len(list(kinds())) >= {len(KINDS)}\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=600, check=True
    )
    assert ended.stdout.strip() == "[]"
