"""The file that a command works on: it must be there and hold dead letters."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from azoth_dlq.errors import StorageError
from azoth_dlq.queue import DeadLetterQueue
from azoth_dlq.store.sqlite import SqliteStore, open_for_looking
from azoth_dlq.store.sqlite.faults import BUSY_CODES, explained, primary_code
from azoth_dlq.store.sqlite.migrations import inspect

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

# Shells complete it to files; whether there is one that can be read is told below.
FILE = click.Path(readable=False)
database_argument: Callable[[Any], Any] = click.argument("database", metavar="DB", type=FILE)


@contextmanager
def queue_of(path: str, *, wait: float = 0) -> Iterator[DeadLetterQueue]:
    """The queue in a file, to work on; `wait` seconds, and a few at least, for one that is locked.
    Errors: StorageError."""
    _check_file(path)
    with _opened(path, monotonic() + wait) as dlq:
        _check_tables(dlq.connection, path)
        dlq.letters(0)  # a table that lacks columns is refused before anything is written
        yield dlq


def _opened(path: str, until: float) -> DeadLetterQueue:
    while True:
        try:
            return DeadLetterQueue.open(path)  # waits for a few seconds that no signal ends
        except StorageError as error:
            is_locked = primary_code(error.__cause__ or error) in BUSY_CODES
            if not is_locked or monotonic() >= until:
                raise


@contextmanager
def readable_store_of(path: str, **options: Any) -> Iterator[SqliteStore]:
    """The letters in a file, which is only read; options as of `open_for_looking`.
    Errors: StorageError."""
    _check_file(path)
    with closing(open_for_looking(path, **options)) as connection:
        _check_tables(connection, path)
        yield SqliteStore(connection)


def _check_file(path: str) -> None:
    try:
        os.stat(path)  # noqa: PTH116 -- an empty path must stay one: as a Path it is "."
    except (FileNotFoundError, NotADirectoryError):
        raise StorageError(f"there is no file {path!r}; check the path") from None
    except OSError as error:
        raise StorageError(f"{path} cannot be opened: {error.strerror}") from None


def _check_tables(connection: sqlite3.Connection, path: str) -> None:
    with explained(path):
        schema = inspect(connection)
    if not schema.has_queue:
        raise StorageError(
            f"{path} has no table dead_letter_queue, so it holds no dead letters; check the path"
        )
