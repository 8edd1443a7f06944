"""Calls of handlers beside the drain: those that are to start, those that run, those that are over.

What is here is shared by the drain, its threads and its event loop, under one lock.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from math import inf
from time import monotonic
from typing import Any, Protocol

from azoth_dlq.engine.outside import OutsideCall
from azoth_dlq.engine.rate import Rate
from azoth_dlq.engine.stop import Stop, wait_for

_GRACE_SECONDS = 1.0  # that an async handler has to end when it is cancelled
_COMMIT_AFTER_SECONDS = 0.012  # an outcome is written at latest


class Runner(Protocol):
    """What calls handlers: threads, or an event loop."""

    def notify(self) -> None:
        """A call of this runner's may start: `Flights.take` it. Any thread may say so; it does not
        wait."""

    def take(self, call: OutsideCall) -> None:
        """It is this runner's, and starts now. Within the lock of `Flights`."""


class Flights:
    """At most `most` calls at once, in the order in which they were added.

    `ended`: in the order in which they ended; `lost`: whose time was up, or that nobody waits for
    any more, while their handlers go on. `hurry`: its item is the instant (monotonic seconds) at
    which the outcome that has waited longest is to be written.
    """

    def __init__(self, most: int, most_in_row: int | None, stop: Stop, rate: Rate) -> None:
        self.most = most
        self.marks: Any = None
        self.threads: Runner | None = None
        self.loop: Runner | None = None
        self.hurry = [inf]
        self.lost: set[OutsideCall] = set()
        self._most_in_row = most_in_row
        self._stop = stop
        self._rate = rate
        self._lock = threading.Lock()
        self._ahead: deque[OutsideCall] = deque()
        self._running: set[OutsideCall] = set()
        self._ended: list[OutsideCall] = []
        self._is_closed = False
        self._is_probing = False
        self._in_row = 0
        self._process = os.getpid()
        self._when_none_is_lost: Callable[[], None] | None = None
        self.trouble: BaseException | None = None
        self._woken = threading.Lock()  # held until the drain is to look again
        self._woken.acquire()

    # What the drain asks and does

    @property
    def ahead(self) -> int:
        return len(self._ahead)

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def ended(self) -> int:
        return len(self._ended)

    @property
    def is_closed(self) -> bool:
        """Whether none starts any more."""
        return self._is_closed

    @property
    def is_of_another_process(self) -> bool:
        """Whether this one was forked amid the drain: nothing of it runs here."""
        return os.getpid() != self._process

    @property
    def letters(self) -> int:
        """Of all calls here but the lost ones."""
        with self._lock:
            return sum(map(len, (*self._ahead, *self._running, *self._ended)))

    def add(self, calls: Iterable[OutsideCall]) -> None:
        with self._lock:
            self._ahead.extend(calls)
        self.launch()

    def launch(self) -> None:
        """Have those started that may."""
        with self._lock:
            runner = self._runner_of_next()
        if runner is not None:
            runner.notify()

    def take_ended(self) -> list[OutsideCall]:
        with self._lock:
            ended, self._ended = self._ended, []
            return ended

    def written(self) -> None:
        """What became of those taken is."""
        with self._lock:
            self.hurry[0] = inf
            if self._ended:
                first = self._ended[0]
                self.hurry[0] = first.began + first.seconds + _COMMIT_AFTER_SECONDS

    def take_ahead(self) -> list[OutsideCall]:
        """Those that have not started, which do not start any more."""
        with self._lock:
            ahead = list(self._ahead)
            self._ahead.clear()
            return ahead

    def take_running(self) -> list[OutsideCall]:
        """Nobody waits for them any more: they are lost."""
        with self._lock:
            running = list(self._running)
            self.lost.update(running)
            self._running.clear()
            return running

    def is_running(self, call: OutsideCall) -> bool:
        return call in self._running

    def are_running(self) -> list[OutsideCall]:
        with self._lock:
            return list(self._running)

    def were_running(self) -> tuple[OutsideCall, ...]:
        """The same in a forked child, where nobody frees a lock that another thread held."""
        return tuple(self._running)

    def close(self) -> None:
        """None starts any more."""
        self._is_closed = True

    def reopen(self, failures_in_row: int) -> None:
        """Calls may start again, where those that are here don't keep them from it, after so many
        failures in a row."""
        with self._lock:
            self._is_closed = False
            self._in_row = failures_in_row
            most = self._most_in_row
            self._is_probing = most is not None and failures_in_row >= most
            for call in self._ended:
                self._note(call)
        self.launch()

    def give_up_late(self) -> float:
        """Those whose time is up are over, and lost where they go on; when the next one's is."""
        now, next_ends_at, is_lost = monotonic(), inf, False
        with self._lock:
            for call in tuple(self._running):
                ends_at = call.ends_at + (_GRACE_SECONDS if call.registration.is_async else 0.0)
                if now < ends_at:
                    next_ends_at = min(next_ends_at, ends_at)
                    continue
                is_lost = True
                if call.began:
                    self.lost.add(call)
                    self._end(call.given_up())
                else:  # its loop has not come to it: it never will
                    self._ended.append(call)
                self._running.discard(call)
        if is_lost:
            self.launch()
        return next_ends_at

    def wait(self, seconds: float) -> None:
        """Until a call is over, at most so long."""
        wait_for(self._woken, seconds)

    def wake(self) -> None:
        with suppress(RuntimeError):  # it was woken already
            self._woken.release()

    def outlive(self, when_none_is_lost: Callable[[], None]) -> None:
        """The drain is over; what is to be done once no handler of it runs any more."""
        with self._lock:
            if self.lost:
                self._when_none_is_lost = when_none_is_lost
                return
        when_none_is_lost()

    # What threads and the event loop tell

    def begin(self, call: OutsideCall) -> bool:
        """Whether its handler is to be called now: from here on the death of the process charges
        it. Not where it was given back meanwhile."""
        with self._lock:
            if call not in self._running:
                return False
            self.marks[call.slot] = 1
            call.begin()
            return True

    def take(self, runner: Runner) -> OutsideCall | None:
        """The next call, if it may start and is this runner's: it starts now. Where another may
        start, too, its runner is told."""
        with self._lock:
            call = self._take(runner)
            following = self._runner_of_next()
        if following is not None:
            following.notify()
        return call

    def over(self, call: OutsideCall, runner: Runner | None = None) -> OutsideCall | None:
        """It is; what `take` gives the runner next."""
        if self.is_of_another_process:
            return None
        following: OutsideCall | None = None
        other: Runner | None = None
        last_of_lost: Callable[[], None] | None = None
        with self._lock:
            if call not in self._running:
                self.lost.discard(call)
                if not self.lost:
                    last_of_lost, self._when_none_is_lost = self._when_none_is_lost, None
            else:
                # In this order: who counts calls without the lock sees each at least once.
                self._end(call)
                self._running.discard(call)
            if runner is not None:
                following = self._take(runner)
            other = self._runner_of_next()
            is_worth_it = len(self._ended) in (1, self.most) or not self._running
        if other is not None:
            other.notify()
        if is_worth_it:
            self.wake()
        if last_of_lost is not None:
            last_of_lost()
        return following

    def fail(self, error: BaseException | None) -> None:
        """What was to call handlers is gone, or cannot be made: none starts any more."""
        self.trouble = error
        self._is_closed = True
        self.wake()

    # Under the lock

    def _may_start(self) -> bool:
        if not self._ahead or self._is_closed or self._stop.is_halted:
            return False
        return len(self._running) < (1 if self._is_probing else self.most)

    def _runner_of_next(self) -> Runner | None:
        """Whose the next call is, None where none may start."""
        if not self._may_start() or (self._rate.is_limited and not self._rate.available()):
            return None
        return self._runner_of(self._ahead[0])

    def _take(self, runner: Runner) -> OutsideCall | None:
        if not self._may_start() or self._runner_of(self._ahead[0]) is not runner:
            return None
        if self._rate.is_limited and not self._rate.try_to_take(len(self._ahead[0])):
            return None
        call = self._ahead[0]
        runner.take(call)
        if call.timeout is not None:  # anew when it begins
            call.ends_at = monotonic() + call.timeout
        self._running.add(call)  # before, as in `over`
        self._ahead.popleft()
        return call

    def _end(self, call: OutsideCall) -> None:
        if self.hurry[0] == inf:
            self.hurry[0] = monotonic() + _COMMIT_AFTER_SECONDS
        self._ended.append(call)
        self._note(call)

    def _note(self, call: OutsideCall) -> None:
        if call.interrupt is not None:
            self._is_closed = True
        has_failed = call.has_failed
        if has_failed is None:
            return
        self._in_row = self._in_row + len(call) if has_failed else 0
        if not has_failed:
            self._is_probing = False
        elif self._most_in_row is not None and self._in_row >= self._most_in_row:
            self._is_closed = True

    def _runner_of(self, call: OutsideCall) -> Runner | None:
        return self.loop if call.registration.is_async else self.threads
