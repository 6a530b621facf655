"""What a user of the errors sees of their types; mypy checks it, nobody runs it."""

from __future__ import annotations

from typing import assert_type

from headrace.errors import ConfigError, HeadraceError, Invalid, JournalDamaged, TruncatedInput


def exit_code_of(error: HeadraceError) -> int:
    assert_type(error.exit_code, int)
    return error.exit_code


def mistakes_of(error: ConfigError) -> tuple[Invalid, ...]:
    assert_type(error.errors, tuple[Invalid, ...])
    file, key, message = error.errors[0]
    assert_type((file, key, message), tuple[str, str, str])
    return error.errors


def place_of(error: JournalDamaged | TruncatedInput) -> tuple[str, int, str]:
    where = error.file if isinstance(error, JournalDamaged) else error.source
    return where, error.byte, error.why


def construct() -> list[HeadraceError]:
    return [
        ConfigError([Invalid("fraud.toml", "shard.count", "must be at least 1")]),
        ConfigError(["must be at least 1"]),  # type: ignore[list-item]  # a validation error names its place
        TruncatedInput("a.gz", 7, "ends early"),
        TruncatedInput("a.gz"),  # type: ignore[call-arg]  # so does a cut
    ]
