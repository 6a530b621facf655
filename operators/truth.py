"""The answers to a stream of payments, read from a CSV file."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from headrace.errors import InputError

__all__ = ["read_truth"]

_COLUMNS: Final = ("event_id", "fraud")
_LABELS: Final = {"0": 0, "1": 1}


def read_truth(path: Path) -> dict[str, int]:
    """Read the label of each payment: 1 for a fraud, 0 for a legitimate one.

    Parameters
    ----------
    path
        A CSV file with a header that names `event_id` and `fraud`; other columns are passed over.
        Compressed when its name ends in `.gz`.

    Raises
    ------
    InputError
        If it can't be read, lacks a column, or has a label that is neither 0 nor 1.
    """
    try:
        return dict(_labels(path))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: can't be read: {error}") from error


def _labels(path: Path) -> Iterator[tuple[str, int]]:
    opened = gzip.open if path.name.endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        missing = [column for column in _COLUMNS if column not in header]
        if missing:
            raise InputError(f"{path}: line 1: no column {' and no column '.join(missing)}")
        event_id, fraud = (header.index(column) for column in _COLUMNS)
        for row in rows:
            label = _LABELS.get(row[fraud]) if len(row) == len(header) else None
            if label is None:
                raise InputError(f"{path}: line {rows.line_num}: no event_id with a fraud of 0 or 1")
            yield row[event_id], label
