"""Every decision, dead letter and record of the golden cases has the bytes that are committed.

A case is played twice, so that each pair of compiled or plain, and whole or killed, is met once.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from headrace.journal.provenance import numeric_platform

sys.path.insert(0, str(Path(__file__).parent))
from golden_corpus import differences, digests, read_digests, read_expected
from golden_flows import FLOWS, layout_of
from golden_play import in_process

# Compiled or not, and of each number of shards how runs end.
PLAYED = {True: {1: "whole", 3: "killed"}, False: {1: "killed", 3: "whole"}}
SAY = "tests/golden/README.md says what is to be done when this was meant"


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "plain"])
def test_the_bytes_are_those_committed(compiled):
    said = read_digests()
    cases = [f"{flow}-{shards}-{how}" for flow in FLOWS for shards, how in PLAYED[compiled].items()]
    found = in_process(cases, compiled=compiled)
    exact, told = said["kernel"] == numeric_platform(), []
    for case, (name, parts) in zip(cases, found.items(), strict=True):
        if digests({name: parts})[name] != said["cases"][name]:
            flow = name.partition("-")[0]
            apart = differences(read_expected(flow)[name], parts, layout_of(flow), exact=exact)
            told += [f"{case}: {line}" for line in apart]
    assert not told, "\n".join([*told, SAY])


@pytest.mark.parametrize("flow", FLOWS)
def test_the_digests_are_those_of_the_committed_rows(flow):
    cases = read_expected(flow)
    assert digests(cases) == {name: read_digests()["cases"][name] for name in cases}
