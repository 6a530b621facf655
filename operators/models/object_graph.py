"""Saves a library's objects as data, and makes them again: fields only, of classes from a fixed list.

Pickle runs what its bytes name. Here bytes can name a class of the list and give its fields, and nothing
else: no constructor, `__reduce__` or `__setstate__` of a Python class runs. Two compiled classes keep their
fields out of reach; they are given the plain values that they said.

A graph is one MessagePack value, `[names, shapes, fixed, shells]`. Plain values stand where they are used;
anything else is a reference `[n]`: to a shell, which can be part of a cycle and is filled last, or with a
negative number to something fixed, whose parts come before it.
"""

from __future__ import annotations

import sys
from array import array
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Sequence
from functools import cache, partial
from importlib import import_module
from random import Random
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np

__all__ = ["Unsaved", "decode_graph", "encode_graph"]

Node: TypeAlias = list[Any]
_Graph: TypeAlias = tuple[list[str], list[Node], list[Node], list[Node], Any]

_PLAIN: Final[frozenset[type]] = frozenset({float, int, str, bool, bytes, type(None)})
_NO_FIELDS: Final[dict[str, Any]] = {}
_BUILTINS: Final[dict[str, Any]] = {
    "collections:OrderedDict": OrderedDict,
    "collections:defaultdict": defaultdict,
    "builtins:dict": dict,
    "builtins:float": float,
    "builtins:frozenset": frozenset,
    "builtins:int": int,
    "builtins:list": list,
    "builtins:set": set,
    "builtins:str": str,
    "builtins:tuple": tuple,
    "builtins:bool": bool,
}
_KNOWN: Final = frozenset(
    {
        "river.anomaly.hst:HalfSpaceTrees",
        "river.compose.pipeline:Pipeline",
        "river.drift.adwin:ADWIN",
        "river.drift.no_drift:NoDrift",
        "river.forest.adaptive_random_forest:ARFClassifier",
        "river.forest.adaptive_random_forest:BaseTreeClassifier",
        "river.linear_model.log_reg:LogisticRegression",
        "river.metrics.accuracy:Accuracy",
        "river.metrics.confusion:ConfusionMatrix",
        "river.optim.ada_grad:AdaGrad",
        "river.optim.ftrl:FTRLProximal",
        "river.optim.initializers:Zeros",
        "river.optim.losses:Log",
        "river.optim.schedulers:Constant",
        "river.optim.sgd:SGD",
        "river.preprocessing.scale:MinMaxScaler",
        "river.proba.gaussian:Gaussian",
        "river.proba.multinomial:Multinomial",
        "river.stats.count:Count",
        "river.stats.maximum:Max",
        "river.stats.mean:Mean",
        "river.stats.minimum:Min",
        "river.stats.var:Var",
        "river.tree.hoeffding_adaptive_tree_classifier:HoeffdingAdaptiveTreeClassifier",
        "river.tree.nodes.arf_htc_nodes:RandomLeafMajorityClass",
        "river.tree.nodes.arf_htc_nodes:RandomLeafNaiveBayes",
        "river.tree.nodes.arf_htc_nodes:RandomLeafNaiveBayesAdaptive",
        "river.tree.nodes.branch:NominalBinaryBranch",
        "river.tree.nodes.branch:NominalMultiwayBranch",
        "river.tree.nodes.branch:NumericBinaryBranch",
        "river.tree.nodes.branch:NumericMultiwayBranch",
        "river.tree.nodes.hatc_nodes:AdaLeafClassifier",
        "river.tree.nodes.hatc_nodes:AdaNomBinaryBranchClass",
        "river.tree.nodes.hatc_nodes:AdaNomMultiwayBranchClass",
        "river.tree.nodes.hatc_nodes:AdaNumBinaryBranchClass",
        "river.tree.nodes.hatc_nodes:AdaNumMultiwayBranchClass",
        "river.tree.nodes.htc_nodes:LeafMajorityClass",
        "river.tree.nodes.htc_nodes:LeafNaiveBayes",
        "river.tree.nodes.htc_nodes:LeafNaiveBayesAdaptive",
        "river.tree.padded:PaddedBranch",
        "river.tree.padded:PaddedLeaf",
        "river.tree.split_criterion.gini_split_criterion:GiniSplitCriterion",
        "river.tree.split_criterion.info_gain_split_criterion:InfoGainSplitCriterion",
        "river.tree.splitter.gaussian_splitter:GaussianSplitter",
        "river.tree.splitter.nominal_splitter_classif:NominalSplitterClassif",
        "river.tree.utils:BranchFactory",
    }
)
"""Classes whose instances are saved by their fields, beside Python's own containers."""

_COMPILED_IN: Final = "river._river_rust"
_ADAPTIVE_WINDOWING: Final = "river._river_rust.drift:AdaptiveWindowing"
_VECTOR_DICT: Final = "river._river_rust.vectordict:VectorDict"
_COMPILED: Final = frozenset({_ADAPTIVE_WINDOWING, _VECTOR_DICT})

# What a node is: fixed, made at once of parts that are there; or a shell, filled last.
_TUPLE, _FROZENSET, _INTEGER, _SCALAR, _NAME, _PARTIAL, _RANDOM, _ARRAY, _WINDOW, _VECTOR = range(10)
_LIST, _SET, _DEQUE, _DICT, _INSTANCE = range(10, 15)


class Unsaved(ValueError):
    """An object that is of no class that may be saved, or made again."""


def encode_graph(root: object) -> bytes:
    """Return an object and all that it refers to, as bytes.

    Parameters
    ----------
    root
        Of plain values, containers, and instances of the listed classes; shared and circular references are
        kept.

    Raises
    ------
    Unsaved
        If anything of it is of another class; the message names it.
    """
    try:
        return _Writer(_PLAIN).write(root)
    except OverflowError:  # an integer beyond 64 bits; they are rare, so that none is looked at before
        return _Writer(_PLAIN - {int}).write(root)


def decode_graph(saved: bytes | memoryview) -> Any:
    """Return the object that `encode_graph` was given, made again.

    Raises
    ------
    Unsaved
        If it names a class that isn't listed, or isn't what `encode_graph` writes.
    """
    try:
        names, shapes, fixed, shells, root = msgspec.msgpack.decode(saved, type=_Graph)
        return _Reader(names, shapes, fixed, shells).read(root)
    except Unsaved:
        raise
    except Exception as error:  # any bytes may be here, and compiled classes may raise anything
        raise Unsaved(f"not a saved model: {error}") from error


def _name_of(kind: Any) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _class_of(name: str) -> Any:
    """Return the class of that name, if it is listed."""
    if name in _BUILTINS:
        return _BUILTINS[name]
    if name not in _KNOWN and name not in _COMPILED:
        raise Unsaved(f"{name.replace(':', '.')} is no class that a model may be made of")
    module, _, qualname = name.partition(":")
    return getattr(import_module(module), qualname)


@cache
def _slots_of(kind: type) -> tuple[str, ...]:
    """Names of the fields that instances keep outside of their `__dict__`."""
    found: list[str] = []
    for base in kind.__mro__:
        slots = base.__dict__.get("__slots__", ())
        found += [slots] if isinstance(slots, str) else slots
    return tuple(name for name in found if name not in ("__dict__", "__weakref__"))


class _Writer:
    """Lays a graph out, without recursion but for what is fixed."""

    def __init__(self, plain: frozenset[type]) -> None:
        self._plain = plain
        self._names: dict[str, int] = {}
        self._shapes: dict[tuple[Any, ...], int] = {}
        self._fixed: list[Node] = []
        self._shells: list[Any] = []
        self._references: dict[int, list[int]] = {}
        self._instances: dict[type, int] = {}
        self._fixed_kinds: dict[type, Callable[[Any], Node]] = {
            tuple: self._tuple,
            frozenset: self._frozenset,
            int: lambda value: [_INTEGER, str(value)],
            Random: _random_node,
            partial: self._partial,
        }
        self._compiled_kinds: dict[str, Callable[[Any], Node]] = {
            _ADAPTIVE_WINDOWING: lambda value: [_WINDOW, list(value.__getnewargs__()), value.__getstate__()],
            _VECTOR_DICT: self._vector,
        }
        self._kept: list[object] = []  # so that no other object takes the id of one that is gone

    def write(self, root: object) -> bytes:
        first = self._value(root)
        nodes = [self._shell(shell) for shell in self._shells]  # which grow on the way
        parts = (list(self._names), [list(shape) for shape in self._shapes], self._fixed, nodes, first)
        return msgspec.msgpack.encode(parts)

    def _value(self, value: Any) -> Any:
        kind = value.__class__
        if kind in self._plain:
            return value
        known = self._references.get(id(value))
        if known is not None:
            return known
        reference = self._fixed_reference(value, kind)
        if reference is None:
            reference = [len(self._shells)]
            self._shells.append(value)
        # Noted before what it refers to is looked at, so that a cycle comes back to this reference.
        self._references[id(value)] = reference
        self._kept.append(value)
        return reference

    def _values(self, values: Collection[Any]) -> list[Any]:
        plain, value = self._plain, self._value
        if plain.issuperset(map(type, values)):
            return list(values)
        return [each if each.__class__ in plain else value(each) for each in values]

    def _keys(self, keys: Collection[Any]) -> list[Any]:
        if self._plain.issuperset(map(type, keys)):
            return list(keys)
        return self._values([_key(key) for key in keys])

    # -- what is fixed

    def _fixed_reference(self, value: Any, kind: type) -> list[int] | None:
        node = self._fixed_node(value, kind)
        if node is None:
            return None
        self._fixed.append(node)
        return [-len(self._fixed)]

    def _fixed_node(self, value: Any, kind: type) -> Node | None:
        lay_out = self._fixed_kinds.get(kind)
        if lay_out is not None:
            return lay_out(value)
        if isinstance(value, np.generic | np.ndarray):
            return _array_node(value)
        if isinstance(value, type):
            return [_NAME, self._name(value)]
        compiled = (
            self._compiled_kinds.get(_name_of(kind)) if kind.__module__.startswith(_COMPILED_IN) else None
        )
        return None if compiled is None else compiled(value)

    def _tuple(self, value: tuple[Any, ...]) -> Node:
        return [_TUPLE, self._values(value)]

    def _frozenset(self, value: frozenset[Any]) -> Node:
        # A set's own order hangs on hash seeds; the same state must give the same bytes.
        return [_FROZENSET, self._keys(sorted(value, key=repr))]

    def _partial(self, value: partial[Any]) -> Node:
        keywords = [list(value.keywords), self._values(value.keywords.values())]
        return [_PARTIAL, self._value(value.func), self._values(value.args), keywords]

    def _vector(self, value: Any) -> Node:
        _, (said, factory, mask, _) = value.__reduce__()
        return [_VECTOR, self._pairs(said), self._value(factory), self._value(mask)]

    def _name(self, kind: type) -> int:
        name = _name_of(kind)
        if name not in _BUILTINS and name not in _KNOWN and name not in _COMPILED:
            raise Unsaved(f"{name.replace(':', '.')} is no class that a model may be made of")
        return self._names.setdefault(name, len(self._names))

    # -- what is filled last

    def _shell(self, value: Any) -> Node:
        kind = value.__class__
        if kind is list:
            return [_LIST, self._values(value)]
        if kind is set:
            return [_SET, self._keys(sorted(value, key=repr))]
        if kind is deque:
            return [_DEQUE, value.maxlen, self._values(value)]
        if kind is dict or kind is OrderedDict:
            return [_DICT, self._name(kind), None, *self._pairs(value)]
        if kind is defaultdict:
            return [_DICT, self._name(kind), self._value(value.default_factory), *self._pairs(value)]
        return [_INSTANCE, *self._instance(value, kind)]

    def _pairs(self, value: Any) -> list[list[Any]]:
        return [self._keys(value), self._values(value.values())]

    def _instance(self, value: Any, kind: type) -> list[Any]:
        name = self._instances.get(kind)
        if name is None:
            name = self._instances[kind] = self._instance_name(kind)
        fields, slots = getattr(value, "__dict__", _NO_FIELDS), _slots_of(kind)
        if slots:
            fields = {**fields, **{slot: getattr(value, slot) for slot in slots if hasattr(value, slot)}}
        shape = self._shapes.setdefault((name, *fields), len(self._shapes))
        return [shape, self._values(fields.values())]

    def _instance_name(self, kind: type) -> int:
        # Its content would be lost: only the fields of an instance are laid out.
        if issubclass(kind, dict | list | set | tuple | str | int | float | bytes):
            raise Unsaved(f"{_name_of(kind).replace(':', '.')} is a container with fields of its own")
        return self._name(kind)


def _key(key: Any) -> Any:
    """Return a key, or an element of a set: what is compared by its value alone.

    Raises
    ------
    Unsaved
        If it is anything else.
    """
    if key.__class__ in _PLAIN or key.__class__ is int:
        return key
    if key.__class__ is tuple or key.__class__ is frozenset:
        for part in key:
            _key(part)
        return key
    raise Unsaved(f"{_name_of(key.__class__).replace(':', '.')} is a key")


def _random_node(value: Random) -> Node:
    version, words, gauss = value.getstate()
    return [_RANDOM, version, _little_endian(array("I", words)).tobytes(), gauss]


def _little_endian(words: array[int]) -> array[int]:
    """Change words of this machine's order into that of the file, or back."""
    if sys.byteorder == "big":
        words.byteswap()
    return words


def _array_node(value: Any) -> Node:
    found = np.asarray(value)
    if found.dtype.kind not in "biufc":
        raise Unsaved(f"an array of {found.dtype} is no array of numbers")
    dtype = found.dtype.newbyteorder("<")
    shape = None if isinstance(value, np.generic) else list(found.shape)
    return [_SCALAR if shape is None else _ARRAY, dtype.str, shape, found.astype(dtype).tobytes()]


class _Reader:
    """Makes a graph again: what is fixed in its order, then shells, then what is in them."""

    def __init__(
        self, names: Sequence[str], shapes: Sequence[Node], fixed: list[Node], shells: list[Node]
    ) -> None:
        self._classes = [_class_of(name) for name in names]
        self._shapes = [_shape(self._classes[shape[0]], shape[1:]) for shape in shapes]
        self._fixed_nodes, self._shell_nodes = fixed, shells
        self._fixed: list[Any] = []
        self._shells: list[Any] = []
        self._makers: dict[int, Callable[..., Any]] = {
            _TUPLE: lambda said: tuple(self._values(said)),
            _FROZENSET: lambda said: frozenset(self._values(said)),
            _INTEGER: int,
            _SCALAR: _numbers,
            _ARRAY: _numbers,
            _RANDOM: _random,
            _NAME: self._classes.__getitem__,
            _PARTIAL: self._make_partial,
            _WINDOW: self._make_window,
            _VECTOR: self._make_vector,
        }

    def read(self, root: Any) -> Any:
        # All shells before anything is filled: fields may refer to any of them, in any direction.
        self._shells = [self._empty(node) for node in self._shell_nodes]
        for node in self._fixed_nodes:
            self._fixed.append(self._make(node))
        for shell, node in zip(self._shells, self._shell_nodes, strict=True):
            self._fill(shell, node)
        return self._value(root)

    def _value(self, said: Any) -> Any:
        if said.__class__ is not list:
            return said
        (number,) = said
        return self._shells[number] if number >= 0 else self._fixed[-1 - number]

    def _values(self, said: list[Any]) -> list[Any]:
        if list not in set(map(type, said)):
            return said
        value = self._value
        return [each if each.__class__ is not list else value(each) for each in said]

    def _empty(self, node: Node) -> Any:
        what = node[0]
        if what == _INSTANCE:
            # Never the class's own `__init__` or `__new__`: what makes an object must not be code that bytes
            # choose.
            return object.__new__(self._shapes[node[1]][0])
        if what == _DICT:
            kind = self._classes[node[1]]
            if kind not in (dict, OrderedDict, defaultdict):
                raise Unsaved(f"{_name_of(kind)} is no dictionary")
            return kind()
        if what == _DEQUE:
            return deque(maxlen=node[1])
        if what == _LIST:
            return []
        if what == _SET:
            return set()
        raise Unsaved(f"not a saved model: {what} is nothing that is filled")

    def _fill(self, shell: Any, node: Node) -> None:
        what = node[0]
        if what == _INSTANCE:
            _, fields, slots = self._shapes[node[1]]
            said = dict(zip(fields, self._values(node[2]), strict=True))
            for name in slots:
                # Past a `__setattr__` of the class, which could do anything.
                object.__setattr__(shell, name, said.pop(name))
            if said:
                shell.__dict__.update(said)
        elif what == _DICT:
            if node[2] is not None:
                shell.default_factory = self._value(node[2])
            shell.update(zip(self._values(node[3]), self._values(node[4]), strict=True))
        elif what == _SET:
            shell.update(self._values(node[1]))
        else:
            shell.extend(self._values(node[-1]))

    def _make(self, node: Node) -> Any:
        what = node[0]
        if what not in self._makers:
            raise Unsaved(f"not a saved model: {what} is nothing fixed")
        return self._makers[what](*node[1:])

    def _make_partial(self, function: Any, args: Node, keywords: Node) -> Any:
        called = self._value(function)
        if not isinstance(called, type):
            raise Unsaved(f"{called!r} is no class")
        names, values = keywords
        return partial(called, *self._values(args), **dict(zip(names, self._values(values), strict=True)))

    def _make_vector(self, pairs: Node, factory: Any, mask: Any) -> Any:
        keys, values = map(self._values, pairs)
        said = dict(zip(keys, values, strict=True))
        return _class_of(_VECTOR_DICT)(said, self._value(factory), self._value(mask), True)

    def _make_window(self, args: Node, state: bytes) -> Any:
        window = _class_of(_ADAPTIVE_WINDOWING)(*args)
        try:
            window.__setstate__(bytes(state))
        except BaseException as error:
            # What Rust can't read ends in a panic, which is no Exception.
            if type(error).__name__ != "PanicException":
                raise
            raise Unsaved(f"not a saved model: a window: {error}") from None
        # The compiled class takes bytes unchecked; what it says again must be what it was given.
        if window.__getstate__() != state:
            raise Unsaved("not a saved model: a window that says other than it was given")
        return window


def _shape(kind: Any, fields: list[Any]) -> tuple[type, list[str], tuple[str, ...]]:
    """Return a class, its fields in their order, and which of them are kept in slots."""
    if _name_of(kind) not in _KNOWN:
        raise Unsaved(f"{_name_of(kind).replace(':', '.')} has no fields")
    return kind, list(map(_field, fields)), tuple(name for name in _slots_of(kind) if name in fields)


def _field(name: Any) -> str:
    # `__class__` as a field would turn an object into one of another class.
    if name.__class__ is not str or (name.startswith("__") and name.endswith("__")):
        raise Unsaved(f"{name!r} is no field")
    return sys.intern(name)


def _random(version: int, words: bytes, gauss: float | None) -> Random:
    chance = Random(0)  # noqa: S311  # a model's choices, which must come again
    chance.setstate((version, tuple(_little_endian(array("I", words))), gauss))
    return chance


def _numbers(dtype: str, shape: Sequence[int] | None, content: bytes) -> Any:
    found = np.frombuffer(content, np.dtype(dtype))
    # The bytes name the type: one of objects would be read as addresses.
    if found.dtype.kind not in "biufc":
        raise Unsaved(f"an array of {found.dtype} is no array of numbers")
    native = found.astype(found.dtype.newbyteorder("="))
    return native[0] if shape is None else native.reshape(shape)
