"""Draws the README's picture from a real run of the demonstration: its panel on the way, and how it ends.

python benchmarks/_picture.py docs/images/demo.svg
"""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import TerminalTheme

from headrace.cli.demo import SESSIONS, Files, make_world, request
from headrace.cli.demo_runs import beside
from headrace.cli.demo_story import show
from headrace.cli.demo_words import caught_up, live, live_opening
from headrace.cli.run_lines import Rate
from headrace.cli.run_panel import panel_of
from headrace.config.loading import load
from headrace.runtime.runs import Progress, RunRequest, RunSummary

_SEED: Final = 1
_DAYS: Final = 28  # as `headrace demo` has by itself
_SHOWN_AT: Final = 0.75
_WIDTH: Final = 112
# Of a terminal with a dark ground: ground, text, the eight colours, the eight bright ones.
_DARK: Final = "161b22 c9d1d9"
_COLOURS: Final = "484f58 ff7b72 3fb950 d29922 58a6ff bc8cff 39c5cf b1bac4"
_BRIGHT: Final = "6e7681 ffa198 56d364 e3b341 79c0ff d2a8ff 56d4dd f0f6fc"


class _Watching:
    """An observer that remembers a run as it was when three quarters of the input were read."""

    def __init__(self) -> None:
        self._speed = Rate()
        self.asked: RunRequest | None = None
        self.shown, self.rate = Progress(), 0.0

    def started(self, request: RunRequest) -> None:
        """Keep what is run."""
        self.asked = request

    def progress(self, progress: Progress) -> None:
        """Keep how far it has come, up to the moment of the picture."""
        rate = self._speed.update(progress)
        if progress.bytes_read <= _SHOWN_AT * (progress.bytes_total or 0):
            self.shown, self.rate = progress, rate

    def warning(self, message: str) -> None:
        """Nothing of it is in the picture."""

    def finished(self, summary: RunSummary) -> None:
        """Nor of this."""


def _rgb(colours: str) -> list[tuple[int, int, int]]:
    return [
        (value >> 16, value >> 8 & 255, value & 255) for value in (int(each, 16) for each in colours.split())
    ]


def _theme() -> TerminalTheme:
    ground, text = _rgb(_DARK)
    return TerminalTheme(ground, text, _rgb(_COLOURS), _rgb(_BRIGHT))


def _svg_format() -> str:
    """Rich's drawing without its font from the web: the picture is to show the same everywhere."""
    plain = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return plain.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace")


def main() -> None:
    """Run the demonstration and write the picture to the path that is given."""
    to = Path(sys.argv[1]).resolve()
    to.parent.mkdir(parents=True, exist_ok=True)
    unseen = Console(file=io.StringIO(), force_terminal=True, width=_WIDTH)
    picture = Console(file=io.StringIO(), force_terminal=True, width=_WIDTH, record=True)
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        files = Files(Path("demo"))
        files.folder.mkdir()
        made = make_world(files, _SEED, unseen, _DAYS)
        flows = {"recommend": load(None, flow="recommend"), "fraud": load(SESSIONS)}
        seen = _Watching(), _Watching()
        with beside() as pairs:
            for speed, words in ((None, caught_up), (made.speed, live)):
                recommend, fraud = (request(files, flow, each, speed) for flow, each in flows.items())
                unwatched = _Watching(), _Watching()
                summaries = pairs.run(recommend, fraud, *(seen if speed is None else unwatched))
                if speed is None:
                    for watched in seen:
                        picture.print(
                            panel_of(watched.asked, watched.shown, watched.rate, _WIDTH, close=True)
                        )
                else:
                    picture.print(live_opening(made), highlight=False)
                for asked, summary in zip((recommend, fraud), summaries, strict=True):
                    for line in words(asked, summary):
                        picture.print(line, highlight=False)
        picture.print()
        show(files, picture, made.possible)
        os.chdir(to.parent)
    picture.save_svg(
        str(to), title="headrace demo --to demo", theme=_theme(), code_format=_svg_format(), unique_id="demo"
    )


if __name__ == "__main__":
    main()
