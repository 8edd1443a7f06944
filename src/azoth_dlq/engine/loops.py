"""An event loop that awaits async handlers beside a drain: the caller's, or one of our own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context
from functools import partial
from time import monotonic
from weakref import WeakSet

from azoth_dlq.current import IN_HAND
from azoth_dlq.engine.flights import Flights
from azoth_dlq.engine.outside import OutsideCall
from azoth_dlq.store.base import Reader

_END_SECONDS = 2.0  # that a loop is waited for


class LoopThread:
    """A loop in a thread of its own, from when it is needed first until `close`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Future[None] | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._loop.is_closed():
                ready: Future[asyncio.AbstractEventLoop] = Future()
                threading.Thread(
                    target=self._serve, args=(ready,), name="azoth-dlq-loop", daemon=True
                ).start()
                self._loop = ready.result()
            return self._loop

    def close(self) -> None:
        """End it; what still runs there is cancelled."""
        if self._loop is not None and self._end is not None:
            with suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(self._end.cancel)

    def _serve(self, ready: Future[asyncio.AbstractEventLoop]) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            self._end = loop.create_future()
            ready.set_result(loop)
            with suppress(asyncio.CancelledError):
                await self._end

        asyncio.run(main())


class OnLoop:
    """Awaits the handlers, each in a task of its own, named after its letter."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        flights: Flights,
        open_reader: Callable[[], Reader],
        context: Context,
    ) -> None:
        self._loop = loop
        self._flights = flights
        self._open_reader = open_reader
        self._context = context
        self._is_told = False  # that calls may start
        self._told_at = 0.0
        self._readers: list[Reader] = []  # that no task uses
        _known.add(self)

    @property
    def is_gone(self) -> bool:
        """Whether nothing is awaited there any more."""
        return self._loop.is_closed()

    def notify(self) -> None:
        if self._is_told:
            return
        self._told_at = monotonic()
        self._is_told = True
        try:
            self._loop.call_soon_threadsafe(self._start_all)
        except RuntimeError:  # it is closed
            self._flights.fail(None)

    def forget(self, call: OutsideCall) -> None:
        """It is awaited there no more, since the loop is gone."""
        if not call.is_over:
            call.interrupt = asyncio.CancelledError()
        self._flights.over(call)

    @property
    def is_stuck(self) -> bool:
        """Whether it has not answered for long: a handler blocks it."""
        return self._is_told and monotonic() - self._told_at > _END_SECONDS

    def take(self, call: OutsideCall) -> None:
        """Its task is made by `_start`."""

    def cancel(self, calls: Iterable[OutsideCall]) -> None:
        """Their outcome is not waited for."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._cancel, calls)

    def close(self) -> None:
        """Nothing is called any more: what was read through is closed, if the loop still runs."""
        if not self._readers or self.is_stuck:
            return
        closed = threading.Event()
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._close_readers, closed)
            closed.wait(_END_SECONDS)

    def cancel_in_child(self) -> None:
        """In a process that was forked amid a handler: what others wait for is the parent's."""
        self._cancel(self._flights.were_running())

    def _cancel(self, calls: Iterable[OutsideCall]) -> None:
        for call in calls:
            if call.task is not None:
                call.task.cancel()

    def _close_readers(self, closed: threading.Event) -> None:
        while self._readers:
            self._readers.pop().close()
        closed.set()

    def _start_all(self) -> None:
        while (call := self._flights.take(self)) is not None:
            self._start(call)
        self._is_told = False
        # What was added since `take` looked has told nobody.
        self._flights.launch()

    def _start(self, call: OutsideCall) -> None:
        context = self._context.copy()
        letter_id = call.first_id
        context.run(IN_HAND.set, [letter_id])
        call.task = self._loop.create_task(
            self._await(call), name=f"azoth-dlq letter {letter_id}", context=context
        )
        call.task.add_done_callback(partial(self._over, call))

    async def _await(self, call: OutsideCall) -> None:
        if not self._flights.begin(call):
            return
        reader = self._readers.pop() if self._readers else self._open_reader()
        try:
            if call.timeout is None:
                call.check(await call.invoke(reader.connection))
            else:
                await self._within(call.timeout, call, reader)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            # Where nobody has cancelled the task, it is of what the handler awaited: a failure.
            is_own = task is None or not task.cancelling()
            call.ended(error, reader.tidy, is_failure=is_own)
        except BaseException as error:  # noqa: BLE001 -- whatever it is, it is the call's
            call.ended(error, reader.tidy)
        else:
            call.ended(None, reader.tidy)
        self._readers.append(reader)

    async def _within(self, seconds: float, call: OutsideCall, reader: Reader) -> None:
        try:
            async with asyncio.timeout(seconds) as limit:
                call.check(await call.invoke(reader.connection))
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise call.timed_out("was cancelled") from error

    def _over(self, call: OutsideCall, task: asyncio.Task[None]) -> None:
        if not call.is_over:
            cancelled = asyncio.CancelledError()  # before it began
            call.interrupt = cancelled if task.cancelled() else task.exception()
        if self._flights.is_of_another_process:
            self._loop.stop()  # the tasks of the parent are no child's
            return
        following = self._flights.over(call, self)
        if following is not None:
            self._start(following)


def _cancel_in_child() -> None:
    for on_loop in tuple(_known):
        with suppress(RuntimeError):  # of asyncio's own, which has no loop in a child
            on_loop.cancel_in_child()


_known: WeakSet[OnLoop] = WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_cancel_in_child)
