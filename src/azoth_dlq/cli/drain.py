"""`azoth-dlq drain`: attempt every letter that is due, or one letter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from azoth_dlq.cli.database import database_argument, queue_of
from azoth_dlq.cli.handlers import handlers_option, load_registry
from azoth_dlq.cli.help import Command
from azoth_dlq.cli.letters import no_such_letter, read_letter
from azoth_dlq.cli.numbers import ID
from azoth_dlq.cli.options import load_config, settings_options
from azoth_dlq.cli.output import (
    command_line,
    json_option,
    keep_log_quiet,
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
        1: "stopped by failures, or an error",
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

    The first SIGINT (Ctrl-C), SIGTERM or SIGHUP ends the drain after the letters in hand, with exit
    code 0; a second one interrupts their handlers. A signal that is ignored at the start stays so
    (SIGINT, in a shell's background). With --json a drain that ended early prints the report so
    far; where none began, stdout stays empty. What handlers print goes to stderr.
    """,
)
@database_argument
@handlers_option
@click.option("--now", is_flag=True, help="Also letters whose backoff has not passed yet.")
@click.option("--id", "letter_id", metavar="ID", type=ID, help="This letter alone, due or not.")
@verbose_option
@utc_option
@json_option
@settings_options
def command(  # noqa: PLR0913 -- one keyword an option
    *,
    database: str,
    handlers: str,
    now: bool,
    letter_id: int | None,
    verbose: bool,
    as_json: bool,
    config: str | None,
    **settings: Any,
) -> int:
    """Attempt every letter in DB that is due, each once, and report."""
    chosen = load_config(config, settings)
    registry = load_registry(handlers)
    show_log() if verbose else keep_log_quiet()
    with queue_of(database, wait=chosen.busy_timeout.total_seconds()) as dlq:
        replayer = DlqReplayer(dlq, registry, chosen)

        def work(progress: Progress) -> ReplayReport:
            if letter_id is not None:
                return replayer.replay(letter_id, on_progress=progress)
            return replayer.drain(now=now, on_progress=progress)

        if letter_id is not None and read_letter(dlq.store, letter_id) is None:
            way = f"`{command_line('requeue', database, letter_id)}` moves that one back"
            raise no_such_letter(dlq.store, letter_id, database, way=way)
        ending = supervised(replayer, work, hide_progress=verbose)

    def texts(report: ReplayReport) -> tuple[str, list[str]]:
        heading = f"Drained {database} in {speed_text(report)}"
        return heading, next_steps(report, database, chosen)

    print_ending(ending, texts, as_json=as_json)
    return ending.exit_code
