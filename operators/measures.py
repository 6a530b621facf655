"""Every metric of a run, defined in one place."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

from headrace.operators import scrape
from headrace.operators.recorder import Recorder

__all__ = ["LABELS", "METRICS", "PROCESS", "Metric"]

Kind: TypeAlias = Literal["counter", "gauge", "histogram", "info"]
Since: TypeAlias = Literal["state", "process", "now"]


class Metric(NamedTuple):
    """One metric.

    Attributes
    ----------
    name
        As it is exposed, without the suffixes that histograms add.
    kind
        What Prometheus calls its type; an `info` is always 1 and says something in its labels.
    help
        What it counts.
    labels
        Their names; their values are bounded by the contract and the configuration.
    since
        What a counter starts from: the first start of the state, so that it goes on over restarts, or the
        start of the process. `now` for what isn't counted.
    read
        Gives label values and value, for each combination that there is.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    since: Since
    read: scrape.Reader


METRICS: Final = (
    Metric(
        "headrace_events_total", "counter", "Lines read, by event type.", ("type",), "process", scrape.events
    ),
    Metric(
        "headrace_decisions_total",
        "counter",
        "Decisions, by action.",
        ("action",),
        "state",
        scrape.decisions,
    ),
    Metric(
        "headrace_decisions_by_path_total",
        "counter",
        "Decisions, by the part of the policy that decided, and the name of the list or rule.",
        ("path", "name"),
        "state",
        scrape.paths,
    ),
    Metric(
        "headrace_shadow_decisions_total",
        "counter",
        "What shadow mode would have done, by action.",
        ("action",),
        "state",
        scrape.shadow_decisions,
    ),
    Metric(
        "headrace_kill_switch",
        "gauge",
        "1 while the kill switch is on.",
        ("shard",),
        "now",
        scrape.kill_switches,
    ),
    Metric(
        "headrace_reviews_unused",
        "gauge",
        "Reviews left on the day of the shard's clock, in shadow mode all; absent without a capacity.",
        ("shard",),
        "now",
        scrape.reviews_unused,
    ),
    Metric("headrace_commands_total", "counter", "Commands applied.", (), "state", scrape.plain("commands")),
    Metric(
        "headrace_reasons_total",
        "counter",
        "How often a code was among the reasons of a decision.",
        ("code",),
        "state",
        scrape.reasons,
    ),
    Metric(
        "headrace_dead_letters_total",
        "counter",
        "Inputs that could not be used, by reason.",
        ("reason",),
        "state",
        scrape.dead_letters,
    ),
    Metric(
        "headrace_repeats_total",
        "counter",
        "Events that had come before with the same content.",
        (),
        "state",
        scrape.plain("repeats"),
    ),
    Metric(
        "headrace_events_untimely_total",
        "counter",
        "Events that were late, or ahead of the clock, by more than the limit.",
        ("type", "timing"),
        "state",
        scrape.untimely,
    ),
    Metric(
        "headrace_outcomes_total",
        "counter",
        "What became of outcomes. `unmatched`: no payment came in time. With several shards an outcome that "
        "names no customer goes to each, and is unmatched in all but one.",
        ("result",),
        "state",
        scrape.outcomes,
    ),
    Metric(
        "headrace_outcomes_waiting",
        "gauge",
        "Outcomes that wait for their payment, or for the clock to reach their time.",
        ("awaited",),
        "now",
        scrape.outcomes_waiting,
    ),
    Metric(
        "headrace_outcomes_held_total",
        "counter",
        "Outcomes that had to wait; they are counted once more by what becomes of them.",
        ("awaited",),
        "state",
        scrape.outcomes_held,
    ),
    Metric(
        "headrace_pending_payments",
        "gauge",
        "Payments remembered for an outcome.",
        (),
        "now",
        scrape.of_states(lambda state: len(state.pending)),
    ),
    Metric(
        "headrace_pending_given_up_total",
        "counter",
        "Payments given up without an outcome, for their age or for the limit on their number.",
        ("cause",),
        "state",
        scrape.given_up,
    ),
    Metric(
        "headrace_decision_latency_seconds",
        "histogram",
        "From reading a payment's batch to writing its decision.",
        (),
        "process",
        scrape.of_recorder(Recorder.latencies),
    ),
    Metric(
        "headrace_stage_latency_seconds",
        "histogram",
        "Time an event spent in a stage, which is that of its whole batch.",
        ("stage",),
        "process",
        scrape.stage_latencies,
    ),
    Metric(
        "headrace_stage_busy_seconds_total",
        "counter",
        "Time a stage worked.",
        ("stage",),
        "process",
        scrape.stage_work,
    ),
    Metric(
        "headrace_decision_score",
        "histogram",
        "Scores of the decisions that went out.",
        (),
        "process",
        scrape.of_recorder(Recorder.scores),
    ),
    Metric(
        "headrace_model_updates_total",
        "counter",
        "Outcomes that the model learnt from.",
        (),
        "process",
        scrape.of_recorder(lambda recorder: recorder.updates),
    ),
    Metric(
        "headrace_prequential_outcomes",
        "gauge",
        "Outcomes in the window that quality is judged on.",
        (),
        "now",
        scrape.of_quality(lambda seen: seen.payments),
    ),
    Metric(
        "headrace_prequential_frauds",
        "gauge",
        "Frauds among them.",
        (),
        "now",
        scrape.of_quality(lambda seen: seen.frauds),
    ),
    Metric(
        "headrace_prequential_auc",
        "gauge",
        "Area under the ROC curve over the window; absent until it holds both labels.",
        (),
        "now",
        scrape.of_quality(lambda seen: seen.auc),
    ),
    Metric(
        "headrace_prequential_average_precision",
        "gauge",
        "Average precision over the window; absent as the AUC is.",
        (),
        "now",
        scrape.of_quality(lambda seen: seen.average_precision),
    ),
    Metric(
        "headrace_prequential_log_loss",
        "gauge",
        "Log loss over the window, nats.",
        (),
        "now",
        scrape.of_quality(lambda seen: seen.log_loss),
    ),
    Metric(
        "headrace_prequential_calibration_error",
        "gauge",
        "Expected calibration error over the window, in ten equal ranges of the score.",
        (),
        "now",
        scrape.of_quality(lambda seen: seen.calibration_error),
    ),
    Metric(
        "headrace_prequential_mean_score",
        "gauge",
        "Mean score over the window; right on the whole when it equals the base rate.",
        (),
        "now",
        scrape.of_quality(lambda seen: seen.mean_score),
    ),
    Metric(
        "headrace_prequential_base_rate",
        "gauge",
        "Share of frauds in the window.",
        (),
        "now",
        scrape.of_quality(lambda seen: seen.base_rate),
    ),
    Metric("headrace_entities", "gauge", "Entities known, by kind.", ("entity",), "now", scrape.entities),
    Metric(
        "headrace_entity_evictions_total",
        "counter",
        "Entities forgotten for being idle, or for the limit on their number.",
        ("entity", "cause"),
        "state",
        scrape.evictions,
    ),
    Metric(
        "headrace_known_ids",
        "gauge",
        "Event ids remembered to tell repeats, by event type.",
        ("type",),
        "now",
        scrape.of_ids(len),
    ),
    Metric(
        "headrace_known_ids_dropped_total",
        "counter",
        "Event ids forgotten before their time for the limit on their number.",
        ("type",),
        "state",
        scrape.of_ids(lambda memory: memory.dropped_by_limit),
    ),
    Metric(
        "headrace_journal_written_bytes_total",
        "counter",
        "Bytes appended to the journal.",
        ("shard",),
        "process",
        scrape.of_journal(lambda journal: journal.bytes_written),
    ),
    Metric(
        "headrace_journal_writes_total",
        "counter",
        "Frames appended to the journal, each with one write.",
        ("shard",),
        "process",
        scrape.of_journal(lambda journal: journal.frames_written),
    ),
    Metric(
        "headrace_journal_bytes", "gauge", "The journal on disk.", ("shard",), "now", scrape.journal_files
    ),
    Metric(
        "headrace_journal_retired_segments_total",
        "counter",
        "Segments deleted for `journal.keep_days_max` or `journal.keep_bytes_max`.",
        ("shard",),
        "process",
        scrape.of_shard(lambda shard: shard.retired.segments),
    ),
    Metric(
        "headrace_journal_retired_bytes_total",
        "counter",
        "Their bytes.",
        ("shard",),
        "process",
        scrape.of_shard(lambda shard: shard.retired.bytes),
    ),
    Metric(
        "headrace_journal_erased_records_total",
        "counter",
        "Records erased by `headrace erase`.",
        ("shard",),
        "process",
        scrape.of_shard(lambda shard: shard.erased),
    ),
    Metric(
        "headrace_erasures_waiting",
        "gauge",
        "Erasures that were asked for and are not carried out yet.",
        ("shard",),
        "now",
        scrape.of_shard(lambda shard: shard.erasures_waiting),
    ),
    Metric(
        "headrace_checkpoints_total",
        "counter",
        "Checkpoints that ended, by result: `written` or `failed`.",
        ("shard", "result"),
        "process",
        scrape.checkpoints,
    ),
    Metric(
        "headrace_checkpoint_age_seconds",
        "gauge",
        "Since the newest checkpoint was written; since the start when there is none.",
        ("shard",),
        "now",
        scrape.checkpoint_ages,
    ),
    Metric(
        "headrace_checkpoint_duration_seconds_total",
        "counter",
        "From the fork of a checkpoint to its noticed end, summed over checkpoints.",
        ("shard",),
        "process",
        scrape.checkpoint_durations,
    ),
    Metric(
        "headrace_checkpoint_stall_seconds_total",
        "counter",
        "How long the forks held the flow up, summed over checkpoints.",
        ("shard",),
        "process",
        scrape.checkpoint_stalls,
    ),
    Metric(
        "headrace_source_read_bytes",
        "gauge",
        "Bytes used up of a source, by its number in the state; compressed ones if it is compressed.",
        ("source",),
        "now",
        scrape.source_bytes,
    ),
    Metric(
        "headrace_source_size_bytes",
        "gauge",
        "Size of a source when it was opened; absent for a pipe.",
        ("source",),
        "now",
        scrape.source_sizes,
    ),
    Metric(
        "headrace_source_lag_messages",
        "gauge",
        "Messages of a partition that are not yet read, as far as its end is known; absent for files.",
        ("source",),
        "now",
        scrape.lags,
    ),
    Metric(
        "headrace_source_lag_seconds",
        "gauge",
        "Age of the last message that was read of a partition, 0 at its end; absent for files.",
        ("source",),
        "now",
        scrape.lag_ages,
    ),
    Metric(
        "headrace_brokers_silent_seconds",
        "gauge",
        "Time since anything was heard of the Kafka brokers; absent in a run on files.",
        (),
        "now",
        scrape.broker_silence,
    ),
    Metric(
        "headrace_shard_position",
        "gauge",
        "Place of the shard's next input in the merged order of all sources.",
        ("shard",),
        "now",
        scrape.positions,
    ),
    Metric(
        "headrace_event_time_seconds",
        "gauge",
        "The shard's clock, event time in seconds since the epoch; absent before the first event.",
        ("shard",),
        "now",
        scrape.clocks,
    ),
    Metric(
        "headrace_phase",
        "gauge",
        "1 for the phase that the run is in, 0 for others.",
        ("phase",),
        "now",
        scrape.phases,
    ),
    Metric(
        "headrace_unmoved_seconds",
        "gauge",
        "For how long the running flow has not asked for input; `/healthz` judges it.",
        (),
        "now",
        scrape.of_recorder(lambda recorder: recorder.unmoved_s),
    ),
    Metric(
        "headrace_recovery_seconds",
        "gauge",
        "How long this process took to take up its state; 0 while it is at it.",
        (),
        "now",
        scrape.of_recorder(lambda recorder: recorder.recovery_s),
    ),
    Metric(
        "headrace_recovery_inputs",
        "gauge",
        "Inputs applied again from the journal by this process.",
        (),
        "now",
        scrape.replayed,
    ),
    Metric(
        "headrace_build_info",
        "info",
        "What is running; `config` is the beginning of the configuration's digest.",
        ("version", "python", "flow", "model", "config"),
        "now",
        scrape.build,
    ),
)

LABELS: Final = {
    "action": "`approve`, `review`, `block`",
    "awaited": "`payment` for outcomes that came before theirs, `clock` for those ahead of their time",
    "cause": "`limit` for a limit on the number; `age` for payments, `idle` for entities that weren't seen",
    "code": "the reason codes of the configuration",
    "config": "first digits of the configuration's digest, as `headrace check` prints it",
    "entity": "the kinds of entity of the configuration",
    "flow": "`fraud`",
    "model": "the model's name, and a digest of what it depends on, as in decisions",
    "name": "name of the list or rule in the configuration; empty for other paths",
    "path": "`model`, `cost`, `list`, `rule`, `capacity`, `deadline`, `kill_switch`",
    "phase": "`recovering`, `running`, `draining`",
    "python": "version of Python",
    "reason": "the reason codes of dead letters",
    "result": "of outcomes: `matched`, `corrected`, `repeated`, `too_late` to correct, `assumed` legitimate, "
    "`withheld` as the payment was blocked, `unmatched`; of checkpoints: `written`, `failed`",
    "shard": "number of the shard, two digits",
    "source": "number of the source, in the order in which the state came to know them",
    "stage": "`read`, `decode`, `apply`, `journal`, `write`",
    "timing": "`late`, `ahead`",
    "type": "`payment`, `outcome`, `click`, `cart`, `order`, `item`; `command` of an operator; `undecodable`",
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
