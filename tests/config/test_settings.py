"""Settings are read from TOML, every mistake in them is told at once, and one meaning has one form."""

from __future__ import annotations

import pytest
from configurations import SOUND, found
from pydantic import ValidationError

from headrace.config.canonical import canonical, digest, restore
from headrace.config.conditions import Condition
from headrace.config.durations import duration_ms
from headrace.config.flow_kinds import SHIPPED_ENVIRONMENT, SHIPPED_FLOWS, shipped
from headrace.config.fraud_flow import FraudSettings
from headrace.config.loading import load
from headrace.config.references import validation_errors
from headrace.errors import ConfigError
from headrace.operators.features import FeatureSet


def test_the_shipped_file_is_sound():
    assert load(None) == load(shipped("fraud"))
    assert validation_errors(load(None)) == []


def test_the_shipped_file_shows_the_defaults():
    shipped, default = load(None), FraudSettings()
    for table in ("flow", "time", "input", "ids", "outcomes", "journal", "kafka"):
        assert getattr(shipped, table) == getattr(default, table), table


def test_declarations_are_parsed(sound):
    high = load(sound).features["high"]
    assert high.when == (Condition("ratio", ">", 4.0), Condition("amount", "<=", 1000.0))
    assert high.window_ms == 14 * 86_400_000
    assert high.panes == 14
    assert high.refers_to == ("ratio", "amount")


def test_settings_are_frozen(sound):
    with pytest.raises(ValidationError):
        load(sound).policy.block_at = 0.5


@pytest.mark.parametrize(
    ("text", "ms"), [("90s", 90_000), ("15m", 900_000), ("24h", 86_400_000), ("14d", 1_209_600_000)]
)
def test_durations(text, ms):
    assert duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "5", "1.5h", "-1d", "1 d", "1w", "\u0661d"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="unit"):
        duration_ms(text)


@pytest.mark.parametrize("window", ["1s", "59s", "0d", "41d"])
def test_windows_have_limits(tmp_path, window):
    text = SOUND.replace("336h", window)
    assert "between 1m and 40d" in found(tmp_path, text)["flow.toml: features.high.window"]


def test_every_mistake_is_reported_at_once(tmp_path):
    text = """
tim = 1
[flow]
shards = 65
[time]
allowed_lateness_day = 3
future_skew_hours_max = "x"
quorum_min = true
[entities.customer]
key = "customr_id"
[features]
Upper = { kind = "field", value = "amount" }
a = { kind = "feild", value = "amount" }
b = { value = "amount" }
c = { kind = "count", entity = "customer", when = ["a >> 4"] }
d = { kind = "count", entity = "customer", windw = "1d" }
e = { kind = "sum", entity = "customer" }
f = { kind = "count", entity = "shop", when = ["f > 1", "g > 1", "h > 1"] }
g = { kind = "count", entity = "customer" }
i = 3
[bins]
same = { of = "g", edges = [1, 1] }
lost = { of = "nowhere", edges = [1] }
[crosses]
x = { of = ["same", "lst", "lost", "lost"], code = "q" }
[policy]
review_at = 0.9
block_at = 0.1
"""
    messages = found(tmp_path, text)
    expected = {
        "tim": "unknown key; did you mean time?",
        "flow.shards": "less than or equal to 64 (is 65)",
        "time.allowed_lateness_day": "did you mean allowed_lateness_days?",
        "time.future_skew_hours_max": "number (is 'x')",
        "time.quorum_min": "integer (is true)",
        "entities.customer.key": "customer_id",
        "features.Upper": "lower-case",
        "features.a.kind": "did you mean field?",
        "features.b.kind": "is required; kinds are field, ratio",
        "features.c.when.0": "'ratio > 4' (is 'a >> 4')",
        "features.d.windw": "did you mean window?",
        "features.e.value": "is required",
        "features.f.entity": "there is no entity shop",
        "features.f.when": "there is no feature h",
        "features.i": "table",
        "bins.same.edges": "strictly increasing, but edge 2 is 1.0 after 1.0",
        "bins.lost.of": "there is no feature nowhere",
        "crosses.x.of": "twice",
        "reasons.texts.q": "is required, as crosses.x uses it",
        "policy.review_at": "at most block_at (0.1; is 0.9)",
    }
    assert messages.keys() == {f"flow.toml: {key}" for key in expected}
    for key, part in expected.items():
        assert part in messages[f"flow.toml: {key}"], key


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("high > 1", "a feature can't refer to itself"),
        ("later > 1", "later must be declared before high, as it is computed from it"),
        ("ratoi > 1", "there is no feature ratoi; did you mean ratio?"),
    ],
)
def test_features_refer_back_only(tmp_path, when, message):
    text = SOUND.replace('"ratio > 4"', f'"{when}"').replace(
        "[bins]", 'later = { kind = "count", entity = "customer" }\n[bins]'
    )
    assert found(tmp_path, text) == {"flow.toml: features.high.when": message}


def test_a_misshapen_part_is_not_reported_as_missing_too(tmp_path):
    assert found(tmp_path, SOUND, "features.ratio.over=3").keys() == {"--set: features.ratio.over"}
    assert found(tmp_path, SOUND, "features=3").keys() == {"--set: features"}
    assert found(tmp_path, SOUND, "reasons.texts=3").keys() == {"--set: reasons.texts"}
    assert found(tmp_path, SOUND, "policy.block_at='x'", "policy.review_at=0.9").keys() == {
        "--set: policy.block_at"
    }


def test_mistakes_stand_in_the_order_of_the_tables(tmp_path):
    text = "[policy]\nblock_at = 2\n[flow]\nshards = 0\n[time]\nx = 1\n"
    assert list(found(tmp_path, text)) == [
        "flow.toml: policy.block_at",
        "flow.toml: flow.shards",
        "flow.toml: time.x",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[flow", "not TOML: "),
        (b"[flow]\nshards = 1\nshards = 2\n", "not TOML: "),
        (b"\xff", "UTF-8 at byte 0"),
    ],
)
def test_a_file_that_is_no_toml(tmp_path, content, message):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        load(path, ["nokey"])
    first, second = raised.value.errors
    assert (first.file, first.key) == (str(path), "")
    assert message in first.message
    assert second.file == "--set"


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="can't be read: No such file"):
        load(tmp_path / "nothere.toml")


@pytest.mark.parametrize("number", ["nan", "inf", "-0.1", "1.1"])
def test_numbers_are_finite_and_in_range(tmp_path, number):
    assert "--set: policy.review_at" in found(tmp_path, SOUND, f"policy.review_at={number}")


def test_crosses_are_limited(tmp_path):
    message = found(tmp_path, SOUND, "model.slots_max=11")["--set: model.slots_max"]
    assert message == "is 11, but the crosses need 12"


@pytest.mark.parametrize(
    ("override", "key", "part"),
    [
        (
            "time.future_skew_hours_max=48.5",
            "time.future_skew_hours_max",
            "at most allowed_lateness_days (48.0 hours)",
        ),
        (
            "time.allowed_lateness_days=0.5",
            "time.future_skew_hours_max",
            "at most allowed_lateness_days (12.0 hours)",
        ),
        ("time.quorum_min=17", "time.quorum_alone_events", "at least quorum_min (17)"),
    ],
)
def test_limits_of_time_that_contradict_each_other(tmp_path, override, key, part):
    assert {
        name.partition(": ")[2]: part in said for name, said in found(tmp_path, SOUND, override).items()
    } == {key: True}


def test_a_fraud_share_needs_a_window(tmp_path):
    text = SOUND.replace("[bins]", 'share = { kind = "fraud_share", entity = "customer" }\n[bins]')
    assert found(tmp_path, text) == {"flow.toml: features.share.window": "is required"}


def test_legitimate_after_more_days_than_a_payment_waits(tmp_path):
    messages = found(tmp_path, SOUND, "outcomes.legitimate_after_days=31")
    assert "pending_days_max (30.0)" in messages["--set: outcomes.legitimate_after_days"]


def test_overrides_are_toml_or_else_text(sound):
    settings = load(
        sound,
        [
            "policy.block_at=0.9",
            "journal.fsync=true",
            "flow.currency=USD",
            "model.parameters.rate=0.2",
            "bins.ratio.edges=[1, 2, 3]",
            "reasons.texts.unusual=Not = usual",
            'reasons.texts.other="quoted"',
            " outcomes.legitimate_after_days = 20 ",
        ],
    )
    assert settings.policy.block_at == 0.9
    assert settings.journal.fsync is True
    assert settings.flow.currency == "USD"
    assert settings.model.parameters == {"rate": 0.2}
    assert settings.bins["ratio"].edges == (1.0, 2.0, 3.0)
    assert settings.reasons.texts == {"unusual": "Not = usual", "other": "quoted"}
    assert settings.outcomes.legitimate_after_days == 20.0


@pytest.mark.parametrize("override", ["nokey", "=3", "a b=3", "a..b=3", "a=3\nb", "a\n=3"])
def test_overrides_without_form(tmp_path, override):
    assert any(place.startswith("--set: ") for place in found(tmp_path, SOUND, override))


def test_an_override_with_a_letter_that_no_key_has(tmp_path):
    message = found(tmp_path, SOUND, "features.ünï=3")["--set: features.ünï=3"]
    assert message.startswith("'features.ünï' is no key; its parts are letters from a to z")


def test_patterns_are_told_in_words(tmp_path):
    messages = found(tmp_path, SOUND, "flow.currency=euro", "model.name='Ä'")
    assert (
        messages["--set: flow.currency"] == "must be three capital letters, as ISO 4217 has them (is 'euro')"
    )
    assert messages["--set: model.name"].startswith("must be lower-case letters, digits and underscores")


def test_an_override_below_a_value(tmp_path):
    messages = found(tmp_path, SOUND, "features.ratio.over.x=1")
    assert messages == {"--set: features.ratio.over.x": "over is a value, not a table"}


def test_canonical_form_is_one_for_one_meaning(sound, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text(
        "[policy]\nblock_at = 0.80\nreview_at = 0.3\n" + SOUND.replace("336h", "14d").replace("1e3", "1000")
    )
    assert canonical(load(other)) == canonical(load(sound))
    assert digest(load(other)) == digest(load(sound))
    assert digest(load(other, ["policy.block_at=0.81"])) != digest(load(sound))


def test_the_order_of_features_has_a_meaning(sound):
    settings = load(sound, ["features.a.kind=count", "features.a.entity=customer"])
    moved = settings.model_copy(update={"features": dict(sorted(settings.features.items()))})
    assert moved == settings
    assert canonical(moved) != canonical(settings)


def test_restore_gives_the_same_settings_again(sound):
    for settings in (load(None), load(sound), FraudSettings()):
        again = restore(canonical(settings))
        assert again == settings
        assert list(again.features) == list(settings.features)
        assert canonical(again) == canonical(settings)


def test_features_of_clicks_take_only_what_clicks_have(tmp_path):
    text = SOUND.replace(
        "[bins]",
        """clicks = { kind = "count", entity = "customer", on = "click", when = ["ratio > 1"] }
seen = { kind = "mean", entity = "customer", on = "click", value = "amount" }
items = { kind = "distinct", entity = "customer", on = "click", value = "merchant_id" }
bought = { kind = "distinct", entity = "customer", value = "item_id" }
shops = { kind = "count", entity = "shop", on = "click" }
views = { kind = "max", entity = "customer", on = "click", value = "price" }
[entities.shop]
key = "merchant_id"
[bins]""",
    )
    messages = found(tmp_path, text)
    assert set(messages) == {
        f"flow.toml: features.{place}"
        for place in ("clicks.when", "seen.value", "items.value", "bought.value", "shops.entity")
    }
    assert "price" in messages["flow.toml: features.seen.value"]
    assert "item_id" in messages["flow.toml: features.items.value"]
    assert "session_id or customer_id" in messages["flow.toml: features.shops.entity"]


def test_every_shipped_file_is_sound_and_compiles():
    files = [*SHIPPED_FLOWS.glob("*.toml"), *SHIPPED_ENVIRONMENT.parent.glob("*.toml")]
    assert len(files) == 5
    for file in files:
        settings = load(file)
        assert validation_errors(settings) == []
        if settings.flow.kind != "fraud":
            continue
        compiled = FeatureSet(settings.entities, settings.features, settings.bins, settings.crosses)
        assert (compiled.update_click is not None) == ("session" in settings.entities)
