"""`azoth-dlq drain`: attempt every letter that is due, some of them, or one letter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from azoth_dlq.acting import Act
from azoth_dlq.cli.bulk import by_option, dry_run_option, yes_option
from azoth_dlq.cli.chosen import Chosen
from azoth_dlq.cli.database import database_argument, queue_of
from azoth_dlq.cli.filters import CONDITIONS, filter_options, wanted_of
from azoth_dlq.cli.handlers import handlers_option, load_registry
from azoth_dlq.cli.help import Command
from azoth_dlq.cli.numbers import ID
from azoth_dlq.cli.options import load_config, settings_options
from azoth_dlq.cli.output import (
    json_option,
    keep_log_quiet,
    live_option,
    show_log,
    verbose_option,
)
from azoth_dlq.cli.report import next_steps, print_ending, speed_text
from azoth_dlq.cli.supervised import supervised
from azoth_dlq.cli.times import utc_option
from azoth_dlq.replayer import DlqReplayer

if TYPE_CHECKING:
    from azoth_dlq.cli.progress import Progress
    from azoth_dlq.report import ReplayReport


@click.command(
    "drain",
    cls=Command,
    short_help="Attempt every letter that is due.",
    exit_codes={
        0: "done, or ended by a signal after the letters in hand",
        1: "stopped by failures, an error, or the answer was no",
    },
    see_also=("status", "run", "list", "tune"),
    epilog="""\b
    Examples:
      azoth-dlq drain projection.db --handlers bank.handlers:registry
      azoth-dlq drain projection.db --handlers bank.handlers:registry --now --json
      azoth-dlq drain projection.db --handlers bank.handlers:registry --id 17
      azoth-dlq drain projection.db --handlers bank.handlers:registry \\
        --priority by-error-type=timeout,deadlock --backoff exponential=10,3600
      azoth-dlq drain projection.db --handlers bank.mail:registry --concurrency 16 --rate 50/s \\
        --timeout 30s
      azoth-dlq drain projection.db --handlers bank.handlers:registry --group 5f0c --now

    With ids or conditions only letters that fit are attempted, of those that are due (with --now,
    of all that a drain would attempt sometime). It says first how many they are and of which
    groups, asks where stdin is a terminal, and records it for `audit`; --dry-run only says it. The
    first SIGINT (Ctrl-C), SIGTERM or SIGHUP ends the drain after the letters in hand, with exit
    code 0; a second one interrupts their handlers. A signal that is ignored at the start stays so
    (SIGINT, in a shell's background). With --json a drain that ended early prints the report so
    far; where none began, stdout stays empty. What handlers print goes to stderr. So does how far
    it is: on a terminal in a view that is drawn in place (p pauses and resumes, q is a Ctrl-C),
    elsewhere in a line each ten seconds.
    """,
)
@database_argument
@filter_options()
@handlers_option
@click.option("--now", is_flag=True, help="Also letters whose backoff has not passed yet.")
@click.option(
    "--id",
    "letter_id",
    metavar="ID",
    type=ID,
    help="This letter alone, due or not; several: their ids after DB, and --now.",
)
@dry_run_option
@yes_option
@by_option
@verbose_option
@live_option
@utc_option
@json_option
@settings_options
def command(  # noqa: PLR0913 -- one keyword an option
    *,
    database: str,
    handlers: str,
    now: bool,
    letter_id: int | None,
    dry_run: bool,
    yes: bool,
    by: str | None,
    verbose: bool,
    no_live: bool,
    as_json: bool,
    config: str | None,
    **options: Any,
) -> int:
    """Attempt every letter in DB that is due, or those of them that fit, each once, and report."""
    conditions = {name: options.pop(name) for name in CONDITIONS}
    chosen = load_config(config, options)
    letters = Chosen(wanted_of(conditions), letter_id, now=now)
    registry = load_registry(handlers)
    show_log() if verbose else keep_log_quiet()
    with queue_of(database, wait=chosen.busy_timeout.total_seconds()) as dlq:
        letters.check(dlq.store, database)
        act = Act(dlq.store, "drain", letters.filter, by, chosen)
        if dry_run:
            letters.print(dlq.store, act, database, as_json=as_json)
            return 0
        letters.freeze(dlq.store, act, database, yes=yes)
        replayer = DlqReplayer(dlq, registry, chosen)

        def work(progress: Progress) -> ReplayReport:
            return letters.replay(replayer, progress)

        live = not (no_live or verbose)
        ending = supervised(replayer, work, database=database, live=live)
        letters.record(act, ending.report)

    def texts(report: ReplayReport) -> tuple[str, list[str]]:
        heading = f"Drained {database} in {speed_text(report)}"
        return heading, next_steps(report, database, chosen)

    print_ending(ending, texts, as_json=as_json)
    return ending.exit_code
