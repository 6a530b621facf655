"""Sources that are compiled at run time: what they may speak of, and what is kept of them."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from array import array
from pathlib import Path

import pytest

from headrace.operators.compiled import generated as machine_code
from headrace.operators.compiled import kept as kept_here
from headrace.operators.compiled.generated import CELLS, compile_source

SIGNATURES = {"f": "double(int64, int64)"}
SOURCE = "def f(address, x):\n    return doubles(address)[1] + twice(x) + {number}.0\n"
CELLS_SOURCE = """def f(address, x):
    {cells}(address)[2] = {cells}(address)[1] + x
    return 0.0
"""
PUT_SOURCE = """def f(address, x):
    put_short(address + 1, x)
    put_word(address + 3, x)
    put_long(address + 7, x)
    put_double(address + 15, x)
    put_byte(address + 23, x)
    return 0.0
"""
GET_SOURCE = """def f(address, x):
    a, b = get_byte(address), get_short(address + 1)
    c, d = get_word(address + 3), get_long(address + 7)
    return (a - b) * 1e9 + (c >> 1) + d + get_double(address + 15)
"""


def twice(x: int) -> int:
    return 2 * x


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where sources are kept, still empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    machine_code._made_here.clear()
    return tmp_path / "headrace" / "kernels"


def value_of(number: int) -> float:
    machine_code._made_here.clear()
    made = compile_source(SOURCE.format(number=number), {"twice": twice}, SIGNATURES)
    assert made is not None
    cells = array("d", [1.0, 10.0])
    return float(made["f"](cells.buffer_info()[0], 4))


def test_what_was_compiled_is_kept_and_loaded_again(kept: Path) -> None:
    assert value_of(100) == 118.0
    (source,) = kept.glob("*.py")
    (index,) = (kept / "__pycache__").glob(f"{source.stem}.*.nbi")
    before = index.stat().st_mtime_ns
    assert value_of(100) == 118.0
    assert index.stat().st_mtime_ns == before
    assert value_of(200) == 218.0
    assert len(list(kept.glob("*.py"))) == 2


def test_another_helper_is_another_source(kept: Path) -> None:
    assert value_of(0) == 18.0

    def thrice(x: int) -> int:
        return 3 * x

    made = compile_source(SOURCE.format(number=0), {"twice": thrice}, SIGNATURES)
    assert made is not None
    assert made["f"](array("d", [1.0, 10.0]).buffer_info()[0], 4) == 22.0
    assert len(list(kept.glob("*.py"))) == 2


def test_so_many_are_kept_and_the_oldest_goes(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_here, "_SOURCES_MAX", 2)
    for number in range(3):
        value_of(number)
        for source in kept.glob("*.py"):
            os.utime(source, ns=(1, source.stat().st_mtime_ns - 10**9))
    assert len(list(kept.glob("*.py"))) == 2
    assert len({file.name.partition(".")[0] for file in (kept / "__pycache__").iterdir()}) == 2


def test_where_nothing_can_be_kept_it_is_compiled_all_the_same(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.parent.write_text("no folder")
    assert value_of(1) == 19.0
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(kept.parent))
    assert value_of(2) == 20.0


def test_what_was_kept_and_is_damaged_is_compiled_anew(kept: Path) -> None:
    value_of(3)
    for file in (kept / "__pycache__").glob("*.nbc"):
        file.write_bytes(b"\x80not what it was")
    assert value_of(3) == 21.0


@pytest.mark.parametrize(("mode", "above"), [(0o770, False), (0o707, True)])
def test_a_folder_that_others_can_write_to_is_not_used(
    kept: Path, mode: int, above: bool, caplog: pytest.LogCaptureFixture
) -> None:
    assert value_of(4) == 22.0
    before = {file: file.read_bytes() for file in kept.rglob("*") if file.is_file()}
    for index in (kept / "__pycache__").glob("*.nbi"):
        index.write_bytes(b"cos\nsystem\n(S'false'\ntR.")  # what is loaded from there is run
    kept_here.only_ours.cache_clear()
    (kept.parent if above else kept).chmod(mode)
    assert value_of(4) == 22.0
    assert len(list(kept.glob("*.py"))) == 1
    assert {file for file in kept.rglob("*") if file.is_file()} == set(before)
    assert "can be written by others" in caplog.text
    kept_here.only_ours.cache_clear()


def test_a_folder_of_somebody_else_is_not_used(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept_here.only_ours.cache_clear()
    user = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert kept_here.only_ours(kept) is (os.getuid() == 0)  # root's folders are the system's
    monkeypatch.undo()
    kept_here.only_ours.cache_clear()


def test_a_folder_that_is_made_is_private(kept: Path) -> None:
    value_of(6)
    assert kept.stat().st_mode & 0o777 == 0o700


def test_without_numba_there_is_nothing() -> None:
    program = (
        "import headrace.flows.kinds\n"
        "from headrace.operators.compiled.generated import compile_source\n"
        "from headrace.operators.decisions.scoring import PlainScorer\n"
        "from headrace.kinds.fraud.machine import FraudShard\n"
        "from headrace.config.loading import load\n"
        "assert compile_source('', {}, {}) is None\n"
        "assert isinstance(FraudShard(load(None))._scorer, PlainScorer)\n"
    )
    switched_off = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    subprocess.run([sys.executable, "-c", program], env=switched_off, check=True)
    missing = "import sys\nsys.modules['numba'] = None\n" + program
    subprocess.run([sys.executable, "-c", missing], check=True)


@pytest.mark.parametrize("code", sorted(CELLS))
def test_cells_of_each_kind_are_read_and_written(code: str, kept: Path) -> None:
    made = compile_source(CELLS_SOURCE.format(cells=CELLS[code]), {}, SIGNATURES)
    assert made is not None
    cells = array(code, [0, 40, 0, 7])  # type: ignore[call-overload]
    made["f"](cells.buffer_info()[0], 2)
    assert cells.tolist() == [0, 40, 42, 7]


def test_numbers_are_written_where_they_are_not_aligned(kept: Path) -> None:
    made = compile_source(PUT_SOURCE, {}, SIGNATURES)
    assert made is not None
    cells = array("b", bytes(32))
    made["f"](cells.buffer_info()[0], 513)
    assert struct.unpack("<xHIqdB8x", cells) == (513, 513, 513, 513.0, 1)


def test_numbers_are_read_at_any_address(kept: Path) -> None:
    made = compile_source(GET_SOURCE, {}, SIGNATURES)
    assert made is not None
    cells = array("b", struct.pack("<BHIqd", 255, 65_535, 2**32 - 1, -5, 0.5))
    assert made["f"](cells.buffer_info()[0], 0) == -65_280e9 + 2**31 - 1 - 5 + 0.5
