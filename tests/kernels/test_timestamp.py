from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from azoth_dlq.kernels.eligibility import format_timestamp, parse_timestamp
from tests.kernels import twins, vectors

FIRST = -62_135_596_800_000_000
LAST = 253_402_300_799_999_999

# Texts near the grammar: most are refused by a single character.
near_texts = st.from_regex(
    r"\A[0-9]{4}-[01][0-9]-[0-3][0-9][Tt _][0-2][0-9]:[0-6][0-9]:[0-6][0-9]"
    r"([.,][0-9]{0,12})?([Zz]|[+-][0-2][0-9]:?[0-6][0-9])?\s?\Z"
)


def parsed(text: str | bytes | bytearray) -> int | None:
    try:
        return parse_timestamp(text)
    except ValueError:
        return None


def test_every_vector_is_met() -> None:
    for case in vectors.load("timestamps"):
        assert parsed(case["text"]) == case["epoch_us"], case


@given(st.one_of(near_texts, st.text(max_size=40)))
@example("2016-12-31 23:59:60")
@example("9999-12-31T23:59:60Z")
@example("0001-01-01 00:00:00+23:59")
def test_a_text_is_read_as_by_the_twin(text: str) -> None:
    expected = twins.parse_timestamp(text)
    assert parsed(text) == expected
    assert parsed(text.encode()) == expected
    assert parsed(bytearray(text.encode())) == expected


@given(
    st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)),  # noqa: DTZ001 -- the zone is drawn
    st.integers(-1439, 1439),
)
def test_what_isoformat_writes_is_read(moment: datetime, minutes: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    expected = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert parse_timestamp(aware.isoformat()) == expected
    assert parse_timestamp(aware.isoformat(" ")) == expected


@given(st.integers(FIRST, LAST))
def test_a_written_instant_is_read_back(instant: int) -> None:
    text = format_timestamp(instant)
    assert text == twins.format_timestamp(instant)
    assert parse_timestamp(text) == instant


@pytest.mark.parametrize("instant", [FIRST - 1, LAST + 1, -(2**63), 2**63 - 1])
def test_an_instant_outside_the_years_cannot_be_written(instant: int) -> None:
    with pytest.raises(ValueError, match="outside the years 0001 to 9999"):
        format_timestamp(instant)


def test_a_number_beyond_64_bits_is_no_instant() -> None:
    with pytest.raises(ValueError, match="instant is 9223372036854775808"):
        format_timestamp(2**63)


def test_the_error_shows_forty_characters_of_the_text() -> None:
    with pytest.raises(ValueError, match=r"not a timestamp: 'x{40}'; allowed are RFC 3339"):
        parse_timestamp("x" * 100_000)


@pytest.mark.parametrize("text", ["\ud800", "2026-11-24 03:46:0\u0660", "\N{FULLWIDTH DIGIT TWO}"])
def test_text_beyond_ascii_is_no_timestamp(text: str) -> None:
    with pytest.raises(ValueError, match="not a timestamp"):
        parse_timestamp(text)


@pytest.mark.parametrize("value", [None, 1795491960, 1.5, memoryview(b"2026-11-24 03:46:00")])
def test_other_types_are_no_timestamps(value: Any) -> None:
    with pytest.raises(TypeError, match="a timestamp is a str, bytes or bytearray, not"):
        parse_timestamp(value)
