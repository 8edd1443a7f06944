"""What goes on at this moment, for whoever watches."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic


class Activity:
    """Of all drains of one replayer. Any thread may ask."""

    def __init__(self) -> None:
        self.running: Callable[[], int] | None = None  # in a drain that calls handlers at once
        self.refused_since: float | None = None  # monotonic seconds: the file is locked

    @property
    def calls(self) -> int | None:
        """How many handlers are being called, None where they are called one after the other."""
        running = self.running
        return None if running is None else running()

    @property
    def waited(self) -> float | None:
        """For how many seconds a file that others have locked is waited for, None where it is
        not."""
        since = self.refused_since
        return None if since is None else max(monotonic() - since, 0.0)
