"""Typed settings of a flow, read from TOML with every mistake reported at once."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    InstanceOf,
    PlainSerializer,
    Strict,
    StringConstraints,
    ValidationError,
)

from headrace.errors import ConfigError, Mistake, StateMismatch

from .base import NAME_PATTERN, Name, did_you_mean
from .base import Settings as _Settings
from .bounded import CONFIG_BYTES_MAX, read_bounded
from .kafka import KafkaSettings, kafka_mistakes, resolve_files
from .overlay import Overlay, lay_over_shipped, nothing_to_decide_with
from .overrides import Overridden
from .policy import (
    ListSettings,
    PolicySettings,
    RuleSettings,
    code_mistakes,
    list_mistakes,
    resolve_lists,
    rule_mistakes,
    threshold_mistakes,
)
from .recommend import NETWORK, RankerSettings
from .recommend_flow import RecommendSettings, recommend_mistakes
from .tables import (
    ControlSettings,
    Days,
    FlowTable,
    IdSettings,
    InputSettings,
    JournalSettings,
    MetricsSettings,
    RunSettings,
    TimeSettings,
)
from .words import message_of, shown

__all__ = [
    "FLOWS",
    "HALF_LIFE_MS_MAX",
    "KINDS",
    "SHIPPED",
    "WINDOW_MS_MAX",
    "BinDeclaration",
    "Condition",
    "ControlSettings",
    "CountDeclaration",
    "CrossDeclaration",
    "DistinctDeclaration",
    "EntitySettings",
    "EwDeviationDeclaration",
    "EwMeanDeclaration",
    "FeatureDeclaration",
    "FieldDeclaration",
    "FirstFraudAgeDeclaration",
    "FlowSettings",
    "FraudSettings",
    "FraudShareDeclaration",
    "FraudStreakDeclaration",
    "IdSettings",
    "InputSettings",
    "JournalSettings",
    "KafkaSettings",
    "LastLegitimateAgeDeclaration",
    "MaxDeclaration",
    "MeanDeclaration",
    "MetricsSettings",
    "ModelSettings",
    "OutcomeSettings",
    "PolicySettings",
    "RatioDeclaration",
    "ReasonSettings",
    "RecommendSettings",
    "RunSettings",
    "RunningMeanDeclaration",
    "SumDeclaration",
    "TimeSettings",
    "TimeSinceFirstDeclaration",
    "TimeSinceLastDeclaration",
    "canonical",
    "digest",
    "duration_ms",
    "laid_over",
    "lay_over",
    "load",
    "mistakes",
    "mistakes_of_models",
    "of_fraud",
    "restore",
    "shipped",
]

SHIPPED: Final = Path(__file__).parent / "fraud.toml"
FLOWS: Final = ("fraud", "recommend")
# What is shipped, and of which flow it is.
_BASES: Final = {"fraud": "fraud", "fraud-sessions": "fraud", "recommend": "recommend"}

_UNIT_MS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000}
_DURATION: Final = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_CONDITION: Final = re.compile(
    r"\s*([a-z][a-z0-9_]*)\s*(>=|<=|==|!=|>|<)\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*", re.ASCII
)
_MINUTE_MS: Final = _UNIT_MS["m"]
WINDOW_MS_MAX: Final = 40 * _UNIT_MS["d"]
HALF_LIFE_MS_MAX: Final = 400 * _UNIT_MS["d"]
_CLICK_KEYS: Final = ("session_id", "customer_id")
ModelMistakes = Callable[[str, Mapping[str, object]], Iterable[tuple[str, str]]]
Operator = Literal[">", ">=", "<", "<=", "==", "!="]


class Condition(NamedTuple):
    """A comparison of a feature with a number, written `amount_ratio > 4`.

    Attributes
    ----------
    name
        The feature.
    op
        `>`, `>=`, `<`, `<=`, `==` or `!=`.
    number
        What it is compared with.
    """

    name: str
    op: Operator
    number: float

    def __str__(self) -> str:
        return f"{self.name} {self.op} {self.number!r}"


def duration_ms(text: str) -> int:
    """Milliseconds of a duration such as `90s`, `15m`, `24h` or `14d`.

    Raises
    ------
    ValueError
        If it isn't a whole number followed by one of these units.
    """
    match = _DURATION.fullmatch(text)
    if not match:
        raise ValueError(f"must be a whole number and a unit, such as 15m, 24h or 14d (is {text!r})")
    return int(match[1]) * _UNIT_MS[match[2]]


def _shortest(text: str, ms_max: int) -> str:
    """Write a duration in the largest unit that divides it, so that `24h` and `1d` are one setting."""
    ms = duration_ms(text)
    if not _MINUTE_MS <= ms <= ms_max:
        raise ValueError(f"must be between 1m and {ms_max // _UNIT_MS['d']}d (is {text!r})")
    unit = next(unit for unit, size in _UNIT_MS.items() if ms % size == 0)
    return f"{ms // _UNIT_MS[unit]}{unit}"


def _parse_condition(given: Any) -> Any:
    if isinstance(given, Condition):
        return given
    match = _CONDITION.fullmatch(given) if isinstance(given, str) else None
    if not match:
        raise ValueError(f"must be a feature, a comparison and a number, such as 'ratio > 4' (is {given!r})")
    return Condition(match[1], match[2], float(match[3]))  # type: ignore[arg-type]  # as the pattern says


def _increasing(edges: tuple[float, ...]) -> tuple[float, ...]:
    for place, (left, right) in enumerate(pairwise(edges), start=2):
        if right <= left:
            raise ValueError(f"must be strictly increasing, but edge {place} is {right!r} after {left!r}")
    return edges


Window = Annotated[str, AfterValidator(lambda text: _shortest(text, WINDOW_MS_MAX))]
HalfLife = Annotated[str, AfterValidator(lambda text: _shortest(text, HALF_LIFE_MS_MAX))]
When = Annotated[
    tuple[
        Annotated[InstanceOf[Condition], BeforeValidator(_parse_condition), PlainSerializer(str)],
        ...,
    ],
    Strict(strict=False),
    Field(max_length=8),
]
EntityKey = Literal["customer_id", "merchant_id", "session_id", "order_id", "device_id", "ip"]
PaymentNumber = Literal["amount", "hour_of_day", "day_of_week"]
TimeUnit = Literal["days", "hours", "minutes", "seconds"]
FedBy = Literal["payment", "click"]


_CURRENCY: Final = "^[A-Z]{3}$"


class FlowSettings(FlowTable):
    """What is decided.

    Attributes
    ----------
    kind
        The flow.
    shards
        State machines that share nothing; fixed for the life of a state.
    currency
        ISO 4217; payments in another currency are dead letters.
    """

    kind: Literal["fraud"] = "fraud"
    currency: str = Field(default="EUR", pattern=_CURRENCY)


class OutcomeSettings(_Settings):
    """How outcomes meet their payments.

    Attributes
    ----------
    pending_days_max
        How long a payment waits for its outcome.
    pending_max
        Payments that wait at most.
    correction_days_max
        How long after an outcome another one may correct it.
    legitimate_after_days
        A payment that was not blocked counts as legitimate after so many days without an outcome;
        not set: never.
    withhold_blocked
        Leave out outcomes of payments that were blocked: in a shop nobody learns how those would have
        turned out, while a simulated world tells.
    early_max
        Outcomes held that came before their payment.
    early_days_max
        How long they are held.
    """

    pending_days_max: Days = 30.0
    pending_max: int = Field(default=1_000_000, ge=1, le=100_000_000)
    correction_days_max: float = Field(default=14.0, ge=0.0, le=400.0)
    legitimate_after_days: Days | None = None
    withhold_blocked: bool = False
    early_max: int = Field(default=10_000, ge=0, le=10_000_000)
    early_days_max: float = Field(default=2.0, ge=0.0, le=40.0)


class EntitySettings(_Settings):
    """A kind of entity that state is kept for.

    Attributes
    ----------
    key
        The payment's field that names it.
    idle_days_max
        An entity not seen for longer is forgotten.
    entities_max
        Entities kept; beyond it the idle ones go first.
    """

    key: EntityKey
    idle_days_max: Days = 180.0
    entities_max: int = Field(default=1_000_000, ge=1, le=100_000_000)


class _Declaration(_Settings):
    @property
    def refers_to(self) -> tuple[str, ...]:
        """Names of the features that this one is computed from."""
        named = [getattr(self, key, None) for key in ("value", "over")]
        return (*(name for name in named if name), *(condition.name for condition in self._conditions()))

    def _conditions(self) -> tuple[Condition, ...]:
        return getattr(self, "when", ())


class _Windowed(_Declaration):
    window: Window | None = None

    @property
    def window_ms(self) -> int | None:
        """The window in milliseconds; None for the whole life."""
        return None if self.window is None else duration_ms(self.window)


class _Fed(_Windowed):
    """What payments feed, or clicks; of a click `price` and `item_id` can be taken in."""

    on: FedBy = "payment"

    @property
    def refers_to(self) -> tuple[str, ...]:
        """Names of the features that this one is computed from; what clicks feed knows of none."""
        return () if self.on == "click" else super().refers_to


class _Paned(_Fed):
    panes: int = Field(default=14, ge=2, le=64)
    when: When = ()


class FieldDeclaration(_Declaration):
    """A number of the payment itself."""

    kind: Literal["field"]
    value: PaymentNumber

    @property
    def refers_to(self) -> tuple[str, ...]:
        """A field refers to no feature."""
        return ()


class RatioDeclaration(_Declaration):
    """One feature over another."""

    kind: Literal["ratio"]
    value: Name
    over: Name


class CountDeclaration(_Paned):
    """How many payments, or clicks, the entity had."""

    kind: Literal["count"]
    entity: Name


class SumDeclaration(_Paned):
    """The sum of a feature over the entity's payments, or of the prices that it clicked on."""

    kind: Literal["sum"]
    entity: Name
    value: Name


class MeanDeclaration(_Paned):
    """The mean of a feature over the entity's payments, or of the prices that it clicked on."""

    kind: Literal["mean"]
    entity: Name
    value: Name


class MaxDeclaration(_Paned):
    """The largest value of a feature over the entity's payments, or of prices that it clicked on."""

    kind: Literal["max"]
    entity: Name
    value: Name


class DistinctDeclaration(_Paned):
    """How many different values of an identifying field its payments or clicks had, up to a limit."""

    kind: Literal["distinct"]
    entity: Name
    value: EntityKey | Literal["item_id"]
    keys_max: int = Field(default=32, ge=1, le=256)

    @property
    def refers_to(self) -> tuple[str, ...]:
        """Only the conditions refer to features; the value is a field of the event."""
        return tuple(condition.name for condition in self.when) if self.on == "payment" else ()


class _Weighted(_Declaration):
    entity: Name
    value: Name
    half_life: HalfLife

    @property
    def half_life_ms(self) -> int:
        """Milliseconds in which a value's weight halves."""
        return duration_ms(self.half_life)


class EwMeanDeclaration(_Weighted):
    """The exponentially weighted mean of a feature over the entity's payments."""

    kind: Literal["ew_mean"]


class EwDeviationDeclaration(_Weighted):
    """The exponentially weighted standard deviation of a feature over the entity's payments."""

    kind: Literal["ew_deviation"]


class _TimeSince(_Fed):
    unit: TimeUnit = "days"

    @property
    def unit_ms(self) -> int:
        """Milliseconds of the unit."""
        return _UNIT_MS[self.unit[0]]


class TimeSinceLastDeclaration(_TimeSince):
    """Time since the entity's last payment that meets the conditions, or its last click, in `unit`."""

    kind: Literal["time_since_last"]
    entity: Name
    when: When = ()


class TimeSinceFirstDeclaration(_TimeSince):
    """Time since the entity's first payment that meets the conditions, or its first click, in `unit`."""

    kind: Literal["time_since_first"]
    entity: Name
    when: When = ()


class RunningMeanDeclaration(_Declaration):
    """The running mean of a feature over the entity's payments, robust and soon never missing.

    Attributes
    ----------
    clip
        A value counts for at most this many times the mean so far; not set: as it is.
    weight_min
        A new value's weight, 1/n, doesn't fall below this.
    prior
        What an entity starts from: the mean over all entities.
    """

    kind: Literal["running_mean"]
    entity: Name
    value: Name
    clip: float | None = Field(default=None, gt=1.0, le=1000.0)
    weight_min: float = Field(default=0.01, ge=0.0, le=1.0)
    prior: Literal["global"] = "global"


class FraudShareDeclaration(_Windowed):
    """The share of confirmed frauds among the entity's outcomes."""

    window: Window
    panes: int = Field(default=14, ge=2, le=64)
    when: When = ()

    kind: Literal["fraud_share"]
    entity: Name


class FraudStreakDeclaration(_Declaration):
    """How many confirmed frauds came since the entity's last legitimate outcome."""

    kind: Literal["fraud_streak"]
    entity: Name
    when: When = ()


class FirstFraudAgeDeclaration(_Windowed):
    """Days since the first confirmed fraud after the entity's last legitimate one."""

    kind: Literal["first_fraud_age"]
    entity: Name
    when: When = ()


class LastLegitimateAgeDeclaration(_Windowed):
    """Days since the entity's last payment that was confirmed legitimate."""

    kind: Literal["last_legitimate_age"]
    entity: Name


FeatureDeclaration = (
    FieldDeclaration
    | RatioDeclaration
    | CountDeclaration
    | SumDeclaration
    | MeanDeclaration
    | MaxDeclaration
    | DistinctDeclaration
    | EwMeanDeclaration
    | EwDeviationDeclaration
    | TimeSinceLastDeclaration
    | TimeSinceFirstDeclaration
    | RunningMeanDeclaration
    | FraudShareDeclaration
    | FraudStreakDeclaration
    | FirstFraudAgeDeclaration
    | LastLegitimateAgeDeclaration
)


class BinDeclaration(_Settings):
    """Cuts a feature into ranges.

    Attributes
    ----------
    of
        The feature.
    edges
        Where a range ends and the next begins, strictly increasing.
    """

    of: Name
    edges: Annotated[
        tuple[float, ...],
        Strict(strict=False),
        Field(min_length=1, max_length=256),
        AfterValidator(_increasing),
    ]


class CrossDeclaration(_Settings):
    """One slot of the model for each combination of ranges.

    Attributes
    ----------
    of
        The bins, 1 to 4.
    code
        The reason code of what the slot contributes.
    told_when
        Conditions on features that a payment must meet for the code to be told, so that its text is true.
        What slots contribute otherwise counts for the score, and for no reason.
    """

    of: Annotated[tuple[Name, ...], Strict(strict=False), Field(min_length=1, max_length=4)]
    code: Name
    told_when: When = ()


class ModelSettings(_Settings):
    """The model.

    Attributes
    ----------
    name
        Its name.
    parameters
        Its parameters; those not given have the model's own defaults.
    slots_max
        Slots of all crosses together.
    """

    name: Name = "logistic_adagrad"
    parameters: dict[Name, bool | int | float | str] = Field(default_factory=dict)
    slots_max: int = Field(default=100_000, ge=1, le=10_000_000)


class ReasonSettings(_Settings):
    """What a decision says of why.

    Attributes
    ----------
    count_max
        Reasons of a decision.
    contribution_min
        The smallest contribution that is a reason, in log-odds.
    texts
        For each code, what it means.
    """

    count_max: int = Field(default=3, ge=0, le=20)
    contribution_min: float = Field(default=0.1, ge=0.0)
    texts: dict[Name, Annotated[str, StringConstraints(min_length=1, max_length=500)]] = Field(
        default_factory=dict
    )


class FraudSettings(RunSettings):
    """All settings of the fraud flow, one attribute for each table of the file."""

    flow: FlowSettings = FlowSettings()
    outcomes: OutcomeSettings = OutcomeSettings()
    entities: dict[Name, EntitySettings] = Field(default_factory=dict, max_length=16)
    features: dict[Name, Annotated[FeatureDeclaration, Field(discriminator="kind")]] = Field(
        default_factory=dict, max_length=256
    )
    bins: dict[Name, BinDeclaration] = Field(default_factory=dict, max_length=256)
    crosses: dict[Name, CrossDeclaration] = Field(default_factory=dict, max_length=256)
    model: ModelSettings = ModelSettings()
    policy: PolicySettings = PolicySettings()
    reasons: ReasonSettings = ReasonSettings()

    @property
    def lists(self) -> Mapping[str, ListSettings]:
        """Lists whose contents come from files and commands."""
        return self.policy.lists

    @property
    def wait_ms_max(self) -> int | None:
        """A payment that waited longer before it was applied gets the fallback."""
        return None if self.policy.deadline is None else self.policy.deadline.wait_ms_max

    @property
    def model_name(self) -> str:
        """The model's."""
        return self.model.name


KINDS: Final[dict[str, type[BaseModel]]] = {
    get_args(declaration.model_fields["kind"].annotation)[0]: declaration
    for declaration in get_args(FeatureDeclaration)
}
_TABLES: Final[dict[str, type[BaseModel]]] = {
    "entities": EntitySettings,
    "bins": BinDeclaration,
    "crosses": CrossDeclaration,
}
# The order in which these are declared has a meaning: references go back, and slots are numbered.
_ORDERED: Final[tuple[str, ...]] = ("entities", "features", "bins", "crosses")
_ORDERED_IN_POLICY: Final = ("lists", "rules")
_POLICY_TABLES: Final[dict[str, type[BaseModel]]] = {"lists": ListSettings, "rules": RuleSettings}


_SETTINGS: Final[dict[str, type[RunSettings]]] = {"fraud": FraudSettings, "recommend": RecommendSettings}


def shipped(flow: str) -> Path:
    """The configuration of a flow that comes with the program."""
    return SHIPPED.with_name(f"{flow}.toml")


def canonical(settings: RunSettings) -> bytes:
    """The settings as JSON, the same bytes for the same meaning.

    Keys are sorted, except the names of entities, features, bins, crosses, and of the policy's lists and
    rules, whose order has a meaning.
    """
    plain = settings.model_dump(mode="json")
    ordered = {key: _in_order(plain[key]) for key in _ORDERED if key in plain}
    policy = plain["policy"]
    kept = {key: _in_order(policy[key]) for key in _ORDERED_IN_POLICY if key in policy}
    ordered["policy"] = {key: kept.get(key) or _sorted(policy[key]) for key in sorted(policy)}
    whole = {key: ordered.get(key) or _sorted(plain[key]) for key in sorted(plain)}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def _in_order(declared: dict[str, Any]) -> dict[str, Any]:
    return {name: _sorted(entry) for name, entry in declared.items()}


def _sorted(plain: Any) -> Any:
    return {key: _sorted(plain[key]) for key in sorted(plain)} if isinstance(plain, dict) else plain


def restore(written: bytes) -> RunSettings:
    """Turn what `canonical` gave into settings again, of the flow that they name.

    A key that came later and changes what is decided has the value then that the code had without it.
    """
    read = json.loads(written)
    read.get("time", {}).setdefault("ahead_agree_share", 0.0)
    kind = read.get("flow", {}).get("kind", FLOWS[0])
    return _SETTINGS.get(kind, FraudSettings).model_validate(read)


def of_fraud(settings: RunSettings) -> FraudSettings:
    """The settings, where only those of the fraud flow will do.

    Raises
    ------
    StateMismatch
        If they are of another flow.
    """
    if not isinstance(settings, FraudSettings):
        raise StateMismatch([f"flow.kind: this can be done for fraud only, not for {settings.flow.kind}"])
    return settings


def digest(settings: RunSettings) -> str:
    """SHA-256 of the canonical form, as hexadecimal digits."""
    return hashlib.sha256(canonical(settings)).hexdigest()


def load(
    path: Path | None,
    overrides: Sequence[str] = (),
    *,
    flow: str | None = None,
    model_mistakes: ModelMistakes = lambda _name, _parameters: (),
) -> RunSettings:
    """Read settings from a TOML file, with overrides laid over it.

    Parameters
    ----------
    path
        The file; None for the one that is shipped.
    overrides
        Settings of the form `a.b.c=value`; the value is TOML, or else a text.
        Paths of other files start at the file's folder; without a file, at the folder one works in.
    flow
        Which flow they must be of; None for the one that `flow.kind` names, `fraud` if it isn't set.
    model_mistakes
        Finds what is wrong with a model's name and parameters, of which nothing is known here: pairs of a key
        below `model` and a message.

    Raises
    ------
    ConfigError
        With every mistake that was found: syntax, unknown keys, types, ranges, references, files of lists.
    """
    folder = Path() if path is None else path.parent
    base = shipped(_kind_meant({}, overrides, flow))
    read, found = _read(base if path is None else path)
    if path is not None and not found:
        read, found = _over_shipped(read, path, overrides, flow)
    name = str(path or base)
    return _laid(read, found, name, folder, overrides, model_mistakes, lambda _name: True, flow, whole=True)


def laid_over(path: Path, overrides: Sequence[str] = (), *, flow: str | None = None) -> list[str]:
    """Say which shipped configuration a file lies over, and what it takes of it: a line each."""
    own, _ = _read(path)
    return list(Overlay(own, _kind_meant(own, overrides, flow), _BASES).described(own))


def _over_shipped(
    own: dict[str, Any], path: Path, overrides: Sequence[str], flow: str | None
) -> tuple[dict[str, Any], list[Mistake]]:
    """Lay a file over the shipped one that it lies over."""
    overlay = Overlay(own, _kind_meant(own, overrides, flow), _BASES)
    base, found = ({}, []) if overlay.base is None else _read(SHIPPED.with_name(f"{overlay.base}.toml"))
    found += [each._replace(file=str(path)) for each in overlay.mistakes]
    return lay_over_shipped(own, base, overlay.left_out), found


def _kind_meant(own: Mapping[str, Any], overrides: Sequence[str], flow: str | None) -> str:
    """The flow whose shipped configuration a file lies over: the one that it names, or else is run as."""
    table = own.get("flow")
    named = [table.get("kind")] if isinstance(table, dict) else []
    named += [each.partition("=")[2].strip(" \"'") for each in overrides if each.startswith("flow.kind=")]
    known = [each for each in named if each in FLOWS]
    return known[-1] if known else flow or FLOWS[0]


def lay_over(
    settings: RunSettings,
    overrides: Sequence[str],
    name: str,
    *,
    model_mistakes: ModelMistakes = lambda _name, _parameters: (),
) -> RunSettings:
    """Lay overrides over settings that are known already.

    Parameters
    ----------
    settings
        What they are laid over. Files of its lists need not be there any more.
    overrides
        As for `load`; relative paths of list files start at the folder one works in.
    name
        What mistakes call the settings.
    model_mistakes
        As for `load`.

    Raises
    ------
    ConfigError
        With every mistake that was found.
    """
    read, lists = _given(json.loads(canonical(settings))), settings.lists

    def changed(name: str) -> bool:
        table = read["policy"]["lists"][name]
        return name not in lists or table.get("file") != lists[name].file

    return _laid(read, [], name, Path(), overrides, model_mistakes, changed, settings.flow.kind)


def _given(plain: Any) -> Any:
    """Plain settings without what is not set."""
    if not isinstance(plain, dict):
        return plain
    return {key: _given(value) for key, value in plain.items() if value is not None}


def _laid(
    read: dict[str, Any],
    found: list[Mistake],
    name: str,
    folder: Path,
    overrides: Sequence[str],
    model_mistakes: ModelMistakes,
    is_new: Callable[[str], bool],
    flow: str | None,
    *,
    whole: bool = False,
) -> RunSettings:
    """Lay overrides over what was read; only files of lists that are new are looked at.

    What is to be run, a `whole` configuration, must have something to decide with.
    """
    overridden = Overridden(name)
    for override in overrides:
        found += overridden.lay(override, read)
    if any(mistake.key == "" for mistake in found):  # of a file that can't be read, nothing else is known
        raise ConfigError(found)
    kind, wrong = _kind(read, flow)
    found += map(overridden.place, wrong)
    if wrong:  # which keys another flow has is not known then
        raise ConfigError(_by_place(found, read))
    resolve_lists(read, folder)
    resolve_files(read, folder)
    settings, more = _validate(read, _SETTINGS[kind], model_mistakes)
    more += [each for each in list_mistakes(read) if is_new(each.key.split(".")[2])]
    if whole and isinstance(settings, FraudSettings):
        more += nothing_to_decide_with(settings)
    found += [overridden.place(mistake) for mistake in more]
    if found or settings is None:
        raise ConfigError(_by_place(found, read))
    return settings


def _kind(read: Mapping[str, Any], flow: str | None) -> tuple[str, list[Mistake]]:
    """The flow that is meant, and what is wrong with how it is named."""
    table = read.get("flow")
    given = table.get("kind") if isinstance(table, dict) else None
    kind = given if isinstance(given, str) else flow or FLOWS[0]
    if kind not in FLOWS:
        return kind, [Mistake("", "flow.kind", f"there is no flow {kind}{did_you_mean(kind, FLOWS)}")]
    if flow is not None and kind != flow:
        return kind, [Mistake("", "flow.kind", f"is a configuration of {kind}, and {flow} was asked for")]
    return kind, []


def _by_place(found: list[Mistake], read: Mapping[str, Any]) -> list[Mistake]:
    """Sort mistakes by the tables of the file."""
    places = {key: place for place, key in enumerate(read)}
    return sorted(found, key=lambda mistake: places.get(mistake.key.partition(".")[0], len(places)))


def _read(path: Path) -> tuple[dict[str, Any], list[Mistake]]:
    try:
        return tomllib.loads(read_bounded(path, CONFIG_BYTES_MAX).decode("utf-8-sig")), []
    except OSError as error:
        return {}, [Mistake(str(path), "", f"can't be read: {error.strerror}")]
    except UnicodeDecodeError as error:
        return {}, [Mistake(str(path), "", f"not UTF-8 at byte {error.start}")]
    except ValueError as error:  # also for an integer of thousands of digits, which tomllib passes on
        return {}, [Mistake(str(path), "", f"not TOML: {error}")]
    except RecursionError:
        return {}, [Mistake(str(path), "", "not TOML that can be read: nested too deep")]


def _validate(
    read: dict[str, Any], kind: type[RunSettings], model_mistakes: ModelMistakes
) -> tuple[RunSettings | None, list[Mistake]]:
    """Validate shapes and references; without the parts that are misshapen, if there are any."""
    try:
        settings = kind.model_validate(read)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    else:
        return settings, mistakes(settings) + mistakes_of_models(settings, model_mistakes)
    found = list(dict.fromkeys(_mistake(error, kind) for error in _without_consequences(errors)))
    places = [tuple(map(str, error["loc"])) for error in errors]
    sound = _without(read, places)
    try:
        rest = kind.model_validate(sound)
    except ValidationError:
        return None, found
    broken = _Broken(places)
    found += _references(rest, broken, read)
    sure = not (broken.hides("model", "name") or broken.hides("model", "parameters"))
    return None, found + (mistakes_of_models(rest, model_mistakes) if sure else [])


def mistakes_of_models(settings: RunSettings, model_mistakes: ModelMistakes) -> list[Mistake]:
    """Find what is wrong with the models that settings name; `file` is left empty."""
    return [
        Mistake("", f"{table}.{key}", message)
        for table, model in _models(settings)
        for key, message in model_mistakes(model.name, model.parameters)
    ]


def _models(settings: RunSettings) -> Iterator[tuple[str, ModelSettings | RankerSettings]]:
    """The tables that name a registered model."""
    if isinstance(settings, FraudSettings):
        yield "model", settings.model
    elif isinstance(settings, RecommendSettings) and settings.ranker.name != NETWORK:
        yield "ranker", settings.ranker


class _Broken:
    """Names in declarations that are misshapen; they count as declared, for nothing more is known of them."""

    def __init__(self, places: Sequence[tuple[str, ...]] = ()) -> None:
        self._places = {place[:2] for place in places}

    def hides(self, section: str, name: str) -> bool:
        """Whether the name may be declared in a part that is misshapen."""
        return (section,) in self._places or (section, name) in self._places

    def hides_any(self, section: str) -> bool:
        """Whether anything of a section is misshapen."""
        return any(place[0] == section for place in self._places)


def _is_table(read: Mapping[str, Any], key: str) -> bool:
    return isinstance(read.get(key), dict)


def _without(read: dict[str, Any], places: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    """A copy without what is misshapen: whole declarations, and else single keys."""
    rest = {key: dict(value) if isinstance(value, dict) else value for key, value in read.items()}
    for place in places:
        section = place[0]
        if len(place) > 1 and _is_table(rest, section):
            rest[section].pop(place[1], None)
        else:
            rest.pop(section, None)
    return rest


def _without_consequences(errors: Sequence[Any]) -> list[Any]:
    """Leave out that a list is too short only because entries of it are wrong."""
    inside = {error["loc"][:-1] for error in errors}
    return [each for each in errors if each["type"] != "too_short" or each["loc"] not in inside]


def _mistake(error: Any, kind: type[RunSettings]) -> Mistake:
    place = [str(part) for part in error["loc"] if part != "[key]"]
    if (
        place[1:2] == ["parameters"] and len(place) > _PARAMETER_DEPTH
    ):  # one error for each type that it could be
        given = error["input"]
        said = "" if isinstance(given, dict | list) else f" (is {shown(given)})"
        return Mistake(
            "", ".".join(place[:_PARAMETER_DEPTH]), f"must be true or false, a number or a text{said}"
        )
    known = _known_keys(place[:-1], kind)
    if place[0] == "features" and len(place) > 2:
        del place[2]  # the kind, which pydantic puts there
    if error["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        place.append("kind")
    return Mistake("", ".".join(place), message_of(error, known, list(KINDS), _PATTERNS))


def _known_keys(place: Sequence[str], kind: type[RunSettings]) -> list[str]:
    """Keys that the table at this place may have."""
    if not place:
        return list(kind.model_fields)
    section = place[0]
    declaration: type[BaseModel] | None
    if section == "features":
        declaration = KINDS.get(place[2]) if len(place) > 2 else None
    elif section == "policy" and len(place) > 1:
        policy = _model(kind, section)
        declaration = _POLICY_TABLES.get(place[1]) or (_model(policy, place[1]) if policy else None)
    else:
        declaration = _TABLES.get(section) or _model(kind, section)
    return list(declaration.model_fields) if declaration else []


def _model(table: type[BaseModel], key: str) -> type[BaseModel] | None:
    """The table that a key of another table holds, also one that may be left out."""
    field = table.model_fields.get(key)
    annotation = field.annotation if field else None
    for each in get_args(annotation) or (annotation,):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None


_PARAMETER_DEPTH: Final = 3
_PATTERNS: Final = {
    _CURRENCY: "three capital letters, as ISO 4217 has them",
    NAME_PATTERN: "lower-case letters, digits and underscores, the first a letter",
}


def mistakes(settings: RunSettings) -> list[Mistake]:
    """Find what is wrong between settings that are each well-formed; `file` is left empty."""
    return list(_references(settings, _Broken()))


def _references(
    settings: RunSettings, broken: _Broken, read: Mapping[str, Any] | None = None
) -> Iterator[Mistake]:
    """Mistakes between declarations; of the policy's also in those that are misshapen elsewhere (`read`)."""
    if isinstance(settings, FraudSettings):
        yield from _fraud_mistakes(settings, broken, read)
    elif isinstance(settings, RecommendSettings):
        yield from _time_mistakes(settings.time, broken)
        yield from recommend_mistakes(settings)
    if not broken.hides_any("kafka"):
        yield from kafka_mistakes(settings.kafka)


def _fraud_mistakes(
    settings: FraudSettings, broken: _Broken, read: Mapping[str, Any] | None
) -> Iterator[Mistake]:
    read = settings.model_dump(include={"policy"}) if read is None else read
    yield from _feature_mistakes(settings, broken)
    yield from _bin_mistakes(settings, broken)
    yield from _cross_mistakes(settings, broken)
    yield from rule_mistakes(read, settings.features, lambda name: broken.hides("features", name))
    yield from _text_mistakes(settings, broken, read)
    yield from _limit_mistakes(settings, broken)


def _unknown(key: str, what: str, name: str, known: Iterable[str]) -> Mistake:
    return Mistake("", key, f"there is no {what} {name}{did_you_mean(name, list(known))}")


def _feature_mistakes(settings: FraudSettings, broken: _Broken) -> Iterator[Mistake]:
    before: set[str] = set()
    for name, declaration in settings.features.items():
        entity = getattr(declaration, "entity", None)
        if entity and entity not in settings.entities and not broken.hides("entities", entity):
            yield _unknown(f"features.{name}.entity", "entity", entity, settings.entities)
        yield from _click_mistakes(name, declaration, settings)
        for referred in declaration.refers_to:
            if referred not in before and not broken.hides("features", referred):
                yield _not_before(name, declaration, referred, settings)
        before.add(name)


def _click_mistakes(name: str, declaration: Any, settings: FraudSettings) -> Iterator[Mistake]:
    """What is wrong with a feature that clicks feed, or that takes in what only clicks have."""
    value = getattr(declaration, "value", None)
    if getattr(declaration, "on", "payment") != "click":
        if value == "item_id":
            yield Mistake(
                "", f"features.{name}.value", 'a payment has no item_id; with on = "click" there is'
            )
        return
    if declaration.when:
        yield Mistake("", f"features.{name}.when", "has no meaning for clicks, which have no features")
    wanted = "item_id" if declaration.kind == "distinct" else "price"
    if value is not None and value != wanted:
        yield Mistake("", f"features.{name}.value", f"of a click it can only be {wanted} (is {value!r})")
    entity = settings.entities.get(declaration.entity)
    if entity is not None and entity.key not in _CLICK_KEYS:
        keys = " or ".join(_CLICK_KEYS)
        yield Mistake("", f"features.{name}.entity", f"a click names no {entity.key}; its key must be {keys}")


def _not_before(name: str, declaration: Any, referred: str, settings: FraudSettings) -> Mistake:
    key = next((key for key in ("value", "over") if getattr(declaration, key, None) == referred), "when")
    path = f"features.{name}.{key}"
    if referred == name:
        return Mistake("", path, "a feature can't refer to itself")
    if referred in settings.features:
        return Mistake("", path, f"{referred} must be declared before {name}, as it is computed from it")
    return _unknown(path, "feature", referred, settings.features)


def _bin_mistakes(settings: FraudSettings, broken: _Broken) -> Iterator[Mistake]:
    for name, declaration in settings.bins.items():
        if declaration.of not in settings.features and not broken.hides("features", declaration.of):
            yield _unknown(f"bins.{name}.of", "feature", declaration.of, settings.features)


def _cross_mistakes(settings: FraudSettings, broken: _Broken) -> Iterator[Mistake]:
    for name, declaration in settings.crosses.items():
        for referred in declaration.of:
            if referred not in settings.bins and not broken.hides("bins", referred):
                yield _unknown(f"crosses.{name}.of", "bin", referred, settings.bins)
        if len(set(declaration.of)) < len(declaration.of):
            yield Mistake("", f"crosses.{name}.of", "names a bin twice")
        for condition in declaration.told_when:
            if condition.name not in settings.features and not broken.hides("features", condition.name):
                yield _unknown(f"crosses.{name}.told_when", "feature", condition.name, settings.features)


def _text_mistakes(settings: FraudSettings, broken: _Broken, read: Mapping[str, Any]) -> Iterator[Mistake]:
    if broken.hides("reasons", "texts"):
        return
    users = {declaration.code: name for name, declaration in reversed(settings.crosses.items())}
    for code, name in reversed(users.items()):
        if code not in settings.reasons.texts:
            yield Mistake("", f"reasons.texts.{code}", f"is required, as crosses.{name} uses it")
    yield from code_mistakes(read, {*settings.reasons.texts, *users})


def _slots(settings: FraudSettings) -> int:
    """Slots of all crosses, a missing value counted as one more range."""
    sizes = {name: len(declaration.edges) + 2 for name, declaration in settings.bins.items()}
    return sum(prod(sizes.get(name, 1) for name in cross.of) for cross in settings.crosses.values())


def _time_mistakes(time: TimeSettings, broken: _Broken) -> Iterator[Mistake]:
    if any(broken.hides("time", key) for key in TimeSettings.model_fields):
        return
    if time.ahead_hours_max > 24.0 * time.late_days_max:
        yield Mistake(
            "",
            "time.ahead_hours_max",
            f"must be at most late_days_max ({24.0 * time.late_days_max!r} hours), so that no step of one"
            f" event makes the present late (is {time.ahead_hours_max!r})",
        )
    if time.ahead_alone_events < time.ahead_agree_events:
        yield Mistake(
            "",
            "time.ahead_alone_events",
            f"must be at least ahead_agree_events ({time.ahead_agree_events}), so that one sender is not"
            f" believed sooner than several (is {time.ahead_alone_events})",
        )


def _limit_mistakes(settings: FraudSettings, broken: _Broken) -> Iterator[Mistake]:
    yield from _time_mistakes(settings.time, broken)
    policy, outcomes = settings.policy, settings.outcomes
    slots = _slots(settings)
    if slots > settings.model.slots_max:
        yield Mistake("", "model.slots_max", f"is {settings.model.slots_max}, but the crosses need {slots}")
    if not (broken.hides("policy", "review_at") or broken.hides("policy", "block_at")):
        yield from threshold_mistakes(policy)
    if outcomes.legitimate_after_days and outcomes.legitimate_after_days > outcomes.pending_days_max:
        yield Mistake(
            "",
            "outcomes.legitimate_after_days",
            f"must be at most pending_days_max ({outcomes.pending_days_max!r}), as payments wait no longer",
        )
