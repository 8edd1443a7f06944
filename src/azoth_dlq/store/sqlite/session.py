"""What a drain sets on its connection, and how everything is put back."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable
from threading import get_ident
from typing import Any, NamedTuple

from azoth_dlq.errors import ConfigError, InvalidStateError, StorageError
from azoth_dlq.store.base import DrainSettings
from azoth_dlq.store.sqlite import pragmas
from azoth_dlq.store.sqlite._isolation import Guard
from azoth_dlq.store.sqlite._put_back import PutBack
from azoth_dlq.store.sqlite.faults import explained, told_to_engine
from azoth_dlq.store.sqlite.guard import QueueConnection
from azoth_dlq.store.sqlite.left_open import execute_uninterrupted, roll_back
from azoth_dlq.store.sqlite.raw import is_closed, own_cursor, read, text_of

# Waits for a lock are cut into pieces of this length, so that signals and shutdown() are heard.
SHORT_WAIT_MS = 100
_LIMITS = [getattr(sqlite3, name) for name in dir(sqlite3) if name.startswith("SQLITE_LIMIT_")]
_set_limit = sqlite3.Connection.setlimit  # a connection of ours refuses it amid a drain
_CRASH_PROOF = frozenset({"delete", "persist", "truncate", "wal"})


class _Drain(NamedTuple):
    """One that is going on; `thread` as `threading.get_ident` tells it."""

    connection: sqlite3.Connection
    guard: Guard
    thread: int


_draining: dict[int, _Drain] = {}


def check_thread(connection: sqlite3.Connection) -> None:
    """InvalidStateError where another thread drains on the connection: what is written through it
    now would be undone with a letter that fails."""
    drain = _draining.get(id(connection))
    if drain is not None and drain.thread != get_ident():
        raise InvalidStateError(
            "another thread drains on this queue's connection; open a queue of its own in each "
            "thread"
        )


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
        mode = text_of(_pragma(connection, pragmas.JOURNAL_MODE)).lower()
    if mode not in _CRASH_PROOF:
        raise StorageError(
            f"{where} has journal_mode={mode.upper()}, with which a crash in the middle of a drain "
            "can destroy it; run `PRAGMA journal_mode=WAL` (or DELETE) on it first"
        )
    return mode == "wal"


class Session(NamedTuple):
    """What a drain has of its connection: the guard, what `wal_autocheckpoint` was, and the
    statement that makes the cache as large as is set, None where it is. That is for later: the plan
    needs no cache, and much memory."""

    guard: Guard
    autocheckpoint: int
    enlarge_cache: str | None


def set_up(
    connection: sqlite3.Connection, where: str, settings: DrainSettings, put_back: PutBack
) -> Session:
    """Set up the connection for a drain.

    `put_back` gets everything but an authorizer of the user's own, which cannot be read back.
    """
    _check_drainable(connection)
    guard = Guard(strict=not isinstance(connection, QueueConnection))
    with explained(where):
        busy_timeout = int(_pragma(connection, pragmas.BUSY_TIMEOUT))
        autocheckpoint = int(_pragma(connection, pragmas.WAL_AUTOCHECKPOINT))
    cursor = own_cursor(connection)  # a subclass of the user's may do anything in `execute`

    def execute(statement: str) -> None:
        with told_to_engine(where):
            execute_uninterrupted(cursor, statement)
            # A statement that is not read to its end keeps an interrupt() of a handler's in force.
            cursor.fetchall()

    def later(action: Callable[..., object], *arguments: object) -> None:
        put_back.later(_unless_gone, connection, guard, action, *arguments)

    put_back.later(unless_forked, guard, _draining.pop, id(connection), None)
    _draining[id(connection)] = _Drain(connection, guard, get_ident())
    _let_python_begin(connection, later)
    later(_put_back_isolation_level, connection, connection.isolation_level)
    later(execute, pragmas.set_busy_timeout(busy_timeout))
    execute(pragmas.set_busy_timeout(SHORT_WAIT_MS))
    later(execute, pragmas.set_wal_autocheckpoint(autocheckpoint))
    execute(pragmas.set_wal_autocheckpoint(0))
    cache_size = int(_pragma(connection, pragmas.CACHE_SIZE))
    enlarge_cache = None
    if settings.cache_size is not None and settings.cache_size > _in_bytes(cache_size, connection):
        later(execute, pragmas.set_cache_size(cache_size))
        enlarge_cache = pragmas.set_cache_size(-(settings.cache_size // 1024))
    # A database without a file maps nothing, and tells no size.
    mapped = read(connection, pragmas.MMAP_SIZE) if settings.mmap_size is not None else []
    for (size,) in mapped:
        later(execute, pragmas.set_mmap_size(int(size)))
        execute(pragmas.set_mmap_size(settings.mmap_size or 0))
    later(roll_back, connection)
    later(connection.set_authorizer, None)
    connection.set_authorizer(guard.authorize)
    if isinstance(connection, QueueConnection):
        # Also where it is closed by then.
        put_back.later(unless_forked, guard, setattr, connection, "guard", None)
        connection.guard = guard
    later(guard.rest)
    return Session(guard, autocheckpoint, enlarge_cache)


def _in_bytes(cache_size: int, connection: sqlite3.Connection) -> int:
    if cache_size < 0:  # KiB
        return -cache_size * 1024
    return cache_size * int(_pragma(connection, pragmas.PAGE_SIZE))


def unless_forked(guard: Guard, action: Callable[..., object], *arguments: object) -> None:
    if not guard.forked:
        action(*arguments)


def _unless_gone(
    connection: sqlite3.Connection,
    guard: Guard,
    action: Callable[..., object],
    *arguments: object,
) -> None:
    if not is_closed(connection):
        unless_forked(guard, action, *arguments)


def set_isolation_level(connection: sqlite3.Connection, level: str | None) -> None:
    """Where a handler set `autocommit`, too: with False, Python would commit for a level of None,
    also where there is no transaction."""
    if sys.version_info >= (3, 12):
        connection.autocommit = sqlite3.LEGACY_TRANSACTION_CONTROL
    connection.isolation_level = level  # type: ignore[assignment]  # stubs lack ""


def _put_back_isolation_level(connection: sqlite3.Connection, level: str | None) -> None:
    """Where a transaction is still open, setting it to None would commit that."""
    roll_back(connection)
    set_isolation_level(connection, level)


def put_back_limits(connection: sqlite3.Connection, guard: Guard, put_back: PutBack) -> None:
    """Have what handlers set of them put back, before all else is that needs statements."""
    limits = [(category, connection.getlimit(category)) for category in _LIMITS]
    put_back.later(_unless_gone, connection, guard, _set_limits, connection, limits)


def _set_limits(connection: sqlite3.Connection, limits: list[tuple[int, int]]) -> None:
    for category, limit in limits:
        _set_limit(connection, category, limit)


def _let_python_begin(connection: sqlite3.Connection, later: Callable[..., None]) -> None:
    """Have `isolation_level` decide where `autocommit=True` does: between groups, None means the
    same."""
    if sys.version_info >= (3, 12) and connection.autocommit is True:
        later(setattr, connection, "autocommit", connection.autocommit)
        connection.autocommit = sqlite3.LEGACY_TRANSACTION_CONTROL
        later(setattr, connection, "isolation_level", connection.isolation_level)
        connection.isolation_level = None


def _abandon_in_child() -> None:
    for drain in tuple(_draining.values()):
        drain.guard.abandon(drain.connection)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_in_child)
