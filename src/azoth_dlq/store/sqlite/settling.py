"""Writing what becomes of a group's letters.

A trigger, or a constraint with ON CONFLICT IGNORE, may swallow a write in silence; the number of
rows tells. Fewer than there are letters is no fault where handlers deleted some themselves.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from azoth_dlq.kernels.eligibility import format_timestamp
from azoth_dlq.store.base import CommitRefused
from azoth_dlq.store.settlement import Parking, Retry, Settlement
from azoth_dlq.store.sqlite import history
from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite.queue import STOPPED, chunks, second_text


def write(cursor: sqlite3.Cursor, settlement: Settlement, history_limit: int) -> None:
    """Write the settlement, within a group. Errors: sqlite3.Error, CommitRefused."""
    _remove(cursor, settlement.acked)
    # What is recorded of a letter before its first attempt is of another that had its id.
    of_others = [attempt.letter_id for attempt in settlement.history if attempt.is_first]
    _delete_histories(cursor, sorted([*settlement.recorded, *of_others]))
    gone = [
        *_retry(cursor, settlement.retries),
        *_update(cursor, sql.SNOOZE, [(s.not_before, s.id) for s in settlement.snoozed]),
        *_update(cursor, sql.KEEP_ALONE, [(letter_id,) for letter_id in settlement.alone]),
    ]
    # Before letters are parked, so that their last attempt goes with them.
    history.record(cursor, settlement.history, history_limit)
    _delete_histories(cursor, [*gone, *_park(cursor, settlement.parked, settlement.parked_as)])
    if settlement.resumed:
        cursor.execute(sql.DELETE_STATE, (STOPPED,))
    if settlement.stopped_at is not None:
        cursor.execute(sql.ADD_STATE, (STOPPED, settlement.stopped_at))


def _delete_histories(cursor: sqlite3.Cursor, ids: Sequence[int]) -> None:
    for some in chunks(ids):
        history.delete(cursor, some, parked=False)


def _remove(cursor: sqlite3.Cursor, ids: list[int]) -> None:
    for some in chunks(sorted(ids)):
        cursor.execute(sql.delete(len(some), parked=False), some)
        if cursor.rowcount != len(some) and _there(cursor, some):
            raise CommitRefused(
                "letters of the group are kept from being deleted, by a trigger maybe"
            )


def _retry(cursor: sqlite3.Cursor, retries: list[Retry]) -> list[int]:
    """The letters that are gone."""
    waiting, put_off = [], []
    for letter_id, count, at, error, not_before in sorted(retries):
        last = format_timestamp(at)
        if not_before is None:
            waiting.append((count, last, error, at, last, letter_id))
        else:
            put_off.append((count, last, error, not_before, count, last, letter_id))
    return _update(cursor, sql.RETRY, waiting) + _update(cursor, sql.RETRY_LATER, put_off)


def _update(cursor: sqlite3.Cursor, statement: str, values: Sequence[tuple[Any, ...]]) -> list[int]:
    """Update a letter by each of `values`, whose last is its id; those that are gone."""
    cursor.executemany(statement, values)
    updated = cursor.rowcount
    if updated >= len(values):
        return []
    ids = [value[-1] for value in values]
    there = _there(cursor, ids)
    if updated < len(there):
        raise CommitRefused("letters of the group are kept from being updated, by a trigger maybe")
    return [letter_id for letter_id in ids if letter_id not in there]


def _park(cursor: sqlite3.Cursor, parked: list[Parking], parked_as: dict[int, int]) -> list[int]:
    """The letters that are gone; the new ids of the others are noted in `parked_as`."""
    gone = []
    for p in parked:
        last = None if p.last_retry_at is None else format_timestamp(p.last_retry_at)
        values = (p.retry_count, second_text(p.parked_at), last, p.error, p.reason, p.id)
        cursor.execute(sql.PARK, values)
        if cursor.rowcount == 1:
            parked_as[p.id] = cursor.lastrowid or 0
            history.park(cursor, p.id, parked_as[p.id])
        elif _there(cursor, [p.id]):
            raise CommitRefused(
                f"letter {p.id} is not let into permanent_failures, by a trigger maybe"
            )
        else:
            gone.append(p.id)
    _remove(cursor, [p.id for p in parked])
    return gone


def _there(cursor: sqlite3.Cursor, ids: Sequence[int]) -> set[int]:
    """Those of these letters that are there."""
    there: set[int] = set()
    for some in chunks(ids):
        there.update(i for (i,) in cursor.execute(sql.there(len(some)), some))
    return there
