"""Models by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from headrace.operators.models import fused, rivers
from headrace.operators.models.contract import Model, ModelShape

__all__ = ["MODELS", "build_model", "model_mistakes", "reference"]

MODELS: Final[dict[str, Callable[..., Any]]] = {
    "logistic_adagrad": fused.LogisticAdaGrad,
    "logistic_sgd": fused.LogisticSgd,
    "logistic_ftrl": fused.LogisticFtrl,
    "river_logistic_adagrad": rivers.RiverLogisticAdaGrad,
    "river_logistic_sgd": rivers.RiverLogisticSgd,
    "river_logistic_ftrl": rivers.RiverLogisticFtrl,
    "river_hoeffding_adaptive_tree": rivers.RiverHoeffdingAdaptiveTree,
    "river_adaptive_random_forest": rivers.RiverAdaptiveRandomForest,
    "river_half_space_trees": rivers.RiverHalfSpaceTrees,
}
_LIMITS: Final[dict[str, tuple[float, float]]] = {
    "lr": (1e-9, 100.0),
    "eps": (1e-12, 1.0),
    "base_rate": (1e-6, 1.0 - 1e-6),
    "bias_lr": (0.0, 10.0),
    "alpha": (1e-9, 100.0),
    "beta": (0.0, 100.0),
    "l1": (0.0, 1e6),
    "l2": (0.0, 1e6),
    "grace_period": (1, 1_000_000),
    "max_size_mib": (0.1, 4096.0),
    "trees": (1, 1000),
    "height": (1, 15),
    "window": (1, 1_000_000),
    "seed": (0, 2**31),
}


def _parameters(name: str) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(MODELS[name]).parameters
    return {key: value for key, value in parameters.items() if value.kind is value.KEYWORD_ONLY}


def model_mistakes(name: str, parameters: Mapping[str, object]) -> list[tuple[str, str]]:
    """What is wrong with a model's configuration, as pairs of key and message."""
    if name not in MODELS:
        return [("name", f"there is no model {name!r}; there are {', '.join(MODELS)}")]
    known, found = _parameters(name), []
    for key, value in parameters.items():
        if key not in known:
            found.append((f"parameters.{key}", f"{name} has no such parameter; it has {', '.join(known)}"))
            continue
        low, high = _LIMITS[key]
        whole = isinstance(known[key].default, int)
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            found.append((f"parameters.{key}", f"must be a {'whole ' if whole else ''}number (is {value!r})"))
        elif not low <= value <= high:
            found.append((f"parameters.{key}", f"must be from {low:g} to {high:g} (is {value!r})"))
    return found


def build_model(name: str, parameters: Mapping[str, object], shape: ModelShape) -> Model:
    """A new model.

    Raises
    ------
    ValueError
        If the configuration has mistakes, see `model_mistakes`.
    """
    mistakes = model_mistakes(name, parameters)
    if mistakes:
        raise ValueError("; ".join(f"{key}: {message}" for key, message in mistakes))
    return cast(Model, MODELS[name](shape, **parameters))


def reference() -> str:
    """The reference page of all models, Markdown."""
    lines = ["# Models", "", "Generated from the registry; `[model]` in a configuration names one of these.", ""]
    for name, build in MODELS.items():
        documentation = (inspect.getdoc(build) or "").split("\n")[0]
        lines += [f"## `{name}`", "", documentation, "", "| parameter | default | from | to |", "| --- | --- | --- | --- |"]
        for key, parameter in _parameters(name).items():
            low, high = _LIMITS[key]
            lines.append(f"| `{key}` | {parameter.default} | {low:g} | {high:g} |")
        lines.append("")
    return "\n".join(lines)
