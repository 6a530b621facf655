"""Which payments a report compares and evaluates, and what it says of those that nobody knows about."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from xml.etree import ElementTree as ET

import numpy as np
import orjson
import pytest
from rich.console import Console

from headrace.config.canonical import digest
from headrace.config.loading import load
from headrace.kinds.fraud import replay_words as words
from headrace.kinds.fraud.replay_changes import Replayed
from headrace.kinds.fraud.replay_page import report_page
from headrace.kinds.fraud.replay_report import report_of
from headrace.kinds.fraud.replay_rows import UNKNOWN, Example, Payments
from headrace.kinds.fraud.replay_view import report_plain, report_view
from headrace.replay.charts import Pair, bar_chart, interval_chart, recall_chart
from headrace.replay.options import Options
from headrace.replay.past import Recorded
from headrace.replay.words import day

DAY_MS = 86_400_000
START_MS = 1_700_006_400_000  # a midnight
DAYS = 40
OPTIONS = Options(cost={}, resamples=20)
SETTINGS = load(None)
RECORDED = [Recorded(0, SETTINGS, digest(SETTINGS), True, "0.1.0", "3.12.1 x86_64 2.36")]
APPROVE, REVIEW, BLOCK = range(3)
SHARES = {name: words.MEASURED[name] for name in ("precision", "recall", "average_precision")}


def payments(**changes) -> Payments:
    """Two a day, at 0:00 and 12:00, of 10.00 and 20.00; every tenth is a fraud; both sides approve."""
    count = 2 * DAYS
    every = np.arange(count)
    columns = Payments(
        time_ms=START_MS + every * DAY_MS // 2,
        amount=np.where(every % 2, 20.0, 10.0),
        customer=every % 7,
        old_action=np.zeros(count, dtype=np.int64),
        new_action=np.zeros(count, dtype=np.int64),
        old_score=np.full(count, 0.1),
        new_score=np.full(count, 0.2),
        stopped=np.zeros(count, dtype=np.bool_),
        label=(every % 10 == 0).astype(np.int64),
    )
    return columns._replace(**changes)


def replayed(**changes) -> Replayed:
    return Replayed(
        payments=changes.pop("payments", payments()),
        examples=changes.pop("examples", {}),
        delays_ms=changes.pop("delays_ms", np.full(100, 3 * DAY_MS)),
        inputs=100,
        ordinal_first=0,
        ordinal_next=100,
        now_ms=START_MS + DAYS * DAY_MS,
        erased=0,
        erased_decisions=0,
        old_only={},
        new_only=0,
        withheld=0,
        commands=0,
        commands_refused=0,
        lists_left_out=0,
        counts={},
    )


def report(settings=SETTINGS, recorded=RECORDED, options=OPTIONS, **changes):
    return report_of(replayed(**changes), recorded, settings, options)


def example(event_id: str, day: int, amount: float, old: float, new: float) -> Example:
    def said(score, action):
        reasons = [{"code": "high_amount", "contribution": 1.5}, {"code": "rule_code", "contribution": None}]
        return {"action": action, "score": score, "reasons": reasons, "policy": None}

    at = START_MS + day * DAY_MS
    return Example(event_id, at, "c-1", "m-1", amount, said(old, "approve"), said(new, "block"), 1)


# -- which payments count


def test_a_third_is_warm_up_and_the_youngest_are_not_evaluated():
    found = report()
    assert (found.period.warm_up_days, found.period.from_ms) == (13, START_MS + 13 * DAY_MS)
    assert (found.period.horizon_days, found.period.horizon_from) == (3, "delays")
    assert found.compared == 2 * (DAYS - 13)
    # At noon of the third day before the end the horizon has not passed; at its midnight it has.
    assert found.evaluated == 2 * (DAYS - 13 - 3) + 1
    assert found.unknown.not_due == 5
    assert found.frauds == sum(1 for number in range(26, 75) if number % 10 == 0)


def test_what_is_given_goes_before():
    found = report(options=replace(OPTIONS, warm_up_days=0, horizon_days=10))
    assert (found.compared, found.evaluated) == (2 * DAYS, 2 * (DAYS - 10) + 1)
    assert found.period.horizon_from == "given"


def test_the_warm_up_is_28_days_of_a_long_past():
    found = replayed(payments=payments(time_ms=START_MS + np.arange(2 * DAYS) * 2 * DAY_MS))
    found.now_ms = START_MS + 4 * DAYS * DAY_MS
    assert report_of(found, RECORDED, SETTINGS, OPTIONS).period.warm_up_days == 28


def test_the_horizon_is_when_95_of_100_outcomes_had_come():
    delays = np.array([DAY_MS] * 94 + [5 * DAY_MS + 1] * 6)
    assert report(delays_ms=delays).period.horizon_days == 6
    assert report(delays_ms=delays[:0]).period.horizon_days == 0


def test_a_time_that_no_clock_accepted_counts_nowhere():
    times = payments().time_ms.copy()
    times[5] = START_MS + 1000 * DAY_MS
    found = report(payments=payments(time_ms=times))
    assert found.period.last_ms < START_MS + DAYS * DAY_MS
    assert found.compared == 2 * (DAYS - 13)


# -- decisions


def test_the_matrix_counts_what_is_behind_the_warm_up():
    new, old = payments().new_action.copy(), payments().old_action.copy()
    new[[0, 40, 41, 79]] = BLOCK
    old[[41, 50]] = REVIEW
    found = report(payments=payments(new_action=new, old_action=old)).matrix
    assert found.payments == [[54 - 4, 0, 2], [1, 0, 1], [0, 0, 0]]
    assert found.amounts[0][2] == 10.0 + 20.0
    assert found.amounts[1] == [10.0, 0.0, 20.0]
    assert (found.changed, found.changed_amount) == (4, 60.0)


def test_cost_is_charged_by_the_outcome():
    # Payment 40 is a fraud of 10.00, 41 is legitimate, 20.00; both are behind the warm-up and old enough.
    before = report().quality["cost"]
    frauds = [number for number in range(26, 75) if number % 10 == 0]
    assert before.old.value == before.new.value == 10.0 * len(frauds)
    new = payments().new_action.copy()
    new[[40, 41]] = BLOCK
    after = report(payments=payments(new_action=new)).quality["cost"]
    assert after.difference.value == pytest.approx(-10.0 + 10.0 + 0.1 * 20.0)
    new[[40, 41]] = REVIEW
    assert report(payments=payments(new_action=new)).quality["cost"].difference.value == pytest.approx(0.0)


def test_costs_are_the_new_ones_or_the_old_ones_and_what_is_given_goes_before():
    with_cost = load(None, ["policy.cost.review_cost=2.0"])
    recorded = [Recorded(0, with_cost, "d", True, "0.1.0", None)]
    other = load(None, ["policy.cost.review_cost=9.0"])
    assert report().costs.origin == "default"
    assert report(recorded=recorded).costs[0].review_cost == 2.0
    assert report(settings=other, recorded=recorded).costs[0].review_cost == 9.0
    given = replace(OPTIONS, cost={"review_cost": 1.0})
    assert report(settings=other, options=given).costs[0].review_cost == 1.0
    assert "given: review_cost" in report(options=given).costs.origin


def test_weeks_add_up_to_the_whole():
    new = payments().new_action.copy()
    new[::3] = BLOCK
    found = report(payments=payments(new_action=new))
    assert sum(week.payments for week in found.weeks) == found.evaluated
    assert sum(week.frauds for week in found.weeks) == found.frauds
    assert sum(week.cost.new for week in found.weeks) == pytest.approx(found.quality["cost"].new.value)
    assert [week.payments for week in found.weeks] == [14, 14, 14, 7]


# -- what nobody knows


def test_stopped_and_silent_payments_are_not_evaluated_but_bounded():
    label, stopped, old = payments().label.copy(), payments().stopped.copy(), payments().old_action.copy()
    label[[40, 41, 43, 78]] = UNKNOWN
    stopped[[40, 41]], old[[40, 41]] = True, BLOCK
    found = report(payments=payments(label=label, stopped=stopped, old_action=old))
    unknown = found.unknown
    assert (unknown.stopped, unknown.stopped_amount) == (2, 30.0)
    assert (unknown.silent, unknown.silent_amount) == (1, 20.0)
    assert (unknown.not_due, unknown.not_due_without) == (5, 1)
    assert found.evaluated == 49 - 3
    legitimate, fraud = found.if_legitimate["cost"], found.if_fraud["cost"]
    known = found.quality["cost"].old.value
    assert legitimate.old.value == pytest.approx(known + 2 * 10.0 + 0.1 * 30.0)
    assert fraud.old.value == pytest.approx(known + 20.0)
    assert legitimate.new.value == pytest.approx(known)
    assert fraud.new.value == pytest.approx(known + 50.0)
    assert found.if_fraud["precision"].old.value == 1.0
    assert found.if_legitimate["precision"].old.value == 0.0
    assert found.quality["precision"].old.value is None


def test_silence_counts_as_legitimate_where_a_configuration_says_so_but_not_of_the_stopped():
    label, stopped = payments().label.copy(), payments().stopped.copy()
    label[[40, 41]], stopped[40] = UNKNOWN, True
    assuming = load(None, ["outcomes.legitimate_after_days=4.5"])
    found = report(settings=assuming, payments=payments(label=label, stopped=stopped))
    assert (found.period.horizon_days, found.period.horizon_from) == (5, "legitimate_after_days")
    assert (found.unknown.assumed_legitimate, found.unknown.silent, found.unknown.stopped) == (1, 0, 1)


def test_outcomes_that_production_would_not_have_had_are_counted():
    new = payments().new_action.copy()
    new[:10] = BLOCK
    stopped = payments().stopped.copy()
    stopped[:2] = True
    given = payments(new_action=new, stopped=stopped)
    assert report(payments=given).learned_beyond == 8
    withholding = load(None, ["outcomes.withhold_blocked=true"])
    assert report(settings=withholding, payments=given).learned_beyond == 0


# -- examples and words


def test_examples_come_from_behind_the_warm_up_the_largest_first():
    days = {
        START_MS // DAY_MS + day: {
            "amount": [example(f"p{day}", day, 10.0 * day, 0.1, 0.9)],
            "score": [example(f"p{day}", day, 1.0, 0.1, 0.1 + day / 100)],
        }
        for day in (5, 20, 30, 25)
    }
    found = report(examples=days, options=replace(OPTIONS, examples_max=2))
    assert [each.event_id for each in found.by_amount] == ["p30", "p25"]
    assert [each.event_id for each in found.by_score] == ["p30", "p25"]


def test_a_score_that_did_not_change_is_no_example_of_a_change():
    day = START_MS // DAY_MS + 20
    same = [example("p", 20, 10.0, 0.5, 0.5)]
    found = report(examples={day: {"amount": same, "score": same}})
    assert (len(found.by_amount), len(found.by_score)) == (1, 0)


@pytest.fixture
def rich_report():
    new, stopped = payments().new_action.copy(), payments().stopped.copy()
    new[::3], stopped[40] = BLOCK, True
    label = payments().label.copy()
    label[[40, 41]] = UNKNOWN
    hostile = example('<script>alert("x")</script>[red]', 20, 10.0, 0.5, 0.6)
    found = report(
        payments=payments(new_action=new, stopped=stopped, label=label),
        examples={START_MS // DAY_MS + 20: {"amount": [hostile], "score": [hostile]}},
    )
    found.replayed.erased, found.replayed.old_only = 3, {"other_currency": 2, "duplicate": 1}
    return found


def test_the_page_is_one_file_that_runs_nothing_and_escapes_what_events_hold(rich_report):
    page = report_page(rich_report)
    assert "<script" not in page
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;[red]" in page
    assert "://" not in page
    assert " src=" not in page
    assert "default-src 'none'" in page
    for sentence in (*words.period(rich_report), *words.unknowns(rich_report)):
        assert sentence in page


def test_the_page_is_well_formed(rich_report):
    page = report_page(rich_report).replace("<!doctype html>", "").replace("<br>", "<br/>")
    head, body = page.split("<body>")
    assert head.count("<meta ") == 3
    root = ET.fromstring("<body>" + body.removesuffix("</html>\n"))
    assert {part.tag for part in root.iter()} >= {"h1", "h2", "table", "svg", "polyline"}


def test_charts_stay_within_their_frame(rich_report):
    charts = (
        interval_chart(rich_report.quality, SHARES),
        recall_chart(rich_report.curves),
        bar_chart([Pair(day(week.from_ms), *week.cost) for week in rich_report.weeks], "Cost by week"),
    )
    for chart in charts:
        root = ET.fromstring(chart)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        for part in root.iter():
            for name, value in part.attrib.items():
                if name in {"x", "x1", "x2", "cx"}:
                    assert 0 <= float(value) <= width
                elif name in {"y", "y1", "y2", "cy"}:
                    assert 0 <= float(value) <= height
    assert interval_chart(rich_report.quality, SHARES).count("<circle") == 5  # the old side flags nothing


def test_the_terminal_shows_texts_of_events_as_they_are(rich_report):
    console = Console(width=200, record=True, file=StringIO())
    console.print(report_view(rich_report))
    text = console.export_text()
    assert '<script>alert("x")</script>[red]' in text
    assert "by the default [policy.cost]" in text
    assert "3 records were erased" in text
    assert "2 payments were decided then, but are dead letters (other_currency) now." in text


def test_json_has_everything_as_plain_values(rich_report):
    said = json.loads(orjson.dumps(report_plain(rich_report)))
    assert said["changed"]["payments"] == rich_report.matrix.payments
    assert said["quality"]["cost"]["old"]["low"] == rich_report.quality["cost"].old.low
    assert said["quality"]["precision"]["old"]["value"] is None
    assert said["unknown"]["stopped"] == 1
    assert said["not_comparable"]["erased"] == 3
    assert said["old"][0]["platform"] == "3.12.1 x86_64 2.36"
    assert said["examples"]["amount"][0]["new"]["action"] == "block"


def test_nothing_at_all_is_told_without_failing():
    nothing = Payments(*(getattr(payments(), name)[:0] for name in Payments._fields))
    found = report(payments=nothing, delays_ms=np.zeros(0))
    assert (found.payments, found.evaluated) == (0, 0)
    assert "No payment was decided by both" in report_page(found)
    assert json.loads(orjson.dumps(report_plain(found)))["quality"]["recall"]["new"]["value"] is None
