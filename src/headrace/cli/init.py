"""The `init` command: makes a project with a flow, its environments, and tests that run it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from headrace.cli.terminal import echo
from headrace.errors import ConfigError, Invalid

__all__ = ["init"]

_TEMPLATES: Final = Path(__file__).with_name("project")
_ENDING: Final = ".template"
# Files that are hidden in a project aren't in the package, where tools would obey them.
_NAMED: Final = {"gitignore": ".gitignore"}


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder, or an empty one.")],
) -> None:
    """Make a project: a flow of your own, its environments, and a test that runs it.

    DIR gets flows/, config/, operators/, tests/, and a Makefile whose targets check, test and run the flow.
    Nothing is written into a folder that isn't empty.
    """
    _see_that_it_is_empty(folder)
    made = [_write(folder / name, text) for name, text in _files()]
    for path in made:
        echo(str(path))
    echo(f"\nnow: make -C {folder} test")


def _see_that_it_is_empty(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ConfigError([Invalid("DIR", "", f"{folder} is a file")])
    if folder.is_dir() and any(folder.iterdir()):
        raise ConfigError([Invalid("DIR", "", f"{folder} is not empty; nothing was written")])


def _files() -> Iterator[tuple[str, str]]:
    """Yield each file by its path in the project, with what it holds."""
    from headrace.config.flow_kinds import SHIPPED_ENVIRONMENT

    for file in sorted(_TEMPLATES.rglob(f"*{_ENDING}")):
        path = file.relative_to(_TEMPLATES).with_suffix("")
        yield str(path.with_name(_NAMED.get(path.name, path.name))), file.read_text(encoding="utf-8")
    production = SHIPPED_ENVIRONMENT.with_name("production.toml")
    yield f"config/{production.name}", production.read_text(encoding="utf-8")


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Never over something that came in between.
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    return path
