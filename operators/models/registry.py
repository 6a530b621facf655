"""Models by name, with what their parameters mean."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from headrace.operators.models import fused, rivers
from headrace.operators.models.contract import Model, ModelShape

__all__ = ["MODELS", "build_model", "model_mistakes", "reference"]

MODELS: Final[dict[str, type[Any]]] = {
    "logistic_adagrad": fused.LogisticAdaGrad,
    "logistic_sgd": fused.LogisticSgd,
    "logistic_ftrl": fused.LogisticFtrl,
    "river_logistic_adagrad": rivers.RiverLogisticAdaGrad,
    "river_logistic_sgd": rivers.RiverLogisticSgd,
    "river_logistic_ftrl": rivers.RiverLogisticFtrl,
    "river_hoeffding_adaptive_tree": rivers.RiverHoeffdingAdaptiveTree,
    "river_arf": rivers.RiverAdaptiveRandomForest,
    "river_half_space_trees": rivers.RiverHalfSpaceTrees,
}


@dataclass(frozen=True)
class _Parameter:
    lowest: float
    highest: float
    meaning: str


# One name means the same in every model; which ones a model has, and their defaults, its constructor says.
_PARAMETERS: Final[dict[str, _Parameter]] = {
    "lr": _Parameter(1e-9, 100.0, "learning rate of the weights; with AdaGrad where it starts"),
    "eps": _Parameter(1e-12, 1.0, "added to the summed squared gradients before their root is taken"),
    "alpha": _Parameter(1e-9, 100.0, "learning rate where it starts, times `beta`"),
    "beta": _Parameter(1e-9, 100.0, "the higher, the slower the learning rate falls"),
    "l1": _Parameter(0.0, 1e6, "a weight doesn't move while its evidence is within this of 0"),
    "l2": _Parameter(0.0, 1e6, "pulls weights towards 0"),
    "grace_period": _Parameter(1, 1_000_000, "examples between attempts to split a leaf"),
    "depth_max": _Parameter(1, 20, "leaves at this depth are not split; this is what limits memory"),
    "n_models": _Parameter(1, 100, "how many trees"),
    "height": _Parameter(1, 15, "height of each tree"),
    "window": _Parameter(1, 1_000_000, "legitimate examples in a window"),
    "seed": _Parameter(0, 2**31, "of the random choices"),
    "base_rate": _Parameter(1e-6, 1.0 - 1e-6, "score before anything was learned"),
    "intercept_lr": _Parameter(0.0, 10.0, "learning rate of the bias"),
}


def _parameters(name: str) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(MODELS[name]).parameters
    return {key: value for key, value in parameters.items() if value.kind is value.KEYWORD_ONLY}


def _value_mistake(key: str, value: object, default: object) -> str | None:
    limits, whole = _PARAMETERS[key], isinstance(default, int)
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return f"must be a {'whole ' if whole else ''}number (is {value!r})"
    if not limits.lowest <= value <= limits.highest:
        return f"must be from {limits.lowest:.12g} to {limits.highest:.12g} (is {value!r})"
    return None


def model_mistakes(name: str, parameters: Mapping[str, object]) -> list[tuple[str, str]]:
    """What is wrong with a model's configuration, all at once, as pairs of key and message.

    Parameters
    ----------
    name
        What the configuration calls the model.
    parameters
        Its parameters; those that aren't given have the model's defaults.
    """
    if name not in MODELS:
        return [("name", f"there is no model {name!r}; there are {', '.join(MODELS)}")]
    known, found = _parameters(name), []
    for key, value in parameters.items():
        if key not in known:
            mistake: str | None = f"{name} has no such parameter; it has {', '.join(known)}"
        else:
            mistake = _value_mistake(key, value, known[key].default)
        if mistake:
            found.append((f"parameters.{key}", mistake))
    return found


def build_model(name: str, parameters: Mapping[str, object], shape: ModelShape) -> Model:
    """A new model.

    Parameters
    ----------
    name, parameters
        See `model_mistakes`.
    shape
        What it will read.

    Raises
    ------
    ValueError
        If the configuration has mistakes; the message has them all.
    """
    mistakes = model_mistakes(name, parameters)
    if mistakes:
        raise ValueError("; ".join(f"{key}: {message}" for key, message in mistakes))
    return cast("Model", MODELS[name](shape, **parameters))


_INTRODUCTION: Final = """\
# Models

Generated from the registry; a test fails when it is stale. In a configuration, `[model] name` is one of these
and `[model.parameters]` has its parameters.

A model scores an event before anything learns from it, and learns when the outcome comes: with the weights of
that moment, on the features as they were at the decision.

Names that begin with `river_` are estimators of River. Their state is saved by pickle and belongs to one
version of River, so the state directory must be trusted like the program itself. The others are our own: the
same operations on a plain list of weights, held by a test to within 1e-12 of their twin's scores and weights.
River's L2 penalty on SGD and AdaGrad is not offered.
"""


def reference() -> str:
    """The reference page of all models, Markdown."""
    return "\n".join([_INTRODUCTION, *map(_section, MODELS)])


def _section(name: str) -> str:
    build = MODELS[name]
    about = inspect.cleandoc(build.__doc__ or "").split("\n\nParameters\n")[0]
    reads = {"slots": "bins and crosses, as one-hot slots", "values": "numeric features"}[build.takes]
    reasons = (
        "every decision"
        if build.cheap_explain
        else "decisions that don't approve (they cost a score a value)"
    )
    rows = [_row(key, parameter.default) for key, parameter in _parameters(name).items()]
    head = ["| parameter | default | lowest | highest | |", "| --- | --- | --- | --- | --- |"]
    return "\n".join(
        [f"## `{name}`", "", about, "", f"Reads {reads}. Reasons for {reasons}.", "", *head, *rows, ""]
    )


def _row(key: str, default: object) -> str:
    limits = _PARAMETERS[key]
    return f"| `{key}` | {default} | {limits.lowest:.12g} | {limits.highest:.12g} | {limits.meaning} |"
