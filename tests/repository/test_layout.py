"""The house stands as docs/architecture.md says: names, links, what imports what, what is installed."""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from importlib import metadata, resources
from pathlib import Path

import pytest

import headrace
from headrace import errors

ROOT = Path(__file__).resolve().parents[2]
LINKED = ("flows", "operators", "config")
EDGE = ("bytewax", "confluent_kafka", "prometheus_client")
EDGE_MODULES = (
    "headrace.kafka",
    "headrace.metrics.exposition",
    "headrace.dataflow.by_shard",
    "headrace.dataflow.file_source",
    "headrace.dataflow.ordered_sink",
    "headrace.dataflow.shard",
    "headrace.dataflow.topic_steps",
)
PURE = ("headrace.operators", "headrace.config", "headrace.errors")
SLOW_TO_IMPORT = ("river", "sklearn", "scipy", "pandas")
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(headrace.__path__, "headrace.")
    if not module.name.endswith("__main__")
)
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def source_of(module: str) -> Path:
    path = ROOT / "src" / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def loaded_by(modules: list[str]) -> set[str]:
    """Top-level packages that a fresh Python holds after importing `modules`."""
    code = f"import sys, {', '.join(modules)}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("name", LINKED)
def test_a_top_level_folder_is_linked_in_relatively(name):
    link = ROOT / "src" / "headrace" / name
    assert link.is_symlink()
    assert link.readlink() == Path("../..") / name
    assert link.resolve() == ROOT / name


@pytest.mark.parametrize("name", LINKED)
def test_generic_names_are_not_claimed(name):
    assert name not in loaded_by(["headrace", f"headrace.{name}"])


def test_every_file_of_the_linked_folders_has_a_name_below_headrace():
    files = {path for name in LINKED for path in (ROOT / name).rglob("*.py")}
    assert len(files) > len(LINKED)
    assert files - {source_of(module).resolve() for module in MODULES} == set()


def test_pure_logic_runs_without_the_edge():
    pure = [m for m in MODULES if m.startswith(PURE) and not m.startswith(EDGE_MODULES)]
    assert "headrace.operators.events.contract" in pure
    assert loaded_by(pure).isdisjoint(EDGE)


def test_importing_everything_loads_no_model_library():
    assert loaded_by([m for m in MODULES if not m.startswith(EDGE_MODULES)]).isdisjoint(SLOW_TO_IMPORT)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_opens_with_one_sentence(module):
    doc = ast.get_docstring(ast.parse(source_of(module).read_text()))
    assert doc, "no docstring"
    first = doc.split("\n\n")[0]
    assert first.endswith((".", ".\n::")), first
    assert len(re.findall(r"\.(?:\s|$)", first)) == 1, first


@pytest.mark.parametrize("module", MODULES)
def test_what_a_module_offers_exists(module):
    offered = getattr(importlib.import_module(module), "__all__", [])
    assert len(offered) == len(set(offered))
    there = importlib.import_module(module)
    assert [name for name in offered if not hasattr(there, name) and f"{module}.{name}" not in MODULES] == []


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_hold(module):
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_no_module_is_named_for_nothing():
    words = {word for module in MODULES for part in module.split(".") for word in part.split("_")}
    assert words.isdisjoint({"util", "utils", "helper", "helpers", "common", "misc", "manager"})


def test_the_errors_are_these():
    assert errors.__all__ == [
        "BrokerError",
        "BrokerRefused",
        "BrokerUnreachable",
        "ChangedSource",
        "CheckpointDamaged",
        "ConfigError",
        "DecisionsDiffer",
        "DeliveryFailed",
        "DiskFull",
        "ErasureUnfinished",
        "ErasureUnsure",
        "HeadraceError",
        "Incompatible",
        "InputError",
        "InputFailed",
        "Interrupted",
        "Invalid",
        "JournalDamaged",
        "NothingUsable",
        "OffsetLost",
        "ReaderGone",
        "StateError",
        "StateLocked",
        "StateMismatch",
        "TopicMismatch",
        "TruncatedInput",
        "UnknownDecision",
    ]


def test_every_error_ends_the_command_with_the_code_that_is_documented():
    drawn = dict(re.findall(r"(\w+) +exit (\d+)", errors.__doc__ or ""))
    names = [name for name in errors.__all__ if name not in {"Invalid", "HeadraceError"}]
    raised = {name: getattr(errors, name) for name in names}
    assert {name: str(error.exit_code) for name, error in raised.items()} == drawn
    assert all(issubclass(error, errors.HeadraceError) for error in raised.values())


def test_what_is_installed_is_this():
    installed = metadata.metadata("headrace")
    assert installed["Version"] == headrace.__version__
    assert installed["Requires-Python"] == "<3.13,>=3.11"
    (script,) = metadata.entry_points(group="console_scripts", name="headrace")
    assert script.value == "headrace.__main__:main"
    assert resources.files("headrace").joinpath("py.typed").is_file()


def test_the_changelog_tells_of_this_version():
    assert f"## [{headrace.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_lock_pins_everything_by_hash_and_names_no_index():
    lock = (ROOT / "requirements.txt").read_text()
    assert "://" not in lock
    assert not re.search(r"^--|^-[a-z]", lock, re.MULTILINE)
    pinned = re.split(r"\n(?=\S)", lock.strip())
    assert all(re.match(r"[a-z0-9._-]+==\S+", one) and "--hash=sha256:" in one for one in pinned)


def test_the_lock_holds_every_direct_dependency():
    lock = (ROOT / "requirements.txt").read_text()
    optional = PYPROJECT["project"]["optional-dependencies"].values()
    direct = PYPROJECT["project"]["dependencies"] + [one for group in optional for one in group]
    names = {re.split(r"[<>=\[]", one)[0] for one in direct} - {"headrace"}
    assert {name for name in names if not re.search(rf"^{name}==", lock, re.MULTILINE)} == set()
