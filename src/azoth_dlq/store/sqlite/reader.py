"""The connection of handlers that run outside a transaction and want to read the file."""

from __future__ import annotations

import sqlite3
from typing import Any
from weakref import WeakSet

from azoth_dlq.errors import InvalidStateError
from azoth_dlq.store.sqlite import pragmas
from azoth_dlq.store.sqlite.connection import connect
from azoth_dlq.store.sqlite.faults import check_no_fault, explained, fault_within, primary_code
from azoth_dlq.store.sqlite.inherited import forget, watch
from azoth_dlq.store.sqlite.raw import is_closed


class ReaderConnection(sqlite3.Connection):
    """What one handler leaves half read would show the next one an old state of the file, and keep
    a group from being committed where the journal is a rollback journal."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()
        super().__init__(*arguments, **settings)

    def cursor(self, factory: Any = sqlite3.Cursor) -> Any:
        cursor = super().cursor(factory)
        self._cursors.add(cursor)
        return cursor

    def execute(self, *arguments: Any) -> Any:
        return self.cursor().execute(*arguments)

    def rest(self) -> None:
        """End whatever is being read."""
        if is_closed(self):
            return
        for cursor in tuple(self._cursors):
            cursor.close()
        if self.in_transaction:
            self.rollback()


class Reader:
    """The one of a drain, or of a thread beside it: opened when it is wanted first, and anew where
    a handler closed it."""

    def __init__(self, database: str, busy_seconds: float, where: str) -> None:
        self._where = where
        self._database = database
        self._busy_seconds = busy_seconds
        self._connection: ReaderConnection | None = None

    def connection(self) -> ReaderConnection:
        """Errors: InvalidStateError where there is no file, StorageError."""
        if self._connection is None or is_closed(self._connection):
            self._connection = self._open()
            watch(self, self._connection, self._database)
        return self._connection

    def tidy(self, error: BaseException | None = None) -> None:
        if self._connection is not None:
            self._connection.rest()
        # Who writes through it is told that it is read-only. A file that is so keeps the outcome
        # from being committed, which is told then.
        if error is None:
            return
        try:
            is_readonly = primary_code(fault_within(error) or error) == sqlite3.SQLITE_READONLY
        except Exception:  # noqa: BLE001 -- properties of a handler's own error
            return
        if not is_readonly:
            check_no_fault(error, self._where)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            forget(self)

    def _open(self) -> ReaderConnection:
        if not self._database:
            raise InvalidStateError(
                "a database without a file cannot be opened a second time for a handler that needs "
                "a connection of its own; keep the queue in a file, or register the handler "
                "without needs_connection"
            )
        with explained(self._database):
            reader = connect(
                self._database, "mode=ro", factory=ReaderConnection, wait=self._busy_seconds
            )
            try:
                reader.execute(pragmas.QUERY_ONLY)
            except BaseException:
                reader.close()
                raise
        return reader
