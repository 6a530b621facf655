"""What a run with another configuration says of the difference."""

from __future__ import annotations

from headrace.config.loading import load
from headrace.journal.provenance import Provenance, changes, provenance_now
from headrace.operators.policy.lists import changed_lists, list_content


def of(*overrides: str, learn: bool = True) -> Provenance:
    return provenance_now(load(None, overrides), learn=learn)


def test_the_same_is_no_change():
    assert changes([None, of(), of()], of()) == []


def test_each_key_path_with_both_values_once_for_all_shards():
    now = of("policy.block_at=0.9", "ids.memory_days_max=5", learn=False)
    before = of("policy.block_at=0.8")
    assert changes([before, before, None], now) == [
        "ids.memory_days_max: 10.0 → 5.0",
        "policy.block_at: 0.8 → 0.9",
        "learning (--learn): true → false",
    ]
    assert changes([before, of("policy.block_at=0.7")], of("policy.block_at=0.9")) == [
        "policy.block_at: 0.8 → 0.9",
        "policy.block_at: 0.7 → 0.9",
    ]


def test_other_code_and_another_machine_are_told():
    before = of()._replace(code="0.0.1", platform=None)
    now = of()
    assert changes([before], now) == [
        f"version of Headrace: 0.0.1 → {now.code}",
        f"Python, machine and C library: not set → {now.platform}",
    ]


def test_what_is_new_and_what_is_gone():
    rule = 'policy.rules.first={ when = "amount > 10", action = "block", code = "high_amount" }'
    (said,) = changes([of()], of(rule))
    assert said.startswith("policy.rules.first: not set → {")
    (said,) = changes([of(rule)], of())
    assert said.startswith("policy.rules.first: {")
    assert said.endswith(" → not set")


def test_another_order_of_rules_is_a_change():
    first = 'policy.rules.first={ when = "amount > 10", action = "block", code = "high_amount" }'
    second = 'policy.rules.second={ when = "amount > 20", action = "review", code = "high_amount" }'
    assert changes([of(first, second)], of(second, first)) == [
        'policy.rules: ["first","second"] → ["second","first"]'
    ]


def test_which_variable_holds_a_password_is_not_shown_and_long_values_are_cut():
    secured = (
        'kafka.security="sasl_ssl"',
        'kafka.sasl_mechanism="PLAIN"',
        'kafka.user="u"',
        'kafka.password_env="A_B"',
    )
    other = (*secured[:3], 'kafka.password_env="C_D"', f'reasons.texts.high_amount="{"x" * 300}"')
    said = changes([of(*secured)], of(*other))
    assert said[0] == "kafka.password_env: changed (not shown)"
    assert said[1].startswith("reasons.texts.high_amount: ")
    assert said[1].endswith("xxx…")
    assert len(said[1]) < 400


def test_a_list_whose_file_has_another_content_is_told_with_its_digests():
    old, new = list_content(["a"]), list_content(["a", "b"])
    read = [("blocked", new), ("same", old), ("first", new)]
    digests = {"blocked": old.digest, "same": old.digest}
    (said,) = changed_lists(read, digests)
    assert said.startswith(f"list blocked: digest changed: {old.digest[:12]} → {new.digest[:12]}")
    assert changed_lists(read, digests, {"blocked"}) == []
