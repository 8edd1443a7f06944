"""Durations become whole microseconds, exactly or not at all."""

from __future__ import annotations

import json
from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azoth_dlq.durations import (
    MAX_US,
    format_seconds,
    from_microseconds,
    parse_duration,
    plain_seconds,
    to_microseconds,
)
from azoth_dlq.errors import ConfigError

MICROSECONDS = st.integers(0, MAX_US)


@given(MICROSECONDS)
def test_a_timedelta_keeps_every_microsecond(microseconds: int) -> None:
    assert to_microseconds(from_microseconds(microseconds), "delay") == microseconds


@given(st.integers(0, 10**12))
def test_int_seconds_are_exact(seconds: int) -> None:
    assert to_microseconds(seconds, "delay") == seconds * 10**6


@given(st.floats(0, MAX_US / 10**6))
def test_float_seconds_are_rounded_to_the_nearest_microsecond(seconds: float) -> None:
    exact = Fraction(seconds) * 10**6
    assert abs(to_microseconds(seconds, "delay") - exact) <= Fraction(1, 2) or exact > MAX_US


@pytest.mark.parametrize("value", [timedelta.max, 10**30, 1e300, 9223372036855.0])
def test_what_is_longer_than_the_longest_counts_as_the_longest(value: timedelta | float) -> None:
    assert to_microseconds(value, "delay") == MAX_US


@pytest.mark.parametrize(
    "value", [True, False, None, "10", float("nan"), float("inf"), float("-inf"), 1j, b"1", [1]]
)
def test_what_is_no_duration_is_refused_by_field_and_value(value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        to_microseconds(value, "min_age")
    assert str(caught.value).startswith(f"min_age={value!r}: must be a timedelta or seconds")


@pytest.mark.parametrize("value", [-1, -0.001, -1e300, timedelta(microseconds=-1), timedelta.min])
def test_a_negative_duration_is_refused(value: timedelta | float) -> None:
    with pytest.raises(ConfigError, match="0 or more"):
        to_microseconds(value, "min_age")


@pytest.mark.parametrize("value", [0, 0.0, 1e-9, timedelta(0)])
def test_a_duration_below_the_minimum_is_refused(value: timedelta | float) -> None:
    with pytest.raises(ConfigError, match=r"at least 0\.000001 s"):
        to_microseconds(value, "check_interval", minimum=1)


def test_the_minimum_itself_is_allowed() -> None:
    assert to_microseconds(0.000001, "check_interval", minimum=1) == 1


@given(MICROSECONDS)
def test_the_text_form_keeps_every_microsecond(microseconds: int) -> None:
    assert parse_duration(format_seconds(microseconds), "delay") == microseconds


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [(0, "0"), (10_000_000, "10"), (250_000, "0.25"), (1, "0.000001"), (3_600_000_000, "3600")],
)
def test_seconds_are_written_as_short_as_they_can_be(microseconds: int, text: str) -> None:
    assert format_seconds(microseconds) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "-1", "1e3", "nan", "1.", ".5", "1_0", "0.1234567", " 1", "\u0661"),
        *(
            "s",
            "1w",
            "1 h",
            "1hm",
            "1H",
            "-1s",
            "30m1h",
            "1h1h",
            "1.5h30m",
            "1h30",
            "500ms",
            "30sec",
            "5min",
        ),
    ],
)
def test_a_text_that_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"check_interval=.*a number with its unit: 90s, 15m"):
        parse_duration(text, "check_interval")


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90", timedelta(seconds=90)),
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("1.5h", timedelta(minutes=90)),
        ("3d", timedelta(days=3)),
        ("0.000001s", timedelta(microseconds=1)),
        ("1h30m", timedelta(minutes=90)),
        ("2d12h", timedelta(hours=60)),
        ("1m30s", timedelta(seconds=90)),
        ("1d2h3m4s", timedelta(days=1, hours=2, minutes=3, seconds=4)),
    ],
)
def test_a_text_may_have_a_unit(text: str, duration: timedelta) -> None:
    assert from_microseconds(parse_duration(text, "check_interval")) == duration


def test_a_text_beyond_the_longest_duration_counts_as_that() -> None:
    assert parse_duration("9999999999999999999d", "check_interval") == MAX_US


def test_a_text_below_the_minimum_is_refused() -> None:
    with pytest.raises(ConfigError, match="check_interval"):
        parse_duration("0", "check_interval", minimum=1)


@given(MICROSECONDS)
def test_plain_seconds_lose_no_microsecond_in_json(microseconds: int) -> None:
    plain = json.loads(json.dumps(plain_seconds(from_microseconds(microseconds))))
    read = parse_duration if isinstance(plain, str) else to_microseconds
    assert read(plain, "delay") == microseconds


@pytest.mark.parametrize(
    ("duration", "plain"),
    [(timedelta(minutes=1), 60), (timedelta(milliseconds=110), 0.11), (timedelta(0), 0)],
)
def test_plain_seconds_are_numbers_of_the_simplest_kind(duration: timedelta, plain: float) -> None:
    assert plain_seconds(duration) == plain
    assert type(plain_seconds(duration)) is type(plain)


def test_the_word_that_is_allowed_is_told() -> None:
    with pytest.raises(
        ConfigError, match=r"\(seconds, minutes, hours, days\); 0 or more, or never"
    ):
        parse_duration("500ms", "timeout", word="never")
