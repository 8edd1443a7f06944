"""Opening SQLite files: to work on, or only to look at."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import TypeVar

from azoth_dlq.errors import StorageError
from azoth_dlq.store.sqlite import pragmas
from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite.faults import explain, explained
from azoth_dlq.store.sqlite.guard import QueueConnection
from azoth_dlq.store.sqlite.inherited import close_inherited
from azoth_dlq.store.sqlite.migrations import LATEST, check_ids, migrate

MEMORY = ":memory:"
_BUSY_SECONDS = 5.0
_Connection = TypeVar("_Connection", bound=sqlite3.Connection)


def connect(
    path: Path,
    mode: str,
    *,
    factory: type[_Connection],
    wait: float = _BUSY_SECONDS,
    any_thread: bool = False,
) -> _Connection:
    """Connect to a file; `wait` seconds for locks. Errors: sqlite3.Error."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}",
        uri=True,
        timeout=wait,
        isolation_level=None,
        factory=factory,
        check_same_thread=not any_thread,
    )


def _check_path(path: Path) -> None:
    if path.is_dir():
        raise StorageError(f"{path} is a folder; give the path of an SQLite file")
    if path.exists() and not path.is_file():  # SQLite would wait for who writes into a pipe
        raise StorageError(f"{path} is no ordinary file; give the path of an SQLite file")
    if not path.exists() and not path.parent.is_dir():
        raise StorageError(f"{path} cannot be made: there is no folder {path.parent}")


def open_connection(path: str | os.PathLike[str]) -> QueueConnection:
    """Open a file to work on; a missing one is made, in WAL mode. Nothing is changed in a file
    that exists. Errors: StorageError."""
    if os.fspath(path) == MEMORY:
        return sqlite3.connect(MEMORY, isolation_level=None, factory=QueueConnection)
    file = Path(path)
    _check_path(file)
    new = not file.exists()
    close_inherited(file)
    with explained(str(file)):
        connection = connect(file, f"mode=rw{'c' if new else ''}", factory=QueueConnection)
        try:
            if new:
                connection.execute(pragmas.MAKE_WAL)
                connection.execute(sql.BEGIN)
                migrate(connection, LATEST)
                connection.execute(sql.COMMIT)
            connection.execute(pragmas.SCHEMA_VERSION).fetchall()
            check_ids(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def open_for_looking(path: str | os.PathLike[str]) -> QueueConnection:
    """Open an existing file read-only. Errors: StorageError."""
    file = Path(path)
    _check_path(file)
    if not file.exists():
        raise StorageError(f"there is no file {file}; check the path")
    close_inherited(file)
    try:
        return _readable(connect(file, "mode=ro", factory=QueueConnection))
    except sqlite3.OperationalError as error:
        if (
            error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CANTOPEN
            and error.sqlite_errorcode != sqlite3.SQLITE_READONLY_DIRECTORY
        ):
            raise explain(error, str(file)) from error
        if not os.access(file, os.R_OK):
            raise StorageError(f"{file} cannot be read; check its permissions") from error
    except sqlite3.Error as error:
        raise explain(error, str(file)) from error
    return _immutable(file)


def _immutable(file: Path) -> QueueConnection:
    """In WAL mode SQLite needs files beside the database, also for reading. Where they cannot be
    made and there is no log to read, nobody can be writing: the file may be taken as it is."""
    if file.with_name(f"{file.name}-wal").exists():
        raise StorageError(
            f"{file} is in WAL mode and its folder cannot be written, so its write-ahead log "
            f"{file.name}-wal cannot be read; copy both to a folder of your own and look there"
        )
    with explained(str(file)):
        return _readable(connect(file, "mode=ro&immutable=1", factory=QueueConnection))


def _readable(connection: QueueConnection) -> QueueConnection:
    try:
        connection.execute(pragmas.SCHEMA_VERSION).fetchall()
    except BaseException:
        connection.close()
        raise
    return connection
