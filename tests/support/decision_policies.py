"""Policies of declared decisions, for tests."""

from __future__ import annotations

from typing import Any

THRESHOLDS = {"review": 0.3, "block": 0.8}
RULES = {
    "large": {"when": "amount > 500", "action": "block", "code": "large_amount"},
    "regular": {"when": "orders >= 3", "action": "approve", "code": "regular"},
}
LISTS: dict[str, Any] = {
    "friends": {"file": "f", "key": "customer_id", "action": "approve", "code": "friend"},
    "stolen": {"file": "s", "key": "item_ids", "action": "block", "code": "stolen"},
    "pairs": {"file": "p", "key": ["customer_id", "country"], "action": "step_up", "code": "pair"},
}
COST = {
    "of": "amount",
    "actions": {
        "approve": {"share_if_1": 1.0},
        "review": {"fixed": 5.0},
        "block": {"share_if_0": 0.1, "fixed_if_0": 10.0},
    },
}
CAPACITY = {"review": {"per_day_max": 2, "otherwise": "block"}}
LADDER = [[0.02, 20_000], [0.05, 5000], [1.0, 0]]
