"""What tests of runs on topics share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from topic_worlds import World


@pytest.fixture
def world(broker, tmp_path) -> Iterator[World]:
    with closing(World(broker, tmp_path)) as made:
        yield made
