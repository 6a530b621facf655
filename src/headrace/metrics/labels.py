"""The labels of metrics and their values, and what the Prometheus client adds."""

from __future__ import annotations

from typing import Final

__all__ = ["LABELS", "PROCESS", "SOURCE"]

SOURCE: Final = ("source", "topic", "partition")
"""Labels of a metric of one source."""

LABELS: Final = {
    "action": "`approve`, `review`, `block`; of slates `recommend`, and `none` for an empty one",
    "awaited": "`payment` for outcomes that came before theirs, `clock` for those ahead of their time",
    "cause": "`limit` for a limit on the number; `age` for payments, `idle` for entities that weren't seen; "
    "of restarts `ended` for a process that ended, `frozen` for one that was stalled, `disk_full`",
    "code": "the reason codes of the configuration",
    "config": "first digits of the configuration's digest, as `headrace check` prints it",
    "entity": "the kinds of entity of the configuration; `item` where slates are made",
    "flow": "`fraud`, `recommend`; every metric has it but those of the process",
    "direction": "`ahead`: in the future; `behind`: before the message can have been there",
    "event": "`cart`, `order`",
    "items": "`shown` on slates, `clicked`",
    "item": "`from` the session's last slate, or `beside` it",
    "rule": "what a rule did to an item: `own`, `capped`, `filled`, `new`, `explored`",
    "origin": "source of candidates: `neighbours`, `recent_neighbours`, `next_clicks`, `later_clicks`,"
    " `session`, `bought_together`, `trending`, `new`",
    "model": "the model's name, and a digest of what it depends on, as in decisions",
    "name": "name of the slate or rule in the configuration; empty for other paths",
    "partition": "number of the partition; empty for a file",
    "path": "`model`, `cost`, `list`, `rule`, `capacity`, `deadline`, `kill_switch`",
    "phase": "`recovering`, `running`, `draining`",
    "python": "version of Python",
    "reason": "the reason codes of dead letters; of empty slates `no_candidates`, `kill_switch`, `deadline`, "
    "`ranker_failed`",
    "result": "of outcomes: `matched`, `corrected`, `repeated`, `too_late` to correct, `assumed` legitimate, "
    "`withheld` as the payment was blocked, `not_learned` as the model raised an error, `unmatched`; "
    "of checkpoints: `written`, `failed`; of watermark steps: `accepted`, `refused`, `set` by a command",
    "shard": "number of the shard, two digits",
    "source": "number of the source, in the order in which the state came to know them",
    "stage": "`read`, `decode`, `apply`, `journal`, `write`",
    "timestamp": "`create`: when the message was made; `append`: when the broker took it",
    "timing": "`late`, `ahead`",
    "topic": "name of a topic; empty for a source that is a file",
    "twin": "`compiled` to machine code, `plain` Python",
    "type": "`payment`, `outcome`, `click`, `cart`, `order`, `item`; `command` of an operator; "
    "`undecodable`; `tombstone`, a message without a value",
    "version": "version of Headrace",
}
"""The labels, and which values they have."""

PROCESS: Final = {
    "process_resident_memory_bytes": "Memory of the process (RSS).",
    "process_virtual_memory_bytes": "Its address space.",
    "process_cpu_seconds_total": "CPU time of the process.",
    "process_start_time_seconds": "When it started, seconds since the epoch.",
    "process_open_fds": "Open file descriptors.",
    "process_max_fds": "Their limit.",
}
"""What the Prometheus client adds of the process, on Linux."""
