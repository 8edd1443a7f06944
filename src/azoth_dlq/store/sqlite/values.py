"""Rows as the values that a queue hands out.

Imported when the first is read: the types cost their import, and who adds or drains reads none.
"""

from __future__ import annotations

import json
from typing import Any, cast

from azoth_dlq.clock import EPOCH
from azoth_dlq.durations import from_microseconds
from azoth_dlq.store.sqlite.raw import instant_or_none, integer_or_none, text_of
from azoth_dlq.types import (
    AttemptOutcome,
    AttemptRecord,
    AuditRecord,
    FailedEvent,
    PermanentFailure,
)


def letter(row: tuple[Any, ...]) -> FailedEvent:
    letter_id, event_id, event_bytes, error, failed_at, count, last, last_error, not_before = row
    return FailedEvent(
        id=letter_id,
        event_id=_as_stored(event_id),
        event_bytes=bytes_of(event_bytes),
        error_message=text_of(error),
        failed_at=text_of(failed_at),
        retry_count=_as_stored(count),
        last_retry_at=_optional_text(last),
        last_error=_optional_text(last_error),
        not_before=instant_or_none(not_before),
    )


def permanent_failure(row: tuple[Any, ...]) -> PermanentFailure:
    return PermanentFailure(
        id=row[0],
        event_id=_as_stored(row[1]),
        event_bytes=bytes_of(row[2]),
        error_message=text_of(row[3]),
        failed_at=text_of(row[4]),
        retry_count=_as_stored(row[5]),
        marked_permanent_at=text_of(row[6]),
        dead_letter_id=integer_or_none(row[7]),
        last_retry_at=_optional_text(row[8]),
        last_error=_optional_text(row[9]),
        reason=_optional_text(row[10]),
    )


def attempt_record(row: tuple[Any, ...]) -> AttemptRecord:
    """A row of `read_history`."""
    at, outcome, error_type, message, traceback, duration = row
    return AttemptRecord(
        at=instant_or_none(at) or EPOCH,
        outcome=cast("AttemptOutcome", text_of(outcome)),
        error_type=text_of(error_type),
        message=text_of(message),
        traceback=text_of(traceback),
        duration=None if type(duration) is not int else from_microseconds(duration),
    )


def audit_record(row: tuple[Any, ...]) -> AuditRecord:
    action_id, at, who, action, wanted, matched, done, details = row
    return AuditRecord(
        id=action_id,
        at=instant_or_none(at) or EPOCH,
        who=text_of(who),
        action=text_of(action),
        filter=_mapping(wanted) or {},
        matched=integer_or_none(matched) or 0,
        done=integer_or_none(done) or 0,
        details=_mapping(details),
    )


def _mapping(stored: object) -> dict[str, Any] | None:
    """What another program left there is none."""
    try:
        value = json.loads(text_of(stored))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _as_stored(value: Any) -> Any:
    """A value that should be an integer, whatever it is in a row that cannot be replayed."""
    return text_of(value) if isinstance(value, bytearray) else value


def _optional_text(value: object) -> str | None:
    return None if value is None else text_of(value)


def bytes_of(value: object) -> bytes:
    return bytes(value) if isinstance(value, (bytes, bytearray)) else text_of(value).encode()
