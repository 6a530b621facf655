"""The golden cases: a world, a configuration, and what an operator does between its parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import golden_worlds as worlds

from headrace.config.fraud_flow import FraudSettings
from headrace.config.loading import load
from headrace.operators.decisions.detail import DetailLayout, detail_layout

CONFIG = Path(__file__).parents[2] / "flows"

POLICY = """
[policy.lists.trusted]
file = "trusted.txt"
key = "customer_id"
action = "approve"
code = "trusted_customer"
[policy.lists.stolen]
file = "stolen.txt"
key = "merchant_id"
action = "block"
code = "stolen_goods"
[policy.rules.noon]
when = "hour_of_day == 12 and amount / customer_mean > 1.5"
action = "block"
code = "much_at_noon"
[policy.rules.new_customer]
when = "amount > 60 and customer_payments < 3 and not missing(customer_mean)"
action = "review"
code = "new_customer_large_amount"
[policy.cost]
review_cost = 1.0
[policy.capacity]
reviews_per_day_max = 4
otherwise = "block"
[reasons.texts]
trusted_customer = "The customer is trusted."
stolen_goods = "The merchant sells stolen goods."
much_at_noon = "Much is paid at noon."
new_customer_large_amount = "A new customer pays much."
"""

SMALL_ENGINE = {
    "engine.items_max": 60,
    "engine.posting_blocks_max": 300,
    "engine.chunks_max": 400,
    "engine.sessions_max": 60,
    "engine.order_lines_max": 60,
    "engine.shown_max": 60,
    "slate.pending_max": 60,
    "rules.new_share": 0.1,
    "rules.new_days_max": 400,
    "rules.explore_share": 0.2,
    "rules.leave_out_bought": "true",
    "rules.seller_items_max": 4,
}
OFTEN = {"input.batch_lines_max": 48, "journal.checkpoint_inputs_max": 150}


@dataclass(frozen=True)
class Flow:
    """A flow under one configuration.

    Attributes
    ----------
    kind
        What the command line calls it.
    config
        Which of the shipped files is in force.
    world
        Gives so many lines of input.
    lines
        How many lines to ask for.
    added
        What is written behind the shipped file.
    settings
        What the command line sets, by key path.
    """

    kind: str
    config: str
    world: Callable[[int], list[bytes]]
    lines: int
    added: str = ""
    settings: tuple[tuple[str, object], ...] = ()

    def write_config(self, folder: Path) -> Path:
        """Write the configuration into a folder, with the lists that it names."""
        path = folder / self.config
        path.write_text(_with((CONFIG / self.config).read_text(), self.added))
        for name in ("trusted", "stolen"):
            (folder / f"{name}.txt").write_text("# none yet\n")
        return path

    @property
    def options(self) -> list[str]:
        """What the command line is told beside the sources."""
        pairs = (*OFTEN.items(), *self.settings)
        return [part for key, value in pairs for part in ("--set", f"{key}={value}")]


def _with(text: str, added: str) -> str:
    """A configuration with further tables; lines of one that it has already go behind that one's head."""
    for block in added.split("\n[")[1:]:
        head, _, body = block.partition("]\n")
        table = f"[{head}]\n"
        if f"\n{table}" in text:
            text = text.replace(f"\n{table}", f"\n{table}{body}", 1)
        else:
            text += f"\n{table}{body}"
    return text


FLOWS = {
    "fraud": Flow("fraud", "fraud.toml", worlds.payments, 1000),
    "policy": Flow(
        "fraud",
        "fraud.toml",
        worlds.payments,
        1000,
        added=POLICY,
        settings=(
            ("outcomes.early_max", 3),
            ("outcomes.legitimate_after_days", 3),
            ("outcomes.withhold_blocked", "true"),
            ("outcomes.pending_max", 150),
            ("entities.customer.entities_max", 30),
            ("ids.memory_max", 200),
            ("policy.review_at", 0.02),
        ),
    ),
    "sessions": Flow(
        "fraud",
        "fraud-sessions.toml",
        worlds.visits,
        1000,
        settings=(("policy.review_at", 0.02), ("policy.block_at", 0.05)),
    ),
    "recommend": Flow(
        "recommend", "recommend.toml", worlds.clicks, 700, settings=tuple(SMALL_ENGINE.items())
    ),
}


@cache
def world_of(flow: str) -> tuple[bytes, ...]:
    """The lines of a flow's world."""
    return tuple(FLOWS[flow].world(FLOWS[flow].lines))


def layout_of(flow: str) -> DetailLayout | None:
    """How details of a flow's decisions are laid out; None for lists."""
    with TemporaryDirectory() as folder:
        config = FLOWS[flow].write_config(Path(folder))
        settings = load(config, FLOWS[flow].options[1::2], flow=FLOWS[flow].kind)
    return detail_layout(settings) if isinstance(settings, FraudSettings) else None
