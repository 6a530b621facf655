"""Keys that only those who may write a state have: its digests can then be made by nobody else.

They come from the environment: `HEADRACE_JOURNAL_KEY` is one, `HEADRACE_JOURNAL_KEY_FILE` names a file with
one a line, of which the first writes and all are accepted. A line `none` accepts what was written without.
"""

from __future__ import annotations

import hmac
import os
import stat
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from headrace.errors import ConfigError, Invalid

__all__ = ["KEYED", "Digest", "Keys", "configured_keys"]

KEYED: Final = 0x8000_0000
"""In the version of a segment or a checkpoint: its digests are keyed."""

_VALUE: Final = "HEADRACE_JOURNAL_KEY"
_FILE: Final = "HEADRACE_JOURNAL_KEY_FILE"
_NONE: Final = b"none"
_CHARACTERS_MIN: Final = 16
_FILE_BYTES_MAX: Final = 65_536


class Digest(Protocol):
    """What bytes are given to, one after another, and what comes of them."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take bytes in."""
        ...

    def digest(self) -> bytes:
        """Return the digest so far, 32 bytes."""
        ...


class Keys(NamedTuple):
    """The keys that are in force; without any, digests are plain SHA-256.

    Attributes
    ----------
    accepted
        Newest first; the first writes.
    plain
        Whether what was written without a key is accepted.
    """

    accepted: tuple[bytes, ...]
    plain: bool

    @property
    def flag(self) -> int:
        """What is added to the version of what is written."""
        return KEYED if self.accepted else 0

    def link(self, chain: bytes, content: bytes) -> bytes:
        """Return the chain's next value, as it is written."""
        said = chain + content
        return hmac.digest(self.accepted[0], said, "sha256") if self.accepted else sha256(said).digest()

    def digest(self) -> Digest:
        """Return what takes in a file and gives its digest, as it is written."""
        return hmac.new(self.accepted[0], digestmod=sha256) if self.accepted else sha256()

    def fits(self, content: bytes | memoryview, digest: bytes, *, keyed: bool) -> bool:
        """Whether a digest is one of the content, by any of the keys."""
        if not keyed:
            return hmac.compare_digest(sha256(content).digest(), digest)
        return any(hmac.compare_digest(hmac.digest(key, content, "sha256"), digest) for key in self.accepted)

    def refusal(self, *, keyed: bool) -> str | None:
        """Why what is keyed, or isn't, can't be read with these keys; None if it can."""
        if keyed and not self.accepted:
            return f"its digests are keyed, and there is no key: set {_VALUE} or {_FILE}"
        if not keyed and self.accepted and not self.plain:
            return (
                "its digests are not keyed, and a key is set: somebody may have written it who has none."
                " If it is from before there was a key, add a line `none` to the file that"
                f" {_FILE} names, for one start"
            )
        return None


def configured_keys() -> Keys:
    """Return the keys that the environment names.

    Raises
    ------
    ConfigError
        If a key is too short, or the file can't be read, or can be read by everybody.
    """
    value, named = os.environ.get(_VALUE), os.environ.get(_FILE)
    if value is not None and named is not None:
        raise ConfigError([Invalid(_FILE, "", f"is set beside {_VALUE}; set one of them")])
    if value is not None:
        # The bytes as they stand in the environment, whatever encoding the locale has.
        return _keys(_VALUE, [value.encode("utf-8", "surrogateescape")])
    return _NO_KEYS if named is None else _keys(_FILE, _lines(Path(named)))


_NO_KEYS: Final = Keys((), plain=True)


def _lines(path: Path) -> list[bytes]:
    try:
        with path.open("rb") as file:
            # Of the open file: between a look at the path and its opening, another file could take its name.
            mode = os.fstat(file.fileno()).st_mode
            # One more than is allowed tells that there is more, also of a file without an end.
            content = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError([Invalid(_FILE, "", f"{path}: can't be read: {error.strerror}")]) from error
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        raise ConfigError([Invalid(_FILE, "", f"{path}: everybody can read or write it; chmod o-rw")])
    if len(content) > _FILE_BYTES_MAX:
        raise ConfigError([Invalid(_FILE, "", f"{path}: is longer than {_FILE_BYTES_MAX} bytes")])
    return [line.strip() for line in content.splitlines() if line.strip()]


def _keys(name: str, lines: list[bytes]) -> Keys:
    accepted = tuple(line for line in lines if line != _NONE)
    if not accepted:
        raise ConfigError([Invalid(name, "", "holds no key")])
    if any(len(key) < _CHARACTERS_MIN for key in accepted):
        raise ConfigError([Invalid(name, "", f"a key must have {_CHARACTERS_MIN} characters at least")])
    return Keys(accepted, plain=_NONE in lines)
