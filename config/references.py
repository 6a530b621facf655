"""What is wrong between settings that are each well-formed, such as a name that nothing declares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from headrace.errors import Invalid

from .base import did_you_mean
from .event_errors import event_errors
from .kafka import kafka_errors
from .tables import RunSettings, TimeSettings

__all__ = [
    "Broken",
    "ModelErrors",
    "errors_of_models",
    "references",
    "time_errors",
    "unknown",
    "validation_errors",
]

ModelErrors = Callable[[str, Mapping[str, object], str], Iterable[tuple[str, str]]]


def errors_of_models(settings: RunSettings, model_errors: ModelErrors) -> list[Invalid]:
    """Find what is wrong with the models that settings name; `file` is left empty."""
    return [
        Invalid("", f"{table}.{key}", message)
        for table, model, of in settings.models()
        for key, message in model_errors(model.name, model.parameters, of)
    ]


class Broken:
    """Names in declarations that are misshapen; they count as declared, for nothing more is known of them."""

    def __init__(self, places: Sequence[tuple[str, ...]] = ()) -> None:
        self._places = {place[:2] for place in places}

    def hides(self, section: str, name: str) -> bool:
        """Whether the name may be declared in a part that is misshapen."""
        return (section,) in self._places or (section, name) in self._places

    def hides_any(self, section: str) -> bool:
        """Whether anything of a section is misshapen."""
        return any(place[0] == section for place in self._places)


def validation_errors(settings: RunSettings) -> list[Invalid]:
    """Find what is wrong between settings that are each well-formed; `file` is left empty."""
    return list(references(settings, Broken()))


def references(
    settings: RunSettings, broken: Broken, read: Mapping[str, Any] | None = None
) -> Iterator[Invalid]:
    """Find validation errors between declarations; the policy's also in those that are misshapen."""
    yield from settings.errors(broken, read)
    yield from event_errors(settings.events, lambda name: broken.hides("events", name))
    if not broken.hides_any("kafka"):
        yield from kafka_errors(settings.kafka)


def unknown(key: str, what: str, name: str, known: Iterable[str]) -> Invalid:
    """Return the validation error of a name that nothing declares."""
    return Invalid("", key, f"there is no {what} {name}{did_you_mean(name, list(known))}")


def time_errors(time: TimeSettings, broken: Broken) -> Iterator[Invalid]:
    """Yield what is wrong between the settings of the clock."""
    if any(broken.hides("time", key) for key in TimeSettings.model_fields):
        return
    if time.future_skew_hours_max > 24.0 * time.allowed_lateness_days:
        yield Invalid(
            "",
            "time.future_skew_hours_max",
            f"must be at most allowed_lateness_days ({24.0 * time.allowed_lateness_days!r} hours), so that no"
            f" step of one event makes the present late (is {time.future_skew_hours_max!r})",
        )
    if time.quorum_alone_events < time.quorum_min:
        yield Invalid(
            "",
            "time.quorum_alone_events",
            f"must be at least quorum_min ({time.quorum_min}), so that one sender is not"
            f" accepted sooner than several (is {time.quorum_alone_events})",
        )
