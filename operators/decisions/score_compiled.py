"""What a declared score does in machine code: weigh what its model reads, and learn from what waits.

The functions read slots where compiled features have left them, and a decision's row where it waits, by their
addresses. They compute what `Logistic`, `Calibration.apply` and `Waiting.tell` compute, to the bit.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any, Final

from ..compiled.generated import CELLS, compile_source, names_in
from ..models import Model
from ..models.fused import Logistic
from .inputs import Inputs
from .logistic_lines import MOVED_INTERCEPT, helpers_of, learned, rates_of, total_of
from .waiting import Waiting

__all__ = ["CompiledScore", "compiled_score"]

_OUTER: Final = {
    "slots": "q",
    "read": "I",
    "read_short": "H",
    "contributions": "d",
    "singles": "f",
    "served": "d",
}


def compiled_score(
    model: Model | Logistic, inputs: Inputs, means: array[float], waiting: Waiting, slots: array[int]
) -> CompiledScore | None:
    """Compile a score's functions, or load what was compiled of the same ones before.

    Parameters
    ----------
    model
        What scores, and learns.
    inputs
        What it reads.
    means
        Of the attribution baseline; the array stays the same one.
    waiting
        Where its decisions wait.
    slots
        Where compiled features put the slots of an event; the array stays the same one.

    Returns
    -------
    CompiledScore or None
        None where the model doesn't add weights up, where Numba isn't installed or is switched off, and as
        long as it waits to be compiled (see `compiled.twins`).
    """
    if not isinstance(model, Logistic) or not inputs.names:
        return None
    table = (*_OUTER, "means", "rates", *model.tables)
    signatures = {
        "weigh": "double(int64, double, double, double)",
        "learn": "double(int64, int64, int64, int64, int64, double, double)",
    }
    source = "\n\n\n".join([_weigh(inputs, table), _learn(inputs, model, waiting, table)])
    kernels = compile_source(source, helpers_of(model), signatures, may_wait=True)
    return None if kernels is None else CompiledScore(model, inputs, means, waiting, slots, table, kernels)


def _function(name: str, parameters: str, table: Sequence[str], lines: Sequence[str]) -> str:
    """Return a function that finds the memory that its lines speak of by the table at an address."""
    used = names_in(lines)
    found = [
        f"{each} = {CELLS[_OUTER.get(each, 'd')]}(table[{place}])"
        for place, each in enumerate(table)
        if each in used
    ]
    body = "\n    ".join(["table = longs(address)", *found, *lines])
    return f"def {name}(address, {parameters}):\n    {body}"


def _weigh(inputs: Inputs, table: Sequence[str]) -> str:
    """Write `Logistic.score_explained`, `AttributionBaseline.against` and `Calibration.apply`."""
    numbers = range(len(inputs.names))
    lines = [
        *(
            f"s{number} = slots[{place}] - {moved}"
            for number, (place, moved) in enumerate(zip(inputs.places, inputs.moved, strict=True))
        ),
        *(f"w{number} = weights[s{number}]" for number in numbers),
        *(
            f"a{number} = w{number} - means[{number}]; contributions[{number}] = a{number};"
            f" singles[{number}] = a{number}; read[{number}] = s{number}; read_short[{number}] = s{number}"
            for number in numbers
        ),
        f"raw = probability({total_of(f'w{number}' for number in numbers)} + intercept)",
        "served[0] = raw",
        "if slope != 1.0 or offset != 0.0:",
        "    served[0] = probability(offset + slope * log_odds(raw))",
        "return raw",
    ]
    return _function("weigh", "intercept, offset, slope", table, lines)


def _learn(inputs: Inputs, model: Logistic, waiting: Waiting, table: Sequence[str]) -> str:
    """Write `Logistic.learn` of a row that waits, and what `Waiting.tell` writes down of it."""
    at = waiting.layout
    lines = [
        *learned(model, len(inputs.names), waiting.typecode, waiting.inputs_at),
        f"put_byte(of + {at['label']}, state)",
        f"put_long(of + {at['labelled']}, told)",
        f"put_double(of + {waiting.value_at}, value)",
        MOVED_INTERCEPT,
    ]
    return _function("learn", "of, label, state, told, value, intercept", table, lines)


class CompiledScore:
    """A score's functions in machine code, with the memory that they work on.

    Parameters
    ----------
    model, inputs, means, waiting, slots
        See `compiled_score`.
    table, kernels
        Names of the memory in the order of its addresses, and the compiled functions.

    Attributes
    ----------
    model
        See `compiled_score`; its bias is handed to the functions, and comes back.
    address
        Of the table; what each function is given first.
    weigh
        `(address, intercept, offset, slope) -> score` of the event read last, before calibration: with offset
        and slope `served` has the calibrated one.
    learn
        `(address, of, label, state, told_ms, value, intercept) -> intercept` from the row at an address, in
        which it writes down what was told.
    inputs, contributions, singles, served
        What `weigh` has found, until it is called again: slots, what each added against the attribution
        baseline, the same in four bytes each, and the calibrated score.
    packed
        `() -> bytes`: the slots as they wait.
    """

    __slots__ = (
        *("_memory", "_table", "address", "contributions", "inputs"),
        *("learn", "model", "packed", "served", "singles", "weigh"),
    )

    def __init__(
        self,
        model: Logistic,
        inputs: Inputs,
        means: array[float],
        waiting: Waiting,
        slots: array[int],
        table: Sequence[str],
        kernels: dict[str, Callable[..., Any]],
    ) -> None:
        self.model = model
        count = len(inputs.names)
        own = {name: array(code, bytes(array(code).itemsize * count)) for name, code in _OUTER.items()}
        tables = {name: getattr(model, name) for name in model.tables}
        memory: dict[str, array[Any]] = {
            **own,
            "slots": slots,
            "means": means,
            "rates": rates_of(model),
            **tables,
        }
        # Kept, as machine code holds no more than addresses.
        self._memory = memory
        self._table = array("q", [memory[name].buffer_info()[0] for name in table])
        self.address = self._table.buffer_info()[0]
        self.weigh, self.learn = kernels["weigh"], kernels["learn"]
        self.inputs, self.contributions = memoryview(own["read"]), memoryview(own["contributions"])
        self.singles, self.served = memoryview(own["singles"]), own["served"]
        self.packed = memoryview(own["read_short"] if waiting.typecode == "H" else own["read"]).tobytes
