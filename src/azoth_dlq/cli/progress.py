"""Progress: of trials a bar where stderr is a terminal, of drains plain lines on stderr."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

import click

from azoth_dlq.cli.output import say_at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from azoth_dlq.cli.figures import Figures
    from azoth_dlq.report import ReplayReport

_FIRST_SECONDS = 3.0
_SECONDS = 10.0
_LOOK_SECONDS = 1.0


class Progress:
    """Gets a drain's reports, and keeps the last one."""

    def __init__(self) -> None:
        self.report: ReplayReport | None = None

    def __call__(self, report: ReplayReport) -> None:
        self.report = report


class PlainLines:
    """The figures in a line every ten seconds, the first after three, where they have changed or
    something is under way."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="azoth-dlq-lines", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def tell(self, ending: str) -> None:
        """What becomes of the drain now. From a signal handler."""
        self._figures.ending = ending
        if self._figures.is_busy:  # else it is over at once
            say_at_once(ending)

    def _work(self) -> None:
        figures, shown = self._figures, ("", 0)
        next_at = monotonic() + _FIRST_SECONDS
        while not self._is_over.wait(_LOOK_SECONDS):
            figures.note()
            if monotonic() < next_at:
                continue
            next_at += _SECONDS
            if figures.is_busy or shown != (figures.state(), figures.done):
                shown = (figures.state(), figures.done)
                say_at_once(figures.line())


@contextmanager
def trials_bar(check: Callable[[], None]) -> Iterator[Callable[[int, int], None]]:
    """What is told how many trials are over, and of how many. `check` may end them first."""
    bar = _bar("trying", 1) if is_terminal() else None

    def on_trial(done: int, planned: int) -> None:
        check()
        if bar is not None:
            bar.length = planned
            bar.finished = False  # it was at the end of what was planned then
            bar.update(done - bar.pos)

    try:
        yield on_trial
    finally:
        if bar is not None:
            bar.render_finish()


def is_terminal() -> bool:
    """Whether stderr is one."""
    return sys.stderr is not None and sys.stderr.isatty()


def _bar(label: str, length: int) -> Any:
    bar: Any = click.progressbar(
        length=length,
        label=label,
        show_eta=False,  # by the wall clock, which jumps
        show_pos=True,
        file=sys.stderr,
    )
    return bar.__enter__()
