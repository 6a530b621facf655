"""Estimators by name, with what their parameters mean."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from . import estimator
from .contract import Estimator, ModelShape
from .estimator import checked_quantiles
from .parameters import parameter_errors, parameter_rows

__all__ = ["ESTIMATORS", "build_estimator", "estimator_errors", "estimators_reference"]

ESTIMATORS: Final[dict[str, type[Any]]] = {
    "location_scale": estimator.LocationScale,
    "log_location_scale": estimator.LogLocationScale,
}


def estimator_errors(name: str, parameters: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return what is wrong with an estimator's configuration, all at once, as pairs of key and message.

    Parameters
    ----------
    name
        What the configuration calls the estimator.
    parameters
        Its parameters; those that aren't given have the estimator's defaults.
    """
    if name not in ESTIMATORS:
        return [("name", f"there is no estimator {name!r}; there are {', '.join(ESTIMATORS)}")]
    return parameter_errors(name, ESTIMATORS[name], parameters)


def build_estimator(
    name: str, parameters: Mapping[str, object], shape: ModelShape, quantiles: Sequence[float]
) -> Estimator:
    """Return a new estimator.

    Parameters
    ----------
    name, parameters
        See `estimator_errors`.
    shape
        What it will read.
    quantiles
        Declared shares, between 0 and 1, rising.

    Raises
    ------
    ValueError
        If the configuration has validation errors; the message has them all.
    """
    invalid = [f"{key}: {message}" for key, message in estimator_errors(name, parameters)]
    try:
        shares = checked_quantiles(quantiles)
    except ValueError as error:
        invalid.append(str(error))
    if invalid:
        raise ValueError("; ".join(invalid))
    return cast("Estimator", ESTIMATORS[name](shape, shares, **parameters))


_INTRODUCTION: Final = """\
# Estimators

What estimates a number, as quantiles of it: a decision of kind `estimate` takes one of these.
"""


def estimators_reference() -> str:
    """Return the reference of all estimators, Markdown."""
    return "\n".join([_INTRODUCTION, *map(_section, ESTIMATORS)])


def _section(name: str) -> str:
    about = inspect.cleandoc(ESTIMATORS[name].__doc__ or "").split("\n\nParameters\n")[0]
    reads = "Reads bins and crosses, as one-hot slots. Reasons for every decision."
    return "\n".join([f"## `{name}`", "", about, "", reads, "", *parameter_rows(ESTIMATORS[name]), ""])
