"""Files beside the database, with its mode and owner: who drains it may use them, too."""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
# What may pass by itself: a full disk, too many open files, and the like.
_PASSING = NO_ROOM | {errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN}


def may_pass(error: OSError) -> bool:
    """Whether waiting may mend it."""
    return error.errno in _PASSING


def create_beside(database: str, path: str, flags: int) -> int:
    """Make a file that is not there; its descriptor. Errors: OSError."""
    like = os.stat(database)
    descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, stat.S_IMODE(like.st_mode))
    if sys.platform != "win32":
        os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
        if os.geteuid() == 0:
            os.fchown(descriptor, like.st_uid, like.st_gid)
    return descriptor


def make_like(descriptor: int, database: str) -> bool:
    """Give a file that is there the mode of the database, and root its owner, where it has others;
    whether no stranger owns it, who may not write the database."""
    if sys.platform == "win32":
        return True
    like, found = os.stat(database), os.fstat(descriptor)
    mode, user = stat.S_IMODE(like.st_mode), os.geteuid()
    owners = {like.st_uid, user, 0}
    # Of a database that several may write, any of them may have made the file.
    if found.st_uid not in owners and not mode & (stat.S_IWGRP | stat.S_IWOTH):
        return False
    with suppress(OSError):  # some file systems know no modes
        if user == 0 and found.st_uid == 0 != like.st_uid:
            os.fchown(descriptor, like.st_uid, like.st_gid)
        if user in {0, found.st_uid} and stat.S_IMODE(found.st_mode) != mode:
            os.fchmod(descriptor, mode)
    return True
