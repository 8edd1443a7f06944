"""The live view of a drain or run: drawn in place on the terminal that is stderr."""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from azoth_dlq.cli.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from azoth_dlq.cli.figures import Figures
    from azoth_dlq.cli.screen import Screen

_FIRST_SECONDS = 1.0  # what is over by then is told by the report alone
SECONDS = 0.5  # between two drawings, but where a key is pressed


class LiveView:
    """Drawn by a thread of its own; the drain only hands over its reports. `q` does what `end` does
    (the first and the second Ctrl-C), `p` pauses and resumes. What the package logs scrolls above.
    `keep`: the last state stays on the terminal.
    """

    def __init__(
        self, figures: Figures, end: Callable[[], None], *, database: str, keep: bool
    ) -> None:
        self._figures = figures
        self._end = end
        self._database = database
        self._keep = keep
        self._keys = Keys(suspend=self._suspend, resume=self._resume)
        self._thread = threading.Thread(target=self._work, name="azoth-dlq-view", daemon=True)
        self._screen: Screen | None = None  # once it is drawn
        self._above: deque[str] = deque()
        self._began = monotonic()
        self._is_over = False

    def __enter__(self) -> Self:
        self._log = _log_on_stderr()
        for handler in self._log:
            handler.setStream(self)
        self._keys.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._keys.wake()
        self._thread.join()
        for handler in self._log:
            handler.setStream(sys.stderr)
        if self._screen is not None and self._keys.in_foreground:
            self.draw()
            self._screen.leave() if self._keep else self._screen.erase()
        self._keys.__exit__()
        self._print()

    def tell(self, ending: str) -> None:
        """What becomes of the drain now. From a signal handler."""
        self._figures.ending = ending
        self._keys.wake()

    # A stream for the log

    def write(self, text: str) -> None:
        self._above.append(text)

    def flush(self) -> None:
        """It is printed with the next drawing."""

    def _printed(self) -> str:
        """What is to be printed above."""
        texts = []
        while self._above:
            texts.append(self._above.popleft())
        return "".join(texts)

    def _print(self) -> None:
        """What is, where nothing is drawn."""
        with suppress(OSError, ValueError):  # the terminal is gone, or closed
            sys.stderr.write(self._printed())
            sys.stderr.flush()

    # In the thread

    def _work(self) -> None:
        while not self._is_over:
            for key in self._keys.pressed(SECONDS):
                self._heed(key.lower())
            self._figures.note()
            is_due = monotonic() >= self._began + _FIRST_SECONDS
            if self._is_over:
                return
            if is_due and self._keys.in_foreground:
                self.draw()
            else:
                self._print()

    def _heed(self, key: str) -> None:
        replayer = self._figures.replayer
        if key == "q":
            self._end()
        elif key == "p" and replayer.paused:
            replayer.resume()
        elif key == "p":
            replayer.pause()

    def draw(self) -> None:
        """In the thread, and at the end."""
        from azoth_dlq.cli.panels import drain_lines  # noqa: PLC0415 -- short drains show no view
        from azoth_dlq.cli.screen import Screen  # noqa: PLC0415 -- as above

        if self._screen is None:
            self._screen = Screen(sys.stderr)
        seconds, is_over = monotonic() - self._began, self._is_over
        lines = drain_lines(self._figures, self._database, self._screen, seconds, over=is_over)
        self._screen.draw(lines, self._printed())

    def _suspend(self) -> None:
        if self._screen is not None:
            self._screen.leave()

    def _resume(self) -> None:
        if self._screen is not None:
            self._screen.leave()


def _log_on_stderr() -> list[logging.StreamHandler[Any]]:
    handlers = logging.getLogger("azoth_dlq").handlers
    return [h for h in handlers if isinstance(h, logging.StreamHandler) and h.stream is sys.stderr]
