"""A request to stop, from any thread or signal handler."""

from __future__ import annotations

import threading
from contextlib import suppress


class Stop:
    """`requested` is read between letters, so it is a plain attribute; `wait` ends at once.

    A lock that is held until the request, not a `threading.Event`: that one takes a lock of its own
    in `set`, and a signal handler that calls it while its thread waits would wait for itself.
    """

    __slots__ = ("_held", "requested")

    def __init__(self) -> None:
        self.requested = False
        self._held = threading.Lock()
        self._held.acquire()

    def request(self) -> None:
        self.requested = True
        with suppress(RuntimeError):  # released by an earlier request
            self._held.release()

    def wait(self, seconds: float) -> None:
        """Sleep, until a stop is requested."""
        if not self.requested and self._held.acquire(timeout=min(seconds, threading.TIMEOUT_MAX)):
            # For whoever else waits.
            with suppress(RuntimeError):
                self._held.release()
