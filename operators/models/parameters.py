"""What the parameters of models mean, and from where to where they may go."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["parameter_errors", "parameter_rows"]


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
    "location_lr": _Parameter(
        1e-6, 10.0, "where the learning rate of the locations starts, divided among the inputs"
    ),
    "spread_lr": _Parameter(
        0.0, 10.0, "where the learning rate of the spreads starts, divided among the inputs; 0: one spread"
    ),
    "mean_rate": _Parameter(1e-6, 1.0, "the running means move at least by this share of an error"),
    "memory": _Parameter(
        10.0, 1e9, "examples of an input after which a squared gradient counts 1/e: it never stops learning"
    ),
    "clip": _Parameter(0.1, 1e6, "errors beyond so many mean absolute errors move the locations no further"),
    "residuals": _Parameter(20, 100_000, "recent residuals that the quantiles are taken from"),
    "coverage_rate": _Parameter(0.0, 0.5, "step of a quantile's level after each outcome; 0: not held"),
    "offset": _Parameter(
        1e-9, 1e9, "added before the logarithm is taken; the smallest difference that matters, target's unit"
    ),
    "initial": _Parameter(-1e12, 1e12, "what is estimated before anything was learned, target's unit"),
}


def parameters_of(build: type[Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters that a model's constructor takes by keyword, by name."""
    parameters = inspect.signature(build).parameters
    return {key: value for key, value in parameters.items() if value.kind is value.KEYWORD_ONLY}


def parameter_errors(name: str, build: type[Any], parameters: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return what is wrong with a model's parameters, all at once, as pairs of key and message.

    Parameters
    ----------
    name
        What the configuration calls the model.
    build
        Its class.
    parameters
        Its parameters; those that aren't given have the model's defaults.
    """
    # Read off the constructor's signature: a parameter can't be documented and missing, or the other way
    # round.
    known, found = parameters_of(build), []
    for key, value in parameters.items():
        if key not in known:
            invalid: str | None = f"{name} has no such parameter; it has {', '.join(known)}"
        else:
            invalid = _value_error(key, value, known[key].default)
        if invalid:
            found.append((f"parameters.{key}", invalid))
    return found


def _value_error(key: str, value: object, default: object) -> str | None:
    limits, whole = _PARAMETERS[key], isinstance(default, int)
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return f"must be a {'whole ' if whole else ''}number (is {value!r})"
    if not limits.lowest <= value <= limits.highest:
        return f"must be from {limits.lowest:.12g} to {limits.highest:.12g} (is {value!r})"
    return None


def parameter_rows(build: type[Any]) -> list[str]:
    """Return the Markdown table of a model's parameters, line by line."""
    head = ["| parameter | default | lowest | highest | |", "| --- | --- | --- | --- | --- |"]
    return [*head, *(_row(key, parameter.default) for key, parameter in parameters_of(build).items())]


def _row(key: str, default: object) -> str:
    limits = _PARAMETERS[key]
    return f"| `{key}` | {default} | {limits.lowest:.12g} | {limits.highest:.12g} | {limits.meaning} |"
