"""A request to stop, from any thread or signal handler."""

from __future__ import annotations

import threading


class Stop:
    """`requested` is read between letters, so it is a plain attribute; `wait` ends at once."""

    __slots__ = ("_event", "requested")

    def __init__(self) -> None:
        self.requested = False
        self._event = threading.Event()

    def request(self) -> None:
        self.requested = True
        self._event.set()

    def wait(self, seconds: float) -> None:
        """Sleep, until a stop is requested."""
        self._event.wait(seconds)
