"""Rows in memory as the port gives them, and the texts of instants in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from azoth_dlq.clock import to_datetime
from azoth_dlq.event_type import EVENT_START
from azoth_dlq.kernels.eligibility import parse_timestamp
from azoth_dlq.store.base import ALONE, RECORDED
from azoth_dlq.store.settlement import Attempted
from azoth_dlq.types import AttemptRecord, FailedEvent, PermanentFailure
from tests.conformance.memory_database import ParkedRow, Row


def notes_of(row: Row) -> int | None:
    recorded = row.last_error is not None or row.not_before is not None
    return RECORDED + ALONE * row.alone if recorded or row.alone else None


def state_of(row: Row) -> tuple[object, ...]:
    return row.retry_count, row.failed_at, row.last_retry_at, row.valid_not_before


def error_row(row_id: int, row: Row) -> tuple[object, ...]:
    error = row.error_message if row.last_error is None else row.last_error
    event = row.event_bytes
    start = event[:EVENT_START] if isinstance(event, (str, bytes)) else event
    return row_id, error, row.failed_at, row.retry_count, start


def second_text(microseconds: int) -> str:
    return f"{to_datetime(microseconds):%Y-%m-%d %H:%M:%S}"


def microsecond_text(microseconds: int) -> str:
    return f"{to_datetime(microseconds):%Y-%m-%dT%H:%M:%S.%f}Z"


def is_timestamp(text: object) -> bool:
    try:
        parse_timestamp(text)  # type: ignore[arg-type]  # another program may have left anything
    except (ValueError, TypeError):
        return False
    return True


def readable(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _optional_text(value: object) -> str | None:
    return None if value is None else readable(value)


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def attempt_record(attempt: Attempted) -> AttemptRecord:
    duration = attempt.duration
    return AttemptRecord(
        at=to_datetime(attempt.at),
        outcome=attempt.outcome,
        error_type=attempt.error_type,
        message=attempt.message,
        traceback=attempt.traceback,
        duration=None if duration is None else timedelta(microseconds=duration),
    )


def failed_event(letter_id: int, row: Row) -> FailedEvent:
    not_before = row.valid_not_before
    return FailedEvent(
        id=letter_id,
        event_id=row.event_id,
        event_bytes=_bytes(row.event_bytes),
        error_message=readable(row.error_message),
        failed_at=readable(row.failed_at),
        retry_count=row.retry_count,
        last_retry_at=_optional_text(row.last_retry_at),
        last_error=row.last_error,
        not_before=None if not_before is None else to_datetime(not_before),
    )


def permanent_failure(parked_id: int, parked: ParkedRow) -> PermanentFailure:
    return PermanentFailure(
        id=parked_id,
        event_id=parked.row.event_id,
        event_bytes=_bytes(parked.row.event_bytes),
        error_message=readable(parked.row.error_message),
        failed_at=readable(parked.row.failed_at),
        retry_count=parked.row.retry_count,
        marked_permanent_at=parked.marked_permanent_at,
        dead_letter_id=parked.dead_letter_id,
        last_retry_at=_optional_text(parked.row.last_retry_at),
        last_error=parked.row.last_error,
        reason=parked.reason,
    )


def commonest(texts: Iterable[Any], number: int) -> list[tuple[str, int]]:
    counts = Counter(readable(text)[:200] for text in texts)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:number]


def type_of(row: Row) -> bytes:
    event_type, colon, _ = bytes(row.event_bytes[:65]).partition(b":")
    return event_type if colon else b""
