"""`azoth-dlq demo`: make the file of an outage, drain it, show what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from azoth_dlq.cli.database import FILE, queue_of
from azoth_dlq.cli.help import Command
from azoth_dlq.cli.output import (
    command_line,
    first_line,
    json_option,
    keep_log_quiet,
    print_json,
    print_lines,
    say,
)
from azoth_dlq.cli.report import print_report, speed_text, to_be_retried
from azoth_dlq.cli.supervised import supervised
from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.replayer import DlqReplayer

if TYPE_CHECKING:
    from azoth_dlq.queue import DeadLetterQueue
    from azoth_dlq.report import ReplayReport
    from azoth_dlq.types import PermanentFailure

_CAUSES: Final = 10
_HANDLERS: Final = "azoth_dlq.demo:registry"


class Cause(NamedTuple):
    """One cause of the outage: its error, its letters, and how many are still dead letters."""

    error: str
    letters: int
    left: int


class Outcome(NamedTuple):
    """What the demo's drain did, and what it left behind."""

    report: ReplayReport
    causes: list[Cause]
    effects: int
    parked: list[PermanentFailure]

    def as_dict(self) -> dict[str, Any]:
        return {
            "report": self.report.as_dict(),
            "by_cause": [cause._asdict() for cause in self.causes],
            "effects": self.effects,
            "parked": [{"id": letter.id, "reason": letter.reason} for letter in self.parked],
        }


@click.command(
    "demo",
    cls=Command,
    short_help="Drain a made outage and show what happened.",
    exit_codes={1: "an error; a file that is there is never touched"},
    see_also=("status", "list", "drain"),
    epilog="""\b
    Examples:
      azoth-dlq demo
      azoth-dlq demo --output /tmp/outage.db --json
    """,
)
@click.option(
    "--output",
    metavar="FILE",
    type=FILE,
    default="azoth-demo.db",
    show_default=True,
    help="The file to make; one that exists is never touched.",
)
@json_option
def command(*, output: str, as_json: bool) -> int:
    """Make a file with 20,000 dead letters of an outage, drain it, and show what happened."""
    from pathlib import Path  # noqa: PLC0415 -- `--help` needs neither

    from azoth_dlq import demo  # noqa: PLC0415 -- as above

    keep_log_quiet()
    demo.make_outage(Path(output))
    config = DlqReplayConfig(stop_on_consecutive_failures=None)
    with queue_of(output) as dlq:
        before = dlq.store.figures(_CAUSES).by_error
        replayer = DlqReplayer(dlq, demo.registry, config)
        ending = supervised(
            replayer,
            lambda progress: replayer.drain(on_progress=progress),
            database=output,
            live=True,
        )
        if ending.report is not None:
            effects = demo.count_effects(dlq.connection)
            outcome = _outcome(dlq, ending.report, before, effects)
            _print(outcome, output, as_json=as_json)
    if ending.trouble is not None:
        say(ending.trouble)
    return ending.exit_code


def _outcome(
    dlq: DeadLetterQueue, report: ReplayReport, before: list[tuple[str, int]], effects: int
) -> Outcome:
    left = dict(dlq.store.figures(_CAUSES).by_error)
    causes = [Cause(error, letters, left.get(error, 0)) for error, letters in before]
    return Outcome(report, causes, effects, dlq.permanent_failures())


def _print(outcome: Outcome, output: str, *, as_json: bool) -> None:
    report = outcome.report
    if as_json:
        print_json({"database": output, **outcome.as_dict()})
        return
    letters = sum(cause.letters for cause in outcome.causes)
    print_lines(f"{output} holds {letters:,} dead letters of an outage, and their accounts.")
    print_lines(f"Drained in {speed_text(report)}", "")
    print_report(report)
    print_lines("", "By cause:")
    for cause in outcome.causes:
        print_lines(f"  {cause.letters:>6,}, of which {cause.left:>5,} are left: {cause.error}")
    effects = "one for each that succeeded" if outcome.effects == report.succeeded else "WRONG"
    print_lines(f"  Effects in the accounts: {outcome.effects:,}, {effects}")
    print_lines("", "What is left, and why:")
    retried = to_be_retried(report)
    print_lines(f"  {retried:>6,} failed again and wait for their next attempt")
    for letter in outcome.parked:
        print_lines(f"       1 is parked: {first_line(letter.reason or '')}")
    print_lines(
        "",
        "To look further:",
        f"  {command_line('status', output)}",
        *_about_parked(outcome.parked, output),
        f"  {command_line('drain', output, '--handlers', _HANDLERS, '--now')}",
    )


def _about_parked(parked: list[PermanentFailure], output: str) -> list[str]:
    if not parked:
        return []
    return [
        f"  {command_line('list', output, '--parked')}",
        f"  {command_line('show', output, parked[0].id, '--parked', '--payload')}",
        f"  {command_line('requeue', output, parked[0].id)}",
    ]
