"""Whether a row in memory fits a filter, condition by condition."""

from __future__ import annotations

from datetime import timedelta

from azoth_dlq.filters import LetterFilter
from azoth_dlq.kernels.eligibility import parse_timestamp
from tests.conformance.memory_database import Row


def fits(row: Row, wanted: LetterFilter, now: int) -> bool:
    return all(
        (
            wanted.error is None or _has_error(row.error_message, wanted.error),
            wanted.event_type is None or _is_of_type(row.event_bytes, wanted.event_type),
            wanted.min_age is wanted.max_age is None or _is_of_age(row.failed_at, wanted, now),
            wanted.min_retry_count is None or _least(row.retry_count, wanted.min_retry_count),
            wanted.max_retry_count is None or _most(row.retry_count, wanted.max_retry_count),
        )
    )


def _stored(value: object) -> bytes | None:
    """What is neither text nor bytes has no bytes to look into."""
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) else None


def _has_error(message: object, error: str) -> bool:
    stored = _stored(message)
    # bytes.lower() folds ASCII letters alone.
    return stored is not None and error.encode().lower() in stored.lower()


def _is_of_type(event: object, event_type: str) -> bool:
    before, colon, _ = (_stored(event) or b"").partition(b":")
    return bool(colon) and before == event_type.encode()


def _is_of_age(failed_at: object, wanted: LetterFilter, now: int) -> bool:
    if not isinstance(failed_at, str):
        return False
    try:
        age = timedelta(microseconds=max(now - parse_timestamp(failed_at), 0))
    except ValueError:
        return False
    return (wanted.min_age is None or wanted.min_age <= age) and (
        wanted.max_age is None or age <= wanted.max_age
    )


def _least(count: object, least: int) -> bool:
    return type(count) is int and count >= least


def _most(count: object, most: int) -> bool:
    return type(count) is int and count <= most
