"""Commands that change what the policy does while it runs."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

__all__ = ["Command", "KillSwitch", "ReloadList"]


class ReloadList(Struct, frozen=True, tag_field="command", tag="reload_list"):
    """Replace a list's content.

    Attributes
    ----------
    name
        The list's name in the configuration; with the decision's name and a dot before it where a flow has
        several decisions.
    entries
        All its values.
    digest
        As `list_content` gives it for them.
    """

    name: str
    entries: tuple[str, ...]
    digest: str


class KillSwitch(Struct, frozen=True, tag_field="command", tag="kill_switch"):
    """Turn the kill switch on or off.

    Attributes
    ----------
    on
        Where it goes.
    decision
        The decision whose switch it is; left out: of all that the flow has.
    """

    on: bool
    decision: Annotated[str, Meta(max_length=64)] | UnsetType = UNSET


Command: TypeAlias = ReloadList | KillSwitch
