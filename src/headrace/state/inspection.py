"""What can be told of a state from outside, without changing it and while its flow runs."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from headrace.config.addresses import partition_of
from headrace.config.canonical import restore
from headrace.config.paths import path_text
from headrace.config.tables import RunSettings
from headrace.control.inbox import control_folder, taken_of
from headrace.errors import JournalDamaged, StateError
from headrace.journal.batches import Mark
from headrace.journal.checkpoint import Checkpoint, newest_readable
from headrace.journal.end import journal_end
from headrace.journal.erasures import work_files
from headrace.journal.format import FORMAT_VERSION
from headrace.journal.reader import JournalReader
from headrace.journal.records import CONTROL_SOURCE
from headrace.journal.scan import notes_of
from headrace.journal.segments import first_boundary, segment_numbers, segment_path, start_of
from headrace.shard.kinds import kind_of

__all__ = ["inspect", "recorded_settings", "source_names"]


def inspect(state: Path) -> dict[str, Any]:
    """Tell versions, positions, sources, sizes and checkpoints, as plain values.

    What a shard's memory holds (`memory`) is told as of its newest checkpoint, everything else as of now.

    Raises
    ------
    StateError
        If there is no state.
    JournalDamaged, StateMismatch
        If a journal can't be read.
    """
    directories = sorted(state.glob("shard-*"))
    if not directories:
        raise StateError(f"{state}: there is no state here")
    return {
        "state": path_text(state),
        "journal_format": FORMAT_VERSION,
        "bytes": sum(path.stat().st_size for path in state.rglob("*") if path.is_file()),
        "commands": {
            "taken": taken_of(state),
            "waiting": len([path for path in control_folder(state).glob("*.jsonl") if path.stem.isdigit()]),
        },
        "shards": {directory.name: _shard(directory) for directory in directories},
    }


def recorded_settings(state: Path) -> RunSettings | None:
    """Return the settings that a state was last run with.

    None if none are known, or only such as no longer hold.
    """
    for shard, directory in enumerate(sorted(state.glob("shard-*"))):
        try:
            said = journal_end(directory, shard, cut_torn_tail=False).provenance
            if said is not None:
                return restore(said.settings)
        except (JournalDamaged, ValidationError):
            return None
    return None


def _reached(name: str, mark: Mark) -> dict[str, int]:
    """How far a source was read: of a partition the offset of the next message, of a file bytes and lines."""
    if partition_of(name) is not None:
        return {"next_offset": mark.offset}
    return {"bytes_read": mark.offset, "lines_read": mark.line}


def source_names(state: Path) -> dict[int, str]:
    """Names of the sources that a state has read, by number, as far as they are kept."""
    names: dict[int, str] = {CONTROL_SOURCE: "the control channel"}
    for directory in sorted(state.glob("shard-*")):
        names |= _noted(directory, newest_readable(directory))[0]
    return names


def _shard(directory: Path) -> dict[str, Any]:
    numbers = segment_numbers(directory)
    checkpoint = newest_readable(directory)
    first = first_boundary(directory)
    start = start_of(directory, numbers[-1]) if numbers else first
    reader = JournalReader(directory, start, cut_torn_tail=False)
    for _ in reader.heads():
        pass
    end = reader.boundary
    names, config = _noted(directory, checkpoint)
    return {
        "position": end.ordinal,
        "records": end.seq,
        "decisions_bytes": end.decisions_bytes,
        "dead_letters_bytes": end.dead_letters_bytes,
        "chain": end.chain.hex(),
        "segments": len(numbers),
        "first_segment": first.segment,
        "first_record": first.seq,
        "first_input": first.ordinal,
        "erasures_waiting": len(work_files(directory)),
        "journal_bytes": sum(segment_path(directory, number).stat().st_size for number in numbers),
        "torn_tail": None if reader.torn is None else str(reader.torn),
        "config": config,
        "sources": [
            {"number": mark.source, "name": (name := names.get(mark.source, "")), **_reached(name, mark)}
            for mark in end.marks
            if mark.source != CONTROL_SOURCE
        ],
        "checkpoints": [_checkpoint(path) for path in sorted(directory.glob("checkpoint-*.ckpt"))],
        "memory": None if checkpoint is None else _memory(checkpoint),
    }


def _noted(directory: Path, checkpoint: Checkpoint | None) -> tuple[dict[int, str], dict[str, Any] | None]:
    """Return sources' names and the configuration, from the newest checkpoint and the notes behind it."""
    names: dict[int, str] = {}
    config = None
    start = first_boundary(directory)
    if checkpoint is not None:
        header = checkpoint.header
        names = {int(number): name for number, name in header["sources"].items()}
        config = _config(header)
        start = start_of(directory, checkpoint.segment)
    for note in notes_of(directory, start):
        if note["control"] == "source":
            names[note["number"]] = note["name"]
        elif note["control"] == "config":
            config = _config(note)
    return names, config


def _config(noted: dict[str, Any]) -> dict[str, Any]:
    settings = noted["settings"].encode()
    return {"digest": hashlib.sha256(settings).hexdigest(), "learn": noted["learn"], "code": noted["code"]}


def _checkpoint(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {
        "file": path.name,
        "bytes": status.st_size,
        "age_seconds": round(max(0.0, time.time() - status.st_mtime), 1),
    }


def _memory(checkpoint: Checkpoint) -> dict[str, Any]:
    """Load a shard as a checkpoint has it, without its model, and count."""
    header = checkpoint.header
    settings = restore(header["settings"].encode())
    shard = kind_of(settings).without_model(settings, learn=header["learn"])
    shard.load(checkpoint.blobs)  # type: ignore[arg-type]  # a view serves as bytes
    return {
        "segment": checkpoint.segment,
        "state_version": header["version"],
        "event_time_ms": shard.clock.now,
        **shard.holdings(),
        "ids": {name: len(memory) for name, memory in shard.ids.items()},
        "counts": {name: count for name, count in sorted(shard.counts.items()) if count},
    }
