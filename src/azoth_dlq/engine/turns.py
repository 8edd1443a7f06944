"""When a drain waits: for a file that others hold, and for others to have it."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.engine.phases import Phases
from azoth_dlq.engine.surroundings import Surroundings
from azoth_dlq.store.base import Busy

T = TypeVar("T")
_HELD_SECONDS = 1.0  # after so much of held lock, others get their turn
_POLL_SECONDS = 0.005


class ShutdownRequested(Exception):
    """shutdown() was called while the drain waited."""


class Turns:
    """SQLite queues nobody: who waits only polls. So the file is left free for `yield_time` after
    each second of held lock, whether in one drain or in many short ones."""

    def __init__(self, config: DlqReplayConfig, surroundings: Surroundings, phases: Phases) -> None:
        self._phases = phases
        self._yield_seconds = config.yield_time.total_seconds()
        self._busy_seconds = config.busy_timeout.total_seconds()
        self._sleep = surroundings.sleep
        self._stop = surroundings.stop
        self._lock_held = surroundings.lock_held
        self._since: float | None = None  # it is locked

    def took(self) -> None:
        """The file is locked from now on."""
        self._since = monotonic()

    def freed(self) -> None:
        """It is not, since now, or since this was told before."""
        if self._since is not None:
            self._lock_held.until = monotonic()
            self._lock_held.seconds += self._lock_held.until - self._since
            self._since = None

    def give(self) -> None:
        """Leave the file to others, if it is their turn, and they had none by themselves."""
        held = self._lock_held
        left = held.until + self._yield_seconds - monotonic()
        if left > 0 and held.seconds < _HELD_SECONDS:
            return
        held.seconds = 0.0
        if left > 0:
            self._phases.begin("yield")
            self._sleep(left)
            self._phases.begin()

    def patiently(self, action: Callable[[], T], *, heed_shutdown: bool = True) -> T:
        """Do `action` when the file is free, within `busy_timeout`.

        Errors: Busy after that; ShutdownRequested.
        """
        began = monotonic()
        while True:
            try:
                return action()
            except Busy as busy:
                if heed_shutdown and self._stop.requested:
                    raise ShutdownRequested from busy
                if monotonic() - began >= self._busy_seconds:
                    raise
                sleep(_POLL_SECONDS)
