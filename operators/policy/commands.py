"""Commands that change what the policy does while it runs."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

__all__ = ["Command", "KillSwitch", "ReloadList"]


class ReloadList(Struct, frozen=True, tag_field="command", tag="reload_list"):
    """Replace a list's content.

    Attributes
    ----------
    name
        The list's name in the configuration.
    entries
        All its values.
    digest
        As `list_content` gives it for them.
    """

    name: str
    entries: tuple[str, ...]
    digest: str


class KillSwitch(Struct, frozen=True, tag_field="command", tag="kill_switch"):
    """Turn the kill switch on or off."""

    on: bool


Command: TypeAlias = ReloadList | KillSwitch
