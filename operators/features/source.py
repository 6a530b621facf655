"""The source of the functions that declared features are compiled to."""

from __future__ import annotations

import math
import re
from array import array
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any, NamedTuple

from ...config.fraud_flow import BinDeclaration, CrossDeclaration, EntitySettings
from . import windows
from .entities import Entities
from .episodes import HISTORY, NUMBER_AT, NUMBER_MASK, Episodes
from .put_back import Times, Window

__all__ = ["FIELDS", "SlotGroup", "SourceWriter"]

DAY_MS = 86_400_000
_PANES = re.compile(r"\bpane_([0-9]+)\b")
_AMOUNT = re.compile(r"(?<!\.)\bamount\b")
FIELDS = {
    "amount": "amount",
    "hour_of_day": "t // 3600000 % 24",
    "day_of_week": "(t // 86400000 + 3) % 7",
}
CLICK_FIELDS = {"price": "ev.price"}
_DIVISOR_MIN = 1e-280  # below it a quotient could be infinite
_NEVER_MISSING = {"field", "count", "sum", "distinct", "fraud_streak"}


class SlotGroup(NamedTuple):
    """One cross of bins: of its slots, one is active for each event.

    Attributes
    ----------
    name, code
        The cross's name, and the reason code that it stands for.
    offset, size
        Its slots are `offset` to `offset + size - 1`.
    """

    name: str
    code: str
    offset: int
    size: int


class SourceWriter:
    """Collects the lines of the generated functions, feature by feature.

    Parameters
    ----------
    tables
        Of the entities, still empty; features add their columns to them.
    priors
        Gets what is kept over all entities, by feature.
    entities, features, bins, crosses
        The declarations.

    Attributes
    ----------
    groups
        The crosses, with their slots.
    names
        The globals of the generated module.
    """

    def __init__(
        self,
        tables: Mapping[str, Entities],
        priors: dict[str, array[float]],
        entities: Mapping[str, EntitySettings],
        features: Mapping[str, Any],
        bins: Mapping[str, BinDeclaration],
        crosses: Mapping[str, CrossDeclaration],
    ) -> None:
        self.tables, self.priors = tables, priors
        self.entities, self.features = entities, features
        self.numbers = {name: number for number, name in enumerate(features)}
        self.rows = {name: f"r{number}" for number, name in enumerate(entities)}
        self.names: dict[str, Any] = {
            "bisect": bisect_right,
            "nan": math.nan,
            "inf": math.inf,
            "sqrt": math.sqrt,
            **{name: getattr(windows, name) for name in windows.__all__},
        }
        self.read_lines: list[str] = []
        self.update_lines: list[str] = []
        # Those that work on Python's objects, which compiled code can't.
        self.object_features: list[str] = []
        self.object_read_lines: list[str] = []
        self.object_update_lines: list[str] = []
        self.click_lines: list[str] = []
        self.clicked = {each.entity for each in features.values() if getattr(each, "on", "") == "click"}
        self.paid = {
            each.entity
            for each in features.values()
            if getattr(each, "on", "payment") == "payment" and hasattr(each, "entity")
        }
        self.label_lines: list[str] = []
        self.relabel_lines: list[str] = []
        self.flags: dict[str, int] = {}
        self.episodes: dict[tuple[str, str], str] = {}
        # What a clock that is put back changes.
        self.windows: list[Window] = []
        self.times: list[Times] = []
        self._columns = 0
        for name, declaration in features.items():
            getattr(self, f"_{declaration.kind}")(f"f{self.numbers[name]}", declaration)
        self.groups = self._slots(bins, crosses)

    # -- names in the generated source

    def _column(self, entity: str, typecode: str, initial: float, width: int = 1) -> str:
        return self._bind(self.tables[entity].column(typecode, initial, width).values)

    def _bind(self, value: object) -> str:
        name = f"c{self._columns}"
        self._columns += 1
        self.names[name] = value
        return name

    def _time(self, entity: str, *, drops: bool = True) -> str:
        """A column of times."""
        name = self._column(entity, "q", 0)
        self.times.append(Times(self.names[name], drops))
        return name

    def _window(self, head: str, pane_ms: int, panes: int, parts: list[tuple[str, str, str, str]]) -> None:
        """Take note of a window's columns."""
        columns = tuple((self.names[total], self.names[ring], how) for total, ring, how, _ in parts)
        self.windows.append(Window(self.names[head], pane_ms, panes, columns))

    def _value(self, name: str) -> str:
        return f"f{self.numbers[name]}" if name in self.numbers else f"({FIELDS[name]})"

    def _condition(self, declaration: Any) -> str:
        return " and ".join(
            f"{self._value(c.name)} {c.op} {c.number!r}" for c in getattr(declaration, "when", ())
        )

    def _flag(self, condition: str) -> str:
        bit = self.flags.setdefault(condition, 1 << len(self.flags))
        return f"flags & {bit}"

    def _operand(self, declaration: Any) -> str:
        """What a declaration takes in: a feature of the payment, or a field of the click."""
        if getattr(declaration, "on", "payment") == "click":
            return CLICK_FIELDS[declaration.value]
        return self._value(declaration.value)

    def _update(self, declaration: Any, lines: list[str], *, objects: bool = False) -> None:
        """Add update lines for a declaration's entity, under its condition."""
        guards = [self.rows[declaration.entity]]
        if getattr(declaration, "on", "payment") == "click":
            if getattr(declaration, "value", None) in CLICK_FIELDS:
                guards.append(f"{self._operand(declaration)} is not None")
            self.click_lines += [f"if {' and '.join(guards)}:", *(f"    {line}" for line in lines)]
            return
        condition = self._condition(declaration)
        if condition:
            guards.append(condition)
        value = getattr(declaration, "value", None)
        if value in self.numbers and self.features[value].kind not in _NEVER_MISSING:
            guards.append(f"{self._value(value)} == {self._value(value)}")
        to = self.object_update_lines if objects else self.update_lines
        to += [f"if {' and '.join(guards)}:", *(f"    {line}" for line in lines)]

    # -- features of the event itself

    def _field(self, f: str, declaration: Any) -> None:
        self.read_lines.append(f"{f} = {FIELDS[declaration.value]}")

    def _ratio(self, f: str, declaration: Any) -> None:
        value, over = self._value(declaration.value), self._value(declaration.over)
        self.read_lines.append(f"{f} = {value} / {over} if {over} > {_DIVISOR_MIN!r} else nan")

    # -- features of an entity's past

    def _count(self, f: str, declaration: Any) -> None:
        row = self.rows[declaration.entity]
        if declaration.window_ms is None:
            total = self._column(declaration.entity, "i", 0)
            self.read_lines.append(f"{f} = {total}[{row}]")
            self._update(declaration, [f"{total}[{row}] += 1"])
            return
        pane_ms, panes = self._panes(declaration)
        total, head = self._column(declaration.entity, "i", 0), self._column(declaration.entity, "q", 0)
        ring = self._column(declaration.entity, "i", 0, panes)
        self._window(head, pane_ms, panes, [(total, ring, "count", "0")])
        self.read_lines += _read_window(f, row, total, head, pane_ms, [(f, ring, "count", "0")], panes)
        self._update(
            declaration,
            [
                *_roll_window(row, head, pane_ms, panes, [(total, ring, "count", "0")], total),
                f"if k > -{panes}:",
                f"    {ring}[{row} * {panes} + p % {panes}] += 1; {total}[{row}] += 1",
            ],
        )

    def _sum(self, f: str, declaration: Any) -> None:
        row, value = self.rows[declaration.entity], self._operand(declaration)
        self._sums(f, declaration, row, value)
        self.read_lines += [f"{f} = {f}s"]

    def _mean(self, f: str, declaration: Any) -> None:
        row, value = self.rows[declaration.entity], self._operand(declaration)
        self._sums(f, declaration, row, value)
        self.read_lines += [f"{f} = {f}s / {f}n if {f}n else nan"]

    def _sums(self, f: str, declaration: Any, row: str, value: str) -> None:
        """Columns of a count and a sum, read into the locals `<f>n` and `<f>s`."""
        count, total = self._column(declaration.entity, "i", 0), self._column(declaration.entity, "d", 0.0)
        if declaration.window_ms is None:
            self.read_lines.append(f"{f}n = {count}[{row}]; {f}s = {total}[{row}]")
            self._update(declaration, [f"{count}[{row}] += 1; {total}[{row}] += {value}"])
            return
        pane_ms, panes = self._panes(declaration)
        head = self._column(declaration.entity, "q", 0)
        counts = self._column(declaration.entity, "i", 0, panes)
        sums = self._column(declaration.entity, "d", 0.0, panes)
        self.read_lines.append(f"{f}s = {total}[{row}]")
        self.read_lines += _read_window(
            f"{f}n",
            row,
            count,
            head,
            pane_ms,
            [(f"{f}n", counts, "count", "0"), (f"{f}s", sums, "sum", "0.0")],
            panes,
        )
        rolled = [(count, counts, "count", "0"), (total, sums, "sum", "0.0")]
        self._window(head, pane_ms, panes, rolled)
        self._update(
            declaration,
            [
                *_roll_window(row, head, pane_ms, panes, rolled, count),
                f"if k > -{panes}:",
                f"    i = {row} * {panes} + p % {panes}",
                f"    {counts}[i] += 1; {count}[{row}] += 1",
                f"    {sums}[i] += {value}; {total}[{row}] += {value}",
            ],
        )

    def _max(self, f: str, declaration: Any) -> None:
        row, value, entity = self.rows[declaration.entity], self._operand(declaration), declaration.entity
        # Highest values are kept in single precision: rings of them are most of an entity's bytes.
        highest = self._column(entity, "f", -math.inf)
        if declaration.window_ms is None:
            self.read_lines.append(f"{f} = {highest}[{row}]")
            lines = [f"if {value} > {highest}[{row}]: {highest}[{row}] = min({value}, 3e38)"]
        else:
            pane_ms, panes = self._panes(declaration)
            head, ring = self._column(entity, "q", 0), self._column(entity, "f", -math.inf, panes)
            self._window(head, pane_ms, panes, [(highest, ring, "max", "-inf")])
            self.read_lines += _read_window(
                f, row, highest, head, pane_ms, [(f, ring, "max", "-inf")], panes, "-inf"
            )
            lines = [
                *_roll_window(row, head, pane_ms, panes, [(highest, ring, "max", "-inf")], None),
                f"if k > -{panes}:",
                f"    i = {row} * {panes} + p % {panes}; x = {value} if {value} < 3e38 else 3e38",
                f"    if x > {ring}[i]: {ring}[i] = x",
                f"    if x > {highest}[{row}]: {highest}[{row}] = x",
            ]
        self.read_lines.append(f"if {f} == -inf: {f} = nan")
        self._update(declaration, lines)

    def _distinct(self, f: str, declaration: Any) -> None:
        row = self.rows[declaration.entity]
        sets = self._bind(self.tables[declaration.entity].distinct_column())
        self.object_features.append(f)
        self.object_read_lines.append(f"{f} = {sets}[{row}]")
        if declaration.window_ms is None:
            self.object_read_lines.append(f"{f} = len({f}) if {f} else 0")
        else:
            self.object_read_lines.append(
                f"{f} = sum([x > t - {declaration.window_ms} for x in {f}.values()]) if {f} else 0"
            )
        self._update(
            declaration,
            [
                f"x = ev.{declaration.value}",
                "if x is not None:",
                f"    s = {sets}[{row}]",
                f"    if s is None: s = {sets}[{row}] = {{}}",
                "    s[x] = max(t, s.pop(x, 0))",
                f"    if len(s) > {declaration.keys_max}: del s[next(iter(s))]",
            ],
            objects=True,
        )

    def _ew(self, f: str, declaration: Any, read: str) -> None:
        entity, row, x = declaration.entity, self.rows[declaration.entity], self._value(declaration.value)
        weight, mean, square = (self._column(entity, "d", 0.0) for _ in range(3))
        last = self._time(entity, drops=False)  # the mean stays
        self.read_lines.append(
            f"{f} = {read.format(mean=mean, square=square, weight=weight, row=row)}"
            f" if {weight}[{row}] else nan"
        )
        self._update(
            declaration,
            [
                f"d = 0.5 ** (max(0, t - {last}[{row}]) / {declaration.half_life_ms})",
                f"w = {weight}[{row}] * d + 1.0; x = {x} - {mean}[{row}]",
                f"{weight}[{row}] = w; {mean}[{row}] += x / w",
                f"{square}[{row}] = {square}[{row}] * d + x * ({x} - {mean}[{row}])",
                f"if t > {last}[{row}]: {last}[{row}] = t",
            ],
        )

    def _ew_mean(self, f: str, declaration: Any) -> None:
        self._ew(f, declaration, "{mean}[{row}]")

    def _ew_deviation(self, f: str, declaration: Any) -> None:
        self._ew(f, declaration, "sqrt(max(0.0, {square}[{row}]) / {weight}[{row}])")

    def _time_since_last(self, f: str, declaration: Any) -> None:
        row, last = self.rows[declaration.entity], self._time(declaration.entity)
        self.read_lines += _read_age(f, f"{last}[{row}]", declaration.window_ms, declaration.unit_ms)
        self._update(declaration, [f"if t > {last}[{row}]: {last}[{row}] = t"])

    def _time_since_first(self, f: str, declaration: Any) -> None:
        row, first = self.rows[declaration.entity], self._time(declaration.entity)
        self.read_lines += _read_age(f, f"{first}[{row}]", declaration.window_ms, declaration.unit_ms)
        expired = f" or t - {first}[{row}] > {declaration.window_ms}" if declaration.window_ms else ""
        self._update(declaration, [f"if not {first}[{row}]{expired}: {first}[{row}] = t"])

    def _running_mean(self, f: str, declaration: Any) -> None:
        entity, row, x = declaration.entity, self.rows[declaration.entity], self._value(declaration.value)
        number, mean = self._column(entity, "i", 0), self._column(entity, "d", 0.0)
        prior = self.priors[f] = array("d", [0.0, 0.0])  # payments, mean
        prior_name = self._bind(prior)
        clip, weight_min = declaration.clip, declaration.weight_min
        prior_weight = getattr(declaration, "prior_weight", 1.0)
        self.read_lines.append(
            f"{f} = {mean}[{row}] if {number}[{row}] else ({prior_name}[1] if {prior_name}[0] else nan)"
        )
        self._update(
            declaration,
            [
                f"n = {number}[{row}]; x = {x}",
                f"if {f} > 0:",
                *([f"    if x > {clip!r} * {f}: x = {clip!r} * {f}"] if clip else []),
                f"    w = 1.0 / (n + 1.0 + {prior_weight!r})",
                f"    {mean}[{row}] = {f} + (x - {f}) * (w if w > {weight_min!r} else {weight_min!r})",
                f"else: {mean}[{row}] = x",
                f"{number}[{row}] = n + 1",
                f"n = {prior_name}[0] + 1.0; {prior_name}[0] = n",
                f"{prior_name}[1] += (x - {prior_name}[1]) / n",
            ],
        )

    # -- features that outcomes feed

    def _fraud_share(self, f: str, declaration: Any) -> None:
        entity, row = declaration.entity, self.rows[declaration.entity]
        pane_ms, panes = self._panes(declaration)
        frauds, labelled = (self._column(entity, "i", 0) for _ in range(2))
        head = self._column(entity, "q", 0)
        fraud_ring, ring = (self._column(entity, "i", 0, panes) for _ in range(2))
        newest = f"{row} * {panes}, {panes}, {head}[{row}], k"
        self.read_lines += [
            f"{f}n = {labelled}[{row}]; {f} = {frauds}[{row}]",
            f"if {f}n:",
            f"    k = {_pane(pane_ms)} - {head}[{row}]",
            f"    if k >= {panes}: {f}n = 0",
            # Outcomes come days after their payments, so that k is seldom 0. Without a fraud the sums are not
            # needed as long as the newest pane holds an outcome: the share is 0.
            f"    elif k > 0 and ({f} or not {ring}[{row} * {panes} + {head}[{row}] % {panes}]):",
            f"        {f}n = surviving_count({ring}, {newest}, {f}n)",
            f"        if {f}: {f} = surviving_count({fraud_ring}, {newest}, {f})",
            f"{f} = {f} / {f}n if {f}n else nan",
        ]
        rolled = [(labelled, ring, "count", "0"), (frauds, fraud_ring, "count", "0")]
        self._window(head, pane_ms, panes, rolled)
        counted = self._counted(declaration)
        self._on_label(
            row,
            counted.format(label="label"),
            [
                *_roll_window(row, head, pane_ms, panes, rolled, labelled),
                f"if k > -{panes}:",
                f"    i = {row} * {panes} + p % {panes}",
                f"    {ring}[i] += 1; {labelled}[{row}] += 1",
                f"    if label: {fraud_ring}[i] += 1; {frauds}[{row}] += 1",
            ],
        )
        self._on_relabel(
            row,
            [
                f"p = {_pane(pane_ms)}; i = {row} * {panes} + p % {panes}",
                f"if -{panes} < p - {head}[{row}] <= 0:",
                f"    if {counted.format(label='old')} and {ring}[i]:",
                f"        {ring}[i] -= 1; {labelled}[{row}] -= 1",
                f"        if old and {fraud_ring}[i]: {fraud_ring}[i] -= 1; {frauds}[{row}] -= 1",
                f"    if {counted.format(label='new')}:",
                f"        {ring}[i] += 1; {labelled}[{row}] += 1",
                f"        if new: {fraud_ring}[i] += 1; {frauds}[{row}] += 1",
            ],
        )

    def _counted(self, declaration: Any) -> str:
        """Whether a label counts: a legitimate one always, a fraud if the payment met the condition."""
        condition = self._condition(declaration)
        return f"(not {{label}} or {self._flag(condition)})" if condition else "True"

    def _on_label(self, row: str, guard: str, lines: list[str]) -> None:
        self.label_lines += [f"if {row} and {guard}:", *[f"    {line}" for line in lines]]

    def _on_relabel(self, row: str, lines: list[str]) -> None:
        self.relabel_lines += [f"if {row}:", *[f"    {line}" for line in lines]]

    def _episode(self, declaration: Any) -> str:
        """The name of the entity's episodes under that condition; features with the same one share them."""
        entity, row, condition = (
            declaration.entity,
            self.rows[declaration.entity],
            self._condition(declaration),
        )
        shared = [name for (of, _), name in self.episodes.items() if of == entity]
        if declaration.kind == "last_legitimate_age" and shared:
            return shared[0]  # legitimate outcomes count under every condition
        if (entity, condition) not in self.episodes:
            streak = self._column(entity, "i", 0)
            first, legitimate = (
                self._time(entity, drops=False) for _ in range(2)
            )  # of outcomes, which stand
            history, seen = self._column(entity, "q", 0, HISTORY), self._column(entity, "i", 0)
            columns = [self.names[each] for each in (streak, first, legitimate, history, seen)]
            name = self._bind(Episodes(*columns))
            self.episodes[entity, condition] = name
            counted = self._counted(declaration)
            self._on_label(
                row,
                counted.format(label="label"),
                [
                    f"n = {seen}[{row}]; {seen}[{row}] = n + 1",
                    f"x = (number & {NUMBER_MASK}) << {NUMBER_AT} | t << 1 | label",
                    f"{history}[{row} * {HISTORY} + n % {HISTORY}] = x",
                    "if label:",
                    f"    if not {streak}[{row}]: {first}[{row}] = t",
                    f"    {streak}[{row}] += 1",
                    "else:",
                    f"    {streak}[{row}] = 0; {first}[{row}] = 0",
                    f"    if t > {legitimate}[{row}]: {legitimate}[{row}] = t",
                ],
            )
            old, new = (f"({x} if {counted.format(label=x)} else None)" for x in ("old", "new"))
            self._on_relabel(row, [f"{name}.relabel({row}, number, t, {old}, {new})"])
        return self.episodes[entity, condition]

    def _fraud_streak(self, f: str, declaration: Any) -> None:
        streak = self._bind(self.names[self._episode(declaration)].streak)
        self.read_lines.append(f"{f} = {streak}[{self.rows[declaration.entity]}]")

    def _first_fraud_age(self, f: str, declaration: Any) -> None:
        first = self._bind(self.names[self._episode(declaration)].first)
        self.read_lines += _read_age(f, f"{first}[{self.rows[declaration.entity]}]", declaration.window_ms)

    def _last_legitimate_age(self, f: str, declaration: Any) -> None:
        last = self._bind(self.names[self._episode(declaration)].legitimate)
        self.read_lines += _read_age(f, f"{last}[{self.rows[declaration.entity]}]", declaration.window_ms)

    def _panes(self, declaration: Any) -> tuple[int, int]:
        return max(1, declaration.window_ms // declaration.panes), declaration.panes

    # -- slots

    def _slots(
        self, bins: Mapping[str, BinDeclaration], crosses: Mapping[str, CrossDeclaration]
    ) -> tuple[SlotGroup, ...]:
        sizes = self._bins(bins, {name for cross in crosses.values() for name in cross.of})
        groups, active, offset = [], [], 0
        for name, cross in crosses.items():
            size, terms = 1, []
            for part in reversed(cross.of):
                terms.append(f"b{list(bins).index(part)}" + (f" * {size}" if size > 1 else ""))
                size *= sizes[part]
            active.append(" + ".join([*([str(offset)] if offset else []), *terms]))
            groups.append(SlotGroup(name, cross.code, offset, size))
            offset += size
        self.active = active
        return tuple(groups)

    def _bins(self, bins: Mapping[str, BinDeclaration], used: set[str]) -> dict[str, int]:
        """Lines that find the range of each bin used; how many ranges it has, a missing value being the last.

        A bin whose edges are all edges of another bin of the same feature is looked up from that one's range.
        """
        sizes: dict[str, int] = {}
        finer: dict[str, tuple[str, list[float]]] = {}
        numbers = {name: number for number, name in enumerate(bins)}
        for name in sorted(used, key=lambda name: (-len(bins[name].edges), numbers[name])):
            of, edges, local = bins[name].of, list(map(float, bins[name].edges)), f"b{numbers[name]}"
            if of in self.numbers and self.features[of].kind not in _NEVER_MISSING:
                edges.append(math.inf)  # what is missing is below no edge at all, not even this one
            sizes[name] = len(edges) + 1
            source, finest = finer.setdefault(of, (local, edges))
            if source != local and set(edges) <= set(finest):
                ranges = [bisect_right(edges, edge) for edge in (-math.inf, *finest)]
                self.read_lines.append(f"{local} = {self._bind(ranges)}[{source}]")
            else:
                self.read_lines.append(f"{local} = bisect({self._bind(edges)}, {self._value(of)})")
        return sizes

    # -- the generated module

    @staticmethod
    def function(name: str, parameters: str, lines: list[str]) -> str:
        """A function of these lines, which finds first the panes and the amount that they speak of."""
        panes = sorted({int(pane_ms) for line in lines for pane_ms in _PANES.findall(line)})
        body = [*(f"{_pane(pane_ms)} = t // {pane_ms}" for pane_ms in panes), *lines]
        if "amount" not in parameters and any(map(_AMOUNT.search, lines)):
            body.insert(0, "amount = ev.amount")
        return "\n".join([f"def {name}({parameters}):", *[f"    {line}" for line in body or ["pass"]]])

    def source(self) -> str:
        """The generated functions; `update_click` is there only if clicks feed a feature."""
        for number, entity in enumerate(self.entities):
            table = self.tables[entity]
            self.names |= {
                f"index{number}": table.index,
                f"create{number}": table.create,
                f"seen{number}": table.last_seen.values,
                f"created{number}": table.created.values,
            }
        numbers = range(len(self.entities))
        owned = [self.taken_rows()] if numbers else []
        owned += [f"if created{number}[r{number}] > number: r{number} = 0" for number in numbers]
        clicks = (
            [self.function("update_click", "ev, t, number", self._click_body())] if self.click_lines else []
        )
        return "\n\n\n".join(
            [
                *clicks,
                self.function(
                    "read",
                    "ev, t",
                    [
                        *self.lookup(),
                        *self.object_read_lines,
                        *self.read_lines,
                        *self._returned(),
                    ],
                ),
                self.function("update", "ev, t, values, number, rows", self._update_body()),
                self.function("label", "rows, number, flags, t, label", [*owned, *self.label_lines]),
                self.function("relabel", "rows, number, flags, t, old, new", [*owned, *self.relabel_lines]),
            ]
        )

    def lookup(self) -> list[str]:
        """Lines that find the row of each of the event's entities."""
        return [
            f"r{number} = index{number}.get(ev.{settings.key}, 0)"
            for number, settings in enumerate(self.entities.values())
        ]

    def flag_lines(self) -> list[str]:
        """Lines that find which conditions of the features that outcomes feed are met."""
        return ["flags = 0", *(f"if {met}: flags |= {bit}" for met, bit in self.flags.items())]

    def _returned(self) -> list[str]:
        values = "".join(f"f{number}, " for number in range(len(self.features)))
        slots = "".join(f"{slot}, " for slot in self.active)
        rows = "".join(f"{row}, " for row in self.rows.values())
        return [*self.flag_lines(), f"return ({values}), ({slots}), flags, ({rows})"]

    def taken_rows(self) -> str:
        """A line that takes `rows` apart."""
        return "".join(f"{row}, " for row in self.rows.values()) + "= rows"

    def create_lines(self) -> list[str]:
        """Lines that give new entities of a payment their rows."""
        lines = []
        for number, (entity, settings) in enumerate(self.entities.items()):
            if entity not in self.clicked or entity in self.paid:
                lines += [
                    f"if not r{number}:",
                    f"    x = ev.{settings.key}",
                    f"    if x is not None: r{number} = create{number}(x, number)",
                ]
        return lines

    def seen_lines(self) -> list[str]:
        """Lines that note when the entities of a payment were seen."""
        return [
            f"if t > seen{number}[r{number}] and r{number}: seen{number}[r{number}] = t"
            for number in range(len(self.entities))
        ]

    def _update_body(self) -> list[str]:
        values = "".join(f"f{number}, " for number in range(len(self.features)))
        rows = "".join(f"{row}, " for row in self.rows.values())
        return [
            *([f"{values}= values"] if values else []),
            *([self.taken_rows()] if self.rows else []),
            *self.create_lines(),
            *self.seen_lines(),
            *self.update_lines,
            *self.object_update_lines,
            f"return ({rows})",
        ]

    def _click_body(self) -> list[str]:
        lines = []
        for number, (entity, settings) in enumerate(self.entities.items()):
            if entity in self.clicked:
                lines += [
                    f"x = ev.{settings.key}",
                    f"r{number} = 0 if x is None else index{number}.get(x) or create{number}(x, number)",
                    f"if t > seen{number}[r{number}] and r{number}: seen{number}[r{number}] = t",
                ]
        return [*lines, *self.click_lines]


def _pane(pane_ms: int) -> str:
    """The local that holds the number of the pane that `t` lies in."""
    return f"pane_{pane_ms}"


def _read_window(
    test: str,
    row: str,
    total: str,
    head: str,
    pane_ms: int,
    parts: list[tuple[str, str, str, str]],
    panes: int,
    empty: str = "0",
) -> list[str]:
    """Lines that read totals into locals, over the panes that are still inside the window.

    `parts` are (local, ring, sum or max, value when nothing is left).
    """
    lines = [f"{test} = {total}[{row}]", f"if {test} != {empty}:"]
    lines += [f"    k = {_pane(pane_ms)} - {head}[{row}]", "    if k > 0:"]
    lines += [
        f"        {local} = surviving_{how}({ring}, {row} * {panes}, {panes}, {head}[{row}], k, {local})"
        for local, ring, how, _ in parts
    ]
    return lines


def _roll_window(
    row: str,
    head: str,
    pane_ms: int,
    panes: int,
    parts: list[tuple[str, str, str, str]],
    counts: str | None,
) -> list[str]:
    """Lines that move a window on to the event's pane `p`.

    `k` is how far. `parts` as (total, ring, how, empty).
    """
    lines = [f"p = {_pane(pane_ms)}; k = p - {head}[{row}]", "if k > 0:"]
    if counts:
        lines.append(f"    if {counts}[{row}]:")
    pad = "        " if counts else "    "
    ring_at = f"{row} * {panes}, {panes}, {head}[{row}], k"
    lines += [
        f"{pad}{total}[{row}] = roll_{how}({ring}, {ring_at}, {total}[{row}])"
        for total, ring, how, _ in parts
    ]
    return [*lines, f"    {head}[{row}] = p"]


def _read_age(f: str, time: str, window_ms: int | None, unit_ms: int = DAY_MS) -> list[str]:
    """Lines that read how long ago a time is; missing when there is none, or it is older than the window."""
    within = "" if window_ms is None else f" and t - {f} <= {window_ms}"
    return [f"{f} = {time}", f"{f} = (t - {f} if t > {f} else 0) / {unit_ms}.0 if {f}{within} else nan"]
