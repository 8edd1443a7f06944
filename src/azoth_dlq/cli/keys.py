"""Single keys from the terminal that is stdin, while a command goes on."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from time import sleep
from typing import TYPE_CHECKING, Any, Self

if sys.platform == "win32":
    import msvcrt
    from time import monotonic
else:
    import atexit
    import select
    import termios
    import threading

if TYPE_CHECKING:
    from collections.abc import Callable

_ESCAPE = "\x1b"  # begins what arrows and function keys send
_POLL_SECONDS = 0.05


if sys.platform == "win32":

    class Keys:
        """What is pressed. Where stdin is no console there are none."""

        def __init__(self, *, suspend: Callable[[], None], resume: Callable[[], None]) -> None:  # noqa: ARG002 -- no job is stopped there
            self._is_console = sys.stdin is not None and sys.stdin.isatty()
            self._is_woken = False

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        @property
        def in_foreground(self) -> bool:
            return True

        def wake(self) -> None:
            """Have `pressed` return at once."""
            self._is_woken = True

        def pressed(self, seconds: float) -> str:
            """The keys that were pressed, waited for at most so long."""
            until = monotonic() + seconds
            while not self._is_woken and monotonic() < until:
                if self._is_console and msvcrt.kbhit():
                    return msvcrt.getwch()
                sleep(_POLL_SECONDS)
            self._is_woken = False
            return ""

else:

    class Keys:
        """What is pressed, without an Enter and without an echo; Ctrl-C and Ctrl-Z keep their
        meaning. The terminal is as it was at the end, while the process is stopped (`suspend` is
        called before, `resume` behind), and where another has the foreground. Where stdin is no
        terminal there are none.
        """

        def __init__(self, *, suspend: Callable[[], None], resume: Callable[[], None]) -> None:
            is_terminal = sys.stdin is not None and sys.stdin.isatty()
            self._terminal = sys.stdin.fileno() if is_terminal else None
            self._suspend = suspend
            self._resume = resume
            self._process = os.getpid()
            self._before: list[Any] | None = None  # the terminal's modes
            self._is_taken = False
            self._is_stopping = False
            self._handlers: dict[int, Any] = {}
            self._woken, self._waking = os.pipe()
            os.set_blocking(self._waking, False)

        def __enter__(self) -> Self:
            atexit.register(self._give_back)
            for number, handler in (
                (signal.SIGTSTP, self._on_stop),
                (signal.SIGCONT, self._on_continue),
            ):
                before = signal.getsignal(number)
                if before is not signal.SIG_IGN:
                    self._handlers[number] = before
                    signal.signal(number, handler)
            self._take()
            return self

        def __exit__(self, *_: object) -> None:
            for number, handler in self._handlers.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            self._give_back()
            atexit.unregister(self._give_back)
            os.close(self._woken)
            os.close(self._waking)

        @property
        def in_foreground(self) -> bool:
            """Whether what is typed, and what is drawn, is this process's."""
            for terminal in (0, 2) if self._terminal is None else (self._terminal,):
                with suppress(OSError):  # it controls nobody
                    return os.tcgetpgrp(terminal) == os.getpgrp()
            return True

        def wake(self) -> None:
            """Have `pressed` return at once. From any thread, and from signal handlers."""
            with suppress(OSError):  # it is full
                os.write(self._waking, b"\0")

        def pressed(self, seconds: float) -> str:
            """The keys that were pressed, waited for at most so long."""
            self._take()
            watched = [self._woken]
            if self._is_taken and self._terminal is not None:
                watched.append(self._terminal)
            ready = select.select(watched, [], [], seconds)[0]
            if self._woken in ready:
                os.read(self._woken, 512)
            if self._terminal not in ready or not self.in_foreground:
                return ""
            try:
                pressed = os.read(self._terminal, 512)
            except OSError:  # it is gone
                pressed = b""
            if not pressed:
                self._terminal, self._is_taken = None, False
            return pressed.decode(errors="replace").partition(_ESCAPE)[0]

        def _take(self) -> None:
            if self._terminal is None or self._is_taken or self._is_stopping:
                return
            if not self.in_foreground:
                return
            with suppress(termios.error):
                modes = termios.tcgetattr(self._terminal)
                self._before = self._before or [*modes[:-1], [*modes[-1]]]
                modes[3] &= ~(termios.ICANON | termios.ECHO)
                modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
                termios.tcsetattr(self._terminal, termios.TCSANOW, modes)
                self._is_taken = True

        def _give_back(self) -> None:
            is_ours = self._is_taken and os.getpid() == self._process and self.in_foreground
            self._is_taken = False
            if is_ours and self._before is not None and self._terminal is not None:
                with suppress(termios.error):
                    termios.tcsetattr(self._terminal, termios.TCSANOW, self._before)

        def _on_stop(self, number: int, _frame: object) -> None:
            self._is_stopping = True
            self._give_back()
            self._suspend()
            signal.signal(number, signal.SIG_DFL)
            signal.pthread_kill(threading.get_ident(), number)
            # It goes on here.
            self._is_stopping = False
            signal.signal(number, self._on_stop)

        def _on_continue(self, *_: object) -> None:
            self._is_taken = False  # a shell has set it meanwhile
            self._resume()
            self.wake()
