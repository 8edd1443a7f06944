"""`azoth-dlq run`: attempt letters as they become due, until a signal ends it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import click

from azoth_dlq.cli.database import database_argument, queue_of
from azoth_dlq.cli.handlers import handlers_option, load_registry
from azoth_dlq.cli.help import Command
from azoth_dlq.cli.options import load_config, settings_options
from azoth_dlq.cli.output import (
    duration_text,
    json_option,
    live_option,
    show_log,
    verbose_option,
)
from azoth_dlq.cli.reload import reloading
from azoth_dlq.cli.report import next_steps_of_run, print_ending
from azoth_dlq.cli.supervised import supervised
from azoth_dlq.cli.times import utc_option
from azoth_dlq.durations import plain_seconds
from azoth_dlq.engine.failure import one_line
from azoth_dlq.replayer import DlqReplayer

if TYPE_CHECKING:
    from azoth_dlq.cli.progress import Progress
    from azoth_dlq.report import ReplayReport


@click.command(
    "run",
    cls=Command,
    short_help="Attempt letters as they become due, until a signal.",
    exit_codes={
        0: "ended by a signal after the letters in hand",
        1: "an error that waiting does not mend",
    },
    see_also=("drain", "status", "tune"),
    epilog="""\b
    Examples:
      azoth-dlq run projection.db --handlers bank.handlers:registry
      azoth-dlq run projection.db --handlers bank.handlers:registry --check-interval 10 --json
      azoth-dlq run projection.db --handlers bank.handlers:registry --config replay.toml -v
      azoth-dlq run projection.db --handlers bank.mail:registry --concurrency 16 --rate 50/s

    DURATION is seconds, or a number with its unit: 90s, 15m, 2h, 3d. Each drain that did something
    is a line on stderr. A database that is busy, full or failing is tried again after
    --check-interval, as after a stop by failures. The first SIGINT (Ctrl-C) or SIGTERM ends the run
    after the letters in hand, with the report of the whole run and exit code 0; a second one
    interrupts their handlers. A signal that is ignored at the start stays so (SIGINT, in a shell's
    background). SIGHUP: with --config, rate_limit is read again from that file (unless --rate was
    given); else as SIGTERM. Exit code 1: an error that waiting does not mend. What handlers print
    goes to stderr. So does how far it is, while letters are attempted: on a terminal in a view that
    is drawn in place (p pauses and resumes, q is a Ctrl-C), elsewhere in a line each ten seconds.
    """,
)
@database_argument
@handlers_option
@verbose_option
@live_option
@utc_option
@json_option
@settings_options
def command(  # noqa: PLR0913 -- one keyword an option
    *,
    database: str,
    handlers: str,
    verbose: bool,
    no_live: bool,
    as_json: bool,
    config: str | None,
    **settings: Any,
) -> int:
    """Attempt letters in DB as they become due, until a signal ends it, and report."""
    chosen = load_config(config, settings)
    registry = load_registry(handlers)
    show_log(letters=verbose)
    with queue_of(database, wait=chosen.busy_timeout.total_seconds()) as dlq:
        if chosen.enabled:
            interval = plain_seconds(chosen.check_interval)
            told = "replaying %s by %s, looking at least every %s s"
            logging.getLogger("azoth_dlq").info(told, one_line(database), handlers, interval)
        replayer = DlqReplayer(dlq, registry, chosen)

        def work(progress: Progress) -> ReplayReport:
            with reloading(replayer, config, settings):
                return replayer.run(on_progress=progress)

        live = not (no_live or verbose) and chosen.enabled
        ending = supervised(replayer, work, database=database, live=live, is_run=True)

    def texts(report: ReplayReport) -> tuple[str, list[str]]:
        heading = f"Ran on {database} for {duration_text(report.duration)}"
        return heading, next_steps_of_run(report, database)

    if chosen.enabled or as_json:
        print_ending(ending, texts, as_json=as_json)
    return ending.exit_code
