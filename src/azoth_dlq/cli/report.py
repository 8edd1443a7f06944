"""A drain's report for people: the counts, and what to do next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from azoth_dlq.cli.output import (
    command_line,
    counted,
    duration_text,
    print_json,
    print_lines,
    print_ranking,
    print_table,
    say,
)
from azoth_dlq.cli.times import instant_text
from azoth_dlq.report import MOST_LOST

if TYPE_CHECKING:
    from collections.abc import Callable

    from azoth_dlq.cli.supervised import Ending
    from azoth_dlq.config import DlqReplayConfig
    from azoth_dlq.report import ReplayReport


def print_ending(
    ending: Ending,
    texts: Callable[[ReplayReport], tuple[str, list[str]]],
    *,
    as_json: bool,
) -> None:
    """Print how a drain or run ended: its report as JSON, or between the heading and the next
    steps that `texts` makes of it; what went wrong in one line on stderr."""
    report = ending.report
    if report is not None and as_json:
        print_json(report.as_dict())
    elif report is not None and (ending.trouble is None or report.attempted or report.parked):
        heading, steps = texts(report)
        print_lines(heading, "")
        print_report(report)
        print_lines("", *steps) if steps else None
    if ending.trouble is not None:
        say(ending.trouble)


def print_report(report: ReplayReport) -> None:
    """Print the counts of a report as a table."""
    why_lost = "of the failed: not over after their timeout, and left behind"
    lost = [("lost", report.lost, why_lost)] if report.lost else []
    print_table(
        [
            ("attempted", report.attempted, ""),
            ("succeeded", report.succeeded, ""),
            ("failed", report.failed, ""),
            *lost,
            ("snoozed", report.snoozed, ""),
            ("parked", report.parked, _parked_unattempted(report)),
            ("skipped", report.skipped, _skipped(report)),
            ("remaining", report.remaining, _remaining(report.remaining)),
            _waiting(report),
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
    speed = counted(round(report.attempted / seconds), "letters")
    return f"{seconds:.2f} s ({speed} a second)"


def to_be_retried(report: ReplayReport) -> int:
    """Letters that failed and were not parked."""
    return max(report.failed - (report.parked - report.unreadable - report.exhausted), 0)


def next_steps(report: ReplayReport, database: str, config: DlqReplayConfig) -> list[str]:
    """What a drain leaves to do, a line each."""
    steps = []
    in_row = config.stop_on_consecutive_failures
    few_failed = in_row is None or report.failed < in_row
    if report.stopped == "failures" and report.lost >= (1 if few_failed else MOST_LOST):
        calls = "1 call was" if report.lost == 1 else f"{report.lost:,} calls were"
        steps.append(
            f"Stopped, for {calls} still not over after the timeout. Give the clients that the"
            " handlers use a timeout of their own, shorter than that, and block no event loop."
        )
    elif report.stopped == "failures":
        steps.append(
            f"Stopped by {_what_stopped(report, config)}: what the handlers need seems to be down."
            " When it is back, drain with --now. If the letters themselves are bad, drain with"
            " --stop-on-consecutive-failures never."
        )
    steps += _after_signal(report)
    retried = to_be_retried(report)
    if retried:
        rest = "waits for its next attempt" if retried == 1 else "wait for their next attempt"
        steps.append(f"{retried:,} failed and {rest}.")
    if report.waiting and report.next_due is not None:
        wait = duration_text(report.next_due - datetime.now(UTC))
        them = "it" if report.waiting == 1 else "them"
        steps.append(
            f"{report.waiting:,} not due yet when it began, the next is in {wait} "
            f"({instant_text(report.next_due)}); --now takes {them}, too."
        )
    return steps + look_further(report, database, dead=bool(steps))


def _what_stopped(report: ReplayReport, config: DlqReplayConfig) -> str:
    most = config.stop_on_consecutive_failures or 0
    if report.failed < most:
        return "one failure, as a drain before was stopped"
    return f"{counted(most, 'failures')} in a row"


def next_steps_of_run(report: ReplayReport, database: str) -> list[str]:
    """What a run leaves to do, a line each; letters that failed may have succeeded since."""
    steps = _after_signal(report) if report.remaining else []
    retried = to_be_retried(report)
    if retried:
        steps.append(f"{counted(retried, 'attempts')} failed, and left letters to later ones.")
    return steps + look_further(report, database, dead=bool(report.failed or report.waiting))


def look_further(report: ReplayReport, database: str, *, dead: bool) -> list[str]:
    """The commands that look at what is left: dead letters, parked ones."""
    commands = []
    if dead:
        commands += [("list", database), ("show", database, "ID")]
    if report.parked:
        commands += [("list", database, "--parked"), ("requeue", database, "ID")]
    if not commands:
        return []
    lines = [f"  {command_line(*parts)}" for parts in (("status", database), *commands)]
    return ["To look further:", *lines]


def _after_signal(report: ReplayReport) -> list[str]:
    ended = report.stopped == "shutdown"
    return ["Ended by a signal, or by q: what was not attempted stays as it was."] if ended else []


def _skipped(report: ReplayReport) -> str:
    told = "left out: meanwhile gone, changed, or in the hands of another drain"
    return told if report.skipped else ""


def _waiting(report: ReplayReport) -> tuple[str, int | str, str]:
    if report.waiting is None:
        return "waiting", "?", "letters that are not due yet: the last look has not counted them"
    told = "not due yet when the drain began, and left alone" if report.waiting else ""
    return "waiting", report.waiting, told


def _remaining(letters: int) -> str:
    return "due, but not attempted: the drain ended before" if letters else ""


def _parked_unattempted(report: ReplayReport) -> str:
    counts = {"unreadable": report.unreadable, "already exhausted": report.exhausted}
    return ", ".join(f"{number:,} {what}" for what, number in counts.items() if number)
