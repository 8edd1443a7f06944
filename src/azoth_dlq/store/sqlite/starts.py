"""Which of a drain's calls have started, written where it outlives the process.

A file beside the database, `<database>-azoth-<name>-started`, with a byte for each call that the
drain may have in hand at once, is mapped into memory: a store there costs nothing. It is made under
the write lock of the database, and counts once the lock of its drain is free (see `presence`).
"""

from __future__ import annotations

import mmap
import os
import stat
from contextlib import suppress
from typing import Any

from azoth_dlq.errors import StorageError
from azoth_dlq.store.sqlite.beside import create_beside, may_pass

SUFFIX = "-started"


class Starts:
    """Those of one drain."""

    def __init__(self, database: str, drainer: str) -> None:
        """Of a drain of this file ("": a database without one, whose marks end with it)."""
        self._database = database
        self._path = f"{database}-azoth-{drainer}{SUFFIX}"
        self._marks: Any = None

    def marks(self, slots: int) -> Any:
        """A byte for each slot. Errors: StorageError."""
        if self._marks is None:
            self._marks = self._mapped(slots) if self._database else bytearray(slots)
        return self._marks

    def close(self) -> None:
        if isinstance(self._marks, mmap.mmap):
            self._marks.close()
            remove_starts(self._path)
        self._marks = None

    def _mapped(self, slots: int) -> mmap.mmap:
        try:
            descriptor = create_beside(self._database, self._path, os.O_RDWR)
            try:
                # Written, not truncated to its size: where the disk is full, that is told here.
                os.write(descriptor, bytes(slots))
                return mmap.mmap(descriptor, slots)
            except BaseException:
                remove_starts(self._path)
                raise
            finally:
                os.close(descriptor)
        except (OSError, ValueError) as error:
            told = getattr(error, "strerror", None) or "the disk is full"
            raise StorageError(
                f"{self._path} cannot be made ({told}); a drain notes there which of its calls "
                "have started: its folder must be writable",
                transient=isinstance(error, ValueError) or may_pass(error),
            ) from error


class Started:
    """Contains the slots whose calls a drain that died had started, and no slot at all: a call
    without one is made as soon as it is claimed."""

    def __init__(self, database: str, drainer: str) -> None:
        self._marks = b""
        path = f"{database}-azoth-{drainer}{SUFFIX}"
        with suppress(OSError):
            if stat.S_ISREG(os.lstat(path).st_mode):
                with open(path, "rb") as file:
                    self._marks = file.read()

    def __contains__(self, slot: object) -> bool:
        if slot is None:
            return True
        return isinstance(slot, int) and 0 <= slot < len(self._marks) and self._marks[slot] != 0


def remove_starts(path: str) -> None:
    """Nothing else than an ordinary file; Windows keeps one that is open, for the next drain."""
    with suppress(OSError):
        if stat.S_ISREG(os.lstat(path).st_mode):
            os.unlink(path)
