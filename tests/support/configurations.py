"""Configuration files for tests, and what is found wrong in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.config.loading import load
from headrace.errors import ConfigError

SOUND = """
[entities.customer]
key = "customer_id"
[features]
amount = { kind = "field", value = "amount" }
mean = { kind = "running_mean", entity = "customer", value = "amount", clip = 2.5 }
ratio = { kind = "ratio", value = "amount", over = "mean" }
high = { kind = "count", entity = "customer", window = "336h", when = ["ratio > 4", "amount <= 1e3"] }
[bins]
ratio = { of = "ratio", edges = [1, 2.5] }
high = { of = "high", edges = [1] }
[crosses]
ratio_high = { of = ["ratio", "high"], code = "unusual" }
[reasons.texts]
unusual = "Unusual."
"""


def found(tmp_path: Path, text: str, *overrides: str) -> dict[str, str]:
    """Messages of the validation errors by `file: key`, the file without its folder."""
    path = tmp_path / "flow.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load(path, overrides)
    return {f"{Path(m.file).name}: {m.key}": m.message for m in raised.value.errors}
