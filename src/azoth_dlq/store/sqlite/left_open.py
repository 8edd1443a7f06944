"""What a handler left open on the queue's connection, and ending it."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Sequence

from azoth_dlq.errors import StorageError
from azoth_dlq.store.sqlite import pragmas
from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite.faults import handler_of
from azoth_dlq.store.sqlite.raw import is_closed, own_cursor

_BRIEF_WAIT_MS = 2


def check_not_closed(connection: sqlite3.Connection, letter: int | None = None) -> None:
    """Errors: StorageError where the handler of the letter closed it."""
    if is_closed(connection):
        raise StorageError(
            f"{handler_of(letter)} closed the queue's connection, which ends the drain and takes "
            "its group back; leave the connection open"
        )


def finish_open_statements(connection: sqlite3.Connection, *, but: sqlite3.Cursor) -> None:
    """Running another statement on a cursor ends the one that it has open; a blob that may be
    written is one as well."""
    for opened in gc.get_referrers(connection):
        if isinstance(opened, sqlite3.Blob):
            opened.close()
        elif isinstance(opened, sqlite3.Cursor) and opened is not but:
            try:
                sqlite3.Cursor.execute(opened, sql.NOTHING)
            except sqlite3.Error:
                continue


def end_interrupts(connection: sqlite3.Connection, *, but: sqlite3.Cursor) -> None:
    """Let no statement be interrupted any more: by a progress handler that was left behind, or by
    `interrupt()`, which stays in force as long as any statement is open."""
    connection.set_progress_handler(None, 0)
    finish_open_statements(connection, but=but)


def execute_uninterrupted(
    cursor: sqlite3.Cursor, statement: str, parameters: Sequence[object] = ()
) -> None:
    """Execute it whatever interrupts it."""
    try:
        cursor.execute(statement, parameters)
    except (sqlite3.OperationalError, MemoryError):
        end_interrupts(cursor.connection, but=cursor)
        cursor.execute(statement, parameters)


def lock(cursor: sqlite3.Cursor) -> None:
    """Begin a transaction that writes. Errors: OperationalError, soon where others have the lock:
    while SQLite waits, it heeds nobody's turn."""
    (wait,) = cursor.execute(pragmas.BUSY_TIMEOUT).fetchone()
    try:
        cursor.execute(pragmas.set_busy_timeout(_BRIEF_WAIT_MS)).fetchall()
        cursor.execute(sql.BEGIN)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY_SNAPSHOT:
            finish_open_statements(cursor.connection, but=cursor)
        raise
    finally:
        execute_uninterrupted(cursor, pragmas.set_busy_timeout(int(wait)))


def undo(cursor: sqlite3.Cursor, *, finish: bool) -> None:
    """Take back what was written since the savepoint; `finish`: statements may be half read."""
    if finish:
        finish_open_statements(cursor.connection, but=cursor)
    execute_uninterrupted(cursor, sql.UNDO_LETTER)


def roll_back(connection: sqlite3.Connection) -> None:
    """Roll back what is open."""
    if connection.in_transaction:
        execute_uninterrupted(own_cursor(connection), sql.ROLLBACK)


def end_half_read(connection: sqlite3.Connection, cursor: sqlite3.Cursor) -> str | None:
    """End a statement that writes, in a group; what the handler did wrong, or None. While one is
    half read, no savepoint can be opened."""
    try:
        _open_and_release(cursor)
    except sqlite3.Error:
        finish_open_statements(connection, but=cursor)
        _open_and_release(cursor)
        return (
            "the handler left a statement that writes half read (INSERT … RETURNING, say), or a "
            "blob open, which keeps the transaction from being committed; fetch all of its rows, "
            "and close the blob"
        )
    return None


def _open_and_release(cursor: sqlite3.Cursor) -> None:
    cursor.execute(sql.SAVEPOINT_VERB)
    cursor.execute(sql.RELEASE_VERB)


def end_open_transaction(connection: sqlite3.Connection) -> str | None:
    """Roll back, between groups; what the handler did wrong, or None."""
    if not connection.in_transaction:
        return None
    roll_back(connection)
    return (
        "the handler left a transaction open on the queue's connection, which is rolled back; "
        "commit what it writes there, or write through a connection of its own"
    )
