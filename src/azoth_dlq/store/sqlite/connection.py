"""Opening SQLite files: to work on, or only to look at."""

from __future__ import annotations

import os
import sqlite3
import stat
from typing import TypeVar

from azoth_dlq.errors import StorageError
from azoth_dlq.store.sqlite import pragmas
from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite.faults import explain, explained
from azoth_dlq.store.sqlite.guard import QueueConnection
from azoth_dlq.store.sqlite.inherited import close_inherited
from azoth_dlq.store.sqlite.migrations import ALL, check_ids, migrate

MEMORY = ":memory:"
_BUSY_SECONDS = 5.0
_IN_URI = str.maketrans({"%": "%25", "?": "%3F", "#": "%23", os.sep: "/"})
_Connection = TypeVar("_Connection", bound=sqlite3.Connection)


def connect(
    path: str,
    mode: str,
    *,
    factory: type[_Connection],
    wait: float = _BUSY_SECONDS,
    any_thread: bool = False,
) -> _Connection:
    """Connect to a file; `wait` seconds for locks. Errors: sqlite3.Error."""
    return sqlite3.connect(
        f"{_uri(path)}?{mode}",
        uri=True,
        timeout=wait,
        isolation_level=None,
        factory=factory,
        check_same_thread=not any_thread,
    )


def _uri(path: str) -> str:
    """With what SQLite reads in a URI escaped, and nothing else: a path need not be Unicode."""
    absolute = path if os.path.isabs(path) else os.path.join(os.getcwd(), path)
    in_uri = absolute.translate(_IN_URI)
    return f"file://{'' if in_uri.startswith('/') else '/'}{in_uri}"


def _check_path(path: str) -> None:
    if os.path.isdir(path):
        raise StorageError(f"{path} is a folder; give the path of an SQLite file")
    if os.path.exists(path):
        # SQLite would wait for who writes into a pipe.
        if not os.path.isfile(path):
            raise StorageError(f"{path} is no ordinary file; give the path of an SQLite file")
        _check_beside(os.path.realpath(path) if os.path.islink(path) else path)
        return
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise StorageError(f"{path} cannot be made: there is no folder {folder}")


def _check_beside(path: str) -> None:
    """SQLite follows no link there, but would wait for who writes into a pipe."""
    for suffix in ("-journal", "-wal", "-shm"):
        try:
            mode = os.lstat(f"{path}{suffix}").st_mode
        except OSError:
            continue
        if not stat.S_ISREG(mode):
            raise StorageError(
                f"{path}{suffix} is no ordinary file, and SQLite keeps a log there; move it away"
            )


def open_connection(path: str | os.PathLike[str]) -> QueueConnection:
    """Open a file to work on; a missing one is made, in WAL mode. Nothing is changed in a file
    that exists. Errors: StorageError."""
    file = os.fspath(path)
    if file == MEMORY:
        return sqlite3.connect(MEMORY, isolation_level=None, factory=QueueConnection)
    _check_path(file)
    new = not os.path.exists(file)
    close_inherited(file)
    with explained(file):
        connection = connect(file, f"mode=rw{'c' if new else ''}", factory=QueueConnection)
        try:
            if new:
                connection.execute(pragmas.MAKE_WAL)
                connection.execute(sql.BEGIN)
                migrate(connection, ALL)
                connection.execute(sql.COMMIT)
            connection.execute(pragmas.SCHEMA_VERSION).fetchall()
            check_ids(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def open_for_looking(
    path: str | os.PathLike[str], *, wait: float = _BUSY_SECONDS
) -> QueueConnection:
    """Open an existing file read-only; `wait` seconds for locks. Errors: StorageError."""
    file = os.fspath(path)
    _check_path(file)
    if not os.path.exists(file):
        raise StorageError(f"there is no file {file}; check the path")
    close_inherited(file)
    try:
        return _readable(connect(file, "mode=ro", factory=QueueConnection, wait=wait))
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_READONLY_ROLLBACK:
            return _rolled_back(file, wait)
        if (
            error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CANTOPEN
            and error.sqlite_errorcode != sqlite3.SQLITE_READONLY_DIRECTORY
        ):
            raise explain(error, file) from error
        if not os.access(file, os.R_OK):
            raise StorageError(f"{file} cannot be read; check its permissions") from error
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise explain(error, file) from error
    return _immutable(file)


def _rolled_back(file: str, wait: float) -> QueueConnection:
    """A process died amid a transaction: what it left half written is to be taken back before
    anybody can read, and who may only read cannot do that."""
    with explained(file):
        _readable(connect(file, "mode=rw", factory=QueueConnection, wait=wait)).close()
        return _readable(connect(file, "mode=ro", factory=QueueConnection, wait=wait))


def _immutable(file: str) -> QueueConnection:
    """In WAL mode SQLite needs files beside the database, also for reading. Where they cannot be
    made and there is no log to read, nobody can be writing: the file may be taken as it is."""
    if os.path.exists(f"{file}-wal"):
        raise StorageError(
            f"{file} is in WAL mode and its folder cannot be written, so its write-ahead log "
            f"{os.path.basename(file)}-wal cannot be read; copy both to a folder of your own and "
            "look there"
        )
    with explained(file):
        return _readable(connect(file, "mode=ro&immutable=1", factory=QueueConnection))


def _readable(connection: QueueConnection) -> QueueConnection:
    try:
        connection.execute(pragmas.SCHEMA_VERSION).fetchall()
    except BaseException:
        connection.close()
        raise
    return connection
