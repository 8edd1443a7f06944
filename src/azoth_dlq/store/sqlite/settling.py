"""Writing what becomes of a group's letters.

A trigger, or a constraint with ON CONFLICT IGNORE, may swallow a write in silence; the number of
rows tells. Fewer than there are letters is no fault where handlers deleted some themselves.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from azoth_dlq.kernels.eligibility import format_timestamp
from azoth_dlq.store.base import CommitRefused, Parking, Retry, Settlement
from azoth_dlq.store.sqlite import history
from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite.queue import STOPPED, chunks, second_text


def write(cursor: sqlite3.Cursor, settlement: Settlement, history_limit: int) -> None:
    """Write the settlement, within a group. Errors: sqlite3.Error, CommitRefused."""
    _remove(cursor, settlement.acked)
    # What is recorded of a letter before its first attempt is of another that had its id.
    of_others = [attempt.letter_id for attempt in settlement.history if attempt.is_first]
    for some in chunks(sorted([*settlement.recorded, *of_others])):
        history.delete(cursor, some, parked=False)
    _retry(cursor, settlement.retries)
    cursor.executemany(sql.SNOOZE, ((s.not_before, s.id) for s in settlement.snoozed))
    cursor.executemany(sql.KEEP_ALONE, ((letter_id,) for letter_id in settlement.alone))
    _check_updated(cursor, settlement.alone)
    # Before letters are parked, so that their last attempt goes with them.
    history.record(cursor, settlement.history, history_limit)
    _park(cursor, settlement.parked)
    if settlement.resumed:
        cursor.execute(sql.DELETE_STATE, (STOPPED,))
    if settlement.stopped_at is not None:
        cursor.execute(sql.ADD_STATE, (STOPPED, settlement.stopped_at))


def _remove(cursor: sqlite3.Cursor, ids: list[int]) -> None:
    for some in chunks(sorted(ids)):
        cursor.execute(sql.delete(len(some), parked=False), some)
        if cursor.rowcount != len(some) and _how_many(cursor, some):
            raise CommitRefused("letters of the group are kept from being deleted")


def _retry(cursor: sqlite3.Cursor, retries: list[Retry]) -> None:
    cursor.executemany(sql.RETRY, map(_retry_values, sorted(retries)))
    _check_updated(cursor, [retry.id for retry in retries])


def _check_updated(cursor: sqlite3.Cursor, ids: Sequence[int]) -> None:
    if cursor.rowcount < len(ids) and all(_how_many(cursor, [letter_id]) for letter_id in ids):
        raise CommitRefused("letters of the group are kept from being updated")


def _retry_values(retry: Retry) -> tuple[object, ...]:
    last = format_timestamp(retry.last_retry_at)
    # A letter waits from its last try, or until the instant that its handler asked for.
    waits: tuple[object, ...] = (None, None, None, retry.last_retry_at, last)
    if retry.not_before is not None:
        waits = (retry.not_before, retry.retry_count, last, None, None)
    return (retry.retry_count, last, retry.error, *waits, retry.id)


def _park(cursor: sqlite3.Cursor, parked: list[Parking]) -> None:
    for p in parked:
        last = None if p.last_retry_at is None else format_timestamp(p.last_retry_at)
        values = (p.retry_count, second_text(p.parked_at), last, p.error, p.reason, p.id)
        cursor.execute(sql.PARK, values)
        if cursor.rowcount == 1:
            history.park(cursor, p.id, cursor.lastrowid or 0)
        elif _how_many(cursor, [p.id]):
            raise CommitRefused(f"letter {p.id} is not let into permanent_failures")
    _remove(cursor, [p.id for p in parked])


def _how_many(cursor: sqlite3.Cursor, ids: Sequence[int]) -> int:
    """How many of these letters are there."""
    return int(cursor.execute(sql.count_of(len(ids)), ids).fetchone()[0])
