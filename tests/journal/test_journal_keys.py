"""Keys: where they come from, and what they tell of digests."""

from __future__ import annotations

import hmac
from hashlib import sha256
from pathlib import Path

import pytest

from headrace.errors import ConfigError
from headrace.journal.keys import KEYED, Keys, configured_keys

KEY, OTHER = b"0123456789abcdef", b"another key that is long enough"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEADRACE_JOURNAL_KEY", "HEADRACE_JOURNAL_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


def file_of(folder: Path, *lines: bytes, mode: int = 0o600) -> str:
    path = folder / "keys"
    path.write_bytes(b"\n".join(lines) + b"\n")
    path.chmod(mode)
    return str(path)


def test_without_a_key_all_is_as_ever() -> None:
    keys = configured_keys()
    assert keys == Keys((), plain=True)
    assert keys.flag == 0
    assert keys.link(b"a", b"b") == sha256(b"ab").digest()
    assert keys.fits(b"ab", sha256(b"ab").digest(), keyed=False)
    assert keys.refusal(keyed=False) is None
    assert "there is no key" in str(keys.refusal(keyed=True))


def test_a_key_makes_digests_that_nobody_else_can_make(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_JOURNAL_KEY", KEY.decode())
    keys = configured_keys()
    made = keys.digest()
    made.update(b"ab")
    assert made.digest() == keys.link(b"a", b"b") == hmac.digest(KEY, b"ab", "sha256")
    assert (keys.flag, keys.refusal(keyed=True)) == (KEYED, None)
    assert "not keyed, and a key is set" in str(keys.refusal(keyed=False))
    assert not keys.fits(b"ab", hmac.digest(OTHER, b"ab", "sha256"), keyed=True)
    assert not keys.fits(b"ab", sha256(b"ab").digest(), keyed=True)


def test_the_first_of_a_file_writes_and_all_are_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_JOURNAL_KEY_FILE", file_of(tmp_path, OTHER, b"", KEY, b"none"))
    keys = configured_keys()
    assert keys == Keys((OTHER, KEY), plain=True)
    assert keys.fits(b"ab", hmac.digest(KEY, b"ab", "sha256"), keyed=True)
    assert keys.link(b"a", b"b") == hmac.digest(OTHER, b"ab", "sha256")
    assert keys.refusal(keyed=False) is None


@pytest.mark.parametrize(
    ("lines", "mode", "said"),
    [
        ([b"short"], 0o600, "16 characters at least"),
        ([b"none"], 0o600, "holds no key"),
        ([], 0o600, "holds no key"),
        ([KEY], 0o604, "everybody can read or write it"),
        ([b"x" * 70_000], 0o600, "longer than"),
    ],
)
def test_a_file_that_is_no_use(
    lines: list[bytes], mode: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_JOURNAL_KEY_FILE", file_of(tmp_path, *lines, mode=mode))
    with pytest.raises(ConfigError, match=said) as raised:
        configured_keys()
    assert "short" not in str(raised.value).replace("too short", "")  # no message shows a key


def test_one_place_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_JOURNAL_KEY", KEY.decode())
    monkeypatch.setenv("HEADRACE_JOURNAL_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="set one of them"):
        configured_keys()
    monkeypatch.delenv("HEADRACE_JOURNAL_KEY")
    with pytest.raises(ConfigError, match="can't be read"):
        configured_keys()
