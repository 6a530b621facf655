"""Whatever raises while an input is computed leaves the state as it was; the input is a dead letter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import orjson
import pytest

from headrace.config.fraud_flow import FraudSettings
from headrace.config.loading import load
from headrace.config.recommend_flow import RecommendSettings
from headrace.journal.records import Kind
from headrace.kinds.fraud import machine as fraud
from headrace.kinds.fraud.machine import FraudShard
from headrace.kinds.recommend.machine import RecommendShard
from headrace.operators.decisions.scoring_compiled import CompiledScorer
from headrace.operators.events.decode import decode_one
from headrace.operators.models import rivers
from headrace.operators.models.fused import LogisticAdaGrad
from headrace.shard import base
from headrace.shard.commands import KillSwitch

START, MINUTE, HOUR, DAY = 1_600_000_000_000, 60_000, 3_600_000, 86_400_000
MODELS = ("logistic_adagrad", "river_logistic_sgd", "river_half_space_trees")


class Broken(Exception):
    """What nobody expects."""


class Faults:
    """Lets models raise while they learn, after having learned a part."""

    def __init__(self) -> None:
        self.left = 0

    def strike(self, _model: object) -> None:
        if self.left:
            self.left -= 1
            raise Broken("at 0x7f32a0\n\x1b[2J")


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    faults = Faults()
    _break(monkeypatch, LogisticAdaGrad, lambda model, learn, *given: (faults.strike(model), learn(*given)))
    _break(monkeypatch, CompiledScorer, lambda scorer, learn, *given: (faults.strike(scorer), learn(*given)))
    for model in (rivers.RiverLogisticSgd, rivers.RiverHalfSpaceTrees):
        _break(monkeypatch, model, lambda model, learn, *given: (learn(*given), faults.strike(model)))
    return faults


def _break(patch: pytest.MonkeyPatch, model: type, how: Callable[..., object]) -> None:
    learn = model.learn
    patch.setattr(model, "learn", lambda self, *given: how(self, lambda *all_: learn(self, *all_), *given))


def fraud_settings(model: str, *overrides: str) -> FraudSettings:
    if model != "logistic_adagrad":
        overrides = (*overrides, f"model.name={model}", "model.parameters={}")
    if model == "river_half_space_trees":
        overrides = (*overrides, "model.parameters={n_models=2,height=3,window=5}")
    return load(None, overrides)


class Shop:
    """A fraud shard, fed with events by keywords."""

    def __init__(self, model: str, *overrides: str) -> None:
        self.shard = FraudShard(fraud_settings(model, *overrides))
        self.time = START
        self.lines: list[bytes] = []
        for number in range(40):
            self.pay(f"p{number}", customer_id=f"c{number % 5}")
            self.tell(f"p{number}", int(number % 7 == 6))

    def feed(self, **fields: Any) -> tuple[int, bytes, bytes]:
        fields = {"event_time": self.time, **fields}
        payload = orjson.dumps(fields)
        output = self.shard.apply(decode_one(payload), payload, (0, 0, 1))
        self.lines.append(output[1])
        return output

    def pay(self, event_id: str, **fields: Any) -> tuple[int, bytes, bytes]:
        self.time += MINUTE
        event = {"customer_id": "c", "merchant_id": "m", "amount": 10.0, "currency": "EUR", **fields}
        return self.feed(type="payment", event_id=event_id, **event)

    def tell(self, about: str, label: int, **fields: Any) -> tuple[int, bytes, bytes]:
        self.time += MINUTE
        return self.feed(
            type="outcome", event_id=f"o-{about}-{self.time}", about=about, label=label, **fields
        )


def state_of(shard: FraudShard | RecommendShard) -> dict[str, Any]:
    """What is saved, but for the counts of dead letters; a model as it comes back from what it saved."""
    saved: dict[str, Any] = {name: bytes(blob) for name, blob in shard.save().items()}
    head = msgspec.msgpack.decode(saved["head"])
    head["counts"] = {name: count for name, count in head["counts"].items() if not name.startswith("dead_")}
    saved["head"] = head
    if isinstance(shard, FraudShard) and shard.settings.model.name.startswith("river_"):
        twin = FraudShard(shard.settings)
        twin.model.load(saved["model"])
        saved["model"] = twin.model.save()
    return saved


def letter_of(output: tuple[int, bytes, bytes]) -> dict[str, Any]:
    assert output[0] == Kind.DEAD
    assert not output[2]
    letter: dict[str, Any] = orjson.loads(output[1])
    return letter


@pytest.mark.parametrize("model", MODELS)
class TestLearning:
    def test_an_outcome_that_can_not_be_learned_is_a_dead_letter_and_nothing_more(self, model, faults):
        shop = Shop(model)
        shop.pay("late")
        before, evaluated = state_of(shop.shard), list(shop.shard.evaluated)
        faults.left = 1
        letter = letter_of(shop.tell("late", 0))
        assert letter["reason"] == "internal_error"
        assert letter["message"] == r"Broken: at 0x\n\x1b[2J"
        assert state_of(shop.shard) == before
        assert shop.shard.evaluated == evaluated
        assert shop.shard.counts["dead_internal_error"] == 1

    def test_nor_is_a_correction(self, model, faults):
        shop = Shop(model)
        before = state_of(shop.shard)
        faults.left = 1
        # What half-space trees learn from is legitimate: a fraud taken back.
        assert letter_of(shop.tell("p6", 0))["reason"] == "internal_error"
        assert state_of(shop.shard) == before

    def test_what_follows_is_decided_as_if_it_had_not_come(self, model, faults):
        struck, spared = Shop(model), Shop(model)
        for each in (struck, spared):
            for number in range(30):
                each.pay(f"q{number}", customer_id=f"c{number % 3}", amount=10.0 + number)
                if each is struck:
                    faults.left = 1
                    each.tell(f"q{number}", 0)
                    each.lines.pop()
                    each.time -= MINUTE
                each.tell(f"q{number}", int(number % 4 == 3))
        assert struck.lines == spared.lines
        assert state_of(struck.shard) == state_of(spared.shard)

    def test_an_early_outcome_spoils_no_payment(self, model, faults):
        struck, spared = Shop(model), Shop(model)
        for shop in (struck, spared):
            shop.tell("early", 0) if shop is struck else shop.tell("nobody", 0)
            faults.left = int(shop is struck)
            assert shop.pay("early")[0] == Kind.DECIDED
        same_but_for_the_outcome(struck, spared, "early")

    def test_a_held_outcome_spoils_no_input_that_moves_the_clock_on(self, model, faults):
        struck, spared = Shop(model), Shop(model)
        for shop in (struck, spared):
            shop.pay("held")
            ahead = {"event_time": shop.time + 25 * HOUR}
            shop.tell("held", 0, **ahead) if shop is struck else shop.tell("nobody", 0, **ahead)
            shop.time += 13 * HOUR
            shop.pay("between")
            faults.left = int(shop is struck)
            shop.time += 13 * HOUR
            assert shop.pay("reaches")[0] == Kind.DECIDED
            faults.left = 0
        same_but_for_the_outcome(struck, spared, "held")

    def test_an_assumed_outcome_spoils_nothing_either(self, model, faults):
        shop = Shop(model, "outcomes.legitimate_after_days=1")
        for number in range(40):
            shop.pay(f"r{number}", customer_id=f"c{number % 4}")
        for day in range(1, 4):
            shop.time += 12 * HOUR
            faults.left = 2 * (day == 3)
            for number in range(16):
                assert shop.pay(f"d{day}-{number}")[0] == Kind.DECIDED
        failed = shop.shard.counts["outcomes_not_learned"]
        assert failed == (
            2 if model == "logistic_adagrad" else 1
        )  # others meet the second one as they learn again
        assert shop.shard.counts["outcomes_assumed"] > 20
        unlabelled = [number for number in range(40) if not shop.shard.pending.row(f"r{number}").label]
        assert len(unlabelled) == failed


def same_but_for_the_outcome(struck: Shop, spared: Shop, about: str) -> None:
    """Both decided the same; the outcome has left nothing but its id, and that it could not be learned."""
    assert [line for line in struck.lines if line] == [line for line in spared.lines if line]
    assert struck.shard.counts["outcomes_not_learned"] == 1
    assert struck.shard.pending.row(about).label == 0
    one, other = state_of(struck.shard), state_of(spared.shard)
    for name in ("head", "early", "ids/outcome"):
        one.pop(name)
        other.pop(name)
    assert one == other


class TestComputing:
    @pytest.mark.parametrize("error", [KeyError("k"), RuntimeError(""), RecursionError("deep"), TypeError(1)])
    def test_a_payment_may_raise_anything(self, monkeypatch, error):
        shop = Shop("logistic_adagrad")
        before = state_of(shop.shard)

        def fail(*_given: object) -> float:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(shop.shard.policy, "decide", fail)
            letter = letter_of(shop.pay("p", event_time=shop.time + HOUR))
        assert letter["reason"] == "internal_error"
        assert letter["message"].startswith(type(error).__name__)
        assert state_of(shop.shard) == before

    def test_reasons_are_counted_with_the_decision_only(self, monkeypatch):
        shop = Shop("logistic_adagrad", "policy.review_at=0.0", "policy.block_at=0.0")
        before = state_of(shop.shard)

        def fail(*_given: object) -> bytes:
            raise Broken

        with monkeypatch.context() as patch:
            patch.setattr(fraud, "dumps", fail)
            letter_of(shop.pay("p"))
        assert state_of(shop.shard) == before

    @pytest.mark.parametrize("kind", ["payment", "outcome", "click"])
    def test_so_may_a_digest(self, monkeypatch, kind):
        shop = Shop("logistic_adagrad")
        before = state_of(shop.shard)

        def fail(_event: object) -> int:
            raise OverflowError("too large")

        fields = {"about": "x", "label": 1, "session_id": "s", "item_id": "i", "customer_id": "c"}
        with monkeypatch.context() as patch:
            for module in (fraud, base):
                patch.setattr(module, "canonical_digest", fail)
            more = {"merchant_id": "m", "amount": 1.0, "currency": "EUR"}
            letter = letter_of(shop.feed(type=kind, event_id="e", **fields, **more))
        assert (letter["reason"], letter["message"]) == ("internal_error", "OverflowError: too large")
        assert state_of(shop.shard) == before

    def test_so_may_a_command(self, monkeypatch):
        shop = Shop("logistic_adagrad")
        before, decide = state_of(shop.shard), shop.shard.policy.decide

        def fail() -> None:
            raise Broken

        with monkeypatch.context() as patch:
            patch.setattr(shop.shard.policy, "_path", fail)
            letter = letter_of(shop.shard.command(KillSwitch(on=True), b"{}", (0, 0, 1)))
        assert letter["reason"] == "internal_error"
        assert state_of(shop.shard) == before
        assert shop.shard.policy.decide is decide

    def test_memory_that_runs_out_says_nothing_of_the_input(self, monkeypatch):
        shop = Shop("logistic_adagrad")

        def fail(*_given: object) -> float:
            raise MemoryError

        monkeypatch.setattr(shop.shard.policy, "decide", fail)
        with pytest.raises(MemoryError):
            shop.pay("p")


class Visit:
    """A recommend shard with a model in the ranker's place, and its clicks."""

    def __init__(self, model: str, overdue: str = "trending") -> None:
        parameters = {"n_models": 2, "height": 3, "window": 5} if "trees" in model else {}
        tables = {"ranker": {"name": model, "parameters": parameters}, "policy": {"overdue": overdue}}
        self.shard = RecommendShard(RecommendSettings.model_validate(tables))
        self.number = 0
        self.lines: list[bytes] = []
        for session in range(12):
            for item in "abcd"[session % 2 :]:
                self.click(f"s{session}", item)

    def click(self, session: str, item: str, kind: str = "click", **more: object) -> tuple[int, bytes, bytes]:
        self.number += 1
        fields = {"type": kind, "event_id": f"e{self.number}", "event_time": START + self.number * 1000}
        payload = orjson.dumps(fields | {"session_id": session, "item_id": item} | more)
        output = self.shard.apply(decode_one(payload), payload, (0, 0, 1))
        self.lines.append(output[1])
        return output


def ranked_state(visit: Visit) -> dict[str, Any]:
    saved = state_of(visit.shard)
    ranker = visit.shard.engine._pointwise
    if visit.shard.settings.ranker.name.startswith("river_"):
        twin = Visit.__new__(Visit)
        twin.shard = RecommendShard(visit.shard.settings)
        twin.shard.engine._pointwise.load(ranker.model.save())
        saved["engine/ranker"] = twin.shard.engine._pointwise.model.save()
    return saved


@pytest.mark.parametrize("model", MODELS)
class TestRanking:
    @pytest.mark.parametrize("nth", [1, 3])
    def test_a_click_that_can_not_be_learned_is_a_dead_letter_and_nothing_more(self, model, faults, nth):
        visit = Visit(model)
        visit.click("t", "a")
        before, evaluated = ranked_state(visit), list(visit.shard.evaluated)
        learned = iter([0] * (nth - 1))
        strike = faults.strike
        faults.strike = lambda each: next(learned, None) is None and strike(each)
        faults.left = 1
        output = visit.click("t", "b")
        if "trees" in model and output[0] == Kind.DECIDED:
            return  # trees don't learn from what was clicked, and there was nothing else
        assert letter_of(output)["reason"] == "internal_error"
        assert ranked_state(visit) == before
        assert visit.shard.evaluated == evaluated
        assert visit.click("t", "b")[0] == Kind.DECIDED

    def test_what_follows_is_decided_as_if_it_had_not_come(self, model, faults):
        struck, spared = Visit(model), Visit(model)
        for visit in (struck, spared):
            for session in range(8):
                for item in "bcda":
                    if visit is struck:
                        faults.left = 1
                        if visit.click(f"u{session}", item)[0] == Kind.DEAD:
                            visit.lines.pop()
                            visit.number -= 1
                            faults.left = 0
                            visit.click(f"u{session}", item)
                        faults.left = 0
                    else:
                        visit.click(f"u{session}", item)
        assert struck.lines == spared.lines
        assert ranked_state(struck) == ranked_state(spared)


def test_a_click_whose_list_can_not_be_ranked_gets_what_an_overdue_one_gets(monkeypatch):
    visit = Visit("river_logistic_sgd")

    def fail(*_given: object) -> float:
        raise Broken

    with monkeypatch.context() as patch:
        patch.setattr(rivers.RiverLogisticSgd, "score", fail)
        kind, line, _ = visit.click("t", "a")
    decision = orjson.loads(line)
    assert kind == Kind.DECIDED
    assert decision["policy"] == "ranker_failed"
    assert [each["source"] for each in decision["items"]] == ["trending"] * 3
    assert visit.shard.counts["lists_not_ranked"] == 1
    assert visit.click("t", "b")[0] == Kind.DECIDED
    visit.shard.load({name: bytes(blob) for name, blob in visit.shard.save().items()})


@pytest.mark.parametrize("fallback", ["trending", "nothing"])
@pytest.mark.parametrize("model", ["river_logistic_sgd", "logistic_adagrad"])
def test_a_list_that_can_not_be_ranked_leaves_the_ranker_as_it_was(monkeypatch, model, fallback):
    """D-INPUT-4."""
    visit = Visit(model, overdue=fallback)
    ranker, before = visit.shard.engine._pointwise.model, ranked_state(visit)["engine/ranker"]
    assert not_ranked(visit.shard) == (0, 0)
    scored = iter([0.5])

    def fail_at_the_second(*_given: object) -> float:
        for score in scored:
            return score
        raise Broken

    with monkeypatch.context() as patch:
        patch.setattr(type(ranker), "score", fail_at_the_second)
        kind, line, _ = visit.click("s0", "a")
    decision = orjson.loads(line)
    assert (kind, decision["policy"]) == (Kind.DECIDED, "ranker_failed")
    empty = fallback == "nothing"
    told = [{"code": "ranker_failed", "contribution": None}] if empty else []
    assert (decision["action"], decision["reasons"]) == ("none" if empty else "recommend", told)
    assert not_ranked(visit.shard) == (1, int(empty))
    # It learned from the click, by the list before; a twin that could rank has learned the same.
    twin = Visit(model, overdue=fallback)
    twin.click("s0", "a")
    learned = ranked_state(visit)["engine/ranker"]
    assert learned == ranked_state(twin)["engine/ranker"] != before
    visit.click("s0", "b")  # no list of the ranker's own stands before this one
    assert ranked_state(visit)["engine/ranker"] == learned
    assert not_ranked(visit.shard) == (1, int(empty))


def not_ranked(shard: RecommendShard) -> tuple[int, int]:
    return shard.counts["lists_not_ranked"], shard.counts["empty_ranker_failed"]


@pytest.mark.parametrize("kind", ["click", "cart", "order", "item"])
def test_a_digest_may_raise_in_the_recommend_flow_too(monkeypatch, kind):
    visit = Visit("logistic_adagrad")
    before = ranked_state(visit)

    def fail(_event: object) -> int:
        raise OverflowError("too large")

    monkeypatch.setattr(base, "canonical_digest", fail)
    more = {"order_id": "o", "customer_id": "c", "items": []}
    output = visit.click("s1", "a", kind, **more)
    assert letter_of(output)["reason"] == "internal_error"
    assert ranked_state(visit) == before


class Wild:
    """An estimator that says no number, whatever it is asked."""

    weights: dict[int, float] = {}  # noqa: RUF012

    def predict_proba_one(self, _given: object) -> dict[bool, float]:
        return {True: float("nan"), False: float("nan")}

    def score_one(self, _given: object) -> float:
        return float("nan")


@pytest.mark.parametrize(
    "model", ["river_logistic_sgd", "river_hoeffding_adaptive_tree", "river_half_space_trees"]
)
def test_a_score_that_is_no_number_is_no_decision(model):
    shop = Shop(model)
    shop.shard.model.estimator = Wild()
    letter = letter_of(shop.pay("wild"))
    assert (letter["reason"], letter["message"]) == ("unfit", "no score: the model says nan")
