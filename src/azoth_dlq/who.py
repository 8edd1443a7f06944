"""Who does something on purpose, where nobody says."""

from __future__ import annotations

import os

_LONGEST = 200  # characters


def login_name() -> str:
    """The name of the user that this process runs as, or what tells of that user."""
    import getpass  # noqa: PLC0415 -- it costs its import, and few ask

    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user of no name, as in containers
        name = f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"
    return name.encode("utf-8", "backslashreplace").decode()[:_LONGEST]
