"""From an event, its features and what the model says to an action, with the path that led to it."""

from .commands import Command, KillSwitch, ReloadList
from .decision_policy import DecisionPolicy
from .lists import ListContent, list_content, read_declared, read_list, read_lists
from .policy import Policy
from .thresholds import APPROVAL, act
from .verdict import Action, Verdict

__all__ = [
    "APPROVAL",
    "Action",
    "Command",
    "DecisionPolicy",
    "KillSwitch",
    "ListContent",
    "Policy",
    "ReloadList",
    "Verdict",
    "act",
    "commands",
    "conditions",
    "list_content",
    "lists",
    "read_declared",
    "read_list",
    "read_lists",
    "verdict",
]
