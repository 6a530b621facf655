"""The past is decided under another configuration, and the changes are told."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from replayed_states import HIGH, LINES, LOW, THRESHOLDS, TINY, State, erased_at, made, retire
from worlds import DAY_MS, outcome, payment

from headrace.cli import app as cli
from headrace.journal.segments import first_boundary
from headrace.kinds.fraud.replay_changes import decide_again
from headrace.replay.past import Past

pytestmark = pytest.mark.integration


def scores(past: State, *overrides: str):
    directories = sorted(past.path.glob("shard-*"))
    settings = Past(directories).configurations[-1].settings
    from headrace.config.loading import lay_over

    return decide_again(Past(directories), lay_over(settings, overrides, "recorded"))


@pytest.mark.parametrize("fixture", ["plain", "shards", "segments"])
def test_the_same_configuration_changes_nothing(fixture, request, compared):
    state = request.getfixturevalue(fixture)
    said = compared(state, "--set", "journal.fsync=true")
    assert said["payments"] == said["compared"] == len(state.decisions)
    assert said["changed"]["changed"] == 0
    assert said["quality"]["average_precision"]["difference"]["value"] == 0.0
    found = scores(state).payments
    assert (found.old_score == found.new_score).all()
    expected = sorted(each["score"] for each in state.decisions)
    assert sorted(found.new_score.tolist()) == expected


def test_another_policy_gives_the_changes_that_its_thresholds_say(plain, compared):
    def action(score: float, review_at: float, block_at: float) -> int:
        return 2 if score >= block_at else 1 if score >= review_at else 0

    payments = {
        json.loads(line)["event_id"]: json.loads(line) for line in plain.source.read_bytes().splitlines()
    }
    expected, amounts = Counter(), Counter()
    for each in plain.decisions:
        cell = action(each["score"], LOW, HIGH), action(each["score"], 0.003, 0.02)
        assert ("approve", "review", "block")[cell[0]] == each["action"]
        expected[cell] += 1
        amounts[cell] += payments[each["event_id"]]["amount"]
    said = compared(plain, "--set", "policy.review_at=0.003", "--set", "policy.block_at=0.02")
    matrix = said["changed"]
    for row in range(3):
        for column in range(3):
            assert matrix["payments"][row][column] == expected[row, column]
            assert matrix["amounts"][row][column] == pytest.approx(amounts[row, column])
    assert matrix["changed"] == sum(n for (row, column), n in expected.items() if row != column) > 10
    example = said["examples"]["amount"][0]
    assert example["amount"] == payments[example["event_id"]]["amount"]
    assert example["old"]["action"] != example["new"]["action"]


def test_quality_is_that_of_the_outcomes_in_the_journal(plain, compared):
    events = [json.loads(line) for line in plain.source.read_bytes().splitlines()]
    label = {event["about"]: event["label"] for event in events if event["type"] == "outcome"}
    known = [each for each in plain.decisions if each["event_id"] in label]
    said = compared(plain, "--set", "policy.block_at=0.02")
    assert said["evaluated"] == len(known)
    assert said["frauds"] == sum(label[each["event_id"]] for each in known)
    assert said["unknown"]["stopped"] + said["unknown"]["silent"] == len(plain.decisions) - len(known)
    flagged = [each for each in known if each["action"] != "approve"]
    precision = sum(label[each["event_id"]] for each in flagged) / len(flagged)
    assert said["quality"]["precision"]["old"]["value"] == pytest.approx(precision)


OTHER_MODEL = ("model.name=logistic_ftrl", "model.parameters={alpha=0.5}")
OTHER_FEATURES = (
    'features.merchant_payments={kind="count", entity="merchant"}',
    'bins.merchant={of="merchant_payments", edges=[5, 20]}',
    'crosses.merchant={of=["merchant"], code="high_amount"}',
)


@pytest.mark.parametrize("overrides", [OTHER_MODEL, OTHER_FEATURES, ("flow.shards=1",)])
@pytest.mark.parametrize("fixture", ["plain", "shards"])
def test_it_decides_what_a_run_would_have_decided(tmp_path, fixture, request, overrides):
    """With other features or another model, or shards, decisions are those of a run from the beginning."""
    state = request.getfixturevalue(fixture)
    found = scores(state, *overrides).payments
    count = ["flow.shards=3"] if fixture == "shards" and "flow.shards=1" not in overrides else []
    options = [part for each in (*overrides, *count) for part in ("--set", each)]
    fresh = made(tmp_path / "fresh", state.source.read_bytes().splitlines(), *THRESHOLDS, *options)
    by_time = sorted((each["event_time"], each["score"], each["action"]) for each in fresh.decisions)
    names = ("approve", "review", "block")
    columns = (
        found.time_ms.tolist(),
        found.new_score.tolist(),
        [names[a] for a in found.new_action.tolist()],
    )
    assert sorted(zip(*columns, strict=True)) == by_time


def test_another_currency_makes_dead_letters_of_all(plain, compared):
    said = compared(plain, "--set", "flow.currency=USD")
    assert said["payments"] == 0
    assert said["not_comparable"]["old_only"] == {"other_currency": len(plain.decisions)}


def test_an_erased_record_is_not_comparable(plain, copied, compared):
    state = copied(plain)
    erased_at(state, 20)
    said = compared(state, "--set", "policy.block_at=0.02")
    assert said["not_comparable"]["erased_decisions"] == 1
    assert said["payments"] == len(plain.decisions) - 1


def test_it_begins_with_the_oldest_input_that_is_kept(segments, copied, compared):
    state = copied(segments)
    retire(state, 2)
    first = first_boundary(state.shard).ordinal
    said = compared(state, "--set", "policy.block_at=0.02")
    assert (said["ordinal_first"], said["ordinal_next"]) == (first, LINES)
    assert said["inputs"] == LINES - first
    assert said["old"][0]["ordinal"] == first


def test_outcomes_that_the_configuration_of_the_time_withheld_are_not_used(tmp_path, compared):
    lines = [payment(number) for number in range(40)]
    lines += [outcome(number, after_ms=DAY_MS) for number in range(40)]
    # One that is blocked comes behind its outcome.
    lines.insert(30, outcome(40, after_ms=0))
    lines.insert(31, payment(40, amount=400.0))
    rule = (
        'policy.rules.high={when="amount > 300", action="block", code="high_amount"}',
        "outcomes.withhold_blocked=true",
    )
    state = made(tmp_path, lines, *(part for each in rule for part in ("--set", each)))
    blocked = sum(each["action"] == "block" for each in state.decisions)
    assert blocked > 3
    said = compared(state, "--set", "outcomes.withhold_blocked=false", "--set", "policy.rules={}")
    assert said["not_comparable"]["withheld"] == blocked
    assert (said["unknown"]["stopped"], said["evaluated"]) == (blocked, 41 - blocked)
    assert said["counts"]["outcomes_matched"] == 41 - blocked
    assert said["if_fraud"]["precision"]["old"]["value"] == 1.0
    assert said["if_legitimate"]["precision"]["old"]["value"] == 0.0


def test_a_list_is_as_journalled_or_as_its_new_file_says(tmp_path, compared):
    file, other = tmp_path / "stolen.txt", tmp_path / "other.txt"
    file.write_text("m1\n")
    other.write_text("m2\n")
    listed = f'policy.lists.stolen={{file="{file}", key="merchant_id", action="block", code="high_amount"}}'
    state = made(tmp_path / "made", [payment(number) for number in range(30)], "--set", listed)
    assert sum(each["action"] == "block" for each in state.decisions) == 10
    file.unlink()
    same = compared(state, "--set", "journal.fsync=true")
    assert (same["changed"]["changed"], same["commands"]["commands"]) == (0, 1)
    said = compared(state, "--set", f"policy.lists.stolen.file={other}")
    assert said["changed"]["payments"] == [[10, 0, 10], [0, 0, 0], [10, 0, 0]]
    assert said["commands"] == {"commands": 0, "commands_refused": 0, "lists_left_out": 1}


def test_shadow_mode_is_compared_by_what_would_have_been_done(plain, compared):
    said = compared(plain, "--set", "policy.shadow=true")
    assert said["new_shadow"] is True
    assert said["changed"]["changed"] == 0


def test_no_learning_leaves_the_scores_as_they_begin(plain, compared):
    said = compared(plain, "--no-learn")
    assert said["changed"] == compared(plain, "--set", "journal.fsync=true", "--no-learn")["changed"]
    new = said["examples"]["score"]
    assert [each["new"]["score"] for each in new] == pytest.approx([0.01] * 10)


def test_a_page_is_written_and_what_is_told_is_in_it(plain, replay, tmp_path):
    page = tmp_path / "report.html"
    ended = replay(plain, *TINY, "--set", "policy.block_at=0.02", "--html", page)
    assert ended.code == 0, ended.err
    said = ended.out.replace("\n", " ")
    assert "decided otherwise" in said
    text = page.read_text()
    assert text.startswith("<!doctype html>")
    assert "Decisions changed" in text
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_configuration_file_is_laid_over_nothing_recorded(plain, compared, tmp_path):
    config = tmp_path / "mine.toml"
    config.write_bytes((Path(cli.__file__).parents[3] / "flows" / "fraud.toml").read_bytes())
    said = compared(plain, "--config", config)
    assert said["changed"]["payments"][0][1] == said["changed"]["payments"][0][2] == 0
    assert said["changed"]["changed"] > 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "give either --verify, or what is to be other: --config, --set, --no-learn"),
        (("--verify", "--set", "policy.block_at=0.9"), "give either --verify, or what is to be other"),
        (("--verify", "--no-learn"), "give either --verify, or what is to be other"),
        (
            ("--set", "policy.block_at=0.9", "--html", "{state}/report.html"),
            "must not be in the state's folder",
        ),
        (("--set", "policy.block_at=0.9", "--warm-up-days", "-1"), "--warm-up-days"),
        (("--set", "policy.block_at=0.9", "--review-cost", "nan"), "--review-cost"),
        (("--set", "policy.block_at=0.9", "--fraud-loss-share", "11"), "--fraud-loss-share"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused(plain, replay, arguments, why):
    ended = replay(plain, *(each.format(state=plain.path) for each in arguments))
    assert ended.code == 2
    assert why in " ".join(ended.err.replace("│", " ").split())


def test_mistakes_in_the_configuration_are_told_all_at_once(plain, replay):
    ended = replay(plain, "--set", "policy.block_at=2", "--set", "model.name=nothing")
    assert ended.code == 2
    assert "--set: policy.block_at" in ended.err
    assert "--set: model.name" in ended.err


def test_there_must_be_a_state(replay, tmp_path):
    nothing = State(tmp_path / "nothing", tmp_path, tmp_path)
    assert replay(nothing, "--verify").code == 6
    assert replay(nothing, "--set", "policy.block_at=0.9").code == 6
