"""Copies of a database for trials: never the file itself, and gone in the end."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from azoth_dlq.errors import StorageError
from azoth_dlq.filters import LetterFilter
from azoth_dlq.queue import DeadLetterQueue
from azoth_dlq.store.sqlite import open_for_looking
from azoth_dlq.store.sqlite.faults import explained

AT_ONCE = 2  # the one that is kept and the one that is tried
# Beside the copies, the log of the one that is tried.
_MOST_OF_A_COPY = AT_ONCE + 1
_PAGES = 4096  # copied at once
_PAUSE = 0.01  # seconds between two tries to read a locked file


class Facts(NamedTuple):
    """The bytes of a database, and whether it is in WAL mode."""

    size: int
    is_wal: bool


class Copies:
    """A copy that is kept, from which others are made."""

    def __init__(self, kept: Path) -> None:
        self._kept = kept

    def leave_out(self, event_type: str) -> int:
        """Have no letters of a type in the copies; how many there were."""
        with DeadLetterQueue.open(self._kept) as dlq:
            return dlq.discard(dlq.find(LetterFilter(event_type=event_type)))

    @contextmanager
    def fresh(self) -> Iterator[Path]:
        """A copy as the file was, gone afterwards."""
        with tempfile.TemporaryDirectory(dir=self._kept.parent) as folder:
            yield Path(shutil.copyfile(self._kept, Path(folder) / "copy.db"))


def facts_of(file: str) -> Facts:
    """Errors: StorageError."""
    with explained(file), closing(open_for_looking(file)) as connection:
        ((pages,),) = connection.execute("PRAGMA main.page_count")
        ((page,),) = connection.execute("PRAGMA main.page_size")
        ((mode,),) = connection.execute("PRAGMA main.journal_mode")
    return Facts(int(pages) * int(page), str(mode).lower() == "wal")


@contextmanager
def room_for_copies(file: str, folder: str | None, size: int) -> Iterator[Path]:
    """A new folder in `folder` (None: that of the file, whose disk is then the one that is
    measured), gone with all that is in it afterwards. Errors: StorageError."""
    parent = Path(folder) if folder is not None else Path(file).absolute().parent
    way_out = "choose another folder by --copies-in"
    try:
        free = shutil.disk_usage(parent).free
        if free < _MOST_OF_A_COPY * size:
            raise StorageError(
                f"{parent} has {megabytes(free)} free, and copies of {file} need "
                f"{megabytes(_MOST_OF_A_COPY * size)}; {way_out}"
            )
        made = tempfile.mkdtemp(prefix=f"{Path(file).name}-tune-", dir=parent)
    except OSError as error:
        raise StorageError(f"{parent} takes no copies ({error.strerror}); {way_out}") from error
    there = Path(made).absolute()  # handlers may change the directory
    try:
        yield Path(made)
    finally:
        shutil.rmtree(there, ignore_errors=True)


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

    with explained(file), closing(open_for_looking(file)) as source:
        source.execute(f"PRAGMA busy_timeout = {int(wait * 1000)}")
        # One state of the file: what others write meanwhile would have the copy begin anew.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM main.sqlite_master").fetchall()
        with closing(sqlite3.connect(kept)) as target:
            source.backup(target, pages=_PAGES, progress=heed_locks, sleep=_PAUSE)
    return Copies(kept)


def megabytes(size: int) -> str:
    """A size for people."""
    return f"{size / 1_000_000:,.1f} MB"
