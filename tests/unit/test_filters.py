"""Filters of letters: what they take, what they refuse, and that they travel."""

from __future__ import annotations

import dataclasses
import json
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from azoth_dlq import ConfigError, LetterFilter
from azoth_dlq.ids import IdRanges

SINCE = datetime(2026, 11, 30, 3, tzinfo=UTC)
FULL: dict[str, Any] = {
    "ids": IdRanges([17, range(20, 31)]),
    "group": "5f0c",
    "error": "timeout",
    "event_type": "deposit",
    "min_age": timedelta(seconds=1),
    "max_age": timedelta(days=1),
    "min_retry_count": 0,
    "max_retry_count": 4,
    "since": SINCE,
    "until": SINCE + timedelta(hours=1),
    "due": True,
    "min_parked_age": timedelta(days=30),
    "parked": False,
}


def test_a_filter_keeps_what_it_is_given() -> None:
    wanted = LetterFilter(**FULL)
    assert {field.name: getattr(wanted, field.name) for field in dataclasses.fields(wanted)} == FULL


def test_a_filter_as_json_has_what_was_given() -> None:
    assert json.loads(json.dumps(LetterFilter(**FULL).as_dict())) == {
        "ids": "17,20-30",
        "group": "5f0c",
        "error": "timeout",
        "event_type": "deposit",
        "min_age": 1.0,
        "max_age": 86400.0,
        "min_retry_count": 0,
        "max_retry_count": 4,
        "since": "2026-11-30T03:00:00.000000Z",
        "until": "2026-11-30T04:00:00.000000Z",
        "due": True,
        "min_parked_age": 2592000.0,
        "parked": False,
    }
    assert LetterFilter().as_dict() == {}


@pytest.mark.parametrize("group", ["abc", "ABCD", "x" * 4, "0" * 17, b"abcd", 1234, ""])
def test_another_group_than_a_fingerprint_or_its_beginning_is_refused(group: Any) -> None:
    with pytest.raises(ConfigError, match=r"^group=.*must be a fingerprint .* or its first digits"):
        LetterFilter(group=group)


@pytest.mark.parametrize("field", ["since", "until"])
@pytest.mark.parametrize("instant", [datetime(2026, 11, 30), "2026-11-30", 5, SINCE.date()])  # noqa: DTZ001 -- refused
def test_an_instant_needs_a_time_zone(field: str, instant: Any) -> None:
    with pytest.raises(ConfigError, match=rf"^{field}=.*must be a datetime with a time zone"):
        LetterFilter(**{field: instant})


@pytest.mark.parametrize("field", ["due", "parked"])
def test_a_choice_is_a_bool_or_none(field: str) -> None:
    for value in (1, "yes"):
        given: dict[str, Any] = {field: value}
        with pytest.raises(ConfigError, match=rf"^{field}=.*must be True, False or None"):
            LetterFilter(**given)


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


def test_instants_in_the_wrong_order_are_refused() -> None:
    LetterFilter(since=SINCE, until=SINCE)
    with pytest.raises(ConfigError, match=r"since=.*must be at most until"):
        LetterFilter(since=SINCE, until=SINCE - timedelta(seconds=1))


def test_only_a_filter_without_conditions_is_empty() -> None:
    assert LetterFilter().is_empty
    assert LetterFilter(parked=True).is_empty
    for field, value in FULL.items():
        assert LetterFilter(**{field: value}).is_empty == (field == "parked")


def test_no_ids_fit_no_letter() -> None:
    assert not LetterFilter(ids=[]).is_empty


def test_filters_pickle_and_compare_and_cannot_change() -> None:
    wanted = LetterFilter(**FULL)
    twin = pickle.loads(pickle.dumps(wanted))
    assert twin == wanted
    assert hash(twin) == hash(wanted)
    assert LetterFilter(**FULL | {"error": "x"}) != wanted
    with pytest.raises(dataclasses.FrozenInstanceError):
        wanted.error = "x"  # type: ignore[misc]  # that is the point
