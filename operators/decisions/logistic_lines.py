"""Lines of machine code for a model that adds weights up: what it learns of a row that waits.

They compute what `Logistic.learn` computes, in the same order, for compiled functions in which `of` is the
row's address, `label` what was told, and `intercept` the model's bias.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from typing import Any, Final

from ..models.fused import Logistic, gradient_of, log_odds, probability

__all__ = ["MOVED_INTERCEPT", "helpers_of", "learned", "rates_of", "total_of"]

MOVED_INTERCEPT: Final = "return intercept - rates[0] * gradient"
"""Gives the bias back as the example has moved it; the last of the lines."""


def helpers_of(model: Logistic) -> dict[str, Callable[..., Any]]:
    """Return the functions that the lines call, and those that turn log-odds into scores and back."""
    made: dict[str, Callable[..., Any]] = {"probability": probability, "log_odds": log_odds}
    return made | {"gradient_of": gradient_of, "step": model.step}


def rates_of(model: Logistic) -> array[float]:
    """Return what the lines call `rates`: the bias's learning rate, and what the model's step is given."""
    return array("d", [model.intercept_lr, *(getattr(model, name) for name in model.rates)])


def total_of(weights: Iterable[str]) -> str:
    """Write the sum of some weights as `compiled.inline` writes it."""
    return " + ".join(["0.0", *weights])


def learned(model: Logistic, count: int, typecode: str, slots_at: int) -> list[str]:
    """Write what moves the model's tables; the bias moves with `MOVED_INTERCEPT`.

    Parameters
    ----------
    model
        What learns.
    count
        How many slots a row has.
    typecode
        Of the slots, `H` or `I`.
    slots_at
        Where in a row they begin, bytes.
    """
    get, width = ("get_short", 2) if typecode == "H" else ("get_word", 4)
    slots = [f"s{number}" for number in range(count)]
    rates = [f"rates[{place}]" for place, _ in enumerate(model.rates, start=1)]
    total = total_of(f"weights[{slot}]" for slot in slots)
    listed = "".join(f"{slot}, " for slot in slots)
    return [
        *(f"{slot} = {get}(of + {slots_at + width * number})" for number, slot in enumerate(slots)),
        f"gradient = gradient_of({total} + intercept, label)",
        f"step({', '.join(model.tables)}, ({listed}), gradient, {', '.join(rates)})",
    ]
