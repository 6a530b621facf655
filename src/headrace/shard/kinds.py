"""The kinds of decision that there are: each says once what it is, and machinery asks here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol

from headrace.config import flow_kinds
from headrace.shard.mismatch import differences

if TYPE_CHECKING:
    from headrace.config.tables import RunSettings
    from headrace.operators.events.contract import Event
    from headrace.operators.events.decode import Undecodable
    from headrace.shard.machine import Machine
    from headrace.shard.outgoing import Outgoing

__all__ = [
    "Action",
    "Evaluation",
    "Kind",
    "Personal",
    "Refusals",
    "Replays",
    "Route",
    "View",
    "Window",
    "actions_of",
    "build_machine",
    "changes_between",
    "kind_named",
    "kind_of",
    "kinds",
    "register",
    "shape_of",
]

Route = Callable[[Any], int | None]
"""Tells which shard an event, a command, or what can't be decoded belongs to; None for all of them."""

Refusals = Callable[["Event"], "Undecodable | None"]
"""Tells why a flow would make a dead letter of a decoded event; None where it would use it."""


class Action(NamedTuple):
    """What a decision may say is to be done.

    Attributes
    ----------
    name
        As it is counted and shown; state machines count it under this name.
    tone
        How it is shown to a person: what goes well, what needs looking at, what is stopped.
    """

    name: str
    tone: Literal["good", "caution", "bad"] = "good"


class Window(Protocol):
    """How decisions turned out, as far as is remembered."""

    def extend(self, evaluated: Sequence[Any], /) -> None:
        """Take in what state machines have evaluated."""

    def copy(self) -> Window:
        """Return the same window, to compute from in another thread while this one goes on."""
        ...

    def quality(self) -> Any | None:
        """Return the quality over the window; None while there is nothing to compute it from."""
        ...


class Run(Protocol):
    """How decisions turned out in one run."""

    def extend(self, evaluated: Sequence[Any], /) -> None:
        """Take in what state machines have evaluated."""

    def told(self) -> dict[str, Any] | None:
        """Return the quality so far as plain values; None while there is nothing to compute it from."""
        ...

    def counted(self) -> Any:
        """Return what it is computed from, as plain values that JSON has, for `Evaluation.together`."""
        ...


class Truth(Protocol):
    """The answers to a stream, which decisions are evaluated by in place of the outcomes that come."""

    def evaluated(self, lines: Sequence[bytes]) -> Sequence[Any]:
        """Return how decisions' lines turned out, for `Run.extend`; those without an answer are left out."""
        ...


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How a kind tells how good its decisions are.

    Attributes
    ----------
    by
        What decisions are evaluated by, for a person: `outcomes`.
    run
        Takes a configuration; gives what a whole run is evaluated with.
    window
        Takes how many of the last evaluated decisions are remembered; gives what metrics read.
    together
        Takes what several processes have counted; gives their quality, as if one had evaluated all.
    truth
        Takes a file and how many rows it may have; gives the answers for `--truth`. None where the kind
        can't be evaluated so.
    """

    by: str
    run: Callable[[Any], Run]
    window: Callable[[int], Window]
    together: Callable[[Sequence[Any]], dict[str, Any] | None]
    truth: Callable[[Path, int], Truth] | None = None


@dataclass(frozen=True, kw_only=True)
class View:
    """How a run of a kind is shown. What it is given is a run's progress (`headrace.runtime.runs.Progress`).

    Attributes
    ----------
    quality
        Takes the quality as `Run.told` gives it, or None, and what it is evaluated by; gives it in words.
    evaluated
        Takes the quality; gives over how many decisions that is, in brackets, or nothing.
    figures
        Takes progress; gives rows of a table: a name, and a value. `quality` rows first.
    pending
        Takes progress; gives the row that says what waits.
    with_reasons
        Whether a table of reasons is shown though there is none yet.
    outcomes
        Takes progress; gives lines for the end of a run that say what became of outcomes.
    ended
        Takes the configuration and all state machines; gives further lines for the end of a run.
    described
        Takes a configuration; gives what it sets, each with a word of what it is about.
    declared
        Takes a configuration; gives how much it declares, to follow the name of the flow.
    """

    quality: Callable[[dict[str, Any] | None, str], str]
    evaluated: Callable[[dict[str, Any] | None], str]
    figures: Callable[[Any], Sequence[tuple[str, str]]]
    pending: Callable[[Any], tuple[str, str]]
    with_reasons: bool = False
    outcomes: Callable[[Any], Sequence[str]] = lambda _: ()
    ended: Callable[[Any, Sequence[Machine]], Sequence[str]] = lambda _settings, _machines: ()
    described: Callable[[Any], Sequence[tuple[str, str]]] = lambda _: ()
    declared: Callable[[Any], str] = lambda _: ""


class Personal(NamedTuple):
    """What names a customer in events beside `customer_id`.

    Attributes
    ----------
    keys
        Fields whose values stand for the customer too, where no other customer has them. Events without a
        customer are theirs as well which have such a value of the first.
    about
        Types of the events that outcomes name: an outcome about one of theirs is theirs.
    """

    keys: tuple[str, ...]
    about: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Replays:
    """How a kind is replayed with another configuration.

    Attributes
    ----------
    report
        Takes a `headrace.replay.past.Past`, the other configuration, a `headrace.replay.options.Options`, and
        by name `learn`, `deciding` and `drawing`, which open what is told of progress; gives a report.
    refused
        Takes the options; gives the name of one that has no meaning for the kind, with what is said of it;
        None if there is none.
    plain
        Takes a report; gives it as plain values.
    view
        Takes a report; gives what Rich shows on a terminal.
    page
        Takes a report; gives it as one HTML page.
    """

    report: Callable[..., Any]
    plain: Callable[[Any], dict[str, Any]]
    view: Callable[[Any], Any]
    page: Callable[[Any], str]
    refused: Callable[[Any], tuple[str, str] | None] = lambda _: None


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a kind of decision is, as far as machinery asks.

    What is heavy is imported by the functions that need it, when they are called: a command that only reads a
    ledger doesn't wait for a model.

    Attributes
    ----------
    machine
        Builds its state machine: takes a configuration, `shard` and `learn`.
    without_model
        Builds one to look at what a state holds: takes a configuration and `learn`. Where the model isn't
        needed for that, it is not loaded.
    shape_of
        What a saved state of it depends on.
    changes
        Takes the configuration that a state was saved under, and another one; says what of the change it
        can't go on with. None where the shapes must be the same.
    route
        Takes a configuration; tells which shard an event belongs to.
    asked_by
        Takes a configuration; gives the types of the events that ask for a decision.
    names
        Takes a configuration; gives what ids of its decisions begin with, before a colon and the event's id.
    actions
        Takes a configuration; gives what decisions may say, in the order in which it is shown.
    message
        Takes a configuration; gives what makes a message of an event and the line that was decided on it.
    decision_bytes_max
        Takes a configuration; gives how long a decision's line may be at most.
    refusals
        Takes a configuration; gives what tells which decoded events it refuses.
    metrics
        Gives what it counts beside what every run does; see `headrace.metrics.metric`.
    decision_schemas
        JSON Schemas of its decisions, by what they have as `kind`; takes a configuration.
    reason_codes
        Codes of the reasons that its decisions may give; takes a configuration.
    labels
        What values its metrics' labels have, for the reference.
    evaluation, view, personal
        How good it is, how a run of it is shown, and what names a customer.
    explain
        Takes a `headrace.ledger.explained.Asked`; gives why it was decided so.
    layout
        Takes a configuration; gives how its decisions stand in an exported table: a
        `headrace.ledger.export_columns.Layout`.
    replays
        Gives how it is replayed with another configuration.
    """

    machine: Callable[..., Machine]
    without_model: Callable[..., Machine]
    shape_of: Callable[[Any], dict[str, Any]]
    changes: Callable[[Any, Any], Sequence[str]] | None = None
    route: Callable[[Any], Route]
    asked_by: Callable[[Any], Sequence[str]]
    names: Callable[[Any], Sequence[str]]
    actions: Callable[[Any], Sequence[Action]]
    message: Callable[[Any], Callable[[Any, bytes], Outgoing]]
    decision_bytes_max: Callable[[Any], int]
    refusals: Callable[[Any], Refusals] = lambda _: lambda _event: None
    metrics: Callable[[], Sequence[Any]] = tuple
    decision_schemas: Callable[[Any], Mapping[str, dict[str, Any]]] = lambda _settings: {}
    reason_codes: Callable[[Any], Sequence[str]] = lambda _settings: ()
    labels: Mapping[str, str]
    evaluation: Evaluation
    view: View
    personal: Callable[[Any], Personal]
    explain: Callable[[Any], Any]
    layout: Callable[[Any], Any]
    replays: Callable[[], Replays]


_LOADERS: Final[dict[str, Callable[[], Kind]]] = {}


def register(
    name: str,
    load: Callable[[], Kind],
    *,
    settings: Callable[[], type[RunSettings]],
    shipped: Mapping[str, Path],
) -> None:
    """Make a kind known; whoever runs or reads flows does so once for each, in one place.

    Parameters
    ----------
    name
        As `flow.kind` has it.
    load
        Gives the kind, when something asks for it: what it needs is imported then.
    settings
        Gives the class of its settings, likewise.
    shipped
        Configurations of it that come with the program, by their names; the first is what others lie over.
    """
    # Two registries behind one call: configurations are read in a room below this one, which knows no
    # machine.
    flow_kinds.register(flow_kinds.FlowKind(name=name, settings=settings, shipped=shipped))
    _LOADERS[name] = load


@cache
def _loaded(load: Callable[[], Kind]) -> Kind:
    return load()


def kinds() -> Iterator[Kind]:
    """Every kind that is known, in the order in which they were registered."""
    return map(_loaded, list(_LOADERS.values()))


def kind_named(name: str) -> Kind:
    """Return a kind by its name, as `flow.kind` has it.

    Raises
    ------
    LookupError
        If none is registered for it.
    """
    if name not in _LOADERS:
        raise LookupError(f"no kind of decision is registered as {name!r}")
    return _loaded(_LOADERS[name])


def kind_of(settings: RunSettings) -> Kind:
    """Find the kind that a configuration is of.

    Raises
    ------
    LookupError
        If none is registered for it.
    """
    return kind_named(settings.flow.kind)


def build_machine(settings: RunSettings, *, shard: int = 0, learn: bool = True) -> Machine:
    """Build the state machine of a shard, as it is before any input.

    Parameters
    ----------
    settings
        The configuration; it tells the kind.
    shard
        Its number among the shards of the flow.
    learn
        Whether what it decides with learns.
    """
    return kind_of(settings).machine(settings, shard=shard, learn=learn)


def shape_of(settings: RunSettings) -> dict[str, Any]:
    """Say what a saved state depends on; it goes on only with a configuration of the same shape."""
    return kind_of(settings).shape_of(settings)


def changes_between(saved: RunSettings, now: RunSettings) -> list[str]:
    """Say what a state that was saved under one configuration can't go on with under another of its kind."""
    changes = kind_of(now).changes
    if changes is not None:
        return list(changes(saved, now))
    return list(differences(shape_of(saved), shape_of(now)))


def actions_of(settings: RunSettings) -> tuple[str, ...]:
    """Return the names of what decisions of a flow may say."""
    return tuple(action.name for action in kind_of(settings).actions(settings))
