"""Tamper: whether a flipped byte anywhere in a ledger is found, and named.

A shard decides made-up payments with the shipped configuration and journals them in several segments. Again
and again one bit of one byte is flipped, the ledger is verified as `headrace ledger verify` does it, and the
byte is put back. A flip is found if verifying reports it. It is named if the report has the right file, and
the frame (or the head of the segment) that the byte belongs to. Ends with 1 unless all are found and named.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import explain
from _conditions import conditions, fraud_settings

from headrace.journal.frames import FrameHead
from headrace.journal.reader import JournalReader
from headrace.journal.segments import first_boundary, segment_numbers, segment_path
from headrace.ledger.verify import Damage, verify_shard

_DECISIONS: Final = 100_000
_TRIALS: Final = 200
_SEED: Final = 1
_SEGMENT_BYTES_MAX: Final = 16_777_216


class _Flip(NamedTuple):
    path: Path
    byte: int
    bits: int

    def apply(self) -> None:
        """Flip it; twice leaves the file as it was."""
        with self.path.open("r+b") as file:
            file.seek(self.byte)
            was = file.read(1)[0]
            file.seek(self.byte)
            file.write(bytes([was ^ self.bits]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, flip, verify, print."""
    options = _parser().parse_args(arguments)
    print(conditions())
    with TemporaryDirectory(prefix="headrace-tamper-") as folder:
        settings = fraud_settings(None, [f"journal.segment_bytes_max={_SEGMENT_BYTES_MAX}"])
        explain.build(Path(folder), options.decisions, settings)
        return _measure(Path(folder, "shard-00"), options.trials, options.seed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--decisions", type=int, default=_DECISIONS, help=f"default: {_DECISIONS}")
    parser.add_argument("--trials", type=int, default=_TRIALS, help=f"default: {_TRIALS}")
    parser.add_argument("--seed", type=int, default=_SEED, help=f"of the flips; default: {_SEED}")
    return parser


def _measure(directory: Path, trials: int, seed: int) -> int:
    heads = list(JournalReader(directory, first_boundary(directory), cut_torn_tail=False).heads())
    if not verify_shard(directory).whole:
        raise SystemExit(f"{directory}: damaged before anything was flipped")
    drawn, found, took_s = random.Random(seed), Counter[str](), list[float]()
    for _ in range(trials):
        flip = _draw(directory, drawn)
        flip.apply()
        began = time.perf_counter()
        damage = verify_shard(directory).damage
        took_s.append(time.perf_counter() - began)
        flip.apply()
        found["found"] += damage is not None
        found["named"] += damage is not None and _names(damage, flip, heads)
        if damage is None or not _names(damage, flip, heads):
            print(f"missed: {flip.path.name}, byte {flip.byte}, bits {flip.bits:#04x}: {damage}")
    whole = verify_shard(directory).whole
    print(
        f"{trials} flips, seed {seed}: {found['found']} found, {found['named']} named;"
        f" verifying until the damage took {median(took_s):.2f} s at the median, {max(took_s):.2f} s at most;"
        f" whole again afterwards: {'yes' if whole else 'no'}"
    )
    return 0 if found["found"] == found["named"] == trials and whole else 1


def _draw(directory: Path, drawn: random.Random) -> _Flip:
    """Draw a byte, each of the journal with the same chance, and one bit of it."""
    paths = [segment_path(directory, number) for number in segment_numbers(directory)]
    sizes = [path.stat().st_size for path in paths]
    path = drawn.choices(paths, sizes)[0]
    return _Flip(path, drawn.randrange(sizes[paths.index(path)]), 1 << drawn.randrange(8))


def _names(damage: Damage, flip: _Flip, heads: Sequence[FrameHead]) -> bool:
    """Whether the report has the file, and where the frame or the segment's head begins."""
    own = [head for head in heads if segment_path(flip.path.parent, head.segment) == flip.path]
    holding = [head for head in own if head.position <= flip.byte < head.position_next]
    if damage.file != str(flip.path):
        return False
    if holding:
        return damage.byte == holding[0].position and damage.byte_end in {None, holding[0].position_next}
    return damage.byte < min((head.position for head in own), default=flip.path.stat().st_size)


if __name__ == "__main__":
    sys.exit(main())
