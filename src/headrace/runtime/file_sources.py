"""Opens the sources of a run on files, each where the state has left it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

from headrace.config.addresses import partition_of
from headrace.errors import ConfigError, Invalid, StateMismatch
from headrace.files.file_bytes import STANDARD, FileBytes, is_stream
from headrace.files.line_reader import LineReader
from headrace.files.merged_reader import MergedReader
from headrace.files.pace import Pace
from headrace.files.resume import names_of
from headrace.files.sorted_sources import SortedSources, piece_of
from headrace.files.sources import Numbered, number_sources, open_together, source_name
from headrace.runtime.running import own_errors
from headrace.runtime.runs import RunRequest
from headrace.shard.durable import DurableShard
from headrace.shard.recovery_point import RecoveryPoint

__all__ = ["FileSources"]


class FileSources:
    """The sources of one run.

    Parameters
    ----------
    request
        What is run.
    shards
        What knows which sources were read before, and will read these.
    recovery_point
        From where on inputs are read.
    begun
        Streams of which the first bytes were looked at already, by their paths.

    Attributes
    ----------
    lines
        The opened sources.
    said
        What is to be told of them when the run has ended.
    """

    def __init__(
        self,
        request: RunRequest,
        shards: Sequence[DurableShard],
        recovery_point: RecoveryPoint,
        begun: Mapping[str, FileBytes],
    ) -> None:
        self._request, self._settings = request, request.settings
        self._shards, self._recovery_point, self._begun = shards, recovery_point, begun
        self.lines: Sequence[LineReader] = ()
        self.said: list[str] = []

    def open(self, stack: ExitStack) -> Mapping[int, str]:
        """Open all of them; gives the names of all sources that the state knows then, by their numbers.

        Raises
        ------
        ConfigError, InputError, StateMismatch
            If there are too many, one can't be opened, or the state can't go on with one.
        """
        self._refuse_sources()
        if self._request.sort:
            names = self._open_sorted(stack)
        else:
            numbers, names = self._number_sources()
            self.lines = open_together(
                partial(self._open_source, path, number)
                for path, number in zip(self._request.sources, numbers, strict=True)
            )
        self._within_limits(names)
        for shard in self._shards:
            for number, name in names.items():
                shard.register(number, name)
        return names

    def merged(self) -> MergedReader:
        """Return what hands out their lines in the order of event time."""
        limits, time_limits = self._settings.input, self._settings.time
        return MergedReader(
            self.lines,
            ordinal=self._recovery_point.ordinal,
            batch_lines_max=limits.batch_lines_max,
            pace=None if self._request.speed is None else Pace(self._request.speed),
            future_skew_ms_max=round(time_limits.future_skew_hours_max * 3_600_000),
            agree_lines=max(time_limits.quorum_min, time_limits.quorum_alone_events),
        )

    def _open_source(self, path: str, number: int) -> LineReader:
        """Open one where it was left; what came through a pipe before is only counted on."""
        limits = self._settings.input
        return LineReader(
            path if path == STANDARD else str(Path(path)),
            number=number,
            line_bytes_max=max(limits.line_kept_bytes_max, limits.line_bytes_max),
            head_bytes=limits.line_bytes_max + 1,
            start=self._recovery_point.marks.get(number),
            continued=is_stream(path),
            # A file may still be growing, and a later run can come back for its last line; to a pipe nobody
            # comes back.
            leave_unfinished=self._request.state is not None and path != STANDARD,
            begun=self._begun.get(path),
        )

    def _open_sorted(self, stack: ExitStack) -> Mapping[int, str]:
        """Open the sources in the order of event time; gives the names of all that the state knows then."""
        limits = self._settings.input
        sources = SortedSources(
            names_of(self._shards),
            self._recovery_point.marks,
            self._sorted_folder(stack),
            limits.sort_bytes_max,
            keeps=self._request.state is not None,
            line_bytes_max=max(limits.line_kept_bytes_max, limits.line_bytes_max),
            head_bytes=limits.line_bytes_max + 1,
            begun=self._begun,
        )
        with own_errors():
            self.lines = [*sources.open(self._request.sources, self._request.if_moved)]
        self.said += sources.said
        return sources.names

    def _sorted_folder(self, stack: ExitStack) -> Path:
        """Return a folder for sorted lines, which goes with the run.

        One that a killed run has left is removed.
        """
        if self._request.state is None:
            return Path(stack.enter_context(TemporaryDirectory(prefix="headrace-")))
        folder = self._request.state / "sorted"
        # A run that was killed has left its sorted lines there; they are made anew from the sources.
        rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        stack.callback(rmtree, folder, ignore_errors=True)
        return folder

    def _refuse_sources(self) -> None:
        """Refuse sources that the state can't go on with, or not in this way."""
        known = names_of(self._shards).values()
        topics = [name for name in known if partition_of(name) is not None]
        if topics:
            raise StateMismatch([f"the state has read {topics[0]}; it can't go on with files"])
        # By what the state calls them: two spellings of a path are one source, whose lines would be read
        # twice.
        named = {source_name(path): path for path in self._request.sources}
        if len(named) < len(self._request.sources):
            raise ConfigError([Invalid("--from", "", "names a source twice")])
        was_sorted = {piece.file for name in known if (piece := piece_of(name))} & named.keys()
        if was_sorted and not self._request.sort:
            raise StateMismatch(
                [
                    f"{named[name]}: the state has read it with --sort, and can only go on so"
                    for name in was_sorted
                ]
            )

    def _number_sources(self) -> Numbered:
        """Numbers of the sources, and the names of all that the state knows then."""
        known = names_of(self._shards)
        return number_sources(
            self._request.sources, known, self._recovery_point.marks, self._request.if_moved
        )

    def _within_limits(self, names: Mapping[int, str]) -> None:
        limits = self._settings.input
        for key, count, most in (
            ("input.sources_max", len(self._request.sources), limits.sources_max),
            ("input.sources_known_max", len(names), limits.sources_known_max),
        ):
            if count > most:
                file = self._request.file_of(key)
                raise ConfigError([Invalid(file, key, f"is {most}; with this run it is {count}")])
