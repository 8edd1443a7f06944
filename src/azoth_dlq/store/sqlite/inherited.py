"""Connections of the process from which this one was forked.

SQLite's memory says here, too, that their locks are held. A connection that is opened beside them
takes none of its own; who then closes the file as its last user empties the write-ahead log under
it, and what was committed here is lost. So those that rest are closed before the file is opened,
and where one cannot be, the file is refused.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from weakref import WeakKeyDictionary

from azoth_dlq.errors import InvalidStateError
from azoth_dlq.store.sqlite.raw import is_closed

# By what they live with, for a plain connection cannot be referred to weakly; the process and the
# file of each.
_known: WeakKeyDictionary[object, tuple[sqlite3.Connection, int, str]] = WeakKeyDictionary()


def watch(owner: object, connection: sqlite3.Connection, file: str) -> None:
    """Know of a connection to a file for as long as its owner is there."""
    _known[owner] = connection, os.getpid(), file


def forget(owner: object) -> None:
    """Its connection is closed."""
    _known.pop(owner, None)


def close_inherited(file: str | os.PathLike[str]) -> None:
    """Before this process opens the file. Errors: InvalidStateError."""
    for connection, process in _inherited(file):
        # One in a transaction would take back in the file what its process is about to commit.
        if connection.in_transaction:
            raise _refused(file, process)
        try:
            sqlite3.Connection.close(connection)
        except sqlite3.ProgrammingError as error:  # of another thread, which may be amid a call
            raise _refused(file, process) from error


def check_none_inherited(file: str) -> None:
    """After somebody else has opened the file in this process. Errors: InvalidStateError."""
    for _, process in _inherited(file):
        raise _refused(file, process)


def _inherited(file: str | os.PathLike[str]) -> Iterator[tuple[sqlite3.Connection, int]]:
    this_process = os.getpid()
    # Not by `values()`: other threads may open files meanwhile.
    for reference in _known.keyrefs():
        owner = reference()
        known = None if owner is None else _known.get(owner)
        if known is None:
            continue
        connection, process, its_file = known
        if process != this_process and its_file and not is_closed(connection):
            with suppress(OSError):
                if os.path.samefile(file, its_file):
                    yield connection, process


def _refused(file: str | os.PathLike[str], process: int) -> InvalidStateError:
    return InvalidStateError(
        f"{os.fsdecode(file)} was open in process {process} when this one was forked from it, and "
        "SQLite then keeps no locks here: what this process commits could be lost. Start it with "
        "multiprocessing's 'spawn', or fork before the file is opened or while its queue rests, "
        "and open it with DeadLetterQueue.open"
    )
