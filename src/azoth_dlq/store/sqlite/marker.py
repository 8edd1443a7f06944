"""The letters in hand, written where they outlive their process: one, or those of a batch.

A file beside the database, `<database>-azoth`, is mapped into memory; a store there costs nothing
and needs no system call. It counts only under SQLite's write lock: that lock is freed by the death
of its holder and by nothing else, so whoever gets it and finds a letter here that is not charged
yet knows that the last holder died in that letter's handler. The database's own identity stands in
the record, too: a file that is left from another database charges nobody.
"""

from __future__ import annotations

import functools
import mmap
import os
import stat
import struct
from typing import NamedTuple

from azoth_dlq.errors import StorageError
from azoth_dlq.store.sqlite.beside import NO_ROOM, create_beside, make_like, may_pass

_MAGIC = b"azothdlq"
# Magic, boot id, identity of the database, nonce of the group, how many letters are in hand (of a
# batch: the negative number), the letter, the last one of a batch. Behind it the ids of a batch.
_LAYOUT = struct.Struct("=8s16s16sqqq")
_SIZE = 64 * 1024
_NONCE = 5  # places in the mapping seen as int64s; `_isolation` knows the others, too
IN_HAND = 6
LETTER = 7
BATCH = 8
NO_IDENTITY = bytes(16)
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


@functools.cache
def _boot_id() -> bytes:
    """Which start of the machine this is, where the system says so; power loss charges nobody."""
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return bytes.fromhex(file.read().strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)


class LeftBehind(NamedTuple):
    """The letters that a dead holder had in hand, and the nonce of its group."""

    nonce: int
    letters: tuple[int, ...]
    in_batch: bool


class Marker:
    """The slot of one database. Everything but `close` needs SQLite's write lock."""

    __slots__ = ("_boot", "_identity", "_map", "_nonce", "slots")

    def __init__(self, database: str, identity: bytes = NO_IDENTITY) -> None:
        """Open the slot beside `database` (16 bytes tell it from others that had its name), or a
        private one for a database without a file ("")."""
        if type(identity) is not bytes or len(identity) != len(NO_IDENTITY):
            raise StorageError(
                f"{database}: the value of 'identity' in azoth_dlq_state is no blob of 16 bytes; "
                "set it to randomblob(16)"
            )
        self._boot = _boot_id()
        self._identity = identity
        self._nonce = -1  # of our group; no nonce is negative
        self._map: mmap.mmap | bytearray = _map_beside(database) if database else bytearray(_SIZE)
        self.slots = memoryview(self._map).cast("q")

    def unmark(self) -> None:
        """No letter of ours is in hand; those of another holder, alive or dead, stay."""
        if self.slots[_NONCE] == self._nonce:
            self.slots[IN_HAND] = 0

    def left_behind(self, charged: int | None) -> LeftBehind | None:
        """What a holder had in hand when it died, unless `charged` is its nonce."""
        magic, boot, identity, nonce, in_hand, letter = _LAYOUT.unpack_from(self._map)
        ours = (magic, boot, identity) == (_MAGIC, self._boot, self._identity)
        if not ours or not in_hand or nonce == charged:
            return None
        if in_hand > 0:
            return LeftBehind(nonce, (letter,), in_batch=False)
        return LeftBehind(nonce, tuple(self.slots[BATCH : BATCH - in_hand]), in_batch=True)

    def start(self) -> None:
        """Begin a group of our own, with no letter in hand."""
        self.slots[IN_HAND] = 0
        self._nonce = int.from_bytes(os.urandom(8), "big") >> 1
        _LAYOUT.pack_into(self._map, 0, _MAGIC, self._boot, self._identity, self._nonce, 0, 0)

    def close(self) -> None:
        if isinstance(self._map, mmap.mmap):
            self.slots.release()
            self._map.close()


def _map_beside(database: str) -> mmap.mmap:
    path = f"{database}-azoth"
    # A link planted here must not make us write to its target.
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = _open_or_create(path, flags, database)
        try:
            _check_ours(descriptor, path, database)
            return mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)
    except OSError as error:
        way_out = (
            "free some space and try again"
            if error.errno in NO_ROOM
            else "it must be an ordinary file that may be written, or not exist"
        )
        raise StorageError(
            f"{path} cannot be opened ({error.strerror}); the drain keeps the letter in hand "
            f"there: {way_out}",
            transient=may_pass(error),
        ) from error


def _open_or_create(path: str, flags: int, database: str) -> int:
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        # Under the write lock of the database, no other drain makes it meanwhile.
        return create_beside(database, path, flags)


def _check_ours(descriptor: int, path: str, database: str) -> None:
    """See that nobody's file is overwritten, and give a new one its size. Written, not truncated
    to it: where the disk is full, that is told here, and not by a signal at a store to memory."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise StorageError(f"{path} is not an ordinary file of its own; move it away")
    magic = os.read(descriptor, len(_MAGIC))
    if found.st_size > _SIZE or magic not in (_MAGIC, bytes(len(_MAGIC)), b""):
        raise StorageError(
            f"{path} holds something else than the letter in hand, which a drain keeps there; move "
            "it away, or give the database another name"
        )
    if not make_like(descriptor, database):
        raise StorageError(
            f"{path} belongs to a user who may not write the database; remove it while nothing "
            "drains, or give it the owner of the database"
        )
    os.lseek(descriptor, 0, os.SEEK_END)
    while (missing := _SIZE - os.fstat(descriptor).st_size) > 0:
        os.write(descriptor, bytes(missing))
