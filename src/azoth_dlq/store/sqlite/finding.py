"""Finding letters: SQL narrows, what SQL cannot read is decided here, and only ids are kept."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from azoth_dlq.durations import MAX_US, to_microseconds
from azoth_dlq.kernels.eligibility import parse_timestamp
from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite.raw import own_cursor, raw_text

if TYPE_CHECKING:
    from azoth_dlq.filters import LetterFilter


def find(
    connection: sqlite3.Connection, wanted: LetterFilter, now: int, *, parked: bool
) -> array[int]:
    """The ids (int64, ascending) of the rows that fit; ages are reckoned from `now` (µs)."""
    aged = wanted.min_age is not None or wanted.max_age is not None
    conditions = _conditions(wanted)
    values = [value for some in conditions.values() for value in some]
    statement = sql.find(list(conditions), parked=parked, with_failed_at=aged)
    with raw_text(connection), closing(own_cursor(connection)) as cursor:
        rows = cursor.execute(statement, values)
        return array("q", _of_age(rows, wanted, now) if aged else (row_id for (row_id,) in rows))


def _conditions(wanted: LetterFilter) -> dict[str, tuple[Any, ...]]:
    """The fields that SQL can decide, each with the values that its condition binds."""
    conditions: dict[str, tuple[Any, ...]] = {}
    if wanted.error is not None:
        conditions["error"] = (wanted.error,)
    if wanted.event_type is not None:
        beginning = f"{wanted.event_type}:"
        as_bytes = beginning.encode()
        conditions["event_type"] = (len(as_bytes), as_bytes, beginning)
    if wanted.min_retry_count is not None:
        conditions["min_retry_count"] = (wanted.min_retry_count,)
    if wanted.max_retry_count is not None:
        conditions["max_retry_count"] = (wanted.max_retry_count,)
    return conditions


def _of_age(rows: Iterable[tuple[int, object]], wanted: LetterFilter, now: int) -> Iterator[int]:
    least = 0 if wanted.min_age is None else to_microseconds(wanted.min_age, "min_age")
    most = MAX_US if wanted.max_age is None else to_microseconds(wanted.max_age, "max_age")
    for row_id, failed_at in rows:
        if not isinstance(failed_at, bytearray):  # all but TEXT
            continue
        try:
            age = max(now - parse_timestamp(failed_at), 0)
        except ValueError:
            continue
        if least <= age <= most:
            yield row_id
