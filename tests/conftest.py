"""Tests on real data are skipped where it isn't: HEADRACE_DATA names the folder that holds it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("HEADRACE_DATA"):
        return
    skip = pytest.mark.skip(reason="needs HEADRACE_DATA, the path of the folder with the real data")
    for item in items:
        if item.get_closest_marker("acceptance"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def headrace_data() -> Path:
    """The folder with the real data; a test that asks for it is marked `acceptance`."""
    return Path(os.environ["HEADRACE_DATA"])
