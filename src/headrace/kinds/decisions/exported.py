"""What an exported ledger says of declared decisions: their numbers, features, and contributions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson

from headrace.config.decision_flow import DecisionFlowSettings
from headrace.kinds.decisions.building import inputs_for
from headrace.kinds.decisions.detail import read_detail
from headrace.ledger.export_columns import Column, Values
from headrace.operators.decisions.detail import read_trace
from headrace.operators.events.declared import contract_of
from headrace.operators.features import features_over

__all__ = ["DeclaredLayout", "layout_of"]

_NAN: Final = float("nan")


@dataclass(frozen=True)
class DeclaredLayout:
    """How declared decisions stand in a table.

    Attributes
    ----------
    event_fields
        Ids and texts of the events that ask, each a column of its own.
    features
        By decision, names of the values of its events, in their order.
    inputs
        By decision, names of what its model reads, in their order.
    """

    event_fields: tuple[str, ...]
    features: tuple[tuple[str, tuple[str, ...]], ...]
    inputs: tuple[tuple[str, tuple[str, ...]], ...]

    with_outcomes = False

    @property
    def without(self) -> Collection[str]:
        """A decision in shadow has no line of its own, so there is no action that would have been."""
        return ("shadow_action",)

    @property
    def _feature_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for _, names in self.features for name in names))

    @property
    def _input_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for _, names in self.inputs for name in names))

    @property
    def columns(self) -> Sequence[Column]:
        """The numbers of each kind, features, and what each input contributed."""
        return (
            Column("model_score", "float", "the model's score before calibration; null for an estimate"),
            Column("quantiles", "json", "of an estimate, by level"),
            Column("unit", "text", "of an estimate"),
            Column("promise", "float", "of an estimate, what is promised"),
            Column("limit", "float", "what is granted, where there is a ladder"),
            *(
                Column(f"feature_{name}", "float", "a feature; null where missing")
                for name in self._feature_names
            ),
            *(
                Column(f"contribution_{name}", "float", "what it added; null if not computed")
                for name in self._input_names
            ),
        )

    def kept(self, decision: dict[str, Any], event: dict[str, Any], detail: bytes) -> Any:
        """Hold the line's numbers, and the detail."""
        del event
        numbers = {name: decision.get(name) for name in ("quantiles", "unit", "promise", "limit", "score")}
        return decision["kind"], numbers, detail

    def values(self, rows: Sequence[Any], shared: Mapping[str, Sequence[Any]]) -> Mapping[str, Values]:
        """Return its own columns, row by row as decisions of several kinds stand below each other."""
        del shared
        features = {name: np.full(len(rows), _NAN) for name in self._feature_names}
        contributions = {name: np.full(len(rows), _NAN) for name in self._input_names}
        found: dict[str, list[Any]] = {
            name: [] for name in ("model_score", "quantiles", "unit", "promise", "limit", "policy_trace")
        }
        named, read = dict(self.features), dict(self.inputs)
        for at, (kind, numbers, kept) in enumerate(rows):
            detail = read_detail(kept)
            one = detail.decisions[kind]
            for name, value in zip(named[kind], detail.values, strict=True):
                features[name][at] = value
            if any(one.contributions):
                for name in read[kind]:
                    contributions[name][at] = 0.0
                for name, value in zip(read[kind], one.contributions, strict=True):
                    contributions[name][at] += value
            quantiles, trace = numbers["quantiles"], read_trace(one.trace)
            found["model_score"].append(None if numbers["score"] is None else one.score)
            found["quantiles"].append(None if quantiles is None else orjson.dumps(quantiles).decode())
            found["policy_trace"].append(None if trace is None else orjson.dumps(trace).decode())
            for name in ("unit", "promise", "limit"):
                found[name].append(numbers[name])
        return {
            **found,
            **{f"feature_{name}": column for name, column in features.items()},
            **{f"contribution_{name}": column for name, column in contributions.items()},
        }


def layout_of(settings: DecisionFlowSettings) -> DeclaredLayout:
    """Return how decisions under a configuration stand in a table."""
    contract = contract_of(settings.events)
    features = features_over(settings, contract)
    decisions = settings.decisions.items()
    fields = {
        field.name: None
        for each in settings.decisions.values()
        for field in contract.types[each.on].fields.values()
        if field.type in {"id", "text"} and field.path == (field.name,) and field.name != "event_id"
    }
    return DeclaredLayout(
        tuple(fields),
        tuple((name, tuple(features.names_of[each.on])) for name, each in decisions),
        tuple((name, inputs_for(each, features).names) for name, each in decisions),
    )
