"""Reads files in the order of event time though they aren't written so: sorted when they are opened.

What was decided can't be put in order any more. So of a file that grows each new part is sorted by itself, a
*piece*, and a state knows each piece as a source. Its name says all that is needed to make the same order
again after a stop, from the file alone; nothing else is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from headrace.errors import ChangedSource, InputError
from headrace.files.external_sort import PLACE, SortedLines, sort_lines
from headrace.files.file_bytes import STANDARD, FileBytes, begins_as, is_stream
from headrace.files.line_reader import LINE_BYTES_MAX, LineReader
from headrace.files.sources import IfMoved, source_name, source_path
from headrace.journal.batches import Mark
from headrace.operators.events.oversized import cut_line_of

__all__ = ["Piece", "SortedReader", "SortedSources", "piece_of"]

_NAME: Final = re.compile(r"sorted:(\d+)-(\d+):(\d+):([0-9a-f]{8}):(\d+):(.+)", re.DOTALL)
_NOTHING: Final = Mark(0, 0, 0, 0)


class Piece(NamedTuple):
    """A part of a file that was sorted by itself.

    Attributes
    ----------
    begin
        Offset where it begins, in uncompressed bytes.
    end
        How far the file was read for it.
    size
        Bytes of its sorted lines.
    file
        The file, as a source is called.
    """

    begin: int
    end: Mark
    size: int
    file: str

    @property
    def name(self) -> str:
        """What a state calls it."""
        end = self.end
        return f"sorted:{self.begin}-{end.offset}:{end.line}:{end.crc:08x}:{self.size}:{self.file}"


def piece_of(name: str) -> Piece | None:
    """Return the piece that a state calls so; None where it is another source."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    begin, end, line, crc, size, file = found.groups()
    return Piece(int(begin), Mark(0, int(end), int(line), int(crc, 16)), int(size), file)


class SortedReader(LineReader):
    """The lines of a piece in their order, each with its place in the file that it is of.

    Parameters
    ----------
    path
        Of that file, as it was named.
    found
        What sorting has given.
    number
        The source's number in the state.
    start
        Go on from here, in the sorted lines.
    line_bytes_max
        Of a longer line only the head was kept.

    Raises
    ------
    ChangedSource
        If the lines before `start` aren't what they were.
    """

    def __init__(
        self,
        path: str,
        found: SortedLines,
        *,
        number: int,
        start: Mark | None,
        line_bytes_max: int = LINE_BYTES_MAX,
    ) -> None:
        self._sorted, self._places = found, open(found.places, "rb")  # noqa: SIM115  # closed in close
        super().__init__(str(found.lines), number=number, start=start, line_bytes_max=line_bytes_max)
        self.path = path

    def _hand_out(self, stop: int) -> tuple[list[bytes], list[int], list[int]]:
        payloads, offsets, lines = super()._hand_out(stop)
        if not lines:
            return payloads, offsets, lines
        # The sorted copy goes with the run, so inputs are named by their places in the file that people have.
        self._places.seek(PLACE.size * (lines[0] - 1))
        places = list(PLACE.iter_unpack(self._places.read(PLACE.size * len(lines))))
        for at, line in enumerate(lines) if self._sorted.cut else ():
            if whole := self._sorted.cut.get(line - 1):
                payloads[at] = cut_line_of(payloads[at], whole)
        return payloads, [offset for offset, _ in places], [line for _, line in places]

    def _finish(self) -> None:
        super()._finish()
        self.error = self.error or self._sorted.error
        self.unfinished_bytes = self._sorted.unfinished_bytes

    def close(self) -> None:
        """Close the sorted files."""
        super().close()
        self._places.close()


@dataclass
class _Chain:
    """What a state knows of a file: its pieces in order, and where the next one begins."""

    start: Mark = _NOTHING
    last: tuple[int, Piece] | None = None
    before_last: Mark = _NOTHING


class SortedSources:
    """Opens files sorted, going on with what a state knows of them.

    Parameters
    ----------
    known
        Names of the sources that the state has read, by number.
    marks
        How far it has read each, by number.
    folder
        Where sorted lines are kept while the run goes on.
    bytes_max
        Lines that are held in memory while sorting, in bytes.
    keeps
        Whether there is a state: then a file's unfinished last line is left.
    line_bytes_max, head_bytes
        Of a longer line only the head is kept, so long.
    begun
        Pipes that were opened before, by path.

    Attributes
    ----------
    names : dict[int, str]
        Of all sources that the state knows from now on.
    said : list[str]
        What a person should know.
    """

    def __init__(
        self,
        known: Mapping[int, str],
        marks: Mapping[int, Mark],
        folder: Path,
        bytes_max: int,
        *,
        keeps: bool,
        line_bytes_max: int,
        head_bytes: int,
        begun: Mapping[str, FileBytes] | None = None,
    ) -> None:
        self.names, self._marks, self._folder = dict(known), marks, folder
        self._bytes_max, self._keeps = bytes_max, keeps
        self._line_bytes_max, self._head_bytes = line_bytes_max, head_bytes
        self.said: list[str] = []
        self._begun = begun or {}

    def open(self, paths: Sequence[str], if_moved: IfMoved) -> list[SortedReader]:
        """Sort what isn't read yet of each file, and open it; none for a file that was read to its end.

        Raises
        ------
        InputError
            If a pipe is named though there is a state, or a file can't be read.
        ChangedSource
            If a file isn't what it was, or was moved and that is refused.
        """
        wrong = [path for path in paths if self._keeps and is_stream(path)]
        if wrong:
            raise InputError(
                "\n".join(
                    f"{path}: a pipe can't be sorted with --state; write it to a file first" for path in wrong
                )
            )
        readers: list[SortedReader] = []
        try:
            for path in paths:
                reader = self._open(path, if_moved)
                readers += [reader] if reader is not None else []
        except BaseException:
            for reader in readers:
                reader.close()
            raise
        return readers

    def _open(self, path: str, if_moved: IfMoved) -> SortedReader | None:
        name = source_name(path)
        if self._keeps and not self._chain(name).start.offset:
            self._follow(path, name, if_moved)
        chain = self._chain(name)
        if chain.last is not None and self._left(*chain.last):
            return self._again(path, chain)
        found = self._sort(path, chain.start)
        if not found.total:
            if found.error is not None:
                raise found.error
            return None
        piece = Piece(chain.start.offset, found.end._replace(source=0), found.size, name)
        number = max(self.names, default=-1) + 1
        self.names[number] = piece.name
        self.said.append(
            f"{path}: sorted by event time; {found.moved:,} of {found.total:,} lines were out of order"
        )
        return self._reader(path, found, number, None)

    def _left(self, number: int, piece: Piece) -> bool:
        """Whether a piece wasn't read to its end."""
        mark = self._marks.get(number)
        return piece.size > (mark.offset if mark else 0)

    def _again(self, path: str, chain: _Chain) -> SortedReader:
        """Sort a piece once more that was not read to its end."""
        assert chain.last is not None
        number, piece = chain.last
        if not begins_as(path, [piece.end]):
            raise ChangedSource(
                f"{path}: changed before byte {piece.end.offset}, in the part that was sorted before"
            )
        found = self._sort(path, chain.before_last, piece.end.offset)
        if found.size != piece.size:
            raise ChangedSource(f"{path}: {found.size} bytes come out sorted; they were {piece.size}")
        self.said.append(
            f"{path}: what was sorted before is read to its end; what came since is left for a later run"
        )
        return self._reader(path, found, number, self._marks.get(number))

    def _reader(self, path: str, found: SortedLines, number: int, start: Mark | None) -> SortedReader:
        limit = self._line_bytes_max
        return SortedReader(path, found, number=number, start=start, line_bytes_max=limit)

    def _sort(self, path: str, start: Mark, end: int | None = None) -> SortedLines:
        leave = self._keeps and path != STANDARD
        reader = LineReader(
            path,
            start=start if start.offset else None,
            leave_unfinished=leave,
            line_bytes_max=self._line_bytes_max,
            head_bytes=self._head_bytes,
            begun=self._begun.get(path),
        )
        folder = self._folder / str(len(list(self._folder.iterdir())))
        folder.mkdir(mode=0o700)
        return sort_lines(reader, folder, self._bytes_max, end=end)

    def _chain(self, name: str) -> _Chain:
        """Return what is known of a file."""
        chain = _Chain()
        for number, known in sorted(self.names.items()):
            piece = piece_of(known)
            if known == name and number in self._marks:
                chain.start = self._marks[number]
            elif piece is not None and piece.file == name:
                chain.before_last, chain.start, chain.last = chain.start, piece.end, (number, piece)
        return chain

    def _follow(self, path: str, name: str, if_moved: IfMoved) -> None:
        """See whether a new file begins as one that is known under another name does."""
        if if_moved is IfMoved.AGAIN:
            return
        files = {piece.file if (piece := piece_of(known)) else known for known in self.names.values()} - {
            STANDARD
        }
        ends = {file: chain.start for file in sorted(files) if (chain := self._chain(file)).start.offset}
        old = {mark: file for file, mark in ends.items()}
        same = begins_as(path, list(old))
        if not same:
            return
        file, mark = old[same[-1]], same[-1]
        if if_moved is IfMoved.REFUSE or Path(source_path(file)).exists():
            raise ChangedSource(
                f"{path}: begins with all {mark.offset} bytes that were read of {file}; if it was moved,"
                " --moved follow goes on behind them; --moved again decides them once more"
            )
        for number, known in self.names.items():
            piece = piece_of(known)
            if known == file:
                self.names[number] = name
            elif piece is not None and piece.file == file:
                self.names[number] = piece._replace(file=name).name
