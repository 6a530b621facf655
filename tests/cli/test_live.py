"""What a person sees of a run: rates, time left, plain lines, and the panel."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from headrace.cli.live import LivePanel, PlainLines, view, views
from headrace.cli.run_lines import Rate, duration_text, eta_s, progress_line, summary_lines
from headrace.config.fraud_flow import FraudSettings
from headrace.operators.decisions.prequential import Quality
from headrace.runtime.runs import Latency, Progress, RunRequest, RunSummary

REQUEST = RunRequest(
    flow="fraud",
    sources=("a.jsonl", "b.jsonl"),
    to="d.jsonl",
    dead_letters=None,
    state=None,
    settings=FraudSettings(),
    config_file=None,
    speed=None,
    learn=True,
)
HALFWAY = Progress(
    inputs=120_000,
    decisions=80_000,
    by_action={"approve": 78_000, "review": 1_500, "block": 500},
    dead_letters=3,
    duplicates=2,
    outcomes_matched=70_000,
    bytes_read=400,
    bytes_total=1000,
    elapsed_s=10.0,
    latency=Latency(1.2, 3.4, 9.9),
    event_time_ms=1_718_000_000_000,
    reasons={"few": 1, "b_many": 9, "a_many": 9},
    quality=Quality(0.92, 0.71, 700, 70_000)._asdict(),
    pending=400,
)


def console(width: int = 120, *, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)


def said(where: Console) -> str:
    return where.file.getvalue()


def test_time_left_goes_by_bytes():
    assert eta_s(HALFWAY) == pytest.approx(15.0)
    assert eta_s(replace(HALFWAY, bytes_total=None)) is None
    assert eta_s(replace(HALFWAY, bytes_read=0)) is None
    assert eta_s(replace(HALFWAY, bytes_read=1200)) == 0.0


def test_the_rate_is_that_of_the_last_seconds():
    rate = Rate()
    for second in range(1, 11):
        slow = rate.update(Progress(elapsed_s=float(second), inputs=100 * second))
    assert slow == pytest.approx(100.0)
    for second in range(11, 21):
        fast = rate.update(Progress(elapsed_s=float(second), inputs=1000 + 500 * (second - 10)))
    assert fast == pytest.approx(500.0)


def test_a_rate_before_any_time_has_passed():
    assert Rate().update(Progress()) == 0.0


def test_a_line_says_how_far_a_run_has_come():
    assert progress_line(REQUEST, HALFWAY, 12_345.0) == (
        "40% | 80,000 decisions | 12,345 events/s | approve 97.5% | review 1.9% | block 0.6%"
        " | average precision 0.710, AUC 0.920 against outcomes"
        " | p50 1.20 ms, p99 3.40 ms, p99.9 9.90 ms | 15 s left"
    )


def test_a_line_at_the_very_start():
    assert progress_line(replace(REQUEST, truth=Path("t.csv")), Progress(), 0.0) == (
        "0 decisions | 0 events/s | approve - | review - | block - | quality - (no truth yet) | latency -"
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (61, "1 min 01 s"), (7260, "2 h 01 min")]
)
def test_durations(seconds, text):
    assert duration_text(seconds) == text


def test_plain_lines_come_every_few_seconds():
    where = console()
    with PlainLines(where, every_s=5.0) as plain:
        plain.started(REQUEST)
        for tenth in range(160):
            plain.progress(replace(HALFWAY, elapsed_s=tenth / 10))
    lines = said(where).splitlines()
    assert lines[0] == "fraud: a.jsonl, b.jsonl to d.jsonl"
    assert len(lines) == 1 + 3


def test_plain_text_is_left_as_it_is():
    where = console(width=20)
    PlainLines(where).warning("journal [bold]tail[/bold] of 17 bytes cut off")
    assert said(where) == "warning: journal [bold]tail[/bold] of 17 bytes cut off\n"


def test_the_summary():
    against = "against truth (700 frauds among the last 70,000 evaluated)"
    summary = RunSummary(progress=HALFWAY, seconds=10.0, dead_letters="d.dead")
    request = replace(REQUEST, truth=Path("t.csv"), state=Path("S"))
    assert list(summary_lines(request, summary)) == [
        "120,000 events in 10.0 s, 12,000 a second",
        "80,000 decisions (78,000 approve, 1,500 review, 500 block) in d.jsonl",
        "70,000 outcomes matched, 0 not; 0 corrections, 0 too late; 400 payments wait",
        "2 duplicates, 3 dead letters in d.dead",
        f"quality: average precision 0.710, AUC 0.920 {against}",
        "latency: p50 1.20 ms, p99 3.40 ms, p99.9 9.90 ms",
        "state: S",
    ]


def test_files_read_as_fast_as_possible_have_no_latency_but_a_batchs(tmp_path):
    read = tmp_path / "a.jsonl"
    read.touch()
    request = replace(REQUEST, sources=(str(read),))
    summary = RunSummary(progress=HALFWAY, seconds=10.0)
    assert "batch latency: p50 1.20 ms, p99 3.40 ms, p99.9 9.90 ms" in list(summary_lines(request, summary))
    assert "latency: p50 1.20 ms, p99 3.40 ms, p99.9 9.90 ms" in list(
        summary_lines(replace(request, speed=10.0), summary)
    )
    for asked, shown in ((request, False), (replace(request, speed=10.0), True)):
        for where in (console(terminal=True), console()):
            with view(where, "d.jsonl") as seen:
                seen.started(asked)
                seen.progress(HALFWAY)
                assert ("3.40" in said(where)) is shown


def test_the_summary_of_an_empty_run():
    lines = list(summary_lines(replace(REQUEST, to="-"), RunSummary(progress=Progress(), seconds=0.0)))
    assert lines[0] == "0 events in 0.0 s, 0 a second"
    assert lines[1].endswith("in standard output")


def test_the_panel_shows_it_all_and_leaves_the_summary():
    where = console(terminal=True)
    with LivePanel(where) as panel:
        panel.started(REQUEST)
        panel.progress(HALFWAY)
        drawn = said(where)
        panel.warning("a [torn] tail")
        panel.finished(RunSummary(progress=HALFWAY, seconds=10.0))
    for part in ("headrace fraud", "40%", "80,000", "97.5%", "0.710", "0.920", "1.20, 3.40 ms", "2024-06-10"):
        assert part in drawn, part
    assert re.search(r"a_many +9.*\n.*b_many +9.*\n.*few +1", drawn)
    assert "warning: a [torn] tail" in said(where)
    assert "12,000 a second" in said(where).removeprefix(drawn)


@pytest.mark.parametrize(("width", "across"), [(140, 3), (80, 2), (50, 1)])
def test_the_panel_breaks_no_label(width, across):
    where = console(width, terminal=True)
    with LivePanel(where) as panel:
        panel.started(REQUEST)
        panel.progress(HALFWAY)
        drawn = said(where).rpartition("headrace fraud")[2]
    labels = ("decisions", "against outcomes", "reasons")
    assert len({drawn[: drawn.index(label)].count("\n") for label in labels}) == 4 - across
    for label in (
        "dead letters",
        "average precision",
        "latency p50, p99",
        "1.20, 3.40 ms",
        "outcomes, pending",
    ):
        assert label in drawn, label
    assert "events/s" in drawn
    assert all(len(line) <= width for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn).splitlines())


def test_the_panel_draws_ten_times_a_second_at_most(monkeypatch):
    panel, drawn = LivePanel(console(terminal=True)), []
    monkeypatch.setattr(panel, "draw", lambda: drawn.append(panel))
    for millisecond in range(1000):
        panel.progress(Progress(elapsed_s=millisecond / 1000))
    assert len(drawn) == 10


def test_the_cursor_comes_back_after_an_error():
    where, shown = console(terminal=True), "\x1b[?25h"
    panel = LivePanel(where)
    with pytest.raises(KeyboardInterrupt), panel:
        interrupted(panel)
    assert said(where).index("headrace fraud") < said(where).index(shown)


def interrupted(panel):
    panel.started(REQUEST)
    raise KeyboardInterrupt


def test_the_view_fits_where_it_is_shown(monkeypatch):
    assert isinstance(view(console(terminal=True), "d.jsonl"), LivePanel)
    assert isinstance(view(console(), "d.jsonl"), PlainLines)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert isinstance(view(console(terminal=True), "-"), PlainLines)


def test_two_runs_share_a_panel_until_both_have_ended():
    where = console(120, terminal=True)
    slates = replace(
        HALFWAY, by_action={"recommend": 900, "none": 100}, decisions=1000, reasons={}, quality=None
    )
    with views(where) as (watching, beside):
        watching.started(replace(REQUEST, flow="recommend"))
        beside.started(REQUEST)
        watching.progress(slates)
        beside.progress(replace(HALFWAY, elapsed_s=20.0))
        watching.finished(RunSummary(progress=slates, seconds=1.0))
        assert "events in" not in said(where)  # the other one goes on
        drawn = said(where)
        beside.finished(RunSummary(progress=HALFWAY, seconds=2.0))
    for text in ("headrace recommend", "headrace fraud", "against next clicks", "HR, MRR"):
        assert text in drawn
    ended = said(where)[len(drawn) :]
    summaries = ended[ended.rindex("recommend\n") :]
    assert summaries.index("in 1.0 s") < summaries.index("fraud\n") < summaries.index("in 2.0 s")


def test_two_runs_without_a_terminal_write_lines():
    where = console()
    with views(where) as (watching, beside):
        watching.started(replace(REQUEST, flow="recommend"))
        beside.started(REQUEST)
    assert said(where).count("a.jsonl, b.jsonl to d.jsonl") == 2
