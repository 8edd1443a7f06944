"""A drain's report for people: the counts, and what to do next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from azoth_dlq.cli.output import (
    duration_text,
    instant_text,
    print_lines,
    print_ranking,
    print_table,
)

if TYPE_CHECKING:
    from azoth_dlq.config import DlqReplayConfig
    from azoth_dlq.types import ReplayReport


def print_report(report: ReplayReport) -> None:
    """Print the counts of a report as a table."""
    print_table(
        [
            ("attempted", report.attempted, ""),
            ("succeeded", report.succeeded, ""),
            ("failed", report.failed, ""),
            ("snoozed", report.snoozed, ""),
            ("parked", report.parked, _parked_unattempted(report)),
            ("skipped", report.skipped, "gone or changed meanwhile" if report.skipped else ""),
            ("remaining", report.remaining, "due, and not reached" if report.remaining else ""),
            ("waiting", report.waiting, "not due when the drain began" if report.waiting else ""),
        ]
    )
    if report.errors:
        print_lines("")
        print_ranking("failed with", report.errors)


def speed_text(report: ReplayReport) -> str:
    """How long a drain took: `0.32 s (62,500 letters a second)`."""
    seconds = report.duration.total_seconds()
    if not report.attempted or not seconds:
        return f"{seconds:.2f} s"
    return f"{seconds:.2f} s ({report.attempted / seconds:,.0f} letters a second)"


def to_be_retried(report: ReplayReport) -> int:
    """Letters that failed and were not parked."""
    return max(report.failed - (report.parked - report.unreadable - report.exhausted), 0)


def next_steps(report: ReplayReport, database: str, config: DlqReplayConfig) -> list[str]:
    """What a report leaves to do, a line each."""
    steps = []
    if report.stopped == "failures":
        steps.append(
            f"Stopped by {config.stop_on_consecutive_failures} failures in a row: what the handlers"
            " need seems to be down. When it is back, drain with --now."
        )
    if report.stopped == "shutdown":
        steps.append("Ended by a signal: the letters that are left stay due.")
    if retried := to_be_retried(report):
        steps.append(f"{retried:,} failed and wait for their next attempt.")
    if report.waiting:
        steps.append(
            f"{report.waiting:,} not due yet when it began{_next(report)}; --now takes them, too."
        )
    if report.parked:
        steps.append(
            f"{report.parked:,} parked: DeadLetterQueue.permanent_failures() says why, "
            "requeue(ids) moves them back."
        )
    if steps:
        steps.append(f"What is left: azoth-dlq status {database}")
    return steps


def _parked_unattempted(report: ReplayReport) -> str:
    counts = {"unreadable": report.unreadable, "already exhausted": report.exhausted}
    return ", ".join(f"{number:,} {what}" for what, number in counts.items() if number)


def _next(report: ReplayReport) -> str:
    if report.next_due is None:
        return ""
    wait = duration_text(report.next_due - datetime.now(UTC))
    return f", the next is in {wait} ({instant_text(report.next_due)})"
