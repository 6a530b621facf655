"""Configuration files for tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from configurations import SOUND


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "sound.toml"
    path.write_text(SOUND)
    return path
