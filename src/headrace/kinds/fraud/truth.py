"""The answers to a stream of payments, read from a CSV file."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TextIO

from headrace.errors import InputError

__all__ = ["read_truth"]

_COLUMNS: Final = ("event_id", "fraud")
_LABELS: Final = {"0": 0, "0.0": 0, "false": 0, "1": 1, "1.0": 1, "true": 1}
_LINE_CHARS_MAX: Final = 1_048_576


def read_truth(path: Path, rows_max: int = 10_000_000) -> dict[str, int]:
    """Read the label of each payment: 1 for a fraud, 0 for a legitimate one.

    Parameters
    ----------
    path
        A CSV file in UTF-8 with a header that names `event_id` and `fraud`; other columns are passed over.
        A label is 0 or 1, also written 0.0, 1.0, true, false. Compressed when its name ends in `.gz`.
    rows_max
        Rows that it may have.

    Raises
    ------
    InputError
        If it can't be read, lacks a column, has a label that is neither 0 nor 1, or too many rows.
    """
    try:
        return dict(_labels(path, rows_max))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: can't be read: {why}") from error


def _labels(path: Path, rows_max: int) -> Iterator[tuple[str, int]]:
    opened = gzip.open if path.name.endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(_lines(path, file))
        header = next(rows, [])
        missing = [column for column in _COLUMNS if column not in header]
        if missing:
            raise InputError(f"{path}: line 1: no column {' and no column '.join(missing)}")
        event_id, fraud = (header.index(column) for column in _COLUMNS)
        for number, row in enumerate(rows, start=1):
            if number > rows_max:
                raise InputError(f"{path}: has more than {rows_max} rows, input.truth_rows_max")
            label = _LABELS.get(row[fraud].strip().lower()) if len(row) == len(header) else None
            if label is None:
                raise InputError(f"{path}: line {rows.line_num}: no event_id with a fraud of 0 or 1")
            yield row[event_id], label


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    """Lines, none of which is held that has no end."""
    while line := file.readline(_LINE_CHARS_MAX):
        if len(line) == _LINE_CHARS_MAX:
            raise InputError(f"{path}: has a line of more than {_LINE_CHARS_MAX} characters")
        yield line
