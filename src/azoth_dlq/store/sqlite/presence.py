"""Who drains: a lock of the operating system for each drain, which its death frees.

An empty SQLite file beside the database, `<database>-azoth-<name>`, on which the drain keeps an
exclusive transaction open. The locks belong to a process, so that no child inherits them, and
SQLite itself tells the connections of one process apart. The file is made and locked under the
write lock of the database: whoever holds that and finds it unlocked knows that its drain is over.
A database without a file has no such lock; who drains it is known to this process alone.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from azoth_dlq.clock import to_datetime
from azoth_dlq.errors import StorageError
from azoth_dlq.store.sqlite import pragmas
from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite.beside import create_beside, may_pass
from azoth_dlq.store.sqlite.connection import connect
from azoth_dlq.store.sqlite.faults import NOT_A_DATABASE_CODES, explained, primary_code
from azoth_dlq.store.sqlite.raw import own_cursor, read, text_of
from azoth_dlq.store.sqlite.starts import SUFFIX, remove_starts

if TYPE_CHECKING:
    from azoth_dlq.types import Drainer

_NAME_BYTES = 8
_DIGITS = frozenset("0123456789abcdef")
# The locks of this process by the drain's name.
_held: dict[str, sqlite3.Connection | None] = {}
# Of the process that it was forked from. SQLite's memory says that they are held, also when that
# process is dead, until they are closed here, which touches no lock of another process.
_inherited: list[sqlite3.Connection] = []


class Presence:
    """One drain's, from `take` to `leave`."""

    def __init__(self, database: str) -> None:
        """Of a drain of this file ("": a database without one)."""
        self.name = os.urandom(_NAME_BYTES).hex()
        self._database = database

    def take(self) -> None:
        """Be there, under the write lock of the database. Errors: StorageError."""
        if _held.get(self.name) is None:
            _held[self.name] = None  # has `leave` remove what an interrupt leaves
            if self._database:
                _held[self.name] = self._lock()

    def announce(self, connection: sqlite3.Connection, since: int) -> None:
        """Write who and since when (microseconds), and forget who is gone, in the open
        transaction."""
        cursor = own_cursor(connection)
        for name, *_ in read(connection, sql.DRAINERS):
            if not is_alive(self._database, name):
                cursor.execute(sql.DELETE_DRAINER, (text_of(name),))
        cursor.execute(sql.SET_DRAINER, (self.name, _host(), os.getpid(), since))
        self._sweep_files(connection)

    def has_others(self, connection: sqlite3.Connection) -> bool:
        """Whether other drains of the database go on."""
        names = (text_of(name) for name, *_ in read(connection, sql.DRAINERS))
        return any(name != self.name and is_alive(self._database, name) for name in names)

    def leave(self) -> None:
        """Be there no more; again where it was interrupted."""
        if self.name not in _held:
            return
        lock = _held[self.name]
        if self._database:
            # Before the lock is freed, so that nobody finds the file of a drain that died; Windows
            # removes no file that is open.
            _remove(path := _file_of(self._database, self.name))
            if lock is not None:
                lock.close()
                _remove(path)
        del _held[self.name]

    def _sweep_files(self, connection: sqlite3.Connection) -> None:
        left = {
            name for name in _names_beside(self._database) if not is_alive(self._database, name)
        }
        if left:
            # The files tell that its drain died, and amid which calls, for as long as there are
            # claims of it.
            claiming = {text_of(name) for (name,) in read(connection, sql.CLAIMING)}
            for name in left - claiming:
                path = _file_of(self._database, name)
                if _is_ours(path):
                    _remove(path)
                remove_starts(path + SUFFIX)

    def _lock(self) -> sqlite3.Connection:
        path = _file_of(self._database, self.name)
        try:
            # Closed before SQLite opens it: to close a file frees all locks that the process has
            # on it.
            os.close(create_beside(self._database, path, os.O_RDWR))
        except OSError as error:
            raise StorageError(
                f"{path} cannot be made ({error.strerror}); a drain keeps a lock on it: its folder "
                "must be writable",
                transient=may_pass(error),
            ) from error
        with explained(path):
            lock = connect(path, "mode=rw", factory=sqlite3.Connection, any_thread=True)
            try:
                lock.execute(pragmas.JOURNAL_IN_MEMORY)
                lock.execute(sql.BEGIN_EXCLUSIVE)
            except BaseException:
                lock.close()
                _remove(path)
                raise
        return lock


def is_alive(database: str, name: object) -> bool:
    """Whether the drain of that name runs; what has not the form of a name is nobody's."""
    text = text_of(name)
    if not _is_name(text):
        return False
    if not database:
        return text in _held
    path = _file_of(database, text)
    if not _is_ours(path):
        return False
    _close_inherited()
    try:
        with closing(connect(path, "mode=ro", factory=sqlite3.Connection, wait=0)) as reader:
            reader.execute(pragmas.SCHEMA_VERSION)
    except sqlite3.Error as error:
        # Who cannot be asked may be alive.
        return primary_code(error) not in NOT_A_DATABASE_CODES and os.path.exists(path)
    return False


def has_died(database: str, name: object) -> bool:
    """Whether a drain that does not run ended by the death of its process: else it has removed its
    file."""
    text = text_of(name)
    return bool(database) and _is_name(text) and _is_ours(_file_of(database, text))


def drainers(connection: sqlite3.Connection, database: str) -> list[Drainer]:
    """Who drains now, the earliest first."""
    claims = {text_of(name): number for name, number in read(connection, sql.CLAIMS_BY_DRAINER)}
    alive = [
        (text_of(host), pid, to_datetime(since), claims.get(text_of(name), 0))
        for name, host, pid, since in read(connection, sql.DRAINERS)
        if type(pid) is int and type(since) is int and is_alive(database, name)
    ]
    if not alive:
        return []
    from azoth_dlq.types import Drainer  # noqa: PLC0415 -- it costs its import, and few are met

    return [
        Drainer(host=host, pid=pid, since=since, in_hand=in_hand)
        for host, pid, since, in_hand in alive
    ]


def _inherit() -> None:
    _inherited.extend(lock for lock in _held.values() if lock is not None)
    _held.clear()


def _close_inherited() -> None:
    # Not at once in the child: the fork may have come while another thread was within SQLite.
    while _inherited:
        _inherited.pop().close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_inherit)


def _host() -> str:
    if sys.platform != "win32":
        return os.uname().nodename
    import platform  # noqa: PLC0415 -- it costs its import, and Windows alone needs it

    return platform.node()


def _is_name(text: str) -> bool:
    return len(text) == 2 * _NAME_BYTES and _DIGITS.issuperset(text)


def _file_of(database: str, name: str) -> str:
    return f"{database}-azoth-{name}"


def _names_beside(database: str) -> Iterator[str]:
    """Of all drains that have files there, alive or not."""
    if not database:
        return
    folder, beginning = os.path.split(_file_of(database, ""))
    with suppress(OSError):
        for file in os.listdir(folder or "."):
            name = file.removeprefix(beginning).removesuffix(SUFFIX)
            if file.startswith(beginning) and _is_name(name):
                yield name


def _is_ours(path: str) -> bool:
    """Ours are ordinary and empty: nothing else is opened or removed."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == 0


def _remove(path: str) -> None:
    # Windows keeps a file that somebody is just asking: the next drain removes it.
    with suppress(OSError):
        os.unlink(path)
