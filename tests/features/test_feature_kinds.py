"""The registry of the kinds of feature."""

from __future__ import annotations

from pathlib import Path

from headrace.config.features import KINDS as DECLARED
from headrace.operators.features import kinds


def test_every_kind_that_can_be_declared_can_be_compiled():
    assert kinds.KINDS.keys() == DECLARED.keys()


def test_every_kind_has_a_file_of_its_own():
    files = {path.stem for path in Path(kinds.__file__).parent.glob("*.py")}
    assert kinds.KINDS.keys() <= files
    assert len(set(kinds.KINDS.values())) == len(kinds.KINDS)
