"""From a payment, its features and its score to an action, with the path that led to it."""

from .commands import Command, KillSwitch, ReloadList
from .lists import ListContent, list_content, read_list, read_lists
from .policy import Policy
from .thresholds import APPROVAL, act
from .verdict import Action, Verdict

__all__ = [
    "APPROVAL",
    "Action",
    "Command",
    "KillSwitch",
    "ListContent",
    "Policy",
    "ReloadList",
    "Verdict",
    "act",
    "commands",
    "list_content",
    "lists",
    "read_list",
    "read_lists",
    "verdict",
]
