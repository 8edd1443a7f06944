"""Progress of drains and trials: a bar where stderr is a terminal, else nothing."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import click

from azoth_dlq.cli.output import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from azoth_dlq.report import ReplayReport


class Progress:
    """Gets a drain's reports, keeps the last one, and shows it."""

    def __init__(self, *, hidden: bool = False) -> None:
        self.report: ReplayReport | None = None
        self._is_shown = not hidden and _is_terminal()
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __call__(self, report: ReplayReport) -> None:
        self.report = report
        if not self._is_shown:
            return
        done = _done(report)
        known = done + report.remaining
        if self._bar is None:
            self._bar = _bar("draining", known, _outlook)
        # A letter that dies elsewhere is counted, but was not planned.
        self._bar.length = max(self._bar.length, known)
        self._bar.update(done - self._bar.pos, report)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None and self.report is not None:
            self._bar.length = _done(self.report) + self.report.remaining
            self._bar.render_progress()
            self._bar.render_finish()


def _done(report: ReplayReport) -> int:
    return report.attempted + report.skipped + report.unreadable + report.exhausted


@contextmanager
def trials_bar() -> Iterator[Callable[[int, int], None]]:
    """What is told how many trials are over, and of how many."""
    bar = _bar("trying", 1) if _is_terminal() else None

    def on_trial(done: int, planned: int) -> None:
        if bar is not None:
            bar.length = planned
            bar.finished = False  # it was at the end of what was planned then
            bar.update(done - bar.pos)

    try:
        yield on_trial
    finally:
        if bar is not None:
            bar.render_finish()


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _outlook(report: ReplayReport | None) -> str | None:
    """How long it will take if it goes on like this, and how many have failed."""
    if report is None:
        return None
    failed, done = f"{report.failed:,} failed", _done(report)
    if not (report.remaining and done):
        return failed
    left = report.duration * (report.remaining / done)
    return f"{duration_text(left)} left, {failed}"


def _bar(label: str, length: int, shown: Callable[[Any], str | None] | None = None) -> Any:
    bar: Any = click.progressbar(
        length=length,
        label=label,
        show_eta=False,  # by the wall clock, which jumps
        show_pos=True,
        item_show_func=shown,
        file=sys.stderr,
    )
    return bar.__enter__()
