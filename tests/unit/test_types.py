"""Letters and reports: values that show themselves without the payload."""

from __future__ import annotations

import dataclasses
import json
import pickle
from datetime import UTC, datetime, timedelta, timezone

import pytest

from azoth_dlq.types import FailedEvent, PermanentFailure, ReplayReport

START = datetime(2026, 11, 24, 3, 46, tzinfo=UTC)
LETTER = FailedEvent(
    id=1,
    event_id=42,
    event_bytes=b"deposit:secret",
    error_message="boom",
    failed_at="2026-11-24 03:46:00",
    retry_count=2,
    not_before=START,
)
PARKED = PermanentFailure(
    id=1,
    event_id=42,
    event_bytes=b"deposit:secret",
    error_message="boom",
    failed_at="2026-11-24 03:46:00",
    retry_count=5,
    marked_permanent_at="2026-11-24 04:00:00",
    dead_letter_id=7,
    reason="NonRetryable: no such account",
)
REPORT = ReplayReport(
    started_at=START,
    duration=timedelta(seconds=1.25),
    succeeded=90,
    failed=8,
    snoozed=2,
    parked=4,
    unreadable=1,
    exhausted=2,
    skipped=3,
    remaining=5,
    waiting=11,
    errors=(("ValueError: bad", 8),),
    next_due=START + timedelta(microseconds=123456),
    stopped="failures",
    lost=6,
    purged=12,
    purged_attempts=13,
)
VALUES = pytest.mark.parametrize("value", [LETTER, PARKED, REPORT], ids=lambda v: type(v).__name__)


@VALUES
def test_a_value_pickles(value: FailedEvent | PermanentFailure | ReplayReport) -> None:
    assert pickle.loads(pickle.dumps(value)) == value


@VALUES
def test_a_value_cannot_be_changed(value: FailedEvent | PermanentFailure | ReplayReport) -> None:
    name = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, None)


@pytest.mark.parametrize("letter", [LETTER, PARKED], ids=lambda v: type(v).__name__)
def test_the_repr_of_a_letter_shows_the_length_of_the_payload_only(
    letter: FailedEvent | PermanentFailure,
) -> None:
    shown = repr(letter)
    assert "event_bytes=<14 bytes>" in shown
    assert "secret" not in shown
    assert "error_message='boom'" in shown
    assert shown.startswith(f"{type(letter).__name__}(id=1, event_id=42, ")


def test_the_counters_of_a_report_start_at_zero() -> None:
    empty = ReplayReport(started_at=START)
    counters = ("succeeded", "failed", "snoozed", "parked", "unreadable", "exhausted", "skipped")
    assert [getattr(empty, name) for name in (*counters, "waiting", "attempted")] == [0] * 9
    assert empty.stopped is None
    assert empty.next_due is None


def test_attempted_counts_every_committed_outcome() -> None:
    assert REPORT.attempted == 100


def test_a_report_turns_into_json_with_its_fields_by_name() -> None:
    assert json.loads(json.dumps(REPORT.as_dict())) == {
        "attempted": 100,
        "succeeded": 90,
        "failed": 8,
        "snoozed": 2,
        "parked": 4,
        "unreadable": 1,
        "exhausted": 2,
        "skipped": 3,
        "remaining": 5,
        "errors": [{"error": "ValueError: bad", "letters": 8}],
        "stopped": "failures",
        "waiting": 11,
        "next_due": "2026-11-24T03:46:00.123456Z",
        "started_at": "2026-11-24T03:46:00.000000Z",
        "duration": 1.25,
        "lost": 6,
        "purged": 12,
        "purged_attempts": 13,
    }


def test_a_report_without_a_next_letter_says_null() -> None:
    assert ReplayReport(started_at=START).as_dict()["next_due"] is None


def test_instants_are_written_in_utc_whatever_their_zone() -> None:
    east = START.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert ReplayReport(started_at=east).as_dict()["started_at"] == "2026-11-24T03:46:00.000000Z"


def test_a_report_reads_as_one_line() -> None:
    assert str(REPORT) == (
        "100 attempted (90 succeeded, 8 failed, 2 snoozed); 4 parked (1 unreadable, 2 exhausted); "
        "6 lost after their timeout; 12 purged and 13 records of attempts; 3 skipped; 5 remaining; "
        "11 waiting, next due 2026-11-24T03:46:00.123456Z; stopped by failures; 1.250 s"
    )


def test_an_empty_report_leaves_out_what_did_not_happen() -> None:
    assert str(ReplayReport(started_at=START)) == "0 attempted; 0.000 s"
