"""What a drain sets on its connection, and how everything is put back."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from azoth_dlq.errors import ConfigError, InvalidStateError, StorageError
from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite._isolation import Guard
from azoth_dlq.store.sqlite.faults import explained, told_to_engine
from azoth_dlq.store.sqlite.guard import QueueConnection
from azoth_dlq.store.sqlite.raw import is_closed, read, text_of

# Waits for a lock are cut into pieces of this length, so that signals and shutdown() are heard.
SHORT_WAIT_MS = 100
_CRASH_PROOF = frozenset({"delete", "persist", "truncate", "wal"})
_draining: dict[int, tuple[sqlite3.Connection, Guard]] = {}


def _pragma(connection: sqlite3.Connection, statement: str) -> Any:
    ((value,),) = read(connection, statement)
    return value


def _check_drainable(connection: sqlite3.Connection) -> None:
    if sys.version_info >= (3, 12) and connection.autocommit is False:
        raise ConfigError(
            "the connection has autocommit=False, which keeps a transaction open all the time; "
            "connect with autocommit=sqlite3.LEGACY_TRANSACTION_CONTROL (the default) or True, or "
            "use DeadLetterQueue.open(path)"
        )
    if id(connection) in _draining:
        raise InvalidStateError(
            "a drain is running on this connection; start one when it is done, or on another queue"
        )
    if connection.in_transaction:
        raise InvalidStateError(
            "a transaction is open on the queue's connection; commit it or roll it back before the "
            "drain, which commits transactions of its own"
        )


def check_journal(connection: sqlite3.Connection, where: str) -> bool:
    """Whether the file is in WAL mode; StorageError where its journal survives no crash."""
    with told_to_engine(where):
        mode = text_of(_pragma(connection, sql.JOURNAL_MODE)).lower()
    if mode not in _CRASH_PROOF:
        raise StorageError(
            f"{where} has journal_mode={mode.upper()}, with which a crash in the middle of a drain "
            "can destroy it; run `PRAGMA journal_mode=WAL` (or DELETE) on it first"
        )
    return mode == "wal"


@contextmanager
def drain_session(connection: sqlite3.Connection, where: str) -> Iterator[tuple[Guard, int]]:
    """Set up the connection for a drain; the guard, and what `wal_autocheckpoint` was.

    Everything is put back on every way out, but for an authorizer of the user's own, which cannot
    be read back.
    """
    _check_drainable(connection)
    guard = Guard(strict=not isinstance(connection, QueueConnection))
    with explained(where):
        busy_timeout = int(_pragma(connection, sql.BUSY_TIMEOUT))
        autocheckpoint = int(_pragma(connection, sql.WAL_AUTOCHECKPOINT))
    isolation_level = connection.isolation_level
    autocommit = False
    _draining[id(connection)] = connection, guard
    try:
        autocommit = _let_python_begin(connection)
        # With "" Python would begin a transaction of its own before a handler's stray write, which
        # the guard refuses; with None such a write would commit by itself.
        connection.isolation_level = ""  # type: ignore[assignment]  # the stubs lack it
        connection.execute(sql.set_busy_timeout(SHORT_WAIT_MS))
        connection.execute(sql.set_wal_autocheckpoint(0))
        connection.set_authorizer(guard.authorize)
        if isinstance(connection, QueueConnection):
            connection.guard = guard
        yield guard, autocheckpoint
    finally:
        if not guard.forked:
            del _draining[id(connection)]
        if not guard.forked and not is_closed(connection):
            guard.active = False
            if isinstance(connection, QueueConnection):
                connection.guard = None
            connection.set_authorizer(None)
            if connection.in_transaction:
                connection.execute(sql.ROLLBACK)
            connection.execute(sql.set_wal_autocheckpoint(autocheckpoint))
            connection.execute(sql.set_busy_timeout(busy_timeout))
            connection.isolation_level = isolation_level
            if sys.version_info >= (3, 12) and autocommit:
                connection.autocommit = True


def _let_python_begin(connection: sqlite3.Connection) -> bool:
    """Have `isolation_level` decide; whether `autocommit=True` decided before."""
    if sys.version_info >= (3, 12) and connection.autocommit is True:
        connection.autocommit = sqlite3.LEGACY_TRANSACTION_CONTROL
        return True
    return False


def _abandon_in_child() -> None:
    for connection, guard in tuple(_draining.values()):
        guard.abandon(connection)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_in_child)


def wal_size(database: str) -> int:
    """Bytes of the write-ahead log; 0 where there is none."""
    try:
        return Path(f"{database}-wal").stat().st_size
    except OSError:
        return 0
