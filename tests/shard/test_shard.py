"""The shard's state machine: what becomes of each input, and what stays as it was."""

from __future__ import annotations

import msgspec
import orjson
import pytest
from feeder import DAY, HOUR, MINUTE, START, Feeder, settings

from headrace.config.fraud_flow import FraudSettings
from headrace.journal.records import Kind
from headrace.kinds.fraud.machine import FraudShard, shape_of
from headrace.operators.events.decode import decode_one


def test_a_payment_is_decided() -> None:
    feeder = Feeder()
    kind, line, detail = feeder.pay("p")
    decision = orjson.loads(line)
    assert kind == Kind.DECIDED
    assert line.endswith(b"\n")
    assert decision["decision_id"] == "fraud:p"
    assert decision["action"] == "approve"
    assert decision["score"] == pytest.approx(0.01, abs=0.005)
    assert decision["model"].startswith("logistic_adagrad:")
    assert detail


def test_features_are_of_before_the_payment() -> None:
    feeder = Feeder()
    feeder.pay("p1")
    assert feeder.values()["customer_payments"] == 1
    feeder.pay("p2")
    assert feeder.values()["customer_payments"] == 2


def test_a_repeat_is_not_decided_again_and_a_conflict_is_a_dead_letter() -> None:
    feeder = Feeder()
    time = feeder.time + MINUTE
    feeder.pay("p", at=time)
    before = feeder.state()
    assert feeder.pay("p", at=time)[0] == Kind.DUPLICATE
    kind, line, _ = feeder.pay("p", at=time, amount=11.0)
    assert (kind, orjson.loads(line)["reason"]) == (Kind.DEAD, "id_conflict")
    assert feeder.state() == before


def test_another_currency_is_a_dead_letter() -> None:
    feeder = Feeder()
    before = feeder.state()
    kind, line, _ = feeder.pay("p", currency="USD")
    letter = orjson.loads(line)
    assert (kind, letter["reason"], letter["field"]) == (Kind.DEAD, "other_currency", "currency")
    assert feeder.state() == before


def test_an_input_that_fails_leaves_the_state_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    feeder = Feeder()
    feeder.pay("p1")
    before, now = feeder.state(), feeder.shard.clock.now

    def fail(_payment: object, _time_ms: int) -> float:
        raise OverflowError("too large")

    monkeypatch.setattr(feeder.shard._scorer, "score", fail)
    kind, line, _ = feeder.pay("p2")
    assert (kind, orjson.loads(line)["reason"]) == (Kind.DEAD, "unfit")
    assert feeder.state() == before
    assert feeder.shard.clock.now == now


def test_an_outcome_teaches_once() -> None:
    feeder = Feeder()
    feeder.pay("p")
    untaught = feeder.shard.model.save()
    feeder.tell("p", 1)
    taught = feeder.shard.model.save()
    assert taught != untaught
    assert feeder.values()["fraud_streak"] == 1
    feeder.tell("p", 1)
    assert feeder.shard.model.save() == taught
    assert feeder.counts["outcomes_repeated"] == 1
    assert feeder.values()["fraud_streak"] == 1


def test_an_outcome_before_its_payment_waits_for_it() -> None:
    feeder = Feeder()
    feeder.tell("p", 1)
    assert feeder.counts["outcomes_early"] == 1
    untaught = feeder.shard.model.save()
    feeder.pay("p")
    assert feeder.shard.model.save() != untaught
    assert feeder.counts["outcomes_matched"] == 1
    assert feeder.values()["fraud_streak"] == 1


def test_a_correction_takes_the_first_label_back_and_is_learned() -> None:
    feeder = Feeder()
    feeder.pay("p")
    feeder.tell("p", 1)
    taught = feeder.shard.model.save()
    feeder.tell("p", 0)
    assert feeder.counts["outcomes_corrected"] == 1
    assert feeder.shard.model.save() != taught
    assert feeder.values()["fraud_streak"] == 0
    assert feeder.values()["fraud_share_37d"] == 0.0


def test_a_correction_that_comes_too_late_changes_nothing() -> None:
    feeder = Feeder("outcomes.correction_days_max=1.0")
    feeder.pay("p")
    feeder.tell("p", 1)
    taught = feeder.shard.model.save()
    for hours in (20, 20):
        feeder.tell("q", 0, at=feeder.time + hours * HOUR)
    feeder.tell("p", 0)
    assert feeder.counts["outcomes_too_late_to_correct"] == 1
    assert feeder.shard.model.save() == taught


def test_a_payment_without_an_outcome_expires_and_is_counted() -> None:
    feeder = Feeder("outcomes.pending_days_max=1.0")
    feeder.pay("p")
    for number in range(32):
        feeder.pay(f"later-{number}", at=feeder.time + DAY // 8)
    assert feeder.shard.pending.row("p") is None
    assert feeder.shard.pending.expired_unlabelled >= 1


def test_no_outcome_means_legitimate_when_the_setting_says_so() -> None:
    feeder = Feeder("outcomes.legitimate_after_days=1.0")
    feeder.pay("p")
    untaught = feeder.shard.model.save()
    for number in range(40):
        feeder.pay(f"later-{number}", at=feeder.time + DAY // 16, customer_id="d", merchant_id="n")
    assert feeder.counts["outcomes_assumed"] >= 1
    assert feeder.shard.model.save() != untaught
    feeder.tell("p", 1)
    assert feeder.counts["outcomes_corrected"] == 1


def test_a_blocked_payment_never_counts_as_legitimate_without_an_outcome() -> None:
    feeder = Feeder("outcomes.legitimate_after_days=1.0", "policy.review_at=0.0", "policy.block_at=0.0")
    for number in range(60):
        feeder.pay(f"later-{number}", at=feeder.time + DAY // 16)
    assert feeder.counts["block"] == 63
    assert feeder.counts["outcomes_assumed"] == 0


def test_a_late_payment_is_decided_and_moves_no_window() -> None:
    feeder = Feeder()
    feeder.pay("p1")
    before = feeder.values()
    kind, _, _ = feeder.feed(
        type="payment",
        event_id="late",
        event_time=feeder.time - 3 * DAY,
        customer_id="c",
        merchant_id="m",
        amount=900.0,
        currency="EUR",
    )
    assert kind == Kind.DECIDED
    assert feeder.counts["payments_late"] == 1
    assert str(feeder.values()) == str(before)


def test_a_payment_from_a_broken_clock_moves_nothing() -> None:
    feeder = Feeder()
    feeder.pay("p1")
    before, now = feeder.values(), feeder.shard.clock.now
    feeder.pay("ahead", at=now + 400 * DAY)
    feeder.time = now
    assert feeder.counts["payments_ahead"] >= 1
    assert feeder.shard.clock.now == now
    assert str(feeder.values()) == str(before)
    feeder.pay("p2")
    assert feeder.values()["customer_payments"] == 2


def test_payments_after_a_quiet_time_count_once_they_agree() -> None:
    feeder = Feeder()
    feeder.pay("p1")
    for number in range(3):
        later = feeder.time + (10 * DAY if not number else MINUTE)
        feeder.pay(f"after-{number}", at=later, customer_id="d" if number == 1 else "c")
    assert feeder.values()["customer_payments"] == 1
    feeder.pay("after-3", customer_id="e")
    assert [feeder.values(customer_id=name)["customer_payments"] for name in "cde"] == [3, 1, 1]


def test_a_single_customer_goes_on_after_a_quiet_time_too() -> None:
    feeder = Feeder()
    feeder.pay("p", at=feeder.time + MINUTE)
    feeder.time += 10 * DAY
    for number in range(15):
        feeder.pay(f"after-{number}")
    assert feeder.values()["customer_payments"] == 1
    feeder.pay("after-15")
    assert feeder.values()["customer_payments"] == 17


@pytest.mark.parametrize("hours", [23, 71])
def test_one_payment_ahead_makes_nobody_late(hours: int) -> None:
    feeder = Feeder()
    for number in range(200):
        feeder.pay(f"before-{number}", customer_id=f"c{number % 50}")
    now = feeder.time
    feeder.pay("ahead", at=now + hours * HOUR)
    feeder.time = now
    for number in range(1399):
        feeder.pay(f"after-{number}", customer_id=f"c{number % 50}")
    assert feeder.counts["payments_late"] == 0
    assert feeder.values(customer_id="c7")["customer_payments"] == 4 + 28


def test_what_one_sender_says_of_far_away_takes_a_bounded_place() -> None:
    feeder = Feeder()
    far = feeder.time + 20_000 * DAY
    for number in range(100):
        feeder.pay(f"far-{number}", at=far)
    held = len(orjson.dumps(msgspec.msgpack.decode(feeder.shard.save()["head"]), default=len))
    for number in range(100, 1000):
        feeder.pay(f"far-{number}", at=far)
    more = len(orjson.dumps(msgspec.msgpack.decode(feeder.shard.save()["head"]), default=len))
    assert feeder.counts["payments_ahead"] >= 1000
    assert more - held < 16


def test_an_outcome_from_ahead_waits_until_the_clock_is_there() -> None:
    feeder = Feeder()
    feeder.pay("p")
    now = feeder.time
    feeder.tell("p", 1, at=now + 10 * DAY)
    assert feeder.counts["outcomes_ahead"] == 1
    assert feeder.counts["outcomes_matched"] == 0
    for number in range(4):
        feeder.pay(f"q{number}", customer_id=f"c{number}", at=now + 10 * DAY + (number + 1) * MINUTE)
    assert feeder.counts["outcomes_matched"] == 1


def test_entities_have_a_limit() -> None:
    feeder = Feeder("entities.customer.entities_max=20")
    for number in range(100):
        feeder.pay(f"p{number}", customer_id=f"c{number}")
    table = feeder.shard.features.tables["customer"]
    assert len(table) == 20
    assert table.evicted_by_limit == 81
    assert len(table.keys) == 21


def test_an_outcome_finds_no_other_entity_in_a_row_that_was_given_on() -> None:
    feeder = Feeder("entities.merchant.entities_max=20")
    feeder.pay("p", merchant_id="gone")
    for number in range(60):
        feeder.pay(f"p{number}", merchant_id=f"m{number}")
    assert "gone" not in feeder.shard.features.tables["merchant"].index
    feeder.tell("p", 1)
    streaks = [feeder.values(merchant_id=f"m{number}")["fraud_streak"] for number in range(60)]
    assert not any(streaks)


def test_idle_entities_are_forgotten() -> None:
    feeder = Feeder("entities.customer.idle_days_max=1.0")
    feeder.pay("p", customer_id="idle")
    for number in range(64):
        feeder.pay(f"p{number}", at=feeder.time + DAY // 16)
    assert "idle" not in feeder.shard.features.tables["customer"].index
    assert feeder.shard.features.tables["customer"].evicted_by_age >= 1


def test_not_learning_freezes_the_model_and_moves_the_features() -> None:
    feeder = Feeder()
    feeder.shard.configure(settings(), learn=False)
    feeder.pay("p")
    frozen = feeder.shard.model.save()
    feeder.tell("p", 1)
    assert feeder.shard.model.save() == frozen
    assert feeder.values()["fraud_streak"] == 1


def test_payments_before_the_clock_starts_keep_their_outcomes() -> None:
    shard = FraudShard(settings())
    payload = orjson.dumps(
        {
            "type": "payment",
            "event_id": "first",
            "event_time": START,
            "customer_id": "c",
            "merchant_id": "m",
            "amount": 1.0,
            "currency": "EUR",
        }
    )
    shard.apply(decode_one(payload), payload, (0, 0, 1))
    for number in range(40):
        outcome = orjson.dumps(
            {
                "type": "outcome",
                "event_id": f"o{number}",
                "event_time": START + number * 9 * DAY,
                "about": "x",
                "label": 0,
            }
        )
        shard.apply(decode_one(outcome), outcome, (0, 0, number))
    assert not shard.clock.now
    assert shard.pending.row("first") is not None


def test_reasons_name_codes_of_the_configuration() -> None:
    feeder = Feeder("policy.review_at=0.02", "policy.block_at=0.9")
    for number in range(40):
        feeder.pay(f"p{number}", amount=900.0, customer_id=f"c{number}", merchant_id=f"m{number}")
        feeder.tell(f"p{number}", 1)
    decision = orjson.loads(feeder.pay("last", amount=900.0, customer_id="new", merchant_id="new")[1])
    assert decision["action"] != "approve"
    codes = [reason["code"] for reason in decision["reasons"]]
    assert codes
    assert set(codes) <= set(settings().reasons.texts)
    contributions = [reason["contribution"] for reason in decision["reasons"]]
    assert contributions == sorted(contributions, reverse=True)


def test_saved_and_loaded_goes_on_equal() -> None:
    feeder, other = Feeder(), FraudShard(settings())
    for number in range(80):
        feeder.pay(
            f"p{number}", amount=float(number), customer_id=f"c{number % 7}", merchant_id=f"m{number % 5}"
        )
        if number % 3 == 0:
            feeder.tell(f"p{number}", number % 2)
    other.load({name: bytes(blob) for name, blob in feeder.shard.save().items()})
    original, feeder_time = feeder.shard, feeder.time
    lines = []
    for shard in (original, other):
        feeder.shard, feeder.time = shard, feeder_time
        lines.append([feeder.pay(f"q{number}", customer_id=f"c{number % 7}")[1:] for number in range(20)])
    assert lines[0] == lines[1]
    assert {name: bytes(blob) for name, blob in original.save().items()} == {
        name: bytes(blob) for name, blob in other.save().items()
    }


def test_the_shape_is_what_a_state_depends_on() -> None:
    assert shape_of(settings()) == shape_of(settings("policy.block_at=0.9", "ids.memory_max=7"))
    assert shape_of(settings()) != shape_of(settings("features.highest_14d.window=7d"))
    assert shape_of(settings()) != shape_of(settings("model.name=logistic_sgd", "model.parameters={}"))


SESSIONS = {
    "entities": {"session": {"key": "session_id"}},
    "features": {"clicks": {"kind": "count", "entity": "session", "on": "click"}},
}


def test_clicks_move_the_features_of_their_session() -> None:
    shard = FraudShard(FraudSettings.model_validate(SESSIONS))

    def click(number: int, time: int) -> int:
        event = {"type": "click", "event_id": f"k{number}", "event_time": time, "session_id": "s"}
        payload = orjson.dumps(event | {"item_id": "i"})
        return shard.apply(decode_one(payload), payload, (0, 0, 1))[0]

    for number in range(5):
        assert click(number, START + number) == Kind.APPLIED
    assert click(4, START + 4) == Kind.DUPLICATE
    # The first two came before the clock had started, so that they moved nothing; a late one doesn't either.
    click(9, START - 30 * DAY)
    payload = orjson.dumps(
        {
            "type": "payment",
            "event_id": "p",
            "event_time": START + 9,
            "customer_id": "c",
            "merchant_id": "m",
            "amount": 1.0,
            "currency": "EUR",
            "session_id": "s",
        }
    )
    payment = decode_one(payload)
    assert shard.features.read(payment, START + 9)[0] == (3,)  # type: ignore[arg-type]
    assert (shard.counts["clicks_ahead"], shard.counts["clicks_late"]) == (2, 1)
    assert shard.apply(payment, payload, (0, 0, 9))[0] == Kind.DECIDED


def test_outcomes_of_blocked_payments_can_be_withheld() -> None:
    always = ("policy.review_at=0.0", "policy.block_at=0.0")
    told, withheld = Feeder(*always), Feeder(*always, "outcomes.withhold_blocked=true")
    for feeder in (told, withheld):
        before = feeder.shard.model.save()
        feeder.pay("p")
        feeder.tell("p", 1)
        assert feeder.counts["block"] >= 1
        assert (feeder.shard.model.save() == before) == (feeder is withheld)
    assert told.counts["outcomes_matched"] == withheld.counts["outcomes_withheld"] == 1
    assert withheld.counts["outcomes_matched"] == 0
    assert withheld.shard.evaluated == []
    approving = Feeder("outcomes.withhold_blocked=true")
    approving.pay("p")
    approving.tell("p", 1)
    assert approving.counts["outcomes_matched"] == 1
