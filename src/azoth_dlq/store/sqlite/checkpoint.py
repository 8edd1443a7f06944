"""Emptying the write-ahead log between groups."""

from __future__ import annotations

import os
import sqlite3

from azoth_dlq.store.sqlite import pragmas
from azoth_dlq.store.sqlite.faults import BUSY_CODES, primary_code

# The log is emptied after a commit, outside the lock, once it is this large.
CHECKPOINT_BYTES = 256 * 1024 * 1024


def checkpoint(cursor: sqlite3.Cursor, database: str, *, at_least: int) -> None:
    """Where the log has so many bytes, copy it into the database. Errors: sqlite3.Error."""
    if log_size(database) < at_least:
        return
    try:
        cursor.execute(pragmas.CHECKPOINT).fetchall()
    except sqlite3.OperationalError as error:
        # A reader or another writer is in the way: the next one, or they, will do it.
        if primary_code(error) not in BUSY_CODES:
            raise


def log_size(database: str) -> int:
    """Bytes of the write-ahead log; 0 where there is none."""
    try:
        return os.path.getsize(f"{database}-wal")
    except OSError:
        return 0
