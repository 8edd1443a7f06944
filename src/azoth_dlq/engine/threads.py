"""Threads that call handlers beside a drain."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import Context
from queue import SimpleQueue

from azoth_dlq.current import IN_HAND
from azoth_dlq.engine.flights import Flights
from azoth_dlq.engine.outside import OutsideCall
from azoth_dlq.store.base import Reader


class Threads:
    """As many as there are calls at once. Each has a connection of its own to read through, and
    sees the context variables of `context`.

    Daemons: a handler that never returns keeps no process from its end.
    """

    def __init__(
        self, flights: Flights, open_reader: Callable[[], Reader], context: Context
    ) -> None:
        self._flights = flights
        self._open_reader = open_reader
        self._context = context
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._started = 0
        self._resting = 0
        self._is_waking = False  # one is on its way to look for a call
        self._is_asked = False  # while none rested
        self._is_closed = False
        self._wakings: SimpleQueue[object] = SimpleQueue()  # None: it ends

    def notify(self) -> None:
        # One wakes the next, so that no more do than calls last: to wake one costs more than many
        # a call.
        with self._lock:
            if self._is_waking or self._is_closed:
                return
            if self._resting:
                self._resting -= 1
                self._is_waking = True
                self._wakings.put(self)
                return
            if len(self._threads) >= self._flights.most + len(self._flights.lost):
                self._is_asked = True
                return
            self._is_waking = True
            self._started += 1
            name = f"azoth-dlq-{self._started}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # there are too many
                self._is_waking = False
                if not self._threads:
                    self._flights.fail(error)
            else:
                self._threads.add(thread)

    def take(self, call: OutsideCall) -> None:
        call.task = threading.current_thread()

    def close(self) -> None:
        """Nothing is called any more: the threads end, and are waited for but for the lost."""
        with self._lock:
            self._is_closed = True
            resting, self._resting = self._resting, 0
        for _ in range(resting):
            self._wakings.put(None)
        for thread in tuple(self._threads):
            if not self._is_lost(thread):
                thread.join()

    def _is_lost(self, thread: threading.Thread) -> bool:
        return any(call.task is thread for call in tuple(self._flights.lost))

    def _work(self) -> None:
        thread, reader = threading.current_thread(), self._open_reader()
        try:
            self._is_waking = False
            while True:
                call = self._flights.take(self)
                while call is not None:
                    self._context.copy().run(self._call, call, reader)
                    call = self._flights.over(call, self)
                if not self._rest():
                    return
        finally:
            self._threads.discard(thread)
            if not self._flights.is_of_another_process:
                reader.close()

    def _rest(self) -> bool:
        """Until there may be another call; False where there will be none."""
        if self._flights.is_of_another_process:
            return False
        with self._lock:
            if self._is_closed:
                return False
            if self._is_asked:
                self._is_asked = False
                return True
            self._resting += 1
        waking = self._wakings.get()
        self._is_waking = False
        return waking is not None

    def _call(self, call: OutsideCall, reader: Reader) -> None:
        IN_HAND.set([call.first_id])
        try:
            if self._flights.begin(call):
                call.call(reader.connection, reader.tidy)
        except BaseException as error:  # noqa: BLE001 -- raised by the drain
            call.interrupt = error
