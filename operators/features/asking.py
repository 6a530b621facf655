"""What the decisions of a flow ask of its features."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from .event_features import Asked, EventFeatures

__all__ = ["features_over"]

_WORD: Final = re.compile(r"[a-z][a-z0-9_]*")


def features_over(settings: Any, contract: Any) -> EventFeatures:
    """Build the features of a flow over its contract.

    Parameters
    ----------
    settings
        With `entities`, `features`, `bins`, `crosses`, `tables` and `decisions`; each decision has `on`,
        `features`, `crosses`, and whatever else may speak of features in texts, such as a policy's rules.
    contract
        With `types`, each with `fields`.
    """
    return EventFeatures(
        {name: event_type.fields for name, event_type in contract.types.items()},
        settings.entities,
        settings.features,
        settings.bins,
        settings.crosses,
        {name: _asked(each, settings) for name, each in settings.decisions.items()},
        getattr(settings, "tables", {}),
    )


def _asked(decision: Any, settings: Any) -> Asked:
    """Return what a decision asks for; of what a policy speaks is read from all its texts."""
    features, crosses = decision.features, decision.crosses
    if features is None and crosses is None:
        return Asked(decision.on)
    texts = list(_texts(decision.model_dump(mode="json", exclude={"features", "crosses"})))
    reported = [settings.crosses[name] for name in settings.crosses if crosses is None or name in crosses]
    texts += [str(condition) for cross in reported for condition in cross.report_if]
    spoken = {word for text in texts for word in _WORD.findall(text)} & set(settings.features)
    return Asked(decision.on, {*(features or ()), *spoken}, crosses)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from (*_texts(key), *_texts(each))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
