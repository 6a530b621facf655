"""Dead letters that are cut: the head, the length and the digest of a payload too large to send."""

from __future__ import annotations

import base64
import json
from hashlib import sha256

import pytest

from headrace.operators.events.contract import DeadLetter
from headrace.operators.events.oversized import CutLine, cut_dead_letter, encode_dead_letter


def letter_of(payload: bytes, message: str = "wrong") -> DeadLetter:
    return DeadLetter(
        reason="line_too_long",
        message=message,
        field=None,
        source="kafka:events/3",
        offset=7,
        line=8,
        payload_base64=base64.b64encode(payload).decode(),
    )


class TestCutDeadLetter:
    def test_a_line_that_fits_stays_as_it_is(self):
        line = encode_dead_letter(letter_of(b"x" * 3000))
        assert b"payload_bytes" not in line
        assert b"payload_sha256" not in line
        assert cut_dead_letter(line, len(line)) is line

    @pytest.mark.parametrize("limit", [1500, 1501, 1502, 1503, 5000, 99_999])
    def test_a_longer_one_has_head_length_and_digest(self, limit):
        payload = bytes(range(256)) * 400
        line = cut_dead_letter(encode_dead_letter(letter_of(payload)), limit)
        assert limit - 8 < len(line) <= limit
        fields = json.loads(line)
        head = base64.b64decode(fields["payload_base64"])
        assert head == payload[: len(head)]
        assert fields["payload_bytes"] == len(payload)
        assert fields["payload_sha256"] == sha256(payload).hexdigest()
        assert {**fields, "payload_base64": "", "payload_bytes": 0, "payload_sha256": ""} == {
            **json.loads(encode_dead_letter(letter_of(b""))),
            "payload_bytes": 0,
            "payload_sha256": "",
        }

    def test_one_that_is_cut_already_keeps_what_it_says_of_the_whole(self):
        payload = b"y" * 100_000
        once = cut_dead_letter(encode_dead_letter(letter_of(payload)), 50_000)
        twice = json.loads(cut_dead_letter(once, 2000))
        assert twice["payload_bytes"] == len(payload)
        assert twice["payload_sha256"] == sha256(payload).hexdigest()

    def test_a_message_that_holds_half_the_input_is_cut_too(self):
        line = cut_dead_letter(encode_dead_letter(letter_of(b"z" * 9000, message="é" * 90_000)), 8000)
        assert len(line) <= 8000
        assert json.loads(line)["payload_bytes"] == 9000


def test_a_cut_line_is_its_head():
    line = CutLine.of(b"head", 10, b"d" * 32)
    assert line == b"head"
    assert (line.whole_bytes, line.whole_sha256) == (10, b"d" * 32)
