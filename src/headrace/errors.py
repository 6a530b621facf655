"""Every error that Headrace raises on purpose, as one tree.

::

    HeadraceError
    ├── ConfigError            exit 2   the configuration has validation errors (all of them listed)
    ├── InputError             exit 3   an input can't be read
    │   ├── TruncatedInput     exit 4   a compressed input ends early or is damaged
    │   ├── ChangedSource      exit 5   a source differs in the part that was read before
    │   └── NothingUsable      exit 15  inputs came, and none of them could be used
    ├── ReaderGone             exit 141 the reader of standard output has gone
    ├── DiskFull               exit 14  a file can't grow: no room, a quota, a limit of size
    ├── StateError             exit 6   the state directory can't be used
    │   ├── JournalDamaged     exit 6   a journal holds bytes that were not written so
    │   ├── CheckpointDamaged  exit 6   a checkpoint can't be read
    │   ├── StateMismatch      exit 7   state and configuration, or state and outputs, don't fit each other
    │   ├── StateLocked        exit 8   another process uses the state
    │   ├── ErasureUnfinished  exit 11  an erasure was asked for and isn't finished
    │   └── ErasureUnsure      exit 16  an erasure is done, but for records that nobody can judge
    ├── InputFailed            exit 17  an input made the program itself fail
    ├── UnknownDecision        exit 9   the ledger has no such decision
    ├── DecisionsDiffer        exit 10  decisions that were derived once more differ from the recorded ones
    ├── Incompatible           exit 18  a change of a flow breaks what others rely on (all of it is listed)
    ├── Interrupted            exit 130 interrupted from the keyboard
    └── BrokerError            exit 12  Kafka can't do what is asked
        ├── BrokerUnreachable  exit 12  no broker answers
        ├── BrokerRefused      exit 12  the brokers don't let one in, or not do that
        ├── TopicMismatch      exit 12  topics are not as a flow needs them (all that is wrong is listed)
        ├── DeliveryFailed     exit 12  a message could not be delivered
        └── OffsetLost         exit 13  what is to be read next is not in the topic
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

__all__ = [
    "BrokerError",
    "BrokerRefused",
    "BrokerUnreachable",
    "ChangedSource",
    "CheckpointDamaged",
    "ConfigError",
    "DecisionsDiffer",
    "DeliveryFailed",
    "DiskFull",
    "ErasureUnfinished",
    "ErasureUnsure",
    "HeadraceError",
    "Incompatible",
    "InputError",
    "InputFailed",
    "Interrupted",
    "Invalid",
    "JournalDamaged",
    "NothingUsable",
    "OffsetLost",
    "ReaderGone",
    "StateError",
    "StateLocked",
    "StateMismatch",
    "TopicMismatch",
    "TruncatedInput",
    "UnknownDecision",
]


class Invalid(NamedTuple):
    """One validation error in a configuration: the file, the key's dotted path, and what is wrong."""

    file: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.message}" if self.key else f"{self.file}: {self.message}"


class HeadraceError(Exception):
    """The root of the tree.

    Attributes
    ----------
    exit_code
        What the command line ends with; a class without one of its own shares that of its parent.
    exit_means
        What that code says, for the table of them.
    """

    exit_code: ClassVar[int] = 1
    exit_means: ClassVar[str] = "something else went wrong"


class ConfigError(HeadraceError):
    """A configuration with validation errors.

    Parameters
    ----------
    errors
        All that were found, in the order of the file.
    """

    exit_code = 2
    exit_means = "the command or the configuration has validation errors"

    def __init__(self, errors: Sequence[Invalid]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(map(str, self.errors)))


class InputError(HeadraceError):
    """An input that can't be opened or read."""

    exit_code = 3
    exit_means = "an input can't be read, or is of another format than lines of JSON objects"


class TruncatedInput(InputError):
    """A compressed input that ends early or is damaged.

    Parameters
    ----------
    source
        The path as given.
    byte
        Position in the compressed file where reading had to stop, in bytes.
    why
        What was wrong there.
    """

    exit_code = 4
    exit_means = "a compressed input ends early or is damaged; everything before is decided"

    def __init__(self, source: str, byte: int, why: str) -> None:
        self.source, self.byte, self.why = source, byte, why
        super().__init__(f"{source}: byte {byte}: {why}")


class ChangedSource(InputError):
    """A source whose part that was already read is not what it was."""

    exit_code = 5
    exit_means = "a source differs in the part that was read before, or was read under another name"


class NothingUsable(InputError):
    """Inputs came, and each was a dead letter, or of a type that the flow has no use for."""

    exit_code = 15
    exit_means = (
        "inputs came, and none of them could be used: all are dead letters, or of types without a use"
    )


class ReaderGone(HeadraceError):
    """Standard output has no reader any more, as after `| head`; the code is a shell's for SIGPIPE."""

    exit_code = 141
    exit_means = "the reader of standard output has gone"


class DiskFull(HeadraceError):
    """A file that can't grow, because there is no room, or a quota or a limit of size is reached."""

    exit_code = 14
    exit_means = "a file can't grow: no room, a quota, or a limit of size"


class StateError(HeadraceError):
    """A state directory that can't be used."""

    exit_code = 6
    exit_means = "a journal or a checkpoint is damaged, or the state can't be used"


class JournalDamaged(StateError):
    """A journal file that holds other bytes than were written, or lacks some."""

    def __init__(self, file: Path | str, byte: int, why: str) -> None:
        self.file, self.byte, self.why = str(file), byte, why
        super().__init__(f"{file}: byte {byte}: {why}")


class CheckpointDamaged(StateError):
    """A checkpoint that can't be read."""

    def __init__(self, file: Path | str, why: str) -> None:
        self.file, self.why = str(file), why
        super().__init__(f"{file}: {why}")


class StateMismatch(StateError):
    """A state that can't go on with the given configuration or outputs; `differences` name why."""

    exit_code = 7
    exit_means = "the state doesn't fit the configuration, the outputs, or this version of the program"

    def __init__(self, differences: Sequence[str]) -> None:
        self.differences = tuple(differences)
        super().__init__("\n".join(self.differences))


class StateLocked(StateError):
    """A state that another process has locked."""

    exit_code = 8
    exit_means = "another process uses the state"


class ErasureUnfinished(StateError):
    """An erasure that was asked for, goes on or waits, and isn't finished."""

    exit_code = 11
    exit_means = "an erasure was asked for and isn't finished"


class ErasureUnsure(StateError):
    """An erasure of all that is known to be a customer's, where other records may be theirs as well."""

    exit_code = 16
    exit_means = "an erasure is done, but for records of which nobody can say whose they are"


class InputFailed(HeadraceError):
    """An input that made the program itself fail: an error of ours, and no fault of the input's.

    Parameters
    ----------
    place
        Source and offset, joined by a colon, as `--skip` takes them.
    ordinal
        Of the input in its shard, -1 where it isn't known.
    why
        What was raised, or that the process died.
    """

    exit_code = 17
    exit_means = "an input made the program itself fail; --skip passes it over"

    def __init__(self, place: str, ordinal: int, why: str) -> None:
        self.place, self.ordinal, self.why = place, ordinal, why
        at = f"{place}: input {ordinal}" if ordinal >= 0 else place
        super().__init__(f"{at}: {why}; to go on without it, add --skip {shlex.quote(place)} to the run")


class UnknownDecision(HeadraceError):
    """An id that no decision in the ledger has."""

    exit_code = 9
    exit_means = "the ledger has no such decision"


class DecisionsDiffer(HeadraceError):
    """Decisions that were derived once more, and are not what the journal holds."""

    exit_code = 10
    exit_means = "decisions that were derived once more differ from the recorded ones"


class Incompatible(HeadraceError):
    """A change of a flow that breaks what its consumers, or those who send it events, rely on."""

    exit_code = 18
    exit_means = "a change of a flow breaks what its consumers, or those who send it events, rely on"


class Interrupted(HeadraceError):
    """Ctrl-C, where there is nothing to drain; the code is a shell's for SIGINT."""

    exit_code = 130
    exit_means = (
        "interrupted from the keyboard, in a command other than run, or before that has read its options"
    )


class BrokerError(HeadraceError):
    """Something that Kafka's brokers, or its client, can't do."""

    exit_code = 12
    exit_means = "Kafka can't be reached, refuses, has not the topics, or did not take a message"


class BrokerUnreachable(BrokerError):
    """No broker answers, or none in time."""


class BrokerRefused(BrokerError):
    """The brokers don't know the user or the certificate, or don't allow what is asked."""


class TopicMismatch(BrokerError):
    """Topics that are not as a flow needs them; `differences` name everything that is wrong."""

    def __init__(self, differences: Sequence[str]) -> None:
        self.differences = tuple(differences)
        super().__init__("\n".join(self.differences))


class DeliveryFailed(BrokerError):
    """A message that the brokers have not taken."""


class OffsetLost(BrokerError):
    """Positions in topics that can't be read from; `losses` name them all, and how to go on."""

    exit_code = 13
    exit_means = "what is to be read next is no longer in the topic"

    def __init__(self, losses: Sequence[str]) -> None:
        self.losses = tuple(losses)
        super().__init__("\n".join(self.losses))
