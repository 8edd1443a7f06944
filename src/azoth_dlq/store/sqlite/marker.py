"""The letter in hand, written where it outlives its process.

A file beside the database, `<database>-azoth`, is mapped into memory; a store there costs nothing
and needs no system call. It counts only under SQLite's write lock: that lock is freed by the death
of its holder and by nothing else, so whoever gets it and finds a letter here that is not charged
yet knows that the last holder died in that letter's handler.
"""

from __future__ import annotations

import mmap
import os
import stat
import struct
from pathlib import Path

from azoth_dlq.errors import StorageError

_MAGIC = b"azothdlq"
_LAYOUT = struct.Struct("=8s16sqq")  # magic, boot id, nonce, letter id (0: none)
_NONCE = 3  # places in the mapping seen as int64s
_LETTER = 4
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def _boot_id() -> bytes:
    """Which start of the machine this is, where the system says so; power loss charges nobody."""
    try:
        return bytes.fromhex(_BOOT_ID.read_text("ascii").strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)


class Marker:
    """The slot of one database. Everything but `close` needs SQLite's write lock."""

    __slots__ = ("_boot", "_map", "_nonce", "slots")

    def __init__(self, database: str) -> None:
        """Open the slot beside `database`, or a private one for a database without a file ("")."""
        self._boot = _boot_id()
        self._nonce = -1  # of our group; no nonce is negative
        self._map: mmap.mmap | bytearray = (
            _map_beside(database) if database else bytearray(_LAYOUT.size)
        )
        self.slots = memoryview(self._map).cast("q")

    @property
    def letter(self) -> int:
        """The letter in hand; 0: none."""
        return self.slots[_LETTER]

    def mark(self, letter_id: int) -> None:
        self.slots[_LETTER] = letter_id

    def unmark(self) -> None:
        """No letter of ours is in hand; one of another holder, alive or dead, stays."""
        if self.slots[_NONCE] == self._nonce:
            self.slots[_LETTER] = 0

    def left_behind(self, charged: int | None) -> tuple[int, int] | None:
        """Nonce and letter of a holder that died in a handler, unless `charged` is that nonce."""
        magic, boot, nonce, letter = _LAYOUT.unpack_from(self._map)
        if magic != _MAGIC or boot != self._boot or letter == 0 or nonce == charged:
            return None
        return nonce, letter

    def start(self) -> None:
        """Begin a group of our own, with no letter in hand."""
        self.slots[_LETTER] = 0
        self._nonce = int.from_bytes(os.urandom(8), "big") >> 1
        _LAYOUT.pack_into(self._map, 0, _MAGIC, self._boot, self._nonce, 0)

    def close(self) -> None:
        self.slots.release()
        if isinstance(self._map, mmap.mmap):
            self._map.close()


def _map_beside(database: str) -> mmap.mmap:
    path = f"{database}-azoth"
    # A link planted here must not make us write to its target.
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    flags |= getattr(os, "O_BINARY", 0)
    try:
        descriptor = _open_or_create(path, flags, database)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be opened ({error.strerror}); the drain keeps the letter in hand "
            "there: it must be an ordinary file that may be written, or not exist"
        ) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise StorageError(f"{path} is not an ordinary file; move it away")
        if os.fstat(descriptor).st_size != _LAYOUT.size:
            os.ftruncate(descriptor, _LAYOUT.size)
        return mmap.mmap(descriptor, _LAYOUT.size)
    finally:
        os.close(descriptor)


def _open_or_create(path: str, flags: int, database: str) -> int:
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        pass
    like = Path(database).stat()
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, stat.S_IMODE(like.st_mode))
    except FileExistsError:
        return os.open(path, flags)
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        os.fchown(descriptor, like.st_uid, like.st_gid)
    return descriptor
