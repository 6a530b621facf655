"""The journal: a shard's write-ahead log, its checkpoints, and what reads and prunes them."""

__all__ = [
    "batches",
    "checkpoint",
    "disk",
    "end",
    "erasures",
    "format",
    "frame_reader",
    "frames",
    "keys",
    "known_sources",
    "passed_headers",
    "provenance",
    "reader",
    "records",
    "retention",
    "scan",
    "segments",
    "verify",
    "writer",
]
