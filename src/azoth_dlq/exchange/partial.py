"""A file that gets its name when it is whole: written beside it, one writer at a time."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from typing import BinaryIO, Final

from azoth_dlq.errors import ExchangeError

_BUFFER_BYTES: Final = 2**20
_PRIVATE: Final = 0o600  # payloads are nobody else's
_FLAGS: Final = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, 2**40, os.SEEK_SET)  # behind all that is ever written
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class PartialFile:
    """`<path>.partial`, which becomes `path`. Errors: ExchangeError, OSError."""

    def __init__(self, path: str, *, force: bool) -> None:
        self.path = path
        self.name = f"{path}.partial"
        self._force = force
        self._check_target()
        self.file: BinaryIO = os.fdopen(self._open(), "r+b", _BUFFER_BYTES)

    def _check_target(self) -> None:
        """Before hours of work."""
        try:
            mode = os.lstat(self.path).st_mode
        except FileNotFoundError:
            return
        if not self._force:
            raise ExchangeError(f"{self.path} exists; choose another name, or overwrite it (force)")
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            raise ExchangeError(f"{self.path} is no ordinary file; choose another name")

    def _open(self) -> int:
        """Of a new file, or of what an earlier export left, which is ours alone."""
        while True:
            try:
                descriptor = os.open(self.name, _FLAGS | os.O_CREAT | os.O_EXCL, _PRIVATE)
            except FileExistsError:
                self._check_left()
                try:
                    descriptor = os.open(self.name, _FLAGS)
                except FileNotFoundError:  # it has just got its name
                    continue
            try:
                self._take(descriptor)
                if self._is_still_there(descriptor):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _check_left(self) -> None:
        try:
            left = os.lstat(self.name)
        except FileNotFoundError:
            return
        is_ours = not hasattr(os, "geteuid") or left.st_uid == os.geteuid()
        if not (stat.S_ISREG(left.st_mode) and is_ours):
            raise ExchangeError(
                f"{self.name}, which the export is written to before it gets its name, is no "
                "ordinary file of yours; move it away"
            )
        if left.st_nlink > 1:  # it is a whole one, too, or somebody else's
            os.unlink(self.name)

    def _take(self, descriptor: int) -> None:
        try:
            _lock(descriptor)
        except OSError:
            raise ExchangeError(
                f"another export writes {self.name} at this moment; wait for it, or choose another "
                "name"
            ) from None
        if hasattr(os, "fchmod"):
            with suppress(OSError):  # some file systems know no modes
                os.fchmod(descriptor, _PRIVATE)

    def _is_still_there(self, descriptor: int) -> bool:
        """Not renamed or removed before it was locked."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.lstat(self.name))
        except FileNotFoundError:
            return False

    def cut(self, end: int) -> None:
        """Drop what comes from there on, and go on writing there."""
        self.file.seek(end)
        self.file.truncate()

    def publish(self) -> None:
        """Give it its name: it is on the disk, and whole."""
        self.file.flush()
        os.fsync(self.file.fileno())
        if sys.platform == "win32":  # where an open file keeps its name
            self.file.close()
        if self._force:
            os.replace(self.name, self.path)
        else:
            self._rename()
        self.file.close()
        _sync_folder(os.path.dirname(self.path) or ".")

    def _rename(self) -> None:
        """Never over another file, also one that has just been made."""
        try:
            if sys.platform == "win32":
                os.rename(self.name, self.path)
                return
            os.link(self.name, self.path, follow_symlinks=False)
        except FileExistsError:
            raise ExchangeError(
                f"{self.path} has been made meanwhile; what was exported is {self.name}"
            ) from None
        except OSError:  # no hard links here
            self._check_target()
            os.rename(self.name, self.path)
            return
        os.unlink(self.name)

    def leave(self) -> None:
        """As it is, to be gone on with."""
        with suppress(OSError):  # a full disk is told by whoever met it first
            self.file.close()

    def discard(self) -> None:
        """It cannot be gone on with."""
        self.leave()
        with suppress(OSError):
            os.unlink(self.name)


def _sync_folder(folder: str) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some file systems sync no folders
    finally:
        os.close(descriptor)
