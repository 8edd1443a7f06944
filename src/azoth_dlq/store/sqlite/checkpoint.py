"""Copying the write-ahead log into the database: between groups, and at the end of a drain."""

from __future__ import annotations

import bisect
import os
import sqlite3

from azoth_dlq.errors import StorageError
from azoth_dlq.store.sqlite import pragmas
from azoth_dlq.store.sqlite.faults import BUSY_CODES, explained, primary_code
from azoth_dlq.store.sqlite.raw import is_closed

LARGE_BYTES = 256 * 1024 * 1024  # with so many, a log is begun anew
# After the first copy, which takes long, others have often written; then SQLite does not wait for
# the disk, and the next copy has to, or what begins the log anew under the lock.
_COPIES_AGAIN = 2
# Bytes; the salts of a log stand in its header and in that of each frame. Source:
# https://sqlite.org/fileformat2.html#the_write_ahead_log
_HEADER = 32
_PAGE_SIZE = slice(8, 12)
_SALTS = slice(16, 24)
_FRAME_HEADER = 24
_SALTS_OF_FRAME = slice(8, 16)


class Log:
    """The write-ahead log of a database, which is copied into it in pieces of `LARGE_BYTES`.

    What others write during a copy stays in the log, which begins anew only where nothing does:
    beside a busy writer it would grow for ever. So a large log is begun anew under the lock, once
    little is left to copy. Its file keeps its length until the end: to overwrite it takes less time
    than to lengthen it again. Where a reader that needs it is in the way, it grows by another piece
    before that is tried again: others wait for the lock each time.
    """

    __slots__ = ("_cursor", "_database", "_due")

    def __init__(self, cursor: sqlite3.Cursor, database: str) -> None:
        """`database`: "" where the log is not ours to copy, or there is none."""
        self._cursor = cursor
        self._database = database
        self._due = LARGE_BYTES

    def copy(self) -> None:
        """Copy it and begin it anew, where that is due. Errors: StorageError."""
        if length_of_log(self._database) >= self._due:
            in_use = bytes_of_log_in_use(self._database)
            if in_use >= self._due:
                self._due = in_use + LARGE_BYTES
                # One that a reader made much longer is not kept.
                is_long = in_use >= 2 * LARGE_BYTES
                if self._copy_and(pragmas.EMPTY_LOG if is_long else pragmas.BEGIN_LOG_ANEW):
                    self._due = LARGE_BYTES

    def finish(self) -> None:
        """Copy what there is, and leave no large file. Errors: StorageError."""
        length = length_of_log(self._database)
        try:
            if length >= LARGE_BYTES:
                self._copy_and(pragmas.EMPTY_LOG)
            elif length:
                self._do(pragmas.CHECKPOINT)
        except StorageError as error:
            raise StorageError(
                f"{error}. All that was done is committed; the -wal file could not be copied into "
                "the database, which the next drain does",
                transient=error.transient,
            ) from error

    def _copy_and(self, begin_anew: str) -> bool:
        for _ in range(1 + _COPIES_AGAIN):
            self._do(pragmas.CHECKPOINT)
        return self._do(begin_anew)

    def _do(self, checkpoint: str) -> bool:
        """Whether nobody was in the way: a reader or another writer, after whom the next one, or
        they, will do it."""
        if is_closed(self._cursor.connection):
            return False
        with explained(self._database):
            try:
                ((busy, _, _),) = self._cursor.execute(checkpoint).fetchall()
            except sqlite3.OperationalError as error:
                if primary_code(error) not in BUSY_CODES:
                    raise
                return False
        return not busy


def length_of_log(database: str) -> int:
    """Bytes of the file of the write-ahead log; 0 where there is none."""
    if not database:
        return 0
    try:
        return os.path.getsize(f"{database}-wal")
    except OSError:
        return 0


def bytes_of_log_in_use(database: str) -> int:
    """Bytes of it since it was begun anew: behind them is what is left from before."""
    try:
        with open(f"{database}-wal", "rb", buffering=0) as log:
            header = log.read(_HEADER)
            if len(header) < _HEADER:
                return 0
            frame_size = _FRAME_HEADER + int.from_bytes(header[_PAGE_SIZE], "big")

            def is_over(frame: int) -> bool:
                log.seek(_HEADER + frame * frame_size)
                return log.read(_FRAME_HEADER)[_SALTS_OF_FRAME] != header[_SALTS]

            frames = (os.fstat(log.fileno()).st_size - _HEADER) // frame_size
            return _HEADER + frame_size * bisect.bisect(range(frames), x=False, key=is_over)
    except OSError:
        return 0
