"""When a drain waits: for a file that others hold, and for others to have it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.engine.phases import Phases
from azoth_dlq.engine.surroundings import Surroundings
from azoth_dlq.store.base import Busy

T = TypeVar("T")
_HELD_SECONDS = 1.0  # after so much of held lock, others get their turn
# Beside other drains, all of them leave the file alone for the last part of each period.
_PERIOD_SECONDS = 0.82
_TURN_SECONDS = 0.22  # who waits for a lock looks every 100 ms
_LONGEST_MARGIN_SECONDS = 0.15
_POLL_SECONDS = 0.005
_LONGEST_TRY_SECONDS = 0.35  # what takes longer is a process that stood still, and has not waited
_HURRIED_SECONDS = 1.0
_TIMES_FOR_OUTCOMES = 10  # as long as `busy_timeout`
logger = logging.getLogger("azoth_dlq")


class ShutdownRequested(Exception):
    """shutdown() was called while the drain waited."""


class Turns:
    """SQLite queues nobody: who waits only polls. So the file is left free for `yield_time` after
    each second of held lock, whether in one drain or in many short ones.

    Of several drains each would take the turn that another gives. So they give it at one time, by
    the monotonic clock, which all processes of a machine share. Between two groups they let one
    another in.
    """

    def __init__(self, config: DlqReplayConfig, surroundings: Surroundings, phases: Phases) -> None:
        self._phases = phases
        self._group_seconds = config.max_transaction_time.total_seconds()
        self._yield_seconds = config.yield_time.total_seconds()
        self._busy_seconds = config.busy_timeout.total_seconds()
        self._sleep = surroundings.sleep
        self._stop = surroundings.stop
        self._lock_held = surroundings.lock_held
        self._activity = surroundings.activity
        self._since: float | None = None  # it is locked
        self.commit_seconds = 0.0  # what the last one took
        # That of a call outside is to be written, which would be made again otherwise.
        self.keep_outcome = False

    def take(self, lock: Callable[[], T], *, heed_shutdown: bool = True) -> T:
        """Have the file locked, when it is free and not the others' turn. Errors: as `patiently`"""
        return self.patiently(lambda: self._take(lock), heed_shutdown=heed_shutdown)

    def _take(self, lock: Callable[[], T]) -> T:
        if self._is_turn_of_others():
            self._phases.begin("yield")
            while self._is_turn_of_others() and not self._stop.requested:
                sleep(_POLL_SECONDS)
            self._phases.begin("open")
        self._since = monotonic()
        # Where it is free for as long as it is locked, who polls finds it so.
        held = self._lock_held
        held.seconds = max(held.seconds - (self._since - held.until), 0.0)
        try:
            return lock()
        except BaseException:
            self._since = None
            raise

    def hurry(self) -> None:
        """Wait no longer than a person does."""
        self._busy_seconds = min(self._busy_seconds, _HURRIED_SECONDS)
        self.keep_outcome = False

    def meet(self, *, others: bool) -> None:
        """Whether other drains go on."""
        self._lock_held.beside_others = others

    def end_of_group(self, began: float) -> float:
        """When a group is to end that began then."""
        ends_at = began + self._group_seconds
        if not self._gives_turns_with_others:
            return ends_at
        # A commit that reaches into the turn spoils it.
        margin = min(self.commit_seconds, _LONGEST_MARGIN_SECONDS)
        return min(ends_at, max(_next_turn(began) - margin, began + margin))

    @property
    def _gives_turns_with_others(self) -> bool:
        return self._lock_held.beside_others and self._yield_seconds > 0

    def _is_turn_of_others(self) -> bool:
        return self._gives_turns_with_others and (now := monotonic()) >= _next_turn(now)

    def freed(self) -> None:
        """It is not, since now, or since this was told before."""
        if self._since is not None:
            self._lock_held.until = monotonic()
            self._lock_held.seconds += self._lock_held.until - self._since
            self._since = None

    def give(self) -> None:
        """Leave the file to others, if it is their turn, and they had none by themselves."""
        held = self._lock_held
        if held.beside_others:
            self._leave(2 * _POLL_SECONDS, sleep)
        left = held.until + self._yield_seconds - monotonic()
        if left > 0 and held.seconds < _HELD_SECONDS:
            return
        held.seconds = 0.0
        if left > 0:
            self._leave(left, self._sleep)

    def _leave(self, seconds: float, sleep: Callable[[float], None]) -> None:
        self._phases.begin("yield")
        sleep(seconds)
        self._phases.begin()

    def patiently(self, action: Callable[[], T], *, heed_shutdown: bool = True) -> T:
        """Do `action` when the file is free, within `busy_timeout`, or longer to `keep_outcome`.

        Errors: Busy after that; ShutdownRequested.
        """
        try:
            return self._patiently(action, heed_shutdown=heed_shutdown)
        finally:
            self._activity.refused_since = None

    def _patiently(self, action: Callable[[], T], *, heed_shutdown: bool) -> T:
        waited, seconds, is_prolonged = 0.0, self._busy_seconds, False
        while True:
            began = monotonic()
            try:
                return action()
            except Busy as busy:
                self._activity.refused_since = self._activity.refused_since or began
                if heed_shutdown and self._stop.requested:
                    raise ShutdownRequested from busy
                if waited >= seconds:
                    if not self.keep_outcome or is_prolonged:
                        raise
                    is_prolonged = True
                    seconds *= _TIMES_FOR_OUTCOMES
                    logger.warning(
                        "%s; trying for up to %g s to write what became of a handler's call",
                        busy,
                        seconds,
                    )
                sleep(_POLL_SECONDS)
                waited += min(monotonic() - began, _LONGEST_TRY_SECONDS)


def _next_turn(now: float) -> float:
    """When that of other programs begins in this period."""
    return now - now % _PERIOD_SECONDS + _PERIOD_SECONDS - _TURN_SECONDS
