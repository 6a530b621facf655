"""What a terminal gets: nothing of what came from outside acts on it."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.live import Live
from rich.table import Table
from rich.text import Text

from headrace.cli import terminal
from headrace.config.printable import html_text, json_text, printable, printable_lines

SOURCES = Path(terminal.__file__).parent
ACTING = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
HOSTILE = "c\x1b[31m\x1b]0;title\x07\x9b2J\r\u202egnp\u2066\udcff[bold]x[/bold] :smile:"


@given(text=st.text(st.characters(), max_size=60))
def test_nothing_that_acts_is_left(text: str) -> None:
    assert not ACTING.search(printable_lines(text))
    assert not ACTING.search(html_text(text))
    assert "\n" not in printable(text)
    assert printable_lines(text).count("\n") == text.count("\n")


@given(value=st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=5))
def test_json_says_the_same(value: dict[str, str]) -> None:
    said = json_text(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(said) == value
    assert not ACTING.search(said)


def test_what_is_harmless_stays() -> None:
    text = "Jürgen Müller, 東京 [c-1] €5 \\x1b C:\\temp 👍"
    assert printable(text) == json_text(text) == text


def test_escapes_are_told_from_nothing() -> None:
    assert printable("a\x1b\n\x9b\u202e\U000e0041\udcff") == r"a\x1b\x0a\x9b\u202e\U000e0041\udcff"


def test_a_console_shows_it_and_still_draws_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    console = terminal.console_of(file=out, force_terminal=True, color_system="standard", width=300)
    table = Table("id")
    table.add_row(HOSTILE)
    table.add_row(Text(printable(HOSTILE), style="red"))
    console.print(HOSTILE, table, Text(HOSTILE, style="bold"))
    with Live(console=console, auto_refresh=False) as live:
        live.update(Text(HOSTILE), refresh=True)
    written = out.getvalue()
    assert written.count("[bold]x[/bold] :smile:") >= 5
    assert re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written).count("\x1b") == 0  # only styles and the cursor
    assert "\x1b[31m\x1b]0" not in written
    assert not set("\x07\x9b\u202e\udcff") & set(written)
    assert "\x1b[1m" in written


def test_the_log_and_a_traceback_are_guarded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    terminal.guard()
    error = ValueError(HOSTILE)
    sys.excepthook(ValueError, error, None)
    record = logging.makeLogRecord({"msg": "of %s", "args": (HOSTILE,), "levelno": logging.WARNING})
    assert logging.lastResort is not None
    logging.lastResort.handle(record)
    said = capsys.readouterr().err
    assert said.count(r"\x1b]0;title") == 2
    assert not ACTING.search(said)


def test_there_is_no_other_way_to_a_terminal() -> None:
    """Whoever prints goes through `terminal`, where it is one piece of code."""
    others = re.compile(
        r"typer\.echo|click\.echo|typer\.secho|(?<!_)\bprint\(|\bConsole\(|sys\.std(out|err)\.write"
    )
    allowed = {"terminal.py", "__main__.py"}
    found = []
    for folder in (SOURCES, SOURCES / "operators", SOURCES / "config", SOURCES / "flows"):
        for path in folder.rglob("*.py") if folder != SOURCES else folder.glob("*.py"):
            for line in path.read_text().splitlines():
                code = line.split(">>>")[0] if "..." not in line else ""
                if path.name not in allowed and others.search(
                    re.sub(r"console\.print\(|console_of\(\)\.print\(", "", code)
                ):
                    found.append(f"{path.name}: {line.strip()}")
    assert found == []
