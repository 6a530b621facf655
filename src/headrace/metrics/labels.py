"""The labels of metrics and their values, and what the Prometheus client adds."""

from __future__ import annotations

from typing import Final

from headrace.config.flow_kinds import kind_names
from headrace.shard.kinds import kinds

__all__ = ["PROCESS", "SOURCE", "labels"]

SOURCE: Final = ("source", "topic", "partition")
"""Labels of a metric of one source."""

_OF_RUNS: Final = {
    "cause": "of restarts `ended` for a process that ended, `frozen` for one that was stalled, `disk_full`",
    "config": "first digits of the configuration's digest, as `headrace check` prints it",
    "direction": "`ahead`: in the future; `behind`: before the message can have been there",
    "entity": "the kinds of entity of the configuration",
    "model": "the model's name, and a digest of what it depends on, as in decisions",
    "partition": "number of the partition; empty for a file",
    "phase": "`recovering`, `running`, `draining`",
    "python": "version of Python",
    "reason": "the reason codes of dead letters",
    "result": "of checkpoints: `written`, `failed`; of watermark steps: `accepted`, `refused`, `set` by a"
    " command",
    "shard": "number of the shard, two digits",
    "source": "number of the source, in the order in which the state came to know them",
    "stage": "`read`, `decode`, `apply`, `journal`, `write`",
    "timestamp": "`create`: when the message was made; `append`: when the broker took it",
    "timing": "`late`, `ahead`",
    "topic": "name of a topic; empty for a source that is a file",
    "twin": "`compiled` to machine code, `plain` Python",
    "type": "the types of events; `command` of an operator; `undecodable`; `tombstone`, a message without a"
    " value",
    "version": "version of Headrace",
}
"""The labels that every run's metrics have, and which values."""


def labels() -> dict[str, str]:
    """Return all labels, and which values they have: those of every run, and those of each kind."""
    kinds_named = ", ".join(f"`{name}`" for name in kind_names())
    # A label that several kinds have says what it means in each.
    found = {"flow": [f"{kinds_named}; every metric has it but those of the process"]}
    for of_some in (_OF_RUNS, *(kind.labels for kind in kinds())):
        for name, values in of_some.items():
            found.setdefault(name, []).append(values)
    return {name: "; ".join(dict.fromkeys(values)) for name, values in sorted(found.items())}


PROCESS: Final = {
    "process_resident_memory_bytes": "Memory of the process (RSS).",
    "process_virtual_memory_bytes": "Its address space.",
    "process_cpu_seconds_total": "CPU time of the process.",
    "process_start_time_seconds": "When it started, seconds since the epoch.",
    "process_open_fds": "Open file descriptors.",
    "process_max_fds": "Their limit.",
}
"""What the Prometheus client adds of the process, on Linux."""
