"""The language of the policy's rules: what may be written, and whether it makes sense.

An expression is read with Python's own parser and then held against a short list of what is allowed. It is
never evaluated as it was written: `operators.policy.expression` writes source of its own from the tree.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Final, Literal

from .base import did_you_mean
from .vocabulary import NUMBER_FIELDS, OPTIONAL_FIELDS, PAYMENT, TEXT_FIELDS, Vocabulary

__all__ = [
    "MEMBERS_MAX",
    "NODES_MAX",
    "NUMBER_FIELDS",
    "OPTIONAL_FIELDS",
    "TEXT_FIELDS",
    "expression_errors",
    "parse",
]

NODES_MAX: Final = 512
DEPTH_MAX: Final = 32
MEMBERS_MAX: Final = 256
NUMBER_MAX: Final = 1e18
TEXT_CHARS_MAX: Final = 128

_Type = Literal["condition", "number", "text", "list of ids"]
_NAMED: Final[Mapping[type[ast.AST], str]] = {
    ast.Attribute: "an attribute (a.b)",
    ast.Subscript: "a subscript (a[b])",
    ast.Lambda: "a lambda",
    ast.IfExp: "an if … else",
    ast.NamedExpr: "an assignment (:=)",
    ast.JoinedStr: "an f-string",
    ast.ListComp: "a comprehension",
    ast.SetComp: "a comprehension",
    ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.List: "a list; write in (a, b)",
    ast.Set: "a set; write in (a, b)",
    ast.Tuple: "a tuple, except after in",
    ast.Starred: "a star",
    ast.Pow: "the operator **",
    ast.Mod: "the operator %",
    ast.FloorDiv: "the operator //",
    ast.Is: "is; write == or missing(…)",
    ast.IsNot: "is not; write != or not missing(…)",
}
_ORDERING: Final = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_EQUALITY: Final = (ast.Eq, ast.NotEq)
_MEMBERSHIP: Final = (ast.In, ast.NotIn)
_ARITHMETIC: Final = (ast.Add, ast.Sub, ast.Mult, ast.Div)


def parse(text: str) -> ast.expr:
    """Read an expression; whether it is allowed is for `expression_errors` to say.

    Raises
    ------
    ValueError
        If it isn't one expression.
    """
    line = text.replace("\n", " ").replace("\r", " ").strip()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # an odd escape or number is evaluated by its value, like any other
            return ast.parse(line, mode="eval").body
    except SyntaxError as error:
        place = f" at character {error.offset}" if error.offset else ""
        raise ValueError(f"not an expression: {error.msg}{place}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"not an expression: {error}") from error


def expression_errors(
    text: str,
    features: Collection[str],
    unsure: Callable[[str], bool] = lambda _name: False,
    vocabulary: Vocabulary = PAYMENT,
) -> list[str]:
    """Everything that is wrong with an expression, in the order in which it is read.

    Parameters
    ----------
    text
        The expression.
    features
        Names of the declared features; each is a number, and hides a field of the event of the same name.
    unsure
        Tells names that may be features, but whose declarations can't be read; nothing is said of them.
    vocabulary
        The other names that there are.
    """
    try:
        tree = parse(text)
    except ValueError as error:
        return [str(error)]
    # Before anything recurses into it: a configuration comes from outside, and one line must not exhaust the
    # stack.
    size = sum(isinstance(node, ast.expr) for node in ast.walk(tree))
    if size > NODES_MAX or _depth(tree) > DEPTH_MAX:
        return [f"too large: at most {NODES_MAX} parts, {DEPTH_MAX} deep"]
    checker = _Checker(features, unsure, vocabulary)
    checker.condition(tree, "the whole")
    return checker.found


def _depth(tree: ast.AST) -> int:
    """Levels of the tree, found without recursion."""
    level, depth = [tree], 0
    while level:
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        depth += 1
    return depth


class _Checker:
    """Gives each part its type, and notes what is not allowed or doesn't fit."""

    def __init__(
        self, features: Collection[str], unsure: Callable[[str], bool], vocabulary: Vocabulary
    ) -> None:
        self.found: list[str] = []
        self._features, self._unsure, self._vocabulary = features, unsure, vocabulary
        self._of: Mapping[type[ast.AST], Callable[[ast.expr], _Type | None]] = {
            ast.BoolOp: self._bool_op,
            ast.UnaryOp: self._unary,
            ast.BinOp: self._arithmetic,
            ast.Compare: self._compare,
            ast.Call: self._call,
            ast.Name: self._name,
            ast.Constant: self._constant,
        }

    def condition(self, node: ast.expr, what: str) -> None:
        """Require a condition; None stands for a part that was already complained of."""
        found = self._type(node)
        if found not in {"condition", None}:
            self.found.append(f"{what} must be a condition, but {ast.unparse(node)} is a {found}")

    def _type(self, node: ast.expr) -> _Type | None:
        of = self._of.get(type(node))
        if of is None:
            self._refuse(node)
            return None
        return of(node)

    def _refuse(self, node: ast.AST) -> None:
        self.found.append(f"not allowed: {_NAMED.get(type(node), type(node).__name__)}")

    def _bool_op(self, node: ast.expr) -> _Type:
        assert isinstance(node, ast.BoolOp)
        word = "and" if isinstance(node.op, ast.And) else "or"
        for value in node.values:
            self.condition(value, f"each side of {word}")
        return "condition"

    def _unary(self, node: ast.expr) -> _Type | None:
        assert isinstance(node, ast.UnaryOp)
        if isinstance(node.op, ast.Not):
            self.condition(node.operand, "what follows not")
            return "condition"
        if isinstance(node.op, ast.Invert):
            self._refuse(node.op)
            return None
        self._number(node.operand, "a sign")
        return "number"

    def _number(self, node: ast.expr, what: str) -> None:
        found = self._type(node)
        if found not in {"number", None}:
            self.found.append(f"{what} needs numbers, but {ast.unparse(node)} is a {found}")

    def _arithmetic(self, node: ast.expr) -> _Type | None:
        assert isinstance(node, ast.BinOp)
        if not isinstance(node.op, _ARITHMETIC):
            self._refuse(node.op)
            return None
        for side in (node.left, node.right):
            self._number(side, "arithmetic")
        return "number"

    def _compare(self, node: ast.expr) -> _Type:
        assert isinstance(node, ast.Compare)
        left, left_type = node.left, self._type(node.left)
        for op, right in zip(node.ops, node.comparators, strict=True):
            right_type = self._members(right) if isinstance(op, _MEMBERSHIP) else self._type(right)
            self._fit(ast.unparse(left), left_type, op, ast.unparse(right), right_type)
            # In `a < b < c` the middle is compared twice, so each side is typed once and handed on.
            left, left_type = right, None if isinstance(op, _MEMBERSHIP) else right_type
        if len(node.ops) > 1 and any(isinstance(op, _MEMBERSHIP) for op in node.ops):
            self.found.append("in can't be part of a chain of comparisons")
        return "condition"

    def _fit(
        self, left: str, left_type: _Type | None, op: ast.cmpop, right: str, right_type: _Type | None
    ) -> None:
        if not isinstance(op, (*_ORDERING, *_EQUALITY, *_MEMBERSHIP)):
            self._refuse(op)
        elif "condition" in {left_type, right_type}:
            which = left if left_type == "condition" else right
            self.found.append(f"a condition can't be compared: {which}")
        elif "list of ids" in {left_type, right_type}:
            which = left if left_type == "list of ids" else right
            self.found.append(f"a list of ids can only stand after in: {which}")
        elif left_type and right_type and left_type != right_type:
            self.found.append(f"{left} is a {left_type}, but {right} is a {right_type}")
        elif "text" in {left_type, right_type} and isinstance(op, _ORDERING):
            which = left if left_type == "text" else right
            self.found.append(f"texts have no order here: {which} is a text")

    def _members(self, node: ast.expr) -> _Type | None:
        if self._is_field(node, self._vocabulary.id_lists):
            return "text"
        if not isinstance(node, ast.Tuple) or not node.elts:
            self.found.append("in needs values in parentheses, such as in ('a', 'b') or in (1,)")
            return None
        if len(node.elts) > MEMBERS_MAX:
            self.found.append(f"in has {len(node.elts)} values, more than {MEMBERS_MAX}; use a list")
        types = [self._member(each) for each in node.elts]
        known = [each for each in types if each]
        if any(each != known[0] for each in known):
            self.found.append(f"the values of {ast.unparse(node)} are not all of one type")
            return None
        return known[0] if len(known) == len(types) else None

    def _member(self, node: ast.expr) -> _Type | None:
        bare = node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else node
        if not isinstance(bare, ast.Constant):
            self.found.append(f"the values after in must be numbers or texts, not {ast.unparse(node)}")
            return None
        return self._type(node)

    def _call(self, node: ast.expr) -> _Type | None:
        assert isinstance(node, ast.Call)
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name == "quantile" and self._vocabulary.quantiles:
            self._quantile(node)
            return "number"
        if name != "missing":
            known = (
                "are only missing(…) and quantile(…)" if self._vocabulary.quantiles else "is only missing(…)"
            )
            self.found.append(f"not allowed: a call{name and f' {name}'}; there {known}")
            return None
        if len(node.args) != 1 or node.keywords:
            self.found.append("missing takes one value")
        elif self._is_field(node.args[0], self._vocabulary.conditions):
            return "condition"
        elif self._type(node.args[0]) == "condition":
            self.found.append("missing takes a number or a text; a condition is never missing")
        return "condition"

    def _quantile(self, node: ast.Call) -> None:
        (level,) = node.args if len(node.args) == 1 and not node.keywords else (None,)
        if not isinstance(level, ast.Constant) or level.value not in self._vocabulary.quantiles:
            known = ", ".join(map(repr, self._vocabulary.quantiles))
            self.found.append(f"quantile takes one level that is declared: {known}")

    def _is_field(self, node: ast.expr, among: Collection[str]) -> bool:
        """Whether a part is the name of one of some fields, which no feature hides."""
        return isinstance(node, ast.Name) and node.id in among and node.id not in self._features

    def _name(self, node: ast.expr) -> _Type | None:
        assert isinstance(node, ast.Name)
        name, vocabulary = node.id, self._vocabulary
        if self._unsure(name):
            return None
        # Either reading would be right for somebody, and wrong without a word for somebody else.
        if vocabulary.is_ambiguous(name, self._features):
            self.found.append(
                f"{name} is what the model gives, and of a field or feature too; rename that one"
            )
            return None
        if name in self._features:
            return "number"
        types: Mapping[_Type, Collection[str]] = {
            "number": (*vocabulary.numbers, *vocabulary.estimates),
            "text": vocabulary.texts,
            "condition": vocabulary.conditions,
            "list of ids": vocabulary.id_lists,
        }
        for found, names in types.items():
            if name in names:
                return found
        known = [*self._features, *vocabulary.estimates, *vocabulary.fields]
        self.found.append(f"there is no feature or field {name}{did_you_mean(name, known)}")
        return None

    def _constant(self, node: ast.expr) -> _Type | None:
        assert isinstance(node, ast.Constant)
        value = node.value
        if isinstance(value, str):
            if len(value) > TEXT_CHARS_MAX:
                self.found.append(f"a text is longer than {TEXT_CHARS_MAX} characters")
            return "text"
        # A truth value is an int to Python, and would pass for 0 or 1.
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.found.append(f"not allowed: the value {value!r}")
            return None
        if abs(value) > NUMBER_MAX:
            self.found.append(f"a number is larger than {NUMBER_MAX:g}")
        return "number"
