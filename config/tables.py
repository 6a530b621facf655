"""Tables that the settings of every flow have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Protocol

from pydantic import Field, StringConstraints

from headrace.errors import Invalid

from .base import Name
from .base import Settings as _Settings
from .events import EVENT_TYPES_MAX, EventSettings
from .kafka import KafkaSettings
from .lists import ListFile

if TYPE_CHECKING:
    from .references import Broken

__all__ = [
    "ControlSettings",
    "Days",
    "FlowTable",
    "IdSettings",
    "InputSettings",
    "JournalSettings",
    "MetricsSettings",
    "NamedModel",
    "ProcessesSettings",
    "RunSettings",
    "TimeSettings",
    "Together",
]

Days = Annotated[float, Field(gt=0.0, le=400.0)]


class FlowTable(_Settings):
    """What is decided.

    Attributes
    ----------
    kind
        The flow.
    shards
        State machines that share nothing; fixed for the life of a state.
    """

    kind: str
    shards: int = Field(default=1, ge=1, le=64)


class TimeSettings(_Settings):
    """Which event times move the watermark.

    Attributes
    ----------
    allowed_lateness_days
        Events older than the clock by more are decided on the state as it is and move no window.
    future_skew_hours_max
        The largest step of the clock that one event alone may make.
    quorum_min
        Different customers whose events must agree on a larger step, at least.
    quorum_share
        Share of the customers heard within `future_skew_hours_max` that must agree on it.
    quorum_alone_events
        Events, with rising times, that may make a larger step though they are of fewer customers; so many for
        each `quorum_min` that would have to agree.
    """

    allowed_lateness_days: float = Field(default=2.0, ge=0.0, le=40.0)
    future_skew_hours_max: float = Field(default=24.0, gt=0.0, le=10_000.0)
    quorum_min: int = Field(default=3, ge=1, le=1000)
    quorum_share: float = Field(default=0.75, ge=0.0, le=1.0)
    quorum_alone_events: int = Field(default=16, ge=1, le=1000)


class InputSettings(_Settings):
    """Limits of what is read.

    Attributes
    ----------
    line_bytes_max
        Longer lines are dead letters.
    line_kept_bytes_max
        Of a longer line in a file only a head of `line_bytes_max` bytes and one is kept, with the length and
        the digest of the whole. Where it is less than `line_bytes_max`, that holds.
    batch_lines_max
        Lines that travel together, and are journalled together.
    sources_max
        Files of one run.
    sources_known_max
        Sources that one state may ever have read.
    sort_bytes_max
        Lines that `--sort` holds in memory, in bytes; the others wait in sorted files.
    truth_rows_max
        Rows of a file given with `--truth`, which is held in memory.
    """

    line_bytes_max: int = Field(default=65_536, ge=256, le=16_777_216)
    line_kept_bytes_max: int = Field(default=16_777_216, ge=65_536, le=268_435_456)
    batch_lines_max: int = Field(default=512, ge=1, le=65_536)
    sources_max: int = Field(default=64, ge=1, le=65_534)
    sources_known_max: int = Field(default=10_000, ge=1, le=65_534)
    sort_bytes_max: int = Field(default=268_435_456, ge=65_536, le=1_099_511_627_776)
    truth_rows_max: int = Field(default=10_000_000, ge=1, le=1_000_000_000)


class ControlSettings(_Settings):
    """Limits of the control channel.

    Attributes
    ----------
    poll_seconds
        A running flow looks for commands so often.
    file_bytes_max
        Bytes of commands that are applied together.
    files_max
        Files of commands that wait at most.
    """

    poll_seconds: float = Field(default=1.0, ge=0.01, le=3600.0)
    file_bytes_max: int = Field(default=67_108_864, ge=1024, le=1_073_741_824)
    files_max: int = Field(default=1000, ge=1, le=100_000)


class ProcessesSettings(_Settings):
    """How processes that share a state are started again, and the one beside a run that compiles.

    Attributes
    ----------
    restarts_max
        After so many in a row the run ends; one that has gone on for a minute counts from the beginning.
    backoff_seconds_max
        The pause before a start doubles each time, up to this.
    frozen_seconds_max
        A process that is stalled for longer is killed, and all are started again.
    compile_seconds_max
        Machine code that takes longer to be compiled beside a run is given up: plain Python goes on deciding.
    """

    restarts_max: int = Field(default=10, ge=0, le=1_000_000)
    backoff_seconds_max: float = Field(default=30.0, ge=0.0, le=3600.0)
    frozen_seconds_max: float = Field(default=30.0, ge=1.0, le=86_400.0)
    compile_seconds_max: float = Field(default=300.0, ge=0.1, le=86_400.0)


class IdSettings(_Settings):
    """How long event ids are remembered, to tell duplicates.

    Attributes
    ----------
    memory_days_max
        Days of event time.
    memory_max
        Ids of one event type.
    """

    memory_days_max: Days = 10.0
    memory_max: int = Field(default=1_000_000, ge=1, le=100_000_000)


class JournalSettings(_Settings):
    """The journal and its checkpoints.

    Attributes
    ----------
    segment_bytes_max
        A segment that has grown beyond is followed by a new one.
    fsync
        Whether each batch is forced to the disk before its decisions go out.
    checkpoint_seconds, checkpoint_inputs_max
        Whichever comes first asks for a checkpoint.
    recovery_inputs_max
        A start that had to apply so many inputs again takes a checkpoint at once.
    checkpoints_max
        Checkpoints kept.
    keep_days_max, keep_bytes_max
        Segments of which all is older, or beyond so many bytes of a shard's journal, are deleted, the oldest
        first, after a checkpoint and as far as recovery doesn't need them; not set: all are kept.
    """

    segment_bytes_max: int = Field(default=268_435_456, ge=1024, le=4_294_967_296)
    fsync: bool = False
    checkpoint_seconds: float = Field(default=60.0, gt=0.0, le=86_400.0)
    checkpoint_inputs_max: int = Field(default=2_000_000, ge=1, le=1_000_000_000)
    recovery_inputs_max: int = Field(default=50_000, ge=1, le=1_000_000_000)
    checkpoints_max: int = Field(default=2, ge=1, le=100)
    keep_days_max: float | None = Field(default=None, gt=0.0, le=36_500.0)
    keep_bytes_max: int | None = Field(default=None, ge=1024, le=1_000_000_000_000_000)


class MetricsSettings(_Settings):
    """What a run tells of itself over HTTP; it changes nothing that is decided.

    Attributes
    ----------
    port
        Where `/metrics`, `/healthz` and `/readyz` are served; 0 for a free port, not set: nowhere.
    host
        The address to listen on.
    window_outcomes_max
        Quality is evaluated on so many of the last outcomes.
    stalled_seconds_max
        A flow that has not moved for longer is not healthy.
    requests_max
        Requests of `/metrics` answered at the same time; further ones are refused.
    connections_max
        Connections that are open at the same time; beyond it the oldest is cut off.
    request_seconds_max
        A request that takes longer to arrive, or its answer to be taken, is cut off.
    """

    port: int | None = Field(default=None, ge=0, le=65_535)
    host: Annotated[str, StringConstraints(min_length=1, max_length=253)] = "127.0.0.1"
    window_outcomes_max: int = Field(default=10_000, ge=1, le=1_000_000)
    stalled_seconds_max: float = Field(default=30.0, gt=0.0, le=86_400.0)
    requests_max: int = Field(default=8, ge=1, le=256)
    connections_max: int = Field(default=256, ge=8, le=65_536)
    request_seconds_max: float = Field(default=5.0, gt=0.0, le=300.0)


class NamedModel(Protocol):
    """A table that names a registered model, with what it takes."""

    @property
    def name(self) -> str:
        """The model's."""
        ...

    @property
    def parameters(self) -> Mapping[str, object]:
        """What it takes."""
        ...


class Together(NamedTuple):
    """Tables that refer to each other.

    Attributes
    ----------
    decisive
        A file that declares it declares all of them: of the shipped file none is taken then.
    tables
        All of them.
    """

    decisive: str
    tables: tuple[str, ...]


class RunSettings(_Settings):
    """The tables that whatever runs a flow looks at; each flow's own settings have more.

    What follows the tables says what else reading a configuration needs to know of a kind of flow.

    Attributes
    ----------
    ordered
        Tables, such as `features` or `policy.lists`, in which the order of the names has a meaning.
    together
        Tables that refer to each other, if there are any.
    """

    ordered: ClassVar[tuple[str, ...]] = ()
    together: ClassVar[Together | None] = None

    flow: FlowTable
    time: TimeSettings = TimeSettings()
    input: InputSettings = InputSettings()
    control: ControlSettings = ControlSettings()
    ids: IdSettings = IdSettings()
    journal: JournalSettings = JournalSettings()
    metrics: MetricsSettings = MetricsSettings()
    kafka: KafkaSettings = KafkaSettings()
    processes: ProcessesSettings = ProcessesSettings()
    events: dict[Name, EventSettings] = Field(default_factory=dict, max_length=EVENT_TYPES_MAX)

    @property
    def lists(self) -> Mapping[str, ListFile]:
        """Lists whose contents come from files and commands, by the name that commands use."""
        return {}

    @property
    def wait_ms_max(self) -> int | None:
        """An input that waited longer before it was applied is overdue; None without such a limit."""
        return None

    @property
    def model_name(self) -> str:
        """What its decisions are computed with."""
        return self.flow.kind

    def models(self) -> Iterator[tuple[str, NamedModel, str]]:
        """Yield the tables that name a registered model, each with the model, and what it does."""
        yield from ()

    def errors(self, broken: Broken, read: Mapping[str, Any] | None) -> Iterator[Invalid]:
        """Yield what is wrong between settings that are each well-formed; `file` is left empty.

        Parameters
        ----------
        broken
            Which declarations are misshapen, and left out here.
        read
            The configuration as it was read, with those; None where nothing is misshapen.
        """
        del broken, read
        yield from ()

    def gaps(self) -> Iterator[Invalid]:
        """Yield what is missing to be run, though nothing of it is wrong."""
        yield from ()

    @classmethod
    def upgrade(cls, read: dict[str, Any]) -> None:
        """Put what an earlier version recorded into the words of this one, in place."""
