"""Plays all golden cases and writes what they leave as what is expected from now on; README.md says when."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from golden_corpus import DIGESTS, differences, digests, read_digests, read_expected, write
from golden_flows import FLOWS
from golden_play import in_process

from headrace.journal.provenance import numeric_platform

LINE_CHARACTERS = 200


def main() -> int:
    """Write digests and rows; refuse when the ways to play a case don't agree."""
    ways = [(how, compiled) for how in ("whole", "killed") for compiled in (True, False)]
    names = [f"{flow}-{shards}" for flow in FLOWS for shards in (1, 3)]
    with ThreadPoolExecutor(2) as pool:
        found, *others = pool.map(
            lambda way: in_process([f"{name}-{way[0]}" for name in names], compiled=way[1]), ways
        )
    for other in others:
        for name, case in found.items():
            apart = differences(case, other[name], None, exact=True)
            if apart:
                say(f"{name}: compiled, plain, whole and killed don't agree", *apart)
                return 1
    known = read_digests()["cases"] if DIGESTS.exists() else {}
    now = digests(found)
    for flow in FLOWS:
        cases = {name: case for name, case in found.items() if name.partition("-")[0] == flow}
        if any(known.get(name) != now[name] for name in cases):
            before = read_expected(flow) if known.keys() >= cases.keys() else {}
            for name, case in cases.items():
                apart = differences(before.get(name, {}), case, None, exact=True)
                say(*(f"{name}: {line}"[:LINE_CHARACTERS] for line in apart))
            write(flow, cases)
    DIGESTS.write_text(json.dumps({"kernel": numeric_platform(), "cases": now}, indent=1) + "\n")
    return 0


def say(*lines: str) -> None:
    """Tell what has changed."""
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
