"""Copies of a database for trials: never the file itself, and gone in the end."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from azoth_dlq.errors import StorageError
from azoth_dlq.filters import LetterFilter
from azoth_dlq.queue import DeadLetterQueue
from azoth_dlq.store.sqlite import open_for_looking, pragmas
from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite.faults import explained, primary_code

AT_ONCE = 2  # the one that is kept and the one that is tried
# Beside the copies, the log of the one that is tried.
_MOST_OF_A_COPY = AT_ONCE + 1
_PAGES = 4096  # copied at once
_WAY_OUT = "choose another folder by --copies-in"
_PAUSE = 0.01  # seconds between two tries to read a locked file


class Facts(NamedTuple):
    """The bytes of a database, and whether it is in WAL mode."""

    size: int
    is_wal: bool


class Copies:
    """A copy that is kept, from which others are made."""

    def __init__(self, file: str, kept: Path) -> None:
        self._file = file
        self._kept = kept

    def leave_out(self, event_type: str) -> int:
        """Have no letters of a type in the copies; how many there were."""
        with DeadLetterQueue.open(self._kept) as dlq:
            return dlq.discard(LetterFilter(event_type=event_type))

    @contextmanager
    def fresh(self) -> Iterator[Path]:
        """A copy as the file was, gone afterwards. Errors: StorageError."""
        with _new_folder(self._kept.parent, "trial-") as folder:
            path = folder / "copy.db"
            try:
                shutil.copyfile(self._kept, path)
            except OSError as error:
                raise _no_copy(self._file, error.strerror) from error
            try:
                yield path
            except StorageError as error:  # when it is read, its path is gone
                message = str(error).replace(str(path), f"a copy of {self._file}")
                raise StorageError(message, transient=error.transient) from error


def facts_of(file: str, *, wait: float) -> Facts:
    """A lock is waited for `wait` seconds. Errors: StorageError."""
    with explained(file), closing(open_for_looking(file, wait=wait)) as connection:
        ((pages,),) = connection.execute(pragmas.PAGE_COUNT)
        ((page,),) = connection.execute(pragmas.PAGE_SIZE)
        ((mode,),) = connection.execute(pragmas.JOURNAL_MODE)
    return Facts(int(pages) * int(page), str(mode).lower() == "wal")


@contextmanager
def room_for_copies(file: str, folder: str | None, size: int) -> Iterator[Path]:
    """A new folder in `folder` (None: that of the file, whose disk is then the one that is
    measured), gone with all that is in it afterwards. Errors: StorageError."""
    parent = Path(folder).absolute() if folder is not None else Path(file).resolve().parent
    try:
        free = shutil.disk_usage(parent).free
        if free < _MOST_OF_A_COPY * size:
            raise StorageError(
                f"{parent} has {megabytes(free)} free, and copies of {file} need "
                f"{megabytes(_MOST_OF_A_COPY * size)}; {_WAY_OUT}"
            )
    except OSError as error:
        raise _takes_no_copies(parent, error) from error
    with _new_folder(parent, "azoth-dlq-tune-") as made:
        yield made


@contextmanager
def _new_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Gone afterwards, but not by a child that a handler forked. Errors: StorageError."""
    folder = parent / f"{prefix}{secrets.token_hex(8)}"
    process = os.getpid()
    try:
        try:
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise _takes_no_copies(parent, error) from error
        yield folder
    finally:
        if os.getpid() == process:
            shutil.rmtree(folder, ignore_errors=True)


def _takes_no_copies(parent: Path, error: OSError) -> StorageError:
    return StorageError(f"{parent} takes no copies ({error.strerror}); {_WAY_OUT}")


def copy_of(file: str, folder: Path, *, wait: float) -> Copies:
    """Copy the file as it is now, which is only read; a lock is waited for `wait` seconds.
    Errors: StorageError."""
    kept = folder.absolute() / "kept.db"
    until = monotonic() + wait

    def heed_locks(status: int, _remaining: int, _total: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and monotonic() >= until:
            raise StorageError(
                f"{file} is locked by another program; try again when it is done, or wait longer "
                "(busy_timeout)",
                transient=True,
            )

    with explained(file), closing(open_for_looking(file, wait=wait)) as source:
        # One state of the file: what others write meanwhile would have the copy begin anew.
        source.execute(sql.BEGIN_READING)
        source.execute(sql.TABLES).fetchall()
        with closing(sqlite3.connect(kept)) as target:
            try:
                source.backup(target, pages=_PAGES, progress=heed_locks, sleep=_PAUSE)
            except sqlite3.OperationalError as error:
                if primary_code(error) != sqlite3.SQLITE_FULL:
                    raise
                raise _no_copy(file, str(error)) from error
    return Copies(file, kept)


def _no_copy(file: str, trouble: str | None) -> StorageError:
    return StorageError(f"no copy of {file} can be made ({trouble}); {_WAY_OUT}", transient=True)


def megabytes(size: int) -> str:
    """A size for people."""
    return f"{size / 1_000_000:,.1f} MB"
