"""Tables as files: Parquet, JSON Lines or CSV by the name's ending, complete or not there at all."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import orjson

from headrace.config.private_files import opener
from headrace.errors import ConfigError, Invalid
from headrace.ledger.export import Rows
from headrace.ledger.export_columns import Column, Values

__all__ = ["FORMATS", "open_table"]

# What a spreadsheet takes for the beginning of a formula, or passes over before one.
_FORMULA: Final = frozenset("=+-@\t\r\n")
# What pandas is to make of a column; of numbers with nulls it makes floating-point ones otherwise.
_PANDAS: Final = {"int": ("int64", "Int64"), "bool": ("bool", "boolean")}


@contextmanager
def open_table(path: Path, *, escape_formulas: bool = False) -> Iterator[Rows]:
    """Open a file for rows; it gets its name when everything is written, and takes the place of one before.

    Parameters
    ----------
    path
        The file.
    escape_formulas
        Put a `'` before texts of a CSV file that a spreadsheet would take for formulas.

    Raises
    ------
    ConfigError
        If the ending is none of `FORMATS`, there is no such folder, the format's library is missing, or
        formulas are to be escaped in another format.
    OSError
        If the file can't be written.
    """
    make = FORMATS.get(path.suffix)
    if make is None:
        raise ConfigError([Invalid("--to", "", f"must end in {', '.join(FORMATS)} (is {str(path)!r})")])
    if make is _Parquet and find_spec("pyarrow") is None:
        message = "Parquet needs pyarrow, which is not installed: pip install 'headrace[export]'"
        raise ConfigError([Invalid("--to", "", f"{message}; .jsonl and .csv need nothing")])
    if escape_formulas and make is not _Csv:
        raise ConfigError([Invalid("--escape-formulas", "", "has a meaning for .csv only")])
    if not path.parent.is_dir():
        raise ConfigError([Invalid("--to", "", f"{path}: there is no folder {path.parent}")])
    unnamed = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(unnamed, "wb", opener=opener) as file:
            rows = _Csv(file, escape_formulas=True) if escape_formulas else make(file)
            try:
                yield rows
            finally:
                rows.end()
            file.flush()
            os.fsync(file.fileno())
        os.replace(unnamed, path)
    finally:
        unnamed.unlink(missing_ok=True)


def _time(ms: int | None) -> str | None:
    if ms is None:
        return None
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(column: Column, values: Values) -> list[Any]:
    """Values as JSON has them; NaN as null."""
    plain: list[Any] = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if column.kind == "time":
        return [_time(value) for value in plain]
    return [None if value != value else value for value in plain] if column.kind == "float" else plain


class _JsonLines:
    """One JSON object a row."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._columns: Sequence[Column] = ()

    def begin(self, columns: Sequence[Column]) -> None:
        """Take note of the columns."""
        self._columns = columns

    def write(self, group: dict[str, Values]) -> None:
        """Write a group of rows."""
        names = [column.name for column in self._columns]
        lists = [self._values(column, group[column.name]) for column in self._columns]
        for row in zip(*lists, strict=True):
            self._file.write(
                orjson.dumps(dict(zip(names, row, strict=True)), option=orjson.OPT_APPEND_NEWLINE)
            )

    @staticmethod
    def _values(column: Column, values: Values) -> list[Any]:
        if column.kind == "json":
            return [None if value is None else orjson.Fragment(value) for value in values]
        return _plain(column, values)

    def end(self) -> None:
        """Nothing is left to write."""


class _Csv:
    """A header and one line a row; null is empty."""

    def __init__(self, file: BinaryIO, *, escape_formulas: bool = False) -> None:
        self._file, self._escape = file, escape_formulas
        self._columns: Sequence[Column] = ()

    def begin(self, columns: Sequence[Column]) -> None:
        """Write the header."""
        self._columns = columns
        self._lines([[column.name for column in columns]])

    def write(self, group: dict[str, Values]) -> None:
        """Write a group of rows."""
        self._lines(zip(*[self._values(column, group[column.name]) for column in self._columns], strict=True))

    def _values(self, column: Column, values: Values) -> list[Any]:
        if column.kind == "reasons":
            return [orjson.dumps(value).decode() for value in values]
        plain = _plain(column, values)
        if self._escape and column.kind == "text":
            return [f"'{value}" if value and value[0] in _FORMULA else value for value in plain]
        return plain

    def _lines(self, rows: Any) -> None:
        text = _Text()
        csv.writer(text, lineterminator="\r\n").writerows(rows)
        self._file.write("".join(text.rows).encode())

    def end(self) -> None:
        """Nothing is left to write."""


class _Text:
    """Rows that end in a newline, of a writer that ends them in two characters: so it puts both in quotes."""

    def __init__(self) -> None:
        self.rows: list[str] = []

    def write(self, row: str) -> int:
        """Take one row."""
        self.rows.append(f"{row[:-2]}\n")
        return len(row)


class _Parquet:
    """Row groups of Parquet, compressed with Zstandard."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._writer: Any = None
        self._columns: Sequence[Column] = ()

    def begin(self, columns: Sequence[Column]) -> None:
        """Lay out the schema; what a column means is written beside it."""
        import pyarrow as pa
        from pyarrow import parquet

        reason = pa.struct([("code", pa.string()), ("contribution", pa.float64())])
        kinds = {
            "text": pa.string(),
            "json": pa.string(),
            "int": pa.int64(),
            "bool": pa.bool_(),
            "float": pa.float64(),
            "time": pa.timestamp("ms", tz="UTC"),
            "reasons": pa.list_(reason),
        }
        fields = [
            pa.field(column.name, kinds[column.kind], metadata={"description": column.meaning})
            for column in columns
        ]
        self._columns = columns
        schema = pa.schema(fields, metadata={"pandas": _for_pandas(columns)})
        self._writer = parquet.ParquetWriter(self._file, schema, compression="zstd")

    def write(self, group: dict[str, Values]) -> None:
        """Write a group of rows."""
        import pyarrow as pa

        schema = self._writer.schema
        arrays = [
            pa.array(group[column.name], type=schema.field(column.name).type, from_pandas=True)
            for column in self._columns
        ]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=schema))

    def end(self) -> None:
        """Write what Parquet has at the end of a file."""
        if self._writer is not None:
            self._writer.close()


def _for_pandas(columns: Sequence[Column]) -> bytes:
    """Return what pandas reads beside a schema, so that integers and truth values with nulls stay so."""
    known = [
        {
            "name": each.name,
            "field_name": each.name,
            "pandas_type": kind,
            "numpy_type": made,
            "metadata": None,
        }
        for each in columns
        if each.kind in _PANDAS
        for kind, made in (_PANDAS[each.kind],)
    ]
    return orjson.dumps(
        {"index_columns": [], "column_indexes": [], "columns": known, "pandas_version": "1.5.0"}
    )


FORMATS: Final[dict[str, Callable[[BinaryIO], Any]]] = {
    ".parquet": _Parquet,
    ".jsonl": _JsonLines,
    ".csv": _Csv,
}
"""What makes a table, by the ending of the file's name."""
