"""Lines of a small world, that many tests on topics read."""

from __future__ import annotations

import pytest
from topic_lines import LINES
from worlds import tiny_world


@pytest.fixture(scope="session")
def lines() -> list[bytes]:
    return tiny_world(LINES)
