"""Every decision, dead letter and record of the golden cases has the bytes that are committed.

A case is played twice, so that each pair of compiled or plain, and whole or killed, is met once.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from headrace.operators.reapply import kernel

sys.path.insert(0, str(Path(__file__).parent))
from golden_corpus import differences, digests, read_digests, read_expected
from golden_flows import FLOWS, layout_of
from golden_play import in_process

PLAYED = {True: ("1-whole", "3-killed"), False: ("1-killed", "3-whole")}
SAY = "tests/golden/README.md says what is to be done when this was meant"


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "plain"])
@pytest.mark.parametrize("flow", FLOWS)
def test_the_bytes_are_those_committed(flow, compiled):
    said = read_digests()
    found = in_process(flow, *PLAYED[compiled], compiled=compiled)
    wanted = {name: said["cases"][name] for name in found}
    if digests(found) == wanted:
        return
    expected, layout = read_expected(flow), layout_of(flow)
    exact = said["kernel"] == kernel()
    told = [
        f"{name} {case}: {line}"
        for name, case in zip(found, PLAYED[compiled], strict=True)
        for line in differences(expected[name], found[name], layout, exact=exact)
    ]
    assert not told, "\n".join([*told, SAY])
    assert not exact, "the digests don't belong to the committed rows"


@pytest.mark.parametrize("flow", FLOWS)
def test_the_digests_are_those_of_the_committed_rows(flow):
    cases = read_expected(flow)
    assert digests(cases) == {name: read_digests()["cases"][name] for name in cases}
