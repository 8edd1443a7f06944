"""Filters of letters: what they take, what they refuse, and that they travel."""

from __future__ import annotations

import dataclasses
import pickle
from datetime import timedelta
from typing import Any

import pytest

from azoth_dlq import ConfigError, LetterFilter

FULL: dict[str, Any] = {
    "error": "timeout",
    "event_type": "deposit",
    "min_age": timedelta(seconds=1),
    "max_age": timedelta(days=1),
    "min_retry_count": 0,
    "max_retry_count": 4,
}


def test_a_filter_keeps_what_it_is_given() -> None:
    assert dataclasses.asdict(LetterFilter(**FULL)) == FULL


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (timedelta(hours=2), timedelta(hours=2)),
        (90, timedelta(seconds=90)),
        (0.25, timedelta(microseconds=250_000)),
        (0, timedelta(0)),
        (10**30, timedelta(microseconds=2**63 - 1)),
    ],
)
@pytest.mark.parametrize("field", ["min_age", "max_age"])
def test_an_age_is_a_timedelta_or_seconds(field: str, given: Any, kept: timedelta) -> None:
    assert getattr(LetterFilter(**{field: given}), field) == kept


@pytest.mark.parametrize("field", ["min_age", "max_age"])
@pytest.mark.parametrize("value", [-1, "5", True, float("nan"), timedelta(-1)])
def test_another_age_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"^{field}=.*must be a timedelta or seconds, 0 or more"):
        LetterFilter(**{field: value})


@pytest.mark.parametrize("field", ["error", "event_type"])
@pytest.mark.parametrize("value", ["", b"timeout", 5, ["timeout"]])
def test_what_is_no_text_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"^{field}=.*must be a text of one character or more"):
        LetterFilter(**{field: value})


@pytest.mark.parametrize("field", ["error", "event_type"])
def test_a_text_that_no_file_can_hold_is_refused(field: str) -> None:
    given: dict[str, Any] = {field: "a\udcff"}
    with pytest.raises(ConfigError, match=rf"^{field}=.*must be a text without lone surrogates"):
        LetterFilter(**given)


def test_an_event_type_has_no_colon_and_an_error_may() -> None:
    with pytest.raises(ConfigError, match=r"^event_type='a:b': must be a text .*none of them ':'"):
        LetterFilter(event_type="a:b")
    assert LetterFilter(error="ValueError: boom").error == "ValueError: boom"


@pytest.mark.parametrize("field", ["min_retry_count", "max_retry_count"])
@pytest.mark.parametrize("value", [-1, 2**63, True, 1.0, "1"])
def test_a_retry_count_that_no_letter_can_have_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"^{field}=.*must be an int from 0 to 2\*\*63-1"):
        LetterFilter(**{field: value})


@pytest.mark.parametrize(
    ("lower", "upper"), [("min_age", "max_age"), ("min_retry_count", "max_retry_count")]
)
def test_a_range_that_holds_nothing_is_refused(lower: str, upper: str) -> None:
    one_value: dict[str, Any] = {lower: 5, upper: 5}
    LetterFilter(**one_value)
    with pytest.raises(ConfigError, match=rf"^{lower}=.*must be at most {upper}, which is "):
        LetterFilter(**one_value | {lower: 6})


def test_only_a_filter_without_conditions_is_empty() -> None:
    assert LetterFilter().is_empty
    for field, value in FULL.items():
        assert not LetterFilter(**{field: value}).is_empty


def test_filters_pickle_and_compare_and_cannot_change() -> None:
    wanted = LetterFilter(**FULL)
    twin = pickle.loads(pickle.dumps(wanted))
    assert twin == wanted
    assert hash(twin) == hash(wanted)
    assert LetterFilter(**FULL | {"error": "x"}) != wanted
    with pytest.raises(dataclasses.FrozenInstanceError):
        wanted.error = "x"  # type: ignore[misc]  # that is the point
