"""Checked expressions to Python source.

The source is written anew from the tree: names become places that are fixed here, texts and numbers are
written by `repr`, and nothing else of what a person wrote is in it. A missing number is NaN and an absent
field is None; the source is such that a comparison with either is false, and that nothing in it can raise.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from ...config.expression import parse
from ...config.vocabulary import PAYMENT, Vocabulary

__all__ = ["PARAMETERS", "Names", "number_source", "source_of"]

PARAMETERS: Final = "p, v, q=None"
"""Of the function that the source stands in: event, features, and what the model says."""

_CALENDAR: Final = {
    "hour_of_day": "(p.event_time // 3600000 % 24)",
    "day_of_week": "((p.event_time // 86400000 + 3) % 7)",
}
_OPERATORS: Final[Mapping[type[ast.AST], str]] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
}


class Names(NamedTuple):
    """Names other than those of features, and where they stand.

    Attributes
    ----------
    vocabulary
        What there is.
    estimates
        Source of each of the model's numbers, of `q`; quantiles stand in `q` in their order.
    """

    vocabulary: Vocabulary = PAYMENT
    estimates: Mapping[str, str] = {}


_PAYMENTS: Final = Names()


def source_of(text: str, features: Sequence[str], names: Names = _PAYMENTS) -> str:
    """Return a Python expression of the parameters `PARAMETERS`, true or false.

    Parameters
    ----------
    text
        An expression in which `expression_errors` found none.
    features
        Names of the features, in the order of their values.
    names
        The other names.

    Raises
    ------
    ValueError
        If the expression has a validation error after all.
    """
    return _Writer(features, names).write(parse(text))


def number_source(name: str, features: Sequence[str], names: Names = _PAYMENTS) -> str:
    """Return a Python expression of the parameters `PARAMETERS`: one number, NaN where it is missing.

    Raises
    ------
    ValueError
        If there is no number of that name.
    """
    if name not in features and name not in names.vocabulary.numbers:
        raise ValueError(f"there is no number {name}")
    return _Writer(features, names).write(ast.Name(name))


class _Writer:
    """Writes one expression."""

    def __init__(self, features: Sequence[str], names: Names) -> None:
        self._places = {name: f"v[{place}]" for place, name in enumerate(features)}
        self._vocabulary, self._estimates = names
        self._divisors = 0
        # What isn't among these is refused, and so nothing gets into the source that wasn't written here.
        self._of: Mapping[type[ast.AST], Callable[..., str]] = {
            ast.BoolOp: self._bool_op,
            ast.UnaryOp: self._unary,
            ast.BinOp: self._arithmetic,
            ast.Compare: self._compare,
            ast.Call: self._call,
            ast.Name: self._name,
            ast.Constant: self._constant,
        }

    def write(self, node: ast.expr) -> str:
        """Return the source of a part."""
        of = self._of.get(type(node))
        if of is None:
            raise ValueError(f"{type(node).__name__} is not part of the language")
        return of(node)

    def _name(self, node: ast.Name) -> str:
        name, vocabulary = node.id, self._vocabulary
        if name in self._places:
            return self._places[name]
        if name in self._estimates:
            return self._estimates[name]
        if name in vocabulary.numbers:
            return self._number(name)
        if name in vocabulary.conditions:
            return f"(p.{name} is True)"
        if name in (*vocabulary.texts, *vocabulary.id_lists):
            return f"p.{name}"
        raise ValueError(f"there is no feature or field {name}")

    def _number(self, name: str) -> str:
        if name in self._vocabulary.calendar:
            return _CALENDAR[name]
        # None would raise an error in a comparison; NaN makes each of them false.
        return (
            f"(nan if p.{name} is None else p.{name})" if name in self._vocabulary.optional else f"p.{name}"
        )

    def _constant(self, node: ast.Constant) -> str:
        if isinstance(node.value, str):
            return repr(node.value)
        # Asked first: to Python, True is an int, and would become 1.0.
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise ValueError(f"{node.value!r} is not part of the language")  # noqa: TRY004 - as every validation error
        return repr(float(node.value))

    def _bool_op(self, node: ast.BoolOp) -> str:
        word = " and " if isinstance(node.op, ast.And) else " or "
        return f"({word.join(self.write(value) for value in node.values)})"

    def _unary(self, node: ast.UnaryOp) -> str:
        if isinstance(node.op, ast.Not):
            return f"(not {self.write(node.operand)})"
        return f"({'-' if isinstance(node.op, ast.USub) else '+'}{self._operand(node.operand)})"

    def _operand(self, node: ast.expr) -> str:
        """Return a number to calculate with.

        Whole numbers become floats, as those could grow without an end.
        """
        return f"(1.0 * {self.write(node)})" if isinstance(node, ast.Name) else self.write(node)

    def _arithmetic(self, node: ast.BinOp) -> str:
        left, right = self._operand(node.left), self._operand(node.right)
        if not isinstance(node.op, ast.Div):
            return f"({left} {_OPERATORS[type(node.op)]} {right})"
        divisor = f"d{self._divisors}"
        self._divisors += 1
        # The divisor is worked out first, and once: a division by zero is a missing number, not an error.
        return f"({left} / {divisor} if ({divisor} := {right}) else nan)"

    def _compare(self, node: ast.Compare) -> str:
        sides = [node.left, *node.comparators]
        parts = [
            self._comparison(left, op, right)
            for left, op, right in zip(sides, node.ops, node.comparators, strict=False)
        ]
        return parts[0] if len(parts) == 1 else f"({' and '.join(parts)})"

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> str:
        first = self.write(left)
        if isinstance(op, ast.In | ast.NotIn):
            return self._membership(left, first, op, right)
        second = self.write(right)
        if isinstance(op, ast.NotEq):
            if self._is_text(left):
                return self._guarded(f"{first} != {second}", left, right)
            # Not `!=`, which is true for NaN: a comparison with a missing number is false, this one as well.
            return f"({first} < {second} or {first} > {second})"
        plain = f"{first} {_OPERATORS[type(op)]} {second}"
        return self._guarded(plain, left) if self._is_text(left) and self._optional(right) else f"({plain})"

    def _membership(self, left: ast.expr, first: str, op: ast.cmpop, right: ast.expr) -> str:
        if isinstance(right, ast.Name):
            word = "in" if isinstance(op, ast.In) else "not in"
            return self._guarded(f"{first} {word} {self.write(right)}", left, right)
        assert isinstance(right, ast.Tuple)
        members = f"({''.join(f'{self.write(each)}, ' for each in right.elts)})"
        if isinstance(op, ast.In):
            return f"({first} in {members})"
        plain = f"{first} not in {members}"
        # A number is equal to itself unless it is NaN.
        return self._guarded(plain, left) if self._is_text(left) else f"({first} == {first} and {plain})"

    def _guarded(self, plain: str, *sides: ast.expr) -> str:
        """Return a comparison that is false where a side is absent."""
        guards = [f"{self.write(side)} is not None" for side in sides if self._optional(side)]
        return f"({' and '.join([*guards, plain])})"

    def _call(self, node: ast.Call) -> str:
        (value,) = node.args
        if isinstance(node.func, ast.Name) and node.func.id == "quantile":
            assert isinstance(value, ast.Constant)
            return f"q[{self._vocabulary.quantiles.index(value.value)}]"
        if isinstance(value, ast.Name) and self._is_field(value.id, self._vocabulary.conditions):
            return f"(p.{value.id} is None)" if value.id in self._vocabulary.optional else "False"
        if self._is_text(value):
            return f"({self.write(value)} is None)" if self._optional(value) else "False"
        written = self.write(value)
        return f"({written} != {written})"

    def _is_field(self, name: str, among: Sequence[str]) -> bool:
        return name in among and name not in self._places and name not in self._estimates

    def _is_text(self, node: ast.expr) -> bool:
        """Whether a part is a text or a list of texts, of which None stands for an absent one."""
        if isinstance(node, ast.Name):
            return self._is_field(node.id, (*self._vocabulary.texts, *self._vocabulary.id_lists))
        return isinstance(node, ast.Constant) and isinstance(node.value, str)

    def _optional(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and self._is_text(node) and node.id in self._vocabulary.optional
