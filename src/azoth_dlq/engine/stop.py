"""Requests to stop and to pause, from any thread or signal handler."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from functools import cache
from time import monotonic, sleep

# Windows hears Ctrl-C only between two waits for a lock.
_LONGEST_WAIT = 0.5 if sys.platform == "win32" else threading.TIMEOUT_MAX
_POLL_SECONDS = 0.05
_POLL_SECONDS_OF_CALLS = 0.005


@cache
def locks_keep_time() -> bool:
    """Whether this Python waits for a lock by the monotonic clock. Others do by the wall clock
    (macOS, musl, old C libraries): where that is set back, the wait is as much longer."""
    import sysconfig  # noqa: PLC0415 -- needed where a program rests

    return sys.platform == "win32" or bool(sysconfig.get_config_var("HAVE_SEM_CLOCKWAIT"))


def wait_for(lock: threading.Lock, seconds: float) -> None:
    """Take a lock that is held until it is to be taken, if that is within so long."""
    until = monotonic() + seconds
    while (left := until - monotonic()) > 0:
        if locks_keep_time():
            if lock.acquire(timeout=min(left, _LONGEST_WAIT)):
                return
        elif lock.acquire(blocking=False):
            return
        else:
            sleep(min(left, _POLL_SECONDS_OF_CALLS))


class Stop:
    """`is_halted` (no other letter is to be attempted: a stop or a pause was requested) is read
    between letters, so it is a plain attribute; `wait` ends at once.

    A lock that is held until the request, not a `threading.Event`: that one takes a lock of its own
    in `set`, and a signal handler that calls it while its thread waits would wait for itself.
    """

    __slots__ = ("_held", "is_halted", "is_urgent", "requested")

    def __init__(self) -> None:
        self.requested = False
        self.is_halted = False
        self.is_urgent = False
        self._held = threading.Lock()
        self._held.acquire()

    def request(self) -> None:
        self.requested = True
        self.is_halted = True
        with suppress(RuntimeError):  # released by an earlier request
            self._held.release()

    @property
    def is_paused(self) -> bool:
        """A stop ends it."""
        return self.is_halted and not self.requested

    def pause(self) -> None:
        self.is_halted = True

    def resume(self) -> None:
        self.is_halted = False
        if self.requested:  # in this order: one that comes between them counts
            self.is_halted = True

    def wait_while_paused(self) -> None:
        while self.is_paused:
            self.wait(_POLL_SECONDS)

    def wait(self, seconds: float) -> None:
        """Sleep, until a stop is requested."""
        until = monotonic() + seconds
        while not self.requested and (left := until - monotonic()) > 0:
            if not locks_keep_time():
                sleep(min(left, _POLL_SECONDS))
            elif self._held.acquire(timeout=min(left, _LONGEST_WAIT)):
                # For whoever else waits.
                with suppress(RuntimeError):
                    self._held.release()


class StopOfOne(Stop):
    """A request to stop one drain, or run, beside that to stop all of its replayer.

    `is_urgent`: who asked for it waits no longer for handlers that go on.
    """

    __slots__ = ("_of_all", "_of_one")

    def __init__(self, of_all: Stop) -> None:
        self._of_all = of_all
        super().__init__()

    @property
    def requested(self) -> bool:
        return self._of_one or self._of_all.requested

    @requested.setter
    def requested(self, is_requested: bool) -> None:
        self._of_one = is_requested

    @property
    def is_halted(self) -> bool:
        return self._of_one or self._of_all.is_halted

    @is_halted.setter
    def is_halted(self, is_halted: bool) -> None:
        self._of_one = is_halted

    def hurry(self) -> None:
        self.is_urgent = True
