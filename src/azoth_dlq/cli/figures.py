"""What is shown of a drain or run that goes on: its state and its figures, as texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from azoth_dlq import clock
from azoth_dlq.cli.output import duration_text, first_line
from azoth_dlq.cli.pace import Pace, speed_text
from azoth_dlq.cli.report import to_be_retried
from azoth_dlq.durations import plain_seconds
from azoth_dlq.kernels.templates import template

if TYPE_CHECKING:
    from datetime import datetime

    from azoth_dlq.cli.progress import Progress
    from azoth_dlq.metrics import DlqMetricsSnapshot
    from azoth_dlq.replayer import DlqReplayer
    from azoth_dlq.report import ReplayReport

_LONG_WAIT = 1.0  # seconds for a locked file


class Field(NamedTuple):
    name: str
    value: str
    style: str = ""


class TopGroup(NamedTuple):
    """Errors that are alike, and of how many letters they are."""

    template: str
    letters: int
    fingerprint: str = ""


class Figures:
    """Of what a replayer does, by its own reports and counters: no file is read for them.

    `note` is to be called now and then: how fast letters are done is told by that.
    """

    def __init__(self, replayer: DlqReplayer, progress: Progress, *, is_run: bool = False) -> None:
        self.replayer = replayer
        self._progress = progress
        self._is_run = is_run
        self._pace = Pace()
        self.ending: str | None = None  # what is told of that

    @property
    def report(self) -> ReplayReport | None:
        return self._progress.report

    @property
    def done(self) -> int:
        """Letters with an outcome."""
        return 0 if self.report is None else done_of(self.report)

    @property
    def planned(self) -> int | None:
        """How many letters there are to be done, those that are; None: nobody knows."""
        report = self.report
        return None if report is None or self._is_run else self.done + report.remaining

    @property
    def is_busy(self) -> bool:
        """Whether letters are attempted, or looked for."""
        return not self._is_run or self.report is None or self.report.remaining > 0

    def note(self) -> None:
        if self.replayer.paused or self.report is None:
            self._pace.begin_anew()
        else:
            self._pace.note(self.done)

    @property
    def is_usual(self) -> bool:
        """Whether nothing stops or halts it."""
        has_stopped = self._is_run and self.replayer.metrics.snapshot().stopped
        return not (self.ending or self.replayer.paused or has_stopped)

    def groups(self) -> list[TopGroup]:
        errors = () if self.report is None else self.report.errors
        return [TopGroup(template(text), letters) for text, letters in errors]

    def state(self) -> str:
        calls, waited = self.replayer.activity.calls, self.replayer.activity.waited
        if self.ending is not None:
            return self.ending
        if self.replayer.paused:
            return f"paused; the calls in hand end first: {calls}" if calls else "paused"
        if waited is not None and waited >= _LONG_WAIT:
            return f"waiting for the file, which another program has locked, for {waited:.0f} s"
        return self._course()

    def _course(self) -> str:
        if self.report is None:
            return "draining" if self.replayer.metrics.snapshot().looked_at else "beginning"
        if self._is_run and self.replayer.metrics.snapshot().stopped:
            seconds = plain_seconds(self.replayer.config.check_interval)
            return f"stopped by failures in a row; one letter is tried every {seconds} s"
        if self._is_run and not self.report.remaining:
            return "nothing is due"
        return "draining"

    def fields(self) -> list[Field]:
        """The most important first."""
        report, seen = self.report, self.replayer.metrics.snapshot()
        if report is None:
            due = [Field("due now", f"{seen.due:,}")] if seen.looked_at else []
            return due + self._in_the_file(report, seen)
        figures = [
            Field("due now", f"{report.remaining:,}"),
            Field("succeeded", f"{report.succeeded:,}", "green"),
            Field("failed", f"{report.failed:,}", "red" if report.failed else ""),
            Field("rate", self._speed()),
            Field("empty in", self._time_to_empty(report)),
            *self._in_the_file(report, seen),
            *self._calls(),
            *_rarer(report),
        ]
        if self.planned is not None:
            figures.insert(0, Field("done", f"{self.done:,}/{self.planned:,}"))
        return figures

    def line(self) -> str:
        """All of it but the rarer errors in one line."""
        figures = ", ".join(f"{field.name} {field.value}" for field in self.fields())
        parts = [self.state(), *([figures] if figures else [])]
        if groups := self.groups():
            commonest = first_line(groups[0].template)
            parts.append(f"most failed with ({groups[0].letters:,}) {commonest}")
        return ": ".join(parts[:2]) + "".join(f"; {part}" for part in parts[2:])

    def _speed(self) -> str:
        speed = self._pace.a_second
        return "?" if speed is None else speed_text(speed)

    def _time_to_empty(self, report: ReplayReport) -> str:
        left = self._pace.time_for(report.remaining)
        if not report.remaining:
            return "-"
        return "?" if left is None else duration_text(left)

    def _in_the_file(self, report: ReplayReport | None, seen: DlqMetricsSnapshot) -> list[Field]:
        """By the last look, and what was done since; what others did is not known."""
        if not seen.looked_at:  # one letter is asked for
            return []
        if report is None:
            return [Field("depth", f"{seen.depth:,}"), Field("as of", _clock_text(seen.looked_at))]
        wait = wait_text(report.next_due, clock.to_datetime(clock.now()))
        if to_be_retried(report) and self.is_busy:
            # One that has failed since may be due before.
            wait = "?" if report.next_due is None else f"{wait} at latest"
        return [
            Field("depth", f"{seen.depth:,}"),
            Field("next due", wait),
            Field("as of", _clock_text(seen.looked_at)),
        ]

    def _calls(self) -> list[Field]:
        calls, limit = self.replayer.activity.calls, self.replayer.rate_limit
        concurrency = self.replayer.config.concurrency
        under_way = [] if calls is None else [Field("under way", f"{calls:,} of {concurrency:,}")]
        return under_way + ([] if limit is None else [Field("limit", speed_text(limit))])


def done_of(report: ReplayReport) -> int:
    """Letters that a drain is through with."""
    return report.attempted + report.skipped + report.unreadable + report.exhausted


def wait_text(instant: datetime | None, now: datetime) -> str:
    """When the next letter is due."""
    if instant is None:
        return "-"
    return f"in {duration_text(instant - now)}" if instant > now else "now"


def _clock_text(unix_seconds: float) -> str:
    return f"{clock.to_datetime(int(unix_seconds * 1_000_000)):%H:%M:%S} UTC"


def _rarer(report: ReplayReport) -> list[Field]:
    counts = {
        "lost": report.lost,
        "parked": report.parked,
        "snoozed": report.snoozed,
        "skipped": report.skipped,
        "not due": report.waiting or 0,
    }
    return [Field(name, f"{number:,}") for name, number in counts.items() if number]
