"""Reads settings from TOML, laid over what is shipped, with every validation error reported at once."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from headrace.errors import ConfigError, Invalid

from .base import did_you_mean
from .bounded import CONFIG_BYTES_MAX, read_bounded
from .canonical import canonical
from .flow_kinds import BASES, FLOWS, SETTINGS, SHIPPED, shipped
from .fraud_flow import FraudSettings
from .kafka import resolve_files
from .overlay import Overlay, lay_over_shipped, nothing_to_decide_with
from .overrides import Overridden
from .policy import list_errors, resolve_lists
from .references import ModelErrors
from .tables import RunSettings
from .validation import validate

__all__ = ["laid_over", "lay_over", "load"]


def load(
    path: Path | None,
    overrides: Sequence[str] = (),
    *,
    flow: str | None = None,
    model_errors: ModelErrors = lambda _name, _parameters: (),
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
    model_errors
        Finds what is wrong with a model's name and parameters, of which nothing is known here: pairs of a key
        below `model` and a message.

    Raises
    ------
    ConfigError
        With every validation error that was found: syntax, unknown keys, types, ranges, references, files of
        lists.
    """
    folder = Path() if path is None else path.parent
    base = shipped(_kind_meant({}, overrides, flow))
    read, found = _read(base if path is None else path)
    if path is not None and not found:
        read, found = _over_shipped(read, path, overrides, flow)
    name = str(path or base)
    return _laid(read, found, name, folder, overrides, model_errors, lambda _name: True, flow, whole=True)


def laid_over(path: Path, overrides: Sequence[str] = (), *, flow: str | None = None) -> list[str]:
    """Say which shipped configuration a file lies over, and what it takes of it: a line each."""
    own, _ = _read(path)
    return list(Overlay(own, _kind_meant(own, overrides, flow), BASES).described(own))


def _over_shipped(
    own: dict[str, Any], path: Path, overrides: Sequence[str], flow: str | None
) -> tuple[dict[str, Any], list[Invalid]]:
    """Lay a file over the shipped one that it lies over."""
    overlay = Overlay(own, _kind_meant(own, overrides, flow), BASES)
    base, found = ({}, []) if overlay.base is None else _read(SHIPPED.with_name(f"{overlay.base}.toml"))
    found += [each._replace(file=str(path)) for each in overlay.errors]
    return lay_over_shipped(own, base, overlay.left_out), found


def _kind_meant(own: Mapping[str, Any], overrides: Sequence[str], flow: str | None) -> str:
    """Return the flow whose shipped configuration a file lies over.

    The one that it names, or else is run as.
    """
    table = own.get("flow")
    named = [table.get("kind")] if isinstance(table, dict) else []
    named += [each.partition("=")[2].strip(" \"'") for each in overrides if each.startswith("flow.kind=")]
    # A name that no flow has is found wrong later, with all other errors; here it only must not hide which
    # file is laid under.
    known = [each for each in named if each in FLOWS]
    return known[-1] if known else flow or FLOWS[0]


def lay_over(
    settings: RunSettings,
    overrides: Sequence[str],
    name: str,
    *,
    model_errors: ModelErrors = lambda _name, _parameters: (),
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

    def changed(name: str) -> bool:
        table = read["policy"]["lists"][name]
        return name not in lists or table.get("file") != lists[name].file

    return _laid(read, [], name, Path(), overrides, model_errors, changed, settings.flow.kind)


def _given(plain: Any) -> Any:
    """Plain settings without what is not set."""
    if not isinstance(plain, dict):
        return plain
    return {key: _given(value) for key, value in plain.items() if value is not None}


def _laid(
    read: dict[str, Any],
    found: list[Invalid],
    name: str,
    folder: Path,
    overrides: Sequence[str],
    model_errors: ModelErrors,
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
    if any(invalid.key == "" for invalid in found):  # of a file that can't be read, nothing else is known
        raise ConfigError(found)
    kind, wrong = _kind(read, flow)
    found += map(overridden.place, wrong)
    if wrong:  # which keys another flow has is not known then
        raise ConfigError(_by_place(found, read))
    # Paths are told from the file that names them, not from where the command happens to be started.
    resolve_lists(read, folder)
    resolve_files(read, folder)
    settings, more = validate(read, SETTINGS[kind], model_errors)
    more += [each for each in list_errors(read) if is_new(each.key.split(".")[2])]
    if whole and isinstance(settings, FraudSettings):
        more += nothing_to_decide_with(settings)
    found += [overridden.place(invalid) for invalid in more]
    if found or settings is None:
        raise ConfigError(_by_place(found, read))
    return settings


def _kind(read: Mapping[str, Any], flow: str | None) -> tuple[str, list[Invalid]]:
    """Return the flow that is meant, and what is wrong with how it is named."""
    table = read.get("flow")
    given = table.get("kind") if isinstance(table, dict) else None
    kind = given if isinstance(given, str) else flow or FLOWS[0]
    if kind not in FLOWS:
        return kind, [Invalid("", "flow.kind", f"there is no flow {kind}{did_you_mean(kind, FLOWS)}")]
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
