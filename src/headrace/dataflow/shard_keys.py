"""Gives shards the keys under which Bytewax hands workers equal shares of them."""

from __future__ import annotations

from typing import Final

__all__ = ["SHARDS_MAX", "shard_keys"]


# Bytewax hands a key to worker `hash % workers`. With these letters the hash of key i is i modulo 12, so that
# 2, 3, 4, 6 or 12 workers get equal shares; a test watches it.
_LETTERS: Final = "dmkimwqacbHyanamdAckkcckeghelaChagwfnibghsgkBkJedlxaicaglldbdfoj"
SHARDS_MAX: Final = len(_LETTERS)


def shard_keys(shards: int) -> list[str]:
    """Keys of the shards, such that the workers get equal shares of them.

    Raises
    ------
    ValueError
        If there are more than `SHARDS_MAX`.
    """
    if not 1 <= shards <= SHARDS_MAX:
        raise ValueError(f"shards: must be between 1 and {SHARDS_MAX} (is {shards})")
    return [f"{number:02}{letter}" for number, letter in enumerate(_LETTERS[:shards])]
