"""What a drain reads and tells."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING

from azoth_dlq.engine.activity import Activity
from azoth_dlq.engine.plan import Depth
from azoth_dlq.engine.rate import Rate
from azoth_dlq.engine.stop import Stop
from azoth_dlq.engine.tally import Tally
from azoth_dlq.metrics import MetricsRecorder
from azoth_dlq.report import ReplayReport

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from azoth_dlq.engine.loops import LoopThread
    from azoth_dlq.hooks import Hooks


class FailuresInRow:
    """How many attempts in a row have failed so far."""

    def __init__(self) -> None:
        self.count = 0


class LockHeld:
    """For how long the file was locked since others had their turn, until when (monotonic), and
    whether other drains lock it, too."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.until = 0.0
        self.beside_others = False


class Surroundings:
    """Of all drains of one replayer: `clock()` in microseconds, `sleep(seconds)`, the request to
    stop, counters, what goes on now, failures in a row, how long others had to wait, how many
    letters there are, how many attempts a second there may be, the loop of our own for async
    handlers, the hooks of the program. Of one drain or run: who gets the report so far after each
    commit, where a run of
    several drains adds up what they did, and the caller's event loop, where async handlers are
    awaited in that."""

    def __init__(
        self,
        clock: Callable[[], int],
        sleep: Callable[[float], None],
        stop: Stop,
        metrics: MetricsRecorder,
        *,
        on_progress: Callable[[ReplayReport], None] | None = None,
    ) -> None:
        self.clock = clock
        self.sleep = sleep
        self.stop = stop
        self.metrics = metrics
        self.activity = Activity()
        self.failures_in_row = FailuresInRow()
        self.lock_held = LockHeld()
        self.depth = Depth()
        self.rate = Rate(None)
        self.loop: AbstractEventLoop | None = None
        self._loops: list[LoopThread] = []  # at most one
        self.hooks: Hooks | None = None
        self.on_progress = on_progress
        self.total = Tally()

    def event_loop(self) -> AbstractEventLoop:
        """The loop that awaits async handlers."""
        if self.loop is not None:
            return self.loop
        from azoth_dlq.engine.loops import LoopThread  # noqa: PLC0415 -- asyncio costs its import

        if not self._loops:
            self._loops.append(LoopThread())
        return self._loops[0].loop()

    def give_up_loop(self) -> None:
        """A handler blocks the one of our own: the next drain has another."""
        self._loops.clear()

    def close(self) -> None:
        """Nobody drains any more."""
        for loop in self._loops:
            loop.close()

    def telling(
        self,
        on_progress: Callable[[ReplayReport], None] | None,
        total: Tally | None = None,
    ) -> Surroundings:
        """The same, for one drain or run."""
        surroundings = copy(self)
        surroundings.on_progress = on_progress
        surroundings.total = Tally() if total is None else total
        return surroundings
