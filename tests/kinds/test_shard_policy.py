"""The policy inside the shard: what goes out, what is kept in the detail, and what fails leaves no trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from headrace.config.loading import load
from headrace.journal.records import Kind
from headrace.kinds.fraud.machine import FraudShard
from headrace.operators.decisions.detail import detail_layout
from headrace.operators.events.decode import decode_one
from headrace.operators.policy import list_content
from headrace.shard.commands import Command, KillSwitch, ReloadList

START = 1_600_000_000_000
DAY = 86_400_000
MINUTE = 60_000


class Paying:
    """A shard that gets payments."""

    def __init__(self, *overrides: str, shard: int = 0) -> None:
        self.settings = load(None, overrides)
        self.shard = FraudShard(self.settings, shard=shard)
        self.time, self.paid = START, 0
        for _ in range(3):
            self.pay()
        self.shard.counts.update(dict.fromkeys(self.shard.counts, 0))

    def raw(self, overdue: bool = False, **fields: Any) -> tuple[int, bytes, bytes]:
        self.paid += 1
        self.time += MINUTE
        event = {
            "type": "payment",
            "event_id": f"p{self.paid}",
            "event_time": self.time,
            "customer_id": "c",
            "merchant_id": "m",
            "amount": 10.0,
            "currency": "EUR",
        }
        payload = orjson.dumps(event | fields)
        return self.shard.apply(decode_one(payload), payload, (0, 0, 1), overdue=overdue)

    def pay(self, overdue: bool = False, **fields: Any) -> dict[str, Any]:
        kind, line, self.detail = self.raw(overdue, **fields)
        assert kind == Kind.DECIDED
        decision: dict[str, Any] = orjson.loads(line)
        return decision

    def trace(self) -> Any:
        fixed = detail_layout(self.shard.settings).packed.size
        return msgspec.msgpack.decode(self.detail[fixed:]) if self.detail[fixed:] else None


def rule(when: str, action: str) -> tuple[str, ...]:
    return (
        f"policy.rules.one.when='{when}'",
        f"policy.rules.one.action={action}",
        "policy.rules.one.code=told",
        "reasons.texts.told=Told.",
    )


def test_a_rule_decides_before_the_score_and_says_so() -> None:
    paying = Paying(*rule("amount > 500 and customer_payments < 10", "block"))
    plain = paying.pay()
    assert "policy" not in plain
    assert paying.trace() is None
    ruled = paying.pay(amount=501.0)
    assert (ruled["action"], ruled["policy"]) == ("block", "rule.one")
    assert ruled["reasons"] == [{"code": "told", "contribution": None}]
    assert 0.0 < ruled["score"] < 0.5
    assert paying.trace() == {"path": "rule", "rule": "one"}
    assert paying.shard.counts["reason_told"] == 1
    assert paying.shard.policy.counts["rule.one"] == 1


def test_a_blocked_payment_of_a_rule_counts_as_blocked() -> None:
    paying = Paying(*rule("amount > 500", "block"), "outcomes.legitimate_after_days=1.0")
    paying.pay(amount=600.0)
    assert paying.shard.pending.row(f"p{paying.paid}").blocked  # type: ignore[union-attr]


def listed(folder: Path, *entries: str) -> tuple[str, ...]:
    file = folder / "blocked.txt"
    file.write_text("\n".join(entries))
    return (
        f"policy.lists.bad.file={file}",
        "policy.lists.bad.key=customer_id",
        "policy.lists.bad.action=block",
        "policy.lists.bad.code=listed",
        "reasons.texts.listed=Listed.",
    )


def reload(*entries: str, digest: str = "") -> ReloadList:
    content = list_content(entries)
    return ReloadList(name="bad", entries=tuple(content.entries), digest=digest or content.digest)


def tell(shard: FraudShard, command: Command) -> int:
    return shard.command(command, b"{}", (0, 0, 1))[0]


def test_a_list_takes_effect_by_its_command_and_stays_in_the_state(tmp_path: Path) -> None:
    paying = Paying(*listed(tmp_path, "x"))
    assert paying.pay(customer_id="x")["action"] == "approve"
    assert tell(paying.shard, reload("x", "y")) == Kind.APPLIED
    other = FraudShard(paying.settings)
    other.load({name: bytes(blob) for name, blob in paying.shard.save().items()})
    for shard in (paying.shard, other):
        paying.shard = shard
        found = paying.pay(customer_id="x")
        assert (found["action"], found["policy"]) == ("block", "list.bad")
    assert tell(paying.shard, reload("z")) == Kind.APPLIED
    assert paying.pay(customer_id="x")["action"] == "approve"
    assert tell(paying.shard, reload("q", digest="0" * 64)) == Kind.DEAD
    assert paying.shard.counts["dead_refused_command"] == 1
    assert paying.pay(customer_id="z")["action"] == "block"


def test_the_kill_switch_is_kept_through_save_and_load() -> None:
    paying = Paying("policy.kill_switch.action=review")
    assert tell(paying.shard, KillSwitch(on=True)) == Kind.APPLIED
    other = FraudShard(paying.settings)
    other.load({name: bytes(blob) for name, blob in paying.shard.save().items()})
    paying.shard = other
    found = paying.pay()
    assert (found["action"], found["policy"]) == ("review", "kill_switch")
    assert found["reasons"] == [{"code": "kill_switch", "contribution": None}]
    assert tell(paying.shard, KillSwitch(on=False, decision="fraud")) == Kind.DEAD
    assert tell(paying.shard, KillSwitch(on=False)) == Kind.APPLIED
    assert paying.pay()["action"] == "approve"


def test_an_overdue_payment_gets_the_fallback() -> None:
    paying = Paying("policy.deadline.wait_ms_max=50", "policy.deadline.action=review")
    assert paying.pay()["action"] == "approve"
    found = paying.pay(overdue=True)
    assert (found["action"], found["policy"]) == ("review", "deadline")
    assert found["reasons"][0]["code"] == "deadline_missed"


def test_shadow_mode_approves_and_tells() -> None:
    paying = Paying("policy.shadow=true", "policy.review_at=0.0", "policy.block_at=0.0")
    found = paying.pay()
    assert (found["action"], found["shadow_action"]) == ("approve", "block")
    assert not paying.shard.pending.row(f"p{paying.paid}").blocked  # type: ignore[union-attr]
    assert (paying.shard.counts["approve"], paying.shard.policy.counts["shadow.block"]) == (1, 4)


CAPACITY = (
    "policy.review_at=0.0",
    "policy.block_at=1.0",
    "policy.capacity.reviews_per_day_max=7",
    "policy.capacity.otherwise=approve",
)


def test_reviews_of_a_day_end_with_the_capacity() -> None:
    paying = Paying(*CAPACITY)
    actions = [paying.pay()["action"] for _ in range(9)]
    day = paying.time // DAY
    assert actions.count("review") == 7 - 3  # the start took three
    assert paying.shard.policy.unused(day) == 0
    found = paying.pay()
    assert (found["policy"], found["reasons"][0]["code"]) == ("capacity", "review_capacity_used")
    paying.time += DAY - 5 * MINUTE  # a larger step would have to be agreed on
    assert paying.pay()["action"] == "review"


def test_a_time_that_is_not_accepted_takes_no_review_of_any_day() -> None:
    paying = Paying(*CAPACITY)
    for years in range(1, 40):
        far = paying.pay(event_time=START + years * 365 * DAY if years % 2 else paying.time)
        assert far["action"] == "approve" if years % 2 else True
    paying.time += DAY - 5 * MINUTE  # a larger step would have to be agreed on
    assert paying.pay()["action"] == "review"


def test_a_payment_that_fails_takes_no_review(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paying = Paying(*CAPACITY)
    before = paying.shard.policy.save()

    def fail(_payment: object, _time_ms: int) -> float:
        raise OverflowError("too large")

    monkeypatch.setattr(paying.shard._scorer, "score", fail)
    assert paying.raw()[0] == Kind.DEAD
    assert paying.shard.policy.save() == before
