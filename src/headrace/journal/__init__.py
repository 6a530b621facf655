"""The journal: a shard's write-ahead log, its checkpoints, and what reads and prunes them."""

__all__ = [
    "batches",
    "checkpoint",
    "end",
    "erasures",
    "journal",
    "keys",
    "known_sources",
    "passed_headers",
    "provenance",
    "retention",
    "scan",
]
