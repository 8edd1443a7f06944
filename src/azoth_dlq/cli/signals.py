"""SIGINT and SIGTERM during a drain: the first ends it in good order, a second interrupts it."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Windows has Ctrl-Break beside Ctrl-C: what a service manager can send to a console's processes.
_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
]


class Received:
    """The signals that came so far."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    @property
    def exit_code(self) -> int:
        """The exit code of a process that was interrupted, as shells count: 130 for SIGINT."""
        return 128 + (self.numbers[-1] if self.numbers else signal.SIGINT)


@contextmanager
def ending_in_order(shutdown: Callable[[], None]) -> Iterator[Received]:
    """Call `shutdown` at the first signal; raise KeyboardInterrupt at any other.

    A signal that is ignored stays ignored.
    """
    received = Received()

    def on_signal(number: int, _frame: object) -> None:
        received.numbers.append(number)
        if len(received.numbers) > 1:
            raise KeyboardInterrupt
        shutdown()

    # A shell starts background jobs with SIGINT ignored, so that Ctrl-C ends the foreground alone.
    heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, on_signal) for number in heeded}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
