"""SIGINT, SIGTERM and SIGHUP during a drain: the first ends it in good order, a second interrupts
it, and what comes later changes nothing."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# Windows has Ctrl-Break beside Ctrl-C: what a service manager can send to a console's processes.
# SIGHUP comes where a terminal is closed.
_NAMES = ("SIGINT", "SIGTERM", "SIGBREAK", "SIGHUP")
SIGNALS = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]


_all_received: list[Received] = []


class Received:
    """The signals that came so far, of those that are `heeded`."""

    def __init__(self, heeded: Sequence[int]) -> None:
        self._heeded = heeded
        self.numbers: list[int] = []
        self.is_over = False  # what they could end
        self.came_late = False

    @property
    def exit_code(self) -> int:
        """The exit code of a process that was interrupted, as shells count: 130 for SIGINT."""
        return 128 + (self.numbers[-1] if self.numbers else signal.SIGINT)

    def send(self) -> None:
        """Have another one come: a thread asks for what a person at a terminal does by Ctrl-C."""
        if not self._heeded:
            return
        if hasattr(signal, "pthread_kill"):
            # What the main thread waits for is to end.
            signal.pthread_kill(threading.main_thread().ident or 0, self._heeded[0])
        else:
            signal.raise_signal(self._heeded[0])

    def check(self) -> None:
        """Raise what an earlier signal raised in vain: Python drops an error that comes up while
        an object is removed."""
        if self.numbers:
            raise KeyboardInterrupt


def ending_in_order(shutdown: Callable[[int], None]) -> AbstractContextManager[Received]:
    """Call `shutdown(number)` at the first signal; raise KeyboardInterrupt at any other.

    A signal that is ignored stays ignored. Afterwards all do nothing, until `put_back` ends: they
    would only keep what was done from being told.
    """

    def on_signal(received: Received) -> None:
        if len(received.numbers) > 1:
            raise KeyboardInterrupt
        shutdown(received.numbers[0])

    return _heeding(on_signal)


def interrupting() -> AbstractContextManager[Received]:
    """Raise KeyboardInterrupt at every signal, until that `is_over`; else as `ending_in_order`."""

    def on_signal(_received: Received) -> None:
        raise KeyboardInterrupt

    return _heeding(on_signal)


@contextmanager
def _heeding(action: Callable[[Received], None]) -> Iterator[Received]:
    # A shell starts background jobs with SIGINT ignored, so that Ctrl-C ends the foreground alone.
    heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    received = Received(heeded)
    _all_received.append(received)

    def on_signal(number: int, _frame: object) -> None:
        if received.is_over:
            received.came_late = True
            return
        received.numbers.append(number)
        action(received)

    for number in heeded:
        signal.signal(number, on_signal)
    try:
        yield received
    finally:
        received.is_over = True


@contextmanager
def put_back() -> Iterator[None]:
    """Have each signal mean afterwards what it meant before."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def end_by_signal(exit_code: int) -> None:
    """Have a signal end the process at once with this exit code: everything is told, and what is
    still awaited, such as a thread of a handler's, is not to keep the process."""
    _have_all(lambda *_: os._exit(exit_code))
    if any(received.came_late for received in _all_received):
        os._exit(exit_code)


def ignore() -> None:
    """At the very end, where Python itself puts back what would kill the process."""
    _have_all(signal.SIG_IGN)


def _have_all(handler: Any) -> None:
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
