"""Whether a row in memory fits a filter, condition by condition."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from azoth_dlq.clock import to_datetime
from azoth_dlq.filters import LetterFilter
from azoth_dlq.kernels.eligibility import Rules, parse_timestamp, select
from azoth_dlq.kernels.templates import fingerprint
from tests.conformance.memory_database import Row
from tests.conformance.memory_rows import readable, state_of


class Kept(NamedTuple):
    """A letter where it is kept: with why and when it was parked, where it was."""

    id: int
    row: Row
    reason: str | None = None
    parked_at: str | None = None


def fits(kept: Kept, wanted: LetterFilter, now: int, rules: Rules | None = None) -> bool:
    row = kept.row
    texts = (row.error_message, row.last_error, kept.reason)
    return all(
        (
            wanted.ids is None or kept.id in wanted.ids,
            wanted.group is None or _is_of_group(row, wanted.group),
            wanted.error is None or any(_has_error(text, wanted.error) for text in texts),
            wanted.event_type is None or _is_of_type(row.event_bytes, wanted.event_type),
            wanted.min_age is wanted.max_age is None
            or _is_of_age(row.failed_at, wanted.min_age, wanted.max_age, now),
            wanted.since is wanted.until is None or _is_within(row.failed_at, wanted),
            wanted.min_parked_age is None
            or _is_of_age(kept.parked_at, wanted.min_parked_age, None, now),
            wanted.min_retry_count is None or _least(row.retry_count, wanted.min_retry_count),
            wanted.max_retry_count is None or _most(row.retry_count, wanted.max_retry_count),
            wanted.due is None or _is_in_state(kept, rules, due=wanted.due),
        )
    )


def _stored(value: object) -> bytes | None:
    """What is neither text nor bytes has no bytes to look into."""
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) else None


def _is_of_group(row: Row, group: str) -> bool:
    latest = row.error_message if row.last_error is None else row.last_error
    return fingerprint(readable(latest)).startswith(group)


def _has_error(message: object, error: str) -> bool:
    stored = _stored(message)
    # bytes.lower() folds ASCII letters alone.
    return stored is not None and error.encode().lower() in stored.lower()


def _is_of_type(event: object, event_type: str) -> bool:
    before, colon, _ = (_stored(event) or b"").partition(b":")
    return bool(colon) and before == event_type.encode()


def _instant(stored: object) -> int | None:
    try:
        return parse_timestamp(stored) if isinstance(stored, str) else None
    except ValueError:
        return None


def _is_of_age(stored: object, least: timedelta | None, most: timedelta | None, now: int) -> bool:
    instant = _instant(stored)
    if instant is None:
        return False
    age = timedelta(microseconds=max(now - instant, 0))
    return (least is None or least <= age) and (most is None or age <= most)


def _is_within(stored: object, wanted: LetterFilter) -> bool:
    instant = _instant(stored)
    if instant is None:
        return False
    at = to_datetime(instant)
    return (wanted.since is None or wanted.since <= at) and (
        wanted.until is None or at <= wanted.until
    )


def _least(count: object, least: int) -> bool:
    return type(count) is int and count >= least


def _most(count: object, most: int) -> bool:
    return type(count) is int and count <= most


def _is_in_state(kept: Kept, rules: Rules | None, *, due: bool) -> bool:
    if rules is None or kept.parked_at is not None:
        return False
    selection = select([(kept.id, *state_of(kept.row))], rules)
    return (len(selection) == 1) if due else selection.waiting == 1
