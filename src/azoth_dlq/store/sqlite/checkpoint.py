"""Emptying the write-ahead log between groups."""

from __future__ import annotations

import os
import sqlite3

from azoth_dlq.store.sqlite import pragmas
from azoth_dlq.store.sqlite.faults import BUSY_CODES, primary_code

LARGE_BYTES = 256 * 1024 * 1024  # a log is emptied between groups once it has so many
# After the first copy, which takes long, others have often written; then SQLite does not wait for
# the disk, and the next copy has to, or what empties the log under the lock.
_COPIES_AGAIN = 2


class Log:
    """The write-ahead log of a database, which is copied into it in pieces of `LARGE_BYTES`.

    What others write during a copy stays in the log, which begins anew only where nothing does:
    beside a busy writer it would grow for ever. So a large log is emptied under the lock, once
    little is left to copy. Where a reader that needs it is in the way, it grows by another piece
    before that is tried again: others wait for the lock each time.
    """

    __slots__ = ("_cursor", "_database", "_due")

    def __init__(self, cursor: sqlite3.Cursor, database: str) -> None:
        """`database`: "" where the log is not ours to empty, or there is none."""
        self._cursor = cursor
        self._database = database
        self._due = LARGE_BYTES

    def copy(self, *, at_least: int | None = None) -> None:
        """Copy it into the database, as far as others allow, where it has `at_least` so many bytes,
        or (None) enough for that to be due. Errors: sqlite3.Error."""
        if log_size(self._database) < (self._due if at_least is None else at_least):
            return
        try:
            self._cursor.execute(pragmas.CHECKPOINT).fetchall()
            if log_size(self._database) >= LARGE_BYTES:
                for _ in range(_COPIES_AGAIN):
                    self._cursor.execute(pragmas.CHECKPOINT).fetchall()
                self._cursor.execute(pragmas.EMPTY_LOG).fetchall()
        except sqlite3.OperationalError as error:
            # A reader or another writer is in the way: the next one, or they, will do it.
            if primary_code(error) not in BUSY_CODES:
                raise
        finally:
            self._due = log_size(self._database) + LARGE_BYTES


def log_size(database: str) -> int:
    """Bytes of the write-ahead log; 0 where there is none."""
    if not database:
        return 0
    try:
        return os.path.getsize(f"{database}-wal")
    except OSError:
        return 0
