"""Files beside the database, with its mode and owner: who drains it may use them, too."""

from __future__ import annotations

import errno
import os
import stat

# What may pass by itself: a full disk, too many open files, and the like.
_PASSING = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN}
)


def may_pass(error: OSError) -> bool:
    """Whether waiting may mend it."""
    return error.errno in _PASSING


def create_beside(database: str, path: str, flags: int) -> int:
    """Make a file that is not there; its descriptor. Errors: OSError."""
    like = os.stat(database)
    descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, stat.S_IMODE(like.st_mode))
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        os.fchown(descriptor, like.st_uid, like.st_gid)
    return descriptor
