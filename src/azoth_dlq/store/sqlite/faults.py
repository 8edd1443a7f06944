"""What SQLite's errors mean to the engine, and how they are told to people."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from azoth_dlq.errors import InvalidStateError, StorageError
from azoth_dlq.store.base import Busy, StorageFault

BUSY_CODES = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
NOT_A_DATABASE_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
# Faults of the database itself: they say nothing about a letter and charge none.
FAULT_CODES = NOT_A_DATABASE_CODES | {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
}
# Waiting may mend these.
_TRANSIENT_CODES = BUSY_CODES | {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_PROTOCOL,
}

_LONGEST_CHAIN = 16  # of errors raised from others; such chains may be circular

_MEANINGS = {
    sqlite3.SQLITE_BUSY: "is locked by another program; try again when it is done, or wait longer "
    "(busy_timeout)",
    sqlite3.SQLITE_LOCKED: "is locked by another statement of this connection; finish it first",
    sqlite3.SQLITE_FULL: "cannot grow, the disk is full; free some space and try again",
    sqlite3.SQLITE_IOERR: "cannot be read or written; look at the disk and the system's log",
    sqlite3.SQLITE_CORRUPT: "is damaged; see what `PRAGMA integrity_check` says, and restore it "
    "from a backup or with sqlite3's `.recover`",
    sqlite3.SQLITE_NOTADB: "is not an SQLite database; check the path (an encrypted file looks "
    "like this, too)",
    sqlite3.SQLITE_READONLY: "cannot be written; check its permissions and those of its folder",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check that its folder exists and its permissions "
    "allow it",
    sqlite3.SQLITE_NOMEM: "needs more memory than there is",
    sqlite3.SQLITE_CONSTRAINT: "refuses what is written",
}

# By the extended code, where that tells more.
_SHM = (
    "cannot be used: the -shm file beside it cannot be made or grown; free some space if the disk "
    "is full, and see that its folder may be written"
)
_EXTENDED_MEANINGS = {sqlite3.SQLITE_IOERR_SHMOPEN: _SHM, sqlite3.SQLITE_IOERR_SHMSIZE: _SHM}

# These errors of Python's sqlite3 have no code of SQLite's.
_MISUSES = {
    "SQLite objects created in a thread": "a queue belongs to the thread that made it; open "
    "another one, on the same file, in each thread",
    "Cannot operate on a closed database": "the queue is closed; open it again",
}


def primary_code(error: BaseException) -> int | None:
    """SQLite's primary result code of an error; None where it is no error of SQLite's."""
    code = getattr(error, "sqlite_errorcode", None) if isinstance(error, sqlite3.Error) else None
    return code & 0xFF if isinstance(code, int) else None


def is_fault(error: BaseException) -> bool:
    """Whether the database itself failed, not what was asked of it."""
    return primary_code(error) in FAULT_CODES


def fault_within(error: BaseException) -> BaseException | None:
    """The fault of the database that a handler's error is, or was raised from; None: neither."""
    link: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if link is None or is_fault(link):
            return link
        link = link.__cause__ or link.__context__
    return None


def explain(error: BaseException, where: str) -> StorageError | InvalidStateError:
    """The error as one that names the file, the trouble, and the way out: an `InvalidStateError`
    where the connection must not be used now or here, else a `StorageError`."""
    if isinstance(error, sqlite3.ProgrammingError):
        for beginning, meaning in _MISUSES.items():
            if str(error).startswith(beginning):
                return InvalidStateError(f"{where}: {meaning}")
    code = _code(error)
    meaning = _EXTENDED_MEANINGS.get(
        getattr(error, "sqlite_errorcode", 0), _MEANINGS.get(code, "cannot be used")
    )
    return StorageError(f"{where} {meaning} (SQLite: {error})", transient=code in _TRANSIENT_CODES)


def as_fault(error: BaseException, where: str, context: str = "") -> StorageFault:
    """The error as the engine is told of faults of the database; `context` goes with its text."""
    transient = _code(error) in _TRANSIENT_CODES
    return StorageFault(f"{explain(error, where)}{context}", transient=transient)


def handler_of(letter: int | None) -> str:
    """The handler in words; None where no letter is known."""
    return "the handler" if letter is None else f"the handler of letter {letter}"


def check_no_fault(error: BaseException | None, where: str, letter: int | None = None) -> None:
    """Errors: StorageFault where what the handler of the letter raised is a fault of the database,
    or was raised from one."""
    try:
        fault = None if error is None else fault_within(error)
    except Exception:  # noqa: BLE001 -- properties of a handler's own error
        fault = None
    if fault is not None:
        context = f"; met in {handler_of(letter)}: if it was of another database, catch it there"
        raise as_fault(fault, where, context)


def ids_used_up(error: BaseException, where: str, table: str) -> StorageError:
    """The error of an AUTOINCREMENT that has reached its end; SQLite tells it as a full disk."""
    return StorageError(
        f"{where} has no id left for another row of {table}: 2**63-1 is or was in use; delete the "
        f"row that has it, and the row of {table} in sqlite_sequence (SQLite: {error})"
    )


def shown_path(path: str | os.PathLike[str]) -> str:
    """A path as it can be printed, whatever bytes it has."""
    return os.fsencode(path).decode("utf-8", "replace")


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Errors of SQLite within are raised as `explain` gives them."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise explain(error, where) from error


class told_to_engine:  # noqa: N801 -- used as a function; a class since it is entered each failure
    """Errors of SQLite within are raised as `Busy`, `StorageFault`, or as `explain` gives them."""

    __slots__ = ("_where",)

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if not isinstance(error, (sqlite3.Error, MemoryError, UnicodeDecodeError)):
            return
        if primary_code(error) in BUSY_CODES:
            raise Busy(str(explain(error, self._where))) from error
        if is_fault(error) or not isinstance(error, sqlite3.Error):
            raise as_fault(error, self._where) from error
        raise explain(error, self._where) from error


def _code(error: BaseException) -> int:
    """The primary code; Python tells SQLITE_NOMEM as a MemoryError. 0 where there is none."""
    if isinstance(error, MemoryError):
        return sqlite3.SQLITE_NOMEM
    if isinstance(error, UnicodeDecodeError):
        # Of an error's own text, which quotes from the file: only of a damaged one it is no UTF-8.
        return sqlite3.SQLITE_CORRUPT
    return primary_code(error) or 0
