"""From a payment, its features and its score to an action, with the path that led to it."""

from headrace.operators.policy.commands import Command, KillSwitch, ReloadList
from headrace.operators.policy.lists import ListContent, list_content, read_list, read_lists
from headrace.operators.policy.policy import Policy
from headrace.operators.policy.thresholds import APPROVAL, act
from headrace.operators.policy.verdict import Action, Verdict

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
    "list_content",
    "read_list",
    "read_lists",
]
