"""What tests need that not every machine has: real data (HEADRACE_DATA is their folder), a Kafka broker."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "support"))
from broker import Broker, missing

import headrace.flows.kinds  # noqa: F401  # makes them known

pytest.register_assert_rewrite("entrances", "topic_worlds")
if TYPE_CHECKING:
    from topic_worlds import World

# The same examples each time, so that only a change can make a test fail; CI chooses `exploring`, with a seed
# that it prints. How long an example takes says nothing on a busy machine.
_PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}
settings.register_profile("repeatable", derandomize=True, **_PATIENT)
settings.register_profile("exploring", derandomize=False, **_PATIENT)
settings.load_profile("repeatable")
# Hundreds of processes are started, none of which should have to compile every module anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


_KINDS = ("unit", "operator", "property", "integration", "recovery", "acceptance", "pages")


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not any(item.get_closest_marker(kind) for kind in _KINDS):
            item.add_marker("unit")
    if not os.environ.get("HEADRACE_DATA"):
        _skip(items, "acceptance", "needs HEADRACE_DATA, the path of the folder with the real data")
    lacking = missing()
    # CI must not pass because it can't have a broker.
    if lacking and os.environ.get("CI") != "true":
        _skip(items, "broker", lacking)


def _skip(items: list[pytest.Item], marker: str, reason: str) -> None:
    for item in items:
        if item.get_closest_marker(marker):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def headrace_data() -> Path:
    """The folder with the real data; a test that asks for it is marked `acceptance`."""
    return Path(os.environ["HEADRACE_DATA"])


@pytest.fixture(scope="module")
def benchmark_named() -> Iterator[Callable[[str], ModuleType]]:
    """Imports a module of the benchmarks by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
        yield importlib.import_module


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """A Kafka broker that all tests share, each with topics of its own; such a test is marked `broker`."""
    with _started() as started:
        yield started


@pytest.fixture(scope="session")
def _lent() -> Iterator[Broker]:
    with _started() as started:
        yield started


@pytest.fixture
def own_broker(_lent) -> Broker:
    """A Kafka broker that is the test's own for a while, to be stopped and started; it is marked `broker`.

    Topics of earlier tests are still there.
    """
    if not _lent.running:
        _lent.start()
    return _lent


def _started() -> Broker:
    lacking = missing()
    if lacking:
        pytest.fail(f"{lacking}, and with CI=true that is no reason to skip", pytrace=False)
    return Broker(brief=True)


@pytest.fixture
def world(broker: Broker, tmp_path: Path) -> Iterator[World]:
    """A topic world of its own, on the broker that all share."""
    from topic_worlds import World

    with closing(World(broker, tmp_path)) as made:
        yield made
