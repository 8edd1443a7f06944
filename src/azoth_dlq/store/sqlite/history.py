"""The history of attempts: it goes with its letter, from one table to the other and away."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from azoth_dlq.store.settlement import Attempted
from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite.raw import raw_text

_SWEPT = "swept"  # the last row that a sweep has looked at; none, or 0: it begins anew
SWEEP_ROWS = 2000  # looked at once a drain
ATTEMPTS_A_STATEMENT = 100


def record(cursor: sqlite3.Cursor, attempts: Sequence[Attempted], limit: int) -> None:
    """Add attempts, and keep the last `limit` of each letter."""
    for first in range(0, len(attempts), ATTEMPTS_A_STATEMENT):
        some = attempts[first : first + ATTEMPTS_A_STATEMENT]
        # All columns but `is_first`, which is the last.
        values = [value for attempt in some for value in attempt[:-1]]
        cursor.execute(sql.record_attempts(len(some)), values)
    longer = {a.letter_id for a in attempts if not a.is_first}
    cursor.executemany(sql.TRIM_HISTORY, ((i, i, limit) for i in longer))


def park(cursor: sqlite3.Cursor, letter_id: int, parked_id: int) -> None:
    cursor.execute(sql.PARK_HISTORY, (parked_id, letter_id))


def requeue(cursor: sqlite3.Cursor, parked_id: int, letter_id: int) -> None:
    cursor.execute(sql.REQUEUE_HISTORY, (letter_id, parked_id))


def delete(cursor: sqlite3.Cursor, ids: Sequence[int] | None, *, parked: bool) -> None:
    """Delete the histories of `ids` (all: None), as many as one statement takes."""
    count = None if ids is None else len(ids)
    cursor.execute(sql.delete_history(count, parked=parked), ids or ())


def sweep(cursor: sqlite3.Cursor, *, written: int, is_first: bool) -> None:
    """Delete histories whose letters another program has deleted.

    A bounded number of rows is looked at in the first group of a drain, and where a group has
    `written` some, more than those: faster than histories grow. The next sweep goes on behind them.
    """
    rows = max(written + (written + 1) // 2, SWEEP_ROWS if is_first else 0)
    if not rows:
        return
    with raw_text(cursor.connection):
        stored = cursor.execute(sql.GET_STATE, (_SWEPT,)).fetchone()
    after = stored[0] if stored else 0
    looked_at, last = cursor.execute(sql.NEXT_TO_SWEEP, (after, rows)).fetchone()
    if looked_at:
        cursor.execute(sql.SWEEP, (after, last))
    swept = last if looked_at == rows else 0
    if swept != after:
        cursor.execute(sql.SET_STATE, (_SWEPT, swept))
