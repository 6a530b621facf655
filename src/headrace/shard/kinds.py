"""The kinds of decision that there are: each says once what it is, and machinery asks here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from headrace.config.tables import RunSettings
    from headrace.shard.machine import Machine

__all__ = ["Kind", "build_machine", "kind_of", "kinds", "register", "shape_of"]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a kind of decision is, as far as machinery asks.

    Attributes
    ----------
    machine
        Builds its state machine: takes a configuration, `shard` and `learn`.
    without_model
        Builds one to look at what a state holds: takes a configuration and `learn`. Where the model isn't
        needed for that, it is not loaded.
    shape_of
        What a saved state of it depends on.
    metrics
        What it counts beside what every run does; see `headrace.metrics.metric`.
    decision_schemas
        JSON Schemas of its decisions, by what they have as `kind`; takes a configuration.
    reason_codes
        Codes of the reasons that its decisions may give; takes a configuration.
    """

    machine: Callable[..., Machine]
    without_model: Callable[..., Machine]
    shape_of: Callable[[Any], dict[str, Any]]
    metrics: Sequence[Any]
    decision_schemas: Callable[[Any], Mapping[str, dict[str, Any]]] = lambda _settings: {}
    reason_codes: Callable[[Any], Sequence[str]] = lambda _settings: ()


_LOADERS: Final[dict[str, Callable[[], Kind]]] = {}


def register(name: str, load: Callable[[], Kind]) -> None:
    """Make a kind known; whoever runs or reads flows does so once for each, in one place.

    Parameters
    ----------
    name
        As `flow.kind` has it.
    load
        Gives the kind, when something asks for it: what it needs is imported then.
    """
    _LOADERS[name] = load


@cache
def _loaded(load: Callable[[], Kind]) -> Kind:
    return load()


def kinds() -> Iterator[Kind]:
    """Every kind that is known, in the order in which they were registered."""
    return map(_loaded, _LOADERS.values())


def kind_of(settings: RunSettings) -> Kind:
    """Find the kind that a configuration is of.

    Raises
    ------
    LookupError
        If none is registered for it.
    """
    name = settings.flow.kind
    if name not in _LOADERS:
        raise LookupError(f"no kind of decision is registered as {name!r}")
    return _loaded(_LOADERS[name])


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
