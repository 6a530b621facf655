"""Scores and learns in machine code, for models that add weights up.

One call stands before a decision, one after it, and one takes in how it turned out.

The code is made of the same lines as the plain functions of `features`, so that both compute the same. It
reads and writes the same columns, by their addresses, which stand in a table; what it finds lies in buffers
beside them. What needs Python's objects, such as finding an entity's row or counting different keys, stays
outside.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from ctypes import addressof, c_char
from typing import Any, Final

from ..compiled.generated import CELLS, compile_source, names_in
from ..events.contract import Payment
from ..features import FeatureSet, windows
from ..models import Model
from ..models.fused import Logistic
from .attribution_baseline import AttributionBaseline
from .detail import slot_code
from .logistic_lines import MOVED_INTERCEPT, helpers_of, learned, rates_of, total_of
from .pending import Pending

__all__ = ["CompiledScorer", "compiled_scorer"]

_ALIGNED: Final = 8


def compiled_scorer(
    features: FeatureSet, model: Model | Logistic, baseline: AttributionBaseline, pending: Pending
) -> CompiledScorer | None:
    """Return a compiled scorer, where there can be one for this model and on this machine.

    None also as long as it waits to be compiled (see `compiled.twins`).
    """
    if not isinstance(model, Logistic) or not features.groups:
        return None
    text = _Source(features, model)
    kernels = compile_source(text.source, _helpers(model), text.signatures, may_wait=True)
    if kernels is None:
        return None
    return CompiledScorer(features, model, baseline, pending, text, kernels)


def _helpers(model: Logistic) -> dict[str, Any]:
    of_windows = {name: getattr(windows, name) for name in windows.__all__}
    return {"bisect": _bisect, **helpers_of(model), **of_windows}


def _bisect(edges: tuple[float, ...], value: float) -> int:
    """`bisect.bisect_right`."""
    low, high = 0, len(edges)
    while low < high:
        middle = (low + high) // 2
        if value < edges[middle]:
            high = middle
        else:
            low = middle + 1
    return low


class _Source:
    """The text of the compiled functions, and of what calls them.

    Parameters
    ----------
    features
        What is computed of a payment.
    model
        What scores, and learns.

    Attributes
    ----------
    source, signatures
        See `compile_source`.
    arrays
        The columns and priors that the functions work on.
    table
        Names of all the memory that they work on, in the order of their addresses.
    calls
        Source of the functions around them.
    """

    def __init__(self, features: FeatureSet, model: Logistic) -> None:
        self._writer, self._model = features.writer, model
        writer = features.writer
        self._groups, self._names = len(features.groups), len(features.names)
        self.arrays: dict[str, array[Any]] = {
            name: value for name, value in writer.lines.names.items() if isinstance(value, array)
        }
        self.slot_code = slot_code(features.slots)
        self._codes: dict[str, str] = {name: value.typecode for name, value in self.arrays.items()}
        self._codes |= {"values": "d", "contributions": "d", "singles": "f", "slots": self.slot_code}
        self._codes |= {"met": "q", "means": "d", "rates": "d"} | dict.fromkeys(model.tables, "d")
        self.table = tuple(self._codes)
        self._rows = tuple(writer.lines.rows.values())
        handed = len(self._rows) + len(writer.lines.object_features)
        self.signatures = {
            "score": self._signature("double", "int64, double, int64, double", handed),
            "take": self._signature("void", "int64, double" + 5 * ", int64" + ", double", len(self._rows)),
            "learn": "double(int64, int64, int64, int64, int64, double)",
        }
        functions = [self._score(), self._take(), self._learn()]
        self.source = "\n\n\n".join(["\n".join(self._constants()), *functions])
        self.calls = f"{self._call_score()}\n\n\n{self._call_take()}"

    @staticmethod
    def _signature(gives: str, takes: str, more: int) -> str:
        return f"{gives}({takes}{', int64' * more})"

    def _constants(self) -> list[str]:
        names, used = self._writer.lines.names, names_in(self._writer.lines.read_lines)
        return [
            f"{name} = {tuple(value)!r}"
            for name, value in names.items()
            if isinstance(value, list) and name in used
        ]

    def _function(
        self, name: str, parameters: tuple[str, ...], lines: list[str], first: Sequence[str] = ()
    ) -> str:
        """Return a compiled function; see `SourceWriter.function`.

        It takes the address of the table, and finds there what its lines speak of.
        """
        used = names_in(lines)
        found = [
            # Only what the lines speak of: each is a load from the table at every call.
            f"{each} = {CELLS[self._codes[each]]}(table[{place}])"
            for place, each in enumerate(self.table)
            if each in used
        ]
        return self._writer.function(
            name, ", ".join(["address", *parameters]), ["table = longs(address)", *found, *lines], first
        )

    def _score(self) -> str:
        active = self._writer.active
        numbers = range(self._groups)
        lines = [
            *self._writer.lines.read_lines,
            *self._writer.flag_lines(),
            "met[0] = flags",
            *(f"values[{number}] = f{number}" for number in range(self._names)),
            *(f"s{number} = {slot}; slots[{number}] = s{number}" for number, slot in enumerate(active)),
            *(f"w{number} = weights[s{number}]" for number in numbers),
            *(
                f"a{number} = w{number} - means[{number}];"
                f" contributions[{number}] = a{number}; singles[{number}] = a{number}"
                for number in numbers
            ),
            f"return probability({total_of(f'w{number}' for number in numbers)} + intercept)",
        ]
        # Mappings of different values are Python objects, which machine code can't read: what is read of them
        # is computed outside and handed in.
        handed = self._writer.lines.object_features
        return self._function("score", ("amount", "t", "intercept", *self._rows, *handed), lines)

    def _take(self) -> str:
        writer, at = self._writer, Pending.layout
        updates = [*writer.seen_lines(), *writer.lines.update_lines]
        used = names_in(updates)
        features_at = at["rows"] + 4 * len(self._rows)
        put_slot, width = ("put_short", 2) if self.slot_code == "H" else ("put_word", 4)
        lines = [
            *(f"f{number} = values[{number}]" for number in range(self._names) if f"f{number}" in used),
            *updates,
            f"put_long(to + {at['time']}, waits_from)",
            f"put_long(to + {at['number']}, number)",
            f"put_double(to + {at['score']}, score)",
            f"put_word(to + {at['flags']}, met[0] << 1 | blocked)",
            *(f"put_word(to + {at['rows'] + 4 * n}, {row})" for n, row in enumerate(self._rows)),
            *(
                f"{put_slot}(to + {features_at + width * number}, slots[{number}])"
                for number in range(self._groups)
            ),
        ]
        parameters = (
            "amount",
            "t",
            "number",
            "to",
            "waits_from",
            "blocked",
            "score",
            *self._rows,
        )
        return self._function("take", parameters, lines)

    def _learn(self) -> str:
        """Return what the first outcome does: `Logistic.learn`, `FeatureSet.label`, `Pending.label_at`.

        All that was known at the decision is read from the row that has waited for it since.
        """
        writer, model, at = self._writer, self._model, Pending.layout
        features_at = at["rows"] + 4 * len(self._rows)
        lines = [
            *learned(model, self._groups, self.slot_code, features_at),
            f"flags = get_word(of + {at['flags']}) >> 1",
            *(f"{row} = get_word(of + {at['rows'] + 4 * n})" for n, row in enumerate(self._rows)),
            f"number = get_long(of + {at['number']})",
            *writer.owned_lines(),
            *writer.lines.label_lines,
            f"put_byte(of + {at['label']}, state)",
            f"put_long(of + {at['labelled']}, labelled)",
            MOVED_INTERCEPT,
        ]
        parameters = ("of", "label", "labelled", "state", "intercept")
        return self._function("learn", parameters, lines, [f"t = get_long(of + {at['time']})"])

    def _call_score(self) -> str:
        rows = "".join(f"{row}, " for row in self._rows)
        handed = "".join(f"{f}, " for f in self._writer.lines.object_features)
        return self._writer.function(
            "call_score",
            "ev, t, intercept",
            [
                *self._writer.lookup(),
                *self._writer.lines.object_read_lines,
                f"return score(address, ev.amount, t, intercept, {rows}{handed}), ({rows})",
            ],
        )

    def _call_take(self) -> str:
        writer, rows = self._writer, "".join(f"{row}, " for row in self._rows)
        used = names_in(writer.lines.object_update_lines)
        return writer.function(
            "call_take",
            "ev, t, number, to, waits_from, blocked, score, rows",
            [
                *([writer.taken_rows()] if rows else []),
                *writer.create_lines(),
                f"take(address, ev.amount, t, number, to, waits_from, blocked, score, {rows})",
                *(f"f{number} = values[{number}]" for number in range(self._names) if f"f{number}" in used),
                *writer.lines.object_update_lines,
            ],
        )


class CompiledScorer:
    """Scores with a model that adds up weights; see `Scorer`.

    Parameters
    ----------
    features, model, baseline, pending
        The parts of the shard's state that it works on.
    text, kernels
        The compiled functions, and what they were made of.
    """

    def __init__(
        self,
        features: FeatureSet,
        model: Logistic,
        baseline: AttributionBaseline,
        pending: Pending,
        text: _Source,
        kernels: dict[str, Any],
    ) -> None:
        self._model = model
        self._reserve, self._add, self._address = pending.reserve, pending.add, pending.address
        groups, names = len(features.groups), len(features.names)
        # Slots, contributions and values lie as a detail has them, behind a gap by which all are aligned.
        # So one copy of this memory is a record's detail, and nothing is packed for each payment. Singles and
        # doubles must stand at multiples of their size, hence the gap.
        slot_bytes = array(text.slot_code).itemsize
        slots_at = -(slot_bytes + 4) * groups % _ALIGNED
        singles_at = slots_at + slot_bytes * groups
        values_at = singles_at + 4 * groups
        self._laid = bytearray(values_at + 8 * names)
        self._contributions = array("d", bytes(8 * groups))
        self._met = array("q", [0])
        self._places = array("q", [0] * len(text.table))
        start = _address(self._laid)
        self._buffers: dict[str, int] = {
            "slots": start + slots_at,
            "singles": start + singles_at,
            "values": start + values_at,
        }
        self._arrays: dict[str, array[Any]] = {
            **text.arrays,
            "contributions": self._contributions,
            "met": self._met,
            "means": baseline.means,
            "rates": rates_of(model),
            **{name: getattr(model, name) for name in model.tables},
        }
        self._table = text.table
        self._note_addresses()
        # Machine code holds addresses, and an array that grows may move: then they are written down anew.
        for table in features.tables.values():
            table.moved = self._note_addresses
        view = memoryview(self._laid)
        self.detail: Callable[[], bytes] = view[slots_at:].tobytes
        self.values: Sequence[float] = view[values_at:].cast("d")
        slots: memoryview[int] = view[slots_at:singles_at].cast(text.slot_code)
        self._slots = slots.tolist
        self.contributions: Sequence[float] = memoryview(self._contributions)
        made = {
            **features.writer.lines.names,
            **kernels,
            "address": self._places.buffer_info()[0],
            "values": self.values,
        }
        exec(compile(text.calls, "<scoring>", "exec"), made)  # noqa: S102  # made here, from the configuration
        self._score, self._take, self._learn = made["call_score"], made["call_take"], kernels["learn"]
        self._table_at = self._places.buffer_info()[0]
        self._rows: tuple[int, ...] = ()

    def _note_addresses(self) -> None:
        """Write down where everything lies."""
        buffers, arrays = self._buffers, self._arrays
        for place, name in enumerate(self._table):
            self._places[place] = buffers[name] if name in buffers else arrays[name].buffer_info()[0]

    def score(self, payment: Payment, time_ms: int) -> float:
        """See `Scorer.score`."""
        score: float
        score, self._rows = self._score(payment, time_ms, self._model.intercept)
        return score

    def explain(self) -> None:
        """See `Scorer.explain`; `score` has done so."""

    def take(
        self,
        payment: Payment,
        time_ms: int,
        at_ms: int,
        number: int,
        score: float,
        *,
        blocked: bool,
        moves: bool,
    ) -> None:
        """See `Scorer.take`."""
        if not moves:
            # A late payment moves nothing on, which is rare: the plain way does it, and no second kernel is
            # compiled for it.
            found = (self._rows, self._met[0], tuple(self._slots()))
            self._add(payment.event_id, at_ms, number, *found, score, blocked)
            return
        place = self._reserve(payment.event_id)
        self._take(payment, time_ms, number, self._address(place), at_ms, blocked, score, self._rows)

    def learn(self, place: int, label: int, labelled_ms: int, state: int) -> None:
        """Let the model and the features learn how a decision turned out, the first time that it is known.

        Parameters
        ----------
        place
            Of the decision's row, as the index of the pending store says.
        label
            1 for a fraud, 0 for a legitimate payment.
        labelled_ms, state
            What is written down in the row: when that was known, and its label there.
        """
        model = self._model
        model.intercept = self._learn(
            self._table_at, self._address(place), label, labelled_ms, state, model.intercept
        )


def _address(memory: bytearray) -> int:
    """Where bytes lie, for as long as they keep their length."""
    return addressof(c_char.from_buffer(memory))
