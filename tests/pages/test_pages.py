"""Every command that the pages show is run, in the order of the page, and does what the page says."""

from __future__ import annotations

import contextlib
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from broker import HOST, free_ports

sys.path.insert(0, str(Path(__file__).parent))
from markdown import LANGUAGES, ROOT, Block, blocks, pages
from scenes import SCENES
from session import commands, compare, run, script

pytestmark = pytest.mark.pages

# Blocks that this test can't run, and why; each is marked so on its page, where a reader doesn't see it.
NOT_RUN = [
    ("CONTRIBUTING.md", "the checks and the tests themselves take minutes"),
    ("README.md", "the demonstration and the tests themselves take minutes"),
    ("docs/benchmarks.md", "each takes minutes, and some need real data"),
]


def port_below_a_free_one() -> int:
    """A free port for the metrics of the first of two processes; the second one takes the next."""
    while True:
        (port,) = free_ports(1)
        with socket.socket() as second, contextlib.suppress(OSError):
            second.bind((HOST, port + 1))
            return port


def left_out() -> list[Block]:
    """The blocks of all pages that aren't run."""
    return [each for page in pages() for each in blocks(page) if each.not_run is not None]


def runs() -> list:
    """The pages with a scene, each marked for what it needs."""
    return [
        pytest.param(page, marks=[pytest.mark.broker] if scene.broker else [], id=page)
        for page, scene in SCENES.items()
    ]


def test_every_block_is_tagged_by_what_it_holds():
    assert [each.place for page in pages() for each in blocks(page) if each.language not in LANGUAGES] == []


def test_what_is_not_run_is_known():
    assert [(each.page, each.not_run) for each in left_out()] == NOT_RUN
    assert {each.language for each in left_out()} == {"sh"}


def test_every_page_with_commands_has_a_scene():
    assert {page for page in pages() if list(commands(blocks(page)))} == SCENES.keys()


@pytest.mark.parametrize("page", runs())
def test_page(page, request, tmp_path):
    scene, shown = SCENES[page], blocks(page)
    environment = {"BLOCKS": str(tmp_path / "blocks"), "TOPICS": page.rpartition("/")[2].removesuffix(".md")}
    if scene.broker:
        environment["BROKERS"] = request.getfixturevalue("broker").brokers
        environment["PORT"] = str(port_below_a_free_one())
    (tmp_path / "blocks").mkdir()
    for language in LANGUAGES:
        of_it = [each for each in shown if each.language == language]
        for number, block in enumerate(of_it, 1):
            (tmp_path / "blocks" / f"{language}-{number}").write_text(block.text)
    logs = run(page, script(scene, shown), tmp_path / "desk", environment)
    for number, block in enumerate(shown):
        if block.language == "output":
            compare(block, next(each for each in reversed(shown[:number]) if each.language == "sh"), logs)


def test_what_is_not_run_is_there_to_be_run():
    """Targets of make are known to it, and programs of Python are files that know the options shown."""
    for block in left_out():
        for line, command in block.commands():
            program, *arguments = shlex.split(command, comments=True)
            remark = command.partition("#")[2]
            if program == "make":
                subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, capture_output=True, check=True)
            else:
                text = (ROOT / arguments[0]).read_text()
                options = [each for each in [*arguments[1:], *remark.split()] if each.startswith("--")]
                assert [each for each in options if f'"{each}"' not in text] == [], f"{block.page}:{line}"
