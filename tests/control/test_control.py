"""Commands, the folder they are put into, and dead letters as they are chosen and shown."""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path

import pytest

from headrace.control.dead_letters import Letter, Wanted, letters_in_file, payload_shown, portions
from headrace.control.inbox import ControlInbox, ControlLimits, put, summary_of
from headrace.errors import InputError, StateError
from headrace.operators.events.contract import DeadLetter
from headrace.operators.events.oversized import encode_dead_letter
from headrace.shard.commands import (
    KillSwitch,
    ReloadList,
    Retry,
    decode_command,
    encode_command,
    payload_of,
    retry_of,
)

LIMITS = ControlLimits(poll_seconds=1.0, file_bytes_max=2048, files_max=4)
ON, OFF = KillSwitch(on=True), KillSwitch(on=False)
OF_ONE = KillSwitch(on=True, decision="fraud")


def dead(number: int, payload: bytes, reason: str = "invalid_json", source: str = "/in/a.jsonl") -> Letter:
    encoded = base64.b64encode(payload).decode()
    letter = DeadLetter(
        reason=reason,
        message="wrong",
        field=None,
        source=source,
        offset=number * 10,
        line=number,
        payload_base64=encoded,
    )
    return Letter(number, letter)


class TestCommands:
    @pytest.mark.parametrize(
        "command",
        [
            ON,
            OF_ONE,
            ReloadList(name="a", entries=("x", "y"), digest="0" * 64),
            retry_of(b'\xff{"', "/in", 3, 1),
        ],
    )
    def test_a_command_comes_back(self, command):
        line = encode_command(command)
        assert b"\n" not in line
        assert json.loads(line)["type"] == "control"
        assert decode_command(line) == command

    @pytest.mark.parametrize(
        "line",
        [
            b"",
            b"{}",
            b"\xff",
            b'{"type":"control","command":"kill_switch"}',
            b'{"type":"control","command":"kill_switch","on":1}',
            b'{"type":"control","command":"kill_switch","on":true,"until":5}',
            b'{"type":"control","command":"erase"}',
            b'{"type":"payment","command":"kill_switch","on":true}',
            encode_command(Retry(payload_base64="%%", source="", offset=0, line=0)),
            encode_command(retry_of(b"two\nlines", "", 0, 0)),
        ],
    )
    def test_anything_else_is_refused(self, line):
        with pytest.raises(ValueError, match="no command"):
            decode_command(line)

    def test_a_switch_for_all_is_written_without_a_decision(self):
        assert encode_command(ON) == b'{"command":"kill_switch","on":true,"type":"control"}'
        one = b'{"command":"kill_switch","on":true,"decision":"fraud","type":"control"}'
        assert encode_command(OF_ONE) == one

    def test_a_retry_brings_its_bytes(self):
        assert payload_of(retry_of(b"\x00\xff", "", 0, 0)) == b"\x00\xff"

    def test_the_summary_counts(self):
        retries = [retry_of(b"x", "", 0, 0)] * 3
        said = summary_of([ON, *retries, OF_ONE, ReloadList(name="vip", entries=("a",), digest="")])
        assert said == (
            "kill switch on, retry of a dead letter (3 times), kill switch of fraud on,"
            " list vip with 1 entries"
        )


class TestFolder:
    def test_numbers_rise_above_what_waits_and_what_was_taken(self, tmp_path):
        names = [put(tmp_path, [ON], LIMITS, lambda: 0).name, put(tmp_path, [OFF], LIMITS, lambda: 0).name]
        assert names == ["000000000001.jsonl", "000000000002.jsonl"]
        for name in names:
            (tmp_path / name).unlink()
        assert put(tmp_path, [ON], LIMITS, lambda: 2).name == "000000000003.jsonl"

    def test_many_senders_at_once_get_a_number_each(self, tmp_path):
        limits = LIMITS._replace(files_max=1000)
        senders = [
            threading.Thread(target=lambda: [put(tmp_path, [ON], limits, lambda: 0) for _ in range(10)])
            for _ in range(6)
        ]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        assert ControlInbox(tmp_path, limits).waiting() == list(range(1, 61))

    def test_what_is_too_long_or_too_much_is_refused(self, tmp_path):
        with pytest.raises(StateError, match="the limit is 2048"):
            put(tmp_path, [ON] * 100, LIMITS, lambda: 0)
        for _ in range(4):
            put(tmp_path, [ON], LIMITS, lambda: 0)
        with pytest.raises(StateError, match="4 files are waiting"):
            put(tmp_path, [ON], LIMITS, lambda: 0)
        assert len(list(tmp_path.glob("*.jsonl"))) == 4
        assert list(tmp_path.glob("*.tmp")) == []

    def test_the_inbox_passes_what_was_taken_and_moves_aside_what_is_no_use(self, tmp_path):
        for commands in ([ON], [OFF], [ON, OFF]):
            put(tmp_path, commands, LIMITS, lambda: 0)
        (tmp_path / "000000000002.jsonl").write_bytes(b"{}\n")
        (tmp_path / "other.txt").write_bytes(b"left alone")
        inbox = ControlInbox(tmp_path, LIMITS, taken=1)
        file = inbox.next_file()
        assert file is not None
        assert (file.number, list(file.commands), inbox.refused) == (3, [ON, OFF], 1)
        assert (tmp_path / "refused" / "000000000002.jsonl").exists()
        inbox.clear()
        assert sorted(path.name for path in tmp_path.glob("*.*")) == ["000000000003.jsonl", "other.txt"]

    def test_no_more_refused_files_are_kept_than_may_wait(self, tmp_path):
        for number in range(1, 8):
            (tmp_path / f"{number:012d}.jsonl").write_bytes(b"{}\n")
        assert ControlInbox(tmp_path, LIMITS).next_file() is None
        assert len(list((tmp_path / "refused").iterdir())) == 4

    def test_a_file_that_is_longer_than_the_flow_takes_is_refused(self, tmp_path):
        path = put(tmp_path, [ON] * 20, LIMITS, lambda: 0)
        inbox = ControlInbox(tmp_path, LIMITS._replace(file_bytes_max=100))
        assert inbox.next_file() is None
        assert not path.exists()


class TestLetters:
    def test_a_file_is_read_up_to_a_line_in_the_making(self, tmp_path):
        path = tmp_path / "dead.jsonl"
        lines = [encode_dead_letter(dead(number, b"{").letter) for number in (1, 2)]
        path.write_bytes(lines[0] + b" " * 40 + b"\n" + lines[1] + lines[0][:30])
        assert [each.number for each in letters_in_file(path)] == [1, 3]
        path.write_bytes(lines[0] + b'{"decision_id":"fraud:p1"}\n')
        with pytest.raises(InputError, match="line 2: no dead letter"):
            list(letters_in_file(path))
        with pytest.raises(InputError, match="can't be read"):
            list(letters_in_file(Path(tmp_path / "nothing")))

    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            (Wanted(), [1, 2, 3]),
            (Wanted(reasons=("unfit", "invalid_json")), [1, 3]),
            (Wanted(source="b.jsonl"), [2]),
            (Wanted(offset=30), [3]),
            (Wanted(numbers=(3, 1)), [1, 3]),
            (Wanted(event_id="p3"), [3]),
            (Wanted(event_id="p3", reasons=("unfit",)), []),
        ],
    )
    def test_letters_are_chosen(self, wanted, found):
        letters = [
            dead(1, b"{"),
            dead(2, b"[1]", "invalid_field", "/in/b.jsonl"),
            dead(3, b'{"event_id":"p3"}'),
        ]
        assert [each.number for each in letters if wanted.fits(each)] == found

    @pytest.mark.parametrize(
        ("payload", "shown"),
        [
            (b'{"a":1}', '{\n  "a": 1\n}'),
            (b'{"a":', '{"a":'),
            ("käse".encode(), "käse"),
            (b"\x00\xffab", f"00000000  {'00 ff 61 62':<48} ..ab"),
            (b"tab\t", f"00000000  {'74 61 62 09':<48} tab."),
            (b"", ""),
        ],
    )
    def test_bytes_are_shown_to_a_person(self, payload, shown):
        assert payload_shown(payload) == shown

    def test_portions_fit_into_files_and_lose_nothing(self):
        letters = [dead(number, b"x" * number) for number in range(1, 1200)]
        cut = list(portions(letters, None, 20_000))
        assert [payload_of(retry) for some in cut for retry in some] == [each.payload for each in letters]
        assert max(sum(len(encode_command(retry)) + 1 for retry in some) for some in cut) <= 20_000
        assert max(map(len, cut)) <= 512
        assert len(cut) < 60
        [[mended]] = portions(letters[:1], b"mended", 20_000)
        assert (payload_of(mended), mended.source, mended.line) == (b"mended", "/in/a.jsonl", 1)
