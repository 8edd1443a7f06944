"""`azoth-dlq drain`: attempt every letter that is due."""

from __future__ import annotations

from typing import Any

import click

from azoth_dlq.cli.database import queue_of
from azoth_dlq.cli.handlers import handlers_option, load_registry
from azoth_dlq.cli.options import load_config, settings_options
from azoth_dlq.cli.output import (
    json_option,
    print_json,
    print_lines,
    say,
    show_log,
    stdout_reserved,
)
from azoth_dlq.cli.report import next_steps, print_report, speed_text
from azoth_dlq.cli.supervised import Ending, drain_supervised
from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.replayer import DlqReplayer


@click.command(
    "drain",
    short_help="Attempt every letter that is due.",
    epilog="""\b
    Examples:
      azoth-dlq drain projection.db --handlers bank.handlers:registry
      azoth-dlq drain projection.db --handlers bank.handlers:registry --now --json
      azoth-dlq drain projection.db --handlers bank.handlers:registry \\
        --priority by-error-type=timeout,deadlock --backoff exponential=10,3600

    Durations are seconds. The first SIGINT (Ctrl-C) or SIGTERM ends the drain after the letter in
    hand, with exit code 0; a second one interrupts its handler. Exit code 1: stopped by failures,
    or an error. With --json a drain that ended early prints the report so far; where none began,
    stdout stays empty. What handlers print goes to stderr.
    """,
)
@click.argument("database", metavar="DB")
@handlers_option
@click.option("--now", is_flag=True, help="Also letters whose backoff has not passed yet.")
@click.option("-v", "--verbose", is_flag=True, help="Show the log: each failure and its error.")
@json_option
@settings_options
def command(  # noqa: PLR0913 -- one keyword an option
    *,
    database: str,
    handlers: str,
    now: bool,
    verbose: bool,
    as_json: bool,
    config: str | None,
    **settings: Any,
) -> int:
    """Attempt every letter in DB that is due, each once, and report."""
    chosen = load_config(config, settings)
    with stdout_reserved():
        registry = load_registry(handlers)
    show_log(verbose=verbose)
    with queue_of(database) as dlq:
        replayer = DlqReplayer(dlq, registry, chosen)
        ending = drain_supervised(replayer, now=now, hide_progress=verbose)
    _print(ending, database, chosen, as_json=as_json)
    if ending.trouble is not None:
        say(ending.trouble)
    return ending.exit_code


def _print(ending: Ending, database: str, config: DlqReplayConfig, *, as_json: bool) -> None:
    report = ending.report
    if report is None:
        return
    if as_json:
        print_json(report.as_dict())
        return
    if ending.trouble is not None and not (report.attempted or report.parked):
        return
    print_lines(f"Drained {database} in {speed_text(report)}", "")
    print_report(report)
    steps = next_steps(report, database, config)
    print_lines("", *steps) if steps else None
