"""Tables that are looked up: their files are found beside the flow's, and looked at before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from declared_flows import PARCELS

from headrace.config.loading import load
from headrace.errors import ConfigError

MORE = """
[tables.areas]
file = "tables/areas.tsv"

[features.area]
kind = "lookup"
table = "areas"
value = "depot"
"""


def written(folder: Path, content: str | None, more: str = MORE) -> Path:
    (folder / "tables").mkdir()
    if content is not None:
        (folder / "tables/areas.tsv").write_text(content)
    (folder / "flow.toml").write_text(PARCELS + more)
    return folder / "flow.toml"


def test_the_file_is_named_from_the_flow_s_folder(tmp_path: Path) -> None:
    settings = load(written(tmp_path, "north\tcity\n"))
    assert settings.lists["tables.areas"].file == str(tmp_path / "tables/areas.tsv")


@pytest.mark.parametrize(
    ("content", "more", "said"),
    [
        (None, MORE, "can't be read: No such file or directory"),
        ("north city\n", MORE, "line 1: must have 2 values, with a tab between two"),
        ("north\tcity\nnorth\tland\n", MORE, "north has two values, city and land"),
        ("north\tx\n", MORE.replace('tsv"', 'tsv"\nholds = "number"'), "north must have a number of at most"),
    ],
)
def test_what_is_wrong_with_it_is_told_before_a_start(
    tmp_path: Path, content: str | None, more: str, said: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        load(written(tmp_path, content, more))
    (found,) = raised.value.errors
    assert found.key == "tables.areas.file"
    assert said in found.message
