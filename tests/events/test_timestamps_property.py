"""Times as text and as milliseconds: the quick ways agree with the plain one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.operators.events.timestamps import parse_time, time_ms, time_text

pytestmark = pytest.mark.property

_LOWEST_MS, _HIGHEST_MS = -62_135_596_800_000, 253_402_300_799_999  # the years 1 to 9999
milliseconds = st.integers(_LOWEST_MS, _HIGHEST_MS)


@given(milliseconds)
def test_there_and_back(ms):
    text = time_text(ms).decode()
    assert time_ms(text) == parse_time(text) == ms


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)),  # noqa: DTZ001  # the offset comes beside
    st.integers(-1439, 1439),
    st.sampled_from(["seconds", "milliseconds", "microseconds"]),
)
def test_every_form_is_read_as_the_library_reads_it(local, offset_minutes, timespec):
    moment = local.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    text = moment.isoformat(timespec=timespec)
    read = datetime.fromisoformat(text)
    expected = (read - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert time_ms(text) == expected
    zulu = read.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
    for form in (zulu, zulu.lower(), zulu.replace("T", " ")):
        assert time_ms(form) == expected


def outcome(read, text):
    try:
        return read(text)
    except ValueError as error:
        return type(error)


@given(milliseconds, st.integers(0, 23), st.characters())
def test_with_a_wrong_character_both_ways_say_the_same(ms, place, character):
    text = time_text(ms).decode()
    odd = text[:place] + character + text[place + 1 :]
    assert outcome(time_ms, odd) == outcome(parse_time, odd)
    shorter = odd[:19] + odd[23:]
    assert outcome(time_ms, shorter) == outcome(parse_time, shorter)


@pytest.mark.parametrize(
    "text", ["", "2018-06-18", "2018-W25-1T00:00:00Z", "2018-06-18T00:00Z", "2018-13-01T00:00:00Z"]
)
def test_other_forms_of_time_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_time(text)
    with pytest.raises(ValueError, match=r"\w"):
        time_ms(text)
