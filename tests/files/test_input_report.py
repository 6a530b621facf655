"""`check --against` says what of a file is no event, and whether it is in time order."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import headrace, simulated

from headrace.config.loading import load
from headrace.files.input_report import examine
from headrace.files.line_reader import LineReader
from headrace.files.time_order import Disorder, span_text

LINES = simulated(120)


def write(path: Path, lines: list[bytes]) -> Path:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def report(tmp_path: Path, lines: list[bytes], flow: str = "fraud"):
    return examine(LineReader(str(write(tmp_path / "e.jsonl", lines))), load(None, flow=flow))


def test_a_file_of_events_in_order(tmp_path):
    found = report(tmp_path, LINES)
    assert (found.lines, found.usable) == (120, 120)
    said = dict(found.said)
    assert said.keys() == {"events", "event time", "time order", "missing", "decoded"}
    assert said["time order"] == "all in order"
    assert " payment" in said["events"]


def test_lines_that_are_no_events_by_reason_with_the_first_of_each(tmp_path):
    foreign = LINES[3].replace(b'"EUR"', b'"USD"')
    found = report(tmp_path, [b"\x1b[31m", *LINES[:3], *([b"oops"] * 7), foreign])
    assert (found.lines, found.usable) == (12, 3)
    told = [words for about, words in found.said if about in {"no event", ""}]
    assert told[0] == "8 invalid_json"
    assert told[1].startswith("line 1, byte 0: JSON is malformed")
    assert told[1].endswith(r"'\x1b[31m'")
    assert [words.partition(",")[0] for words in told[1:4]] == ["line 1", "line 5", "line 6"]
    assert told[4] == "1 other_currency"
    assert "line 12" in told[5]
    # Lists are made of any event.
    assert report(tmp_path, [foreign], "recommend").usable == 1


def test_how_far_a_file_is_out_of_order(tmp_path):
    found = report(tmp_path, [LINES[100], LINES[0], LINES[0], LINES[110], LINES[101], b"oops"])
    said = [words for about, words in found.said if about == "time order"]
    assert said[0].startswith("3 of 5 came behind later ones, by up to ")
    assert ("", "the first is line 2, byte") in [(a, w[:25]) for a, w in found.said]


def test_disorder_is_counted_and_told_with_its_limit():
    day = 86_400_000
    found = Disorder()
    for at in (5 * day, 4 * day, 0):
        found = found.after(at, 5 * day, 2 * day)
    assert found == Disorder(2, 1, 5 * day)
    assert found.told(3, 2.0) == (
        "2 of 3 came behind later ones, by up to 5.0 days; 1 by more than 2 days (time.allowed_lateness_days)"
    )
    assert [span_text(ms) for ms in (0, 999, 1500, 90_000)] == [
        "0 ms",
        "999 ms",
        "1.5 seconds",
        "1.5 minutes",
    ]


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"\n".join(LINES), 0, "120 lines, 120 of them events of this flow"),
        (b"", 0, "0 lines"),
        (b"oops\n", 15, "nothing in it is an event of this flow"),
        (b"event_id,amount\np-1,5\n", 3, "looks like CSV"),
        (None, 3, "can't be read"),
    ],
)
def test_check_looks_at_files_and_ends_as_a_run_would(tmp_path, content, code, said):
    if content is not None:
        (tmp_path / "e.jsonl").write_bytes(content)
    ended = headrace("check", "--against", "e.jsonl", folder=tmp_path)
    assert ended.code == code
    assert said in ended.text + ended.said
    assert [path.name for path in tmp_path.iterdir()] == ([] if content is None else ["e.jsonl"])


def test_check_says_what_is_in_force(tmp_path):
    (tmp_path / "mine.toml").write_text("[policy]\nblock_at = 0.9\n")
    said = headrace("check", "mine.toml", folder=tmp_path).text
    assert "lies over the shipped fraud.toml; here: policy" in said
    assert "11 features" in said
    assert "review at 0.3, block at 0.9" in said
    (tmp_path / "mine.toml").write_text('extends = "none"\n[policy]\nblock_at = 0.9\n')
    assert headrace("check", "mine.toml", folder=tmp_path).code == 2
    assert "recommend, digest" in headrace("check", "--set", "flow.kind=recommend").text
