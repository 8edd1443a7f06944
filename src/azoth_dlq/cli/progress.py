"""A drain's progress: a bar where stderr is a terminal, else nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Self

import click

if TYPE_CHECKING:
    from azoth_dlq.types import ReplayReport


class Progress:
    """Gets a drain's reports, keeps the last one, and shows it."""

    def __init__(self, *, hidden: bool = False) -> None:
        self.report: ReplayReport | None = None
        self._is_shown = not hidden and sys.stderr is not None and sys.stderr.isatty()
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
            self._bar = _bar(known)
        # One whose call is under way is in neither figure, nor is what is yet to be parked.
        self._bar.length = max(self._bar.length, known)
        self._bar.update(done - self._bar.pos, report)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None and self.report is not None:
            self._bar.length = _done(self.report) + self.report.remaining
            self._bar.render_progress()
            self._bar.render_finish()


def _done(report: ReplayReport) -> int:
    return report.attempted + report.skipped + report.unreadable + report.exhausted


def _bar(length: int) -> Any:
    bar: Any = click.progressbar(
        length=length,
        label="draining",
        show_pos=True,
        item_show_func=lambda report: f"{report.failed:,} failed" if report else None,
        file=sys.stderr,
    )
    return bar.__enter__()
