"""Reads settings from TOML, laid over what is shipped, with every validation error reported at once."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from headrace.errors import ConfigError, Invalid

from .base import did_you_mean
from .bounded import CONFIG_BYTES_MAX, read_bounded
from .canonical import canonical
from .flow_kinds import (
    SHIPPED_ENVIRONMENT,
    base_of,
    bases,
    default_kind,
    kind_names,
    settings_of,
    shipped,
)
from .kafka import resolve_files, take_out_secrets
from .layers import Layer, Origins
from .overlay import EXTENDS, Overlay, lay_over_shipped
from .overrides import Overrides
from .policy import list_errors, resolve_lists
from .references import ModelErrors
from .tables import RunSettings
from .validation import validate

__all__ = ["Loaded", "Sources", "lay_over", "load", "load_from"]

_NO_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({})


class Sources(NamedTuple):
    """Where settings come from; each lies over the one before it, and all over what is shipped.

    Attributes
    ----------
    flow_file
        Says what is decided; None for a flow that is shipped.
    config
        Says where and how it runs; a file that says both may stand here, too. None for what is shipped.
    variables
        Of the environment; those named `HEADRACE__SECTION__KEY` count.
    overrides
        Settings of the form `a.b.c=value`; the value is TOML, or else a text.
    kind
        Of which kind the flow must be; None for the one that `flow.kind` names, or else the default.
    base
        Name of the shipped flow below; None for that of the kind. `extends` in a file goes before it.
    """

    flow_file: Path | None = None
    config: Path | None = None
    variables: Mapping[str, str] = _NO_VARIABLES
    overrides: Sequence[str] = ()
    kind: str | None = None
    base: str | None = None


class Loaded(NamedTuple):
    """Settings, and where they came from.

    Attributes
    ----------
    settings
        What is in force.
    origins
        Which file, variable or option gave each value.
    said
        What each of the files lies over, and takes of it: a line each.
    """

    settings: RunSettings
    origins: Origins
    said: tuple[str, ...]


def load(
    path: Path | None,
    overrides: Sequence[str] = (),
    *,
    flow: str | None = None,
    model_errors: ModelErrors = lambda _name, _parameters, _of: (),
) -> RunSettings:
    """Read settings from a TOML file, with overrides laid over it.

    Parameters
    ----------
    path
        The file, of the flow, of its environment, or of both; None for what is shipped.
    overrides
        Settings of the form `a.b.c=value`; the value is TOML, or else a text.
        Paths of other files start at the file's folder; without a file, at the folder one works in.
    flow
        Which flow they must be of; None for the one that `flow.kind` names, or else the default.
    model_errors
        Finds what is wrong with a model's name and parameters, of which nothing is known here: pairs of a key
        below `model` and a message.

    Raises
    ------
    ConfigError
        With every validation error that was found: syntax, unknown keys, types, ranges, references, files of
        lists.
    """
    sources = Sources(config=path, overrides=overrides, kind=flow)
    return load_from(sources, model_errors=model_errors).settings


def load_from(sources: Sources, *, model_errors: ModelErrors = lambda _name, _parameters, _of: ()) -> Loaded:
    """Read settings from files, variables and options; say of each value where it came from.

    Raises
    ------
    ConfigError
        As `load`; each validation error names the file, the variable or the option that it is in.
    """
    own, unreadable, found = _own_files(sources)
    if unreadable:  # what the other files and options say together isn't known then, but how they say it is
        trial = Overrides()
        wrong = trial.lay_variables(sources.variables, {})
        wrong += [each for override in sources.overrides for each in trial.lay(override, {})]
        raise ConfigError(unreadable + found + wrong)
    kind = _kind_meant(own, sources)
    layers, said, more = _layers(own, kind, sources.base)
    read: dict[str, Any] = {}
    for layer in layers:
        read = lay_over_shipped(deepcopy(layer.tables), read, layer.left_out)
    if isinstance(kafka := read.setdefault("kafka", {}), dict):
        kafka.setdefault("ce_source", f"/headrace/{kind}")
    overrides = Overrides()
    more += overrides.lay_variables(sources.variables, read)
    for override in sources.overrides:
        more += overrides.lay(override, read)
    origins = Origins(layers, overrides)
    folders = [layer.file.parent for layer in layers if layer.own]
    resolve_lists(read, folders[0] if folders else Path())
    resolve_files(read, folders[-1] if folders else Path())
    settings = _settings(
        read, found + more, origins, model_errors, lambda _name, _table: True, sources.kind, whole=True
    )
    return Loaded(settings, origins, tuple(said))


def _own_files(sources: Sources) -> tuple[list[Layer], list[Invalid], list[Invalid]]:
    """Read the files that aren't shipped; the paths in them are made absolute.

    Return them, which can't be read, and what is wrong in the others.
    """
    own, wrong = [], []
    for path, environment in ((sources.flow_file, False), (sources.config, True)):
        if path is not None:
            tables, unreadable = _read(path)
            wrong += unreadable
            # Paths are told from the file that names them, not from where the command happens to be started.
            resolve_lists(tables, path.parent)
            resolve_files(tables, path.parent)
            own.append(Layer(path, tables, environment=environment))
    found = [
        secret._replace(file=str(layer.file)) for layer in own for secret in take_out_secrets(layer.tables)
    ]
    return own, wrong, found


def _layers(
    own: Sequence[Layer], kind: str, base: str | None
) -> tuple[list[Layer], list[str], list[Invalid]]:
    """Put below somebody's own files those shipped ones that they lie over.

    Return them, what is to be said of it, and what is wrong with `extends`.
    """
    base, together = base or base_of(kind), settings_of(kind).together
    overlays = [Overlay(layer.tables, kind, bases(), base, together) for layer in own]
    found = [
        each._replace(file=str(layer.file))
        for layer, overlay in zip(own, overlays, strict=True)
        for each in overlay.errors
    ]
    found += [
        Invalid(str(layer.file), EXTENDS, f"belongs into the flow's file, {own[0].file}")
        for layer in own[1:]
        if EXTENDS in layer.tables
    ]
    below = overlays[0].base if overlays else base
    layers = [_shipped(SHIPPED_ENVIRONMENT, environment=True)]
    layers += [] if below is None else [_shipped(shipped(below), environment=False)]
    layers += [
        layer._replace(left_out=overlay.left_out) for layer, overlay in zip(own, overlays, strict=True)
    ]
    said = list(overlays[0].described(own[0].tables)) if overlays else []
    return layers, said, found


def _shipped(path: Path, *, environment: bool) -> Layer:
    tables, _ = _read(path)
    return Layer(path, tables, own=False, environment=environment)


def _kind_meant(own: Sequence[Layer], sources: Sources) -> str:
    """Return the kind of the flow that was named last, or else is run as."""
    laid: dict[str, Any] = {}
    trial = Overrides()
    trial.lay_variables(sources.variables, laid)
    for override in sources.overrides:
        trial.lay(override, laid)
    tables = [each.get("flow") for each in (*(layer.tables for layer in own), laid)]
    named = [table.get("kind") for table in tables if isinstance(table, dict)]
    # A name that no flow has is found wrong later, with all other errors; here it only must not hide which
    # file is laid under.
    known = [each for each in named if each in kind_names()]
    return known[-1] if known else sources.kind or default_kind()


def lay_over(
    settings: RunSettings,
    overrides: Sequence[str],
    name: str,
    *,
    model_errors: ModelErrors = lambda _name, _parameters, _of: (),
) -> RunSettings:
    """Lay overrides over settings that are known already.

    Parameters
    ----------
    settings
        What they are laid over. Files of its lists need not be there any more.
    overrides
        As for `load`; relative paths of list files start at the folder one works in.
    name
        What validation errors call the settings.
    model_errors
        As for `load`.

    Raises
    ------
    ConfigError
        With every validation error that was found.
    """
    read, lists = _given(json.loads(canonical(settings))), settings.lists
    laid, found = Overrides(), []
    for override in overrides:
        found += laid.lay(override, read)
    resolve_lists(read, Path())
    resolve_files(read, Path())

    def changed(name: str, table: Mapping[str, Any]) -> bool:
        return name not in lists or table.get("file") != lists[name].file

    origins = Origins([Layer(Path(name), read)], laid)
    return _settings(read, found, origins, model_errors, changed, settings.flow.kind)


def _given(plain: Any) -> Any:
    """Plain settings without what is not set."""
    if not isinstance(plain, dict):
        return plain
    return {key: _given(value) for key, value in plain.items() if value is not None}


def _settings(
    read: dict[str, Any],
    found: list[Invalid],
    origins: Origins,
    model_errors: ModelErrors,
    is_new: Callable[[str, Mapping[str, Any]], bool],
    flow: str | None,
    *,
    whole: bool = False,
) -> RunSettings:
    """Return what was read as settings; only files of lists that are new are looked at.

    What is to be run, a `whole` configuration, must have something to decide with.
    """
    kind, wrong = _kind(read, flow)
    found += wrong
    if not wrong:  # else it isn't known which keys there are
        found += take_out_secrets(read)
        settings, more = validate(read, settings_of(kind), model_errors)
        more += list_errors(read, is_new)
        if whole and settings is not None:
            more += settings.gaps()
        found += more
        if settings is not None and not found:
            return settings
    raise ConfigError(_by_place([origins.place(each) for each in found], read))


def _kind(read: Mapping[str, Any], flow: str | None) -> tuple[str, list[Invalid]]:
    """Return the flow that is meant, and what is wrong with how it is named."""
    table = read.get("flow")
    given = table.get("kind") if isinstance(table, dict) else None
    kind, known = given if isinstance(given, str) else flow or default_kind(), kind_names()
    if kind not in known:
        return kind, [Invalid("", "flow.kind", f"there is no flow {kind}{did_you_mean(kind, known)}")]
    if flow is not None and kind != flow:
        return kind, [Invalid("", "flow.kind", f"is a configuration of {kind}, and {flow} was asked for")]
    return kind, []


def _by_place(found: list[Invalid], read: Mapping[str, Any]) -> list[Invalid]:
    """Sort validation errors by the tables of the file."""
    places = {key: place for place, key in enumerate(read)}
    return sorted(found, key=lambda invalid: places.get(invalid.key.partition(".")[0], len(places)))


def _read(path: Path) -> tuple[dict[str, Any], list[Invalid]]:
    try:
        return tomllib.loads(read_bounded(path, CONFIG_BYTES_MAX).decode("utf-8-sig")), []
    except OSError as error:
        return {}, [Invalid(str(path), "", f"can't be read: {error.strerror}")]
    except UnicodeDecodeError as error:
        return {}, [Invalid(str(path), "", f"not UTF-8 at byte {error.start}")]
    except ValueError as error:  # also for an integer of thousands of digits, which tomllib passes on
        return {}, [Invalid(str(path), "", f"not TOML: {error}")]
    except RecursionError:
        return {}, [Invalid(str(path), "", "not TOML that can be read: nested too deep")]
