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

from headrace.operators.reapply import kernel

EVERY = ("1-whole", "3-whole"), ("1-killed", "3-killed")
LINE_CHARACTERS = 200


def main() -> int:
    """Write digests and rows; refuse when the ways to play a case don't agree."""
    with ThreadPoolExecutor(2) as pool:
        played = {
            flow: [
                pool.submit(in_process, flow, *cases, compiled=compiled)
                for cases in EVERY
                for compiled in (True, False)
            ]
            for flow in FLOWS
        }
        found = {flow: [each.result() for each in ways] for flow, ways in played.items()}
    for first, *others in found.values():
        for other in others:
            for name, case in first.items():
                apart = differences(case, other[name], None, exact=True)
                if apart:
                    say(f"{name}: compiled, plain, whole and killed don't agree", *apart)
                    return 1
    known = read_digests()["cases"] if DIGESTS.exists() else {}
    together = {name: case for first, *_ in found.values() for name, case in digests(first).items()}
    for flow, (first, *_) in found.items():
        if any(known.get(name) != together[name] for name in first):
            for name, case in first.items():
                before = read_expected(flow)[name] if name in known else {}
                say(
                    *(
                        f"{name}: {line}"[:LINE_CHARACTERS]
                        for line in differences(before, case, None, exact=True)
                    )
                )
            write(flow, first)
    DIGESTS.write_text(json.dumps({"kernel": kernel(), "cases": together}, indent=1) + "\n")
    return 0


def say(*lines: str) -> None:
    """Tell what has changed."""
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
