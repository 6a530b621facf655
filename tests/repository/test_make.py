"""`make` empties no folder but its own: not through a link, nor one outside, nor one of another kind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GIVE_UP_S = 600

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def checkout(tmp_path) -> Path:
    """As much of a checkout as `make` needs to begin."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture
def own(tmp_path) -> Path:
    """Somebody's own folder."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    return folder


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    kept.pop("VENV", None)
    return subprocess.run(
        ["make", "--no-print-directory", *arguments, f"PYTHON={sys.executable}"],
        cwd=checkout,
        env=kept,
        capture_output=True,
        text=True,
        check=False,
        timeout=GIVE_UP_S,
    )


def in_the_way(checkout: Path, own: Path, how: str) -> str:
    """Put something in the way of the virtual environment; return the `VENV` that names it."""
    if how == "another folder":
        (checkout / "src").mkdir()
        (checkout / "src" / "code.py").touch()
        return "src"
    if how == "outside":
        (own / "pyvenv.cfg").touch()
        return str(own)
    if how == "the checkout":
        return "."
    (checkout / ".venv").symlink_to(own)
    if how == "below a link":
        (own / "venv").mkdir()
        (own / "venv" / "pyvenv.cfg").touch()
        return ".venv/venv"
    return ".venv/" if how == "link with a slash" else ".venv"


EVERY = pytest.mark.parametrize(
    ("how", "why"),
    [
        ("link", "is a link to"),
        ("link with a slash", "is a link to"),
        ("below a link", "is outside of this checkout"),
        ("outside", "is outside of this checkout"),
        ("another folder", "is no virtual environment"),
        ("the checkout", "is outside of this checkout"),
    ],
)


@EVERY
def test_no_environment_is_made_in_the_place_of_something_else(checkout, own, how, why):
    venv = in_the_way(checkout, own, how)
    before = sorted(checkout.rglob("*")), sorted(own.rglob("*"))
    made = make(checkout, f"{venv}/.installed", f"VENV={venv}")
    assert made.returncode, made.stdout
    assert why in made.stderr
    assert "VENV=" in made.stderr
    assert (sorted(checkout.rglob("*")), sorted(own.rglob("*"))) == before


@EVERY
def test_clean_leaves_something_else_alone(checkout, own, how, why):
    venv = in_the_way(checkout, own, how)
    (checkout / "build").mkdir()
    before = sorted(own.rglob("*"))
    cleaned = make(checkout, "clean", f"VENV={venv}")
    assert cleaned.returncode, cleaned.stdout
    assert why in cleaned.stderr
    assert sorted(own.rglob("*")) == before
    assert (checkout / "Makefile").exists()
    assert (checkout / "src").exists() is (how == "another folder")
    assert not (checkout / "build").exists()


def test_clean_removes_the_environments_that_make_made(checkout):
    for name in (".venv", ".venv-3.11", "mine"):
        (checkout / name / "bin").mkdir(parents=True)
        (checkout / name / "pyvenv.cfg").touch()
    cleaned = make(checkout, "clean", "VENV=mine")
    assert cleaned.returncode == 0, cleaned.stderr
    left = sorted(path.name for path in checkout.iterdir())
    assert left == [".ci", "Makefile", "pyproject.toml", "requirements.txt"]


def test_an_environment_of_the_checkout_is_made_anew(checkout):
    (checkout / ".venv").mkdir()
    for name in ("pyvenv.cfg", "stale"):
        (checkout / ".venv" / name).touch()
    (checkout / "requirements.txt").write_text("")  # nothing to be fetched
    made = make(checkout, ".venv/.locked")
    assert made.returncode == 0, made.stderr
    assert (checkout / ".venv" / "bin" / "python").exists()
    assert not (checkout / ".venv" / "stale").exists()
