"""The wall clock as the package counts it."""

from __future__ import annotations

from time import time_ns


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time_ns() // 1000
