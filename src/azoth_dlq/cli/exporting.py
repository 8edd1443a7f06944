"""`azoth-dlq export`: letters into a file that another queue, a person or a spreadsheet reads."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from azoth_dlq import clock
from azoth_dlq.cli.bulk import wrong
from azoth_dlq.cli.database import FILE, database_argument, readable_store_of
from azoth_dlq.cli.filters import (
    CONDITIONS,
    filter_options,
    find_letters,
    wanted_of,
)
from azoth_dlq.cli.help import Command
from azoth_dlq.cli.output import counted, json_option, print_json, print_lines, say
from azoth_dlq.errors import ExchangeError

if TYPE_CHECKING:
    from azoth_dlq.exchange.reports import ExportReport

_STDOUT: Final = "-"
_SPACES: Final = {False: "dead", True: "parked"}


@click.command(
    "export",
    cls=Command,
    short_help="Write letters to a file, for another queue or for people.",
    see_also=("import", "list", "discard"),
    epilog="""\b
    Examples:
      azoth-dlq export projection.db --output letters.jsonl.gz
      azoth-dlq export projection.db --type deposit --since 2h --output deposits.jsonl
      azoth-dlq export projection.db --parked --output - | jq .error_message
      azoth-dlq export projection.db --format csv --output letters.csv

    JSON Lines hold all that is kept of the letters, payloads and histories too: `azoth-dlq import`
    reads them. A CSV is for reading, and has payloads with --payload alone; in it, a text that a
    spreadsheet would take for a formula stands behind an apostrophe. FILE is readable by its owner
    alone, and gets its name when it is whole. What was interrupted lies in FILE.partial: the same
    command goes on with it (but with a CSV). Letters are as they were when they were written there.
    """,
)
@database_argument
@filter_options()
@click.option("--output", metavar="FILE", type=FILE, required=True, help="Where to; - is stdout.")
@click.option("--dead", "only_dead", is_flag=True, help="The dead letters alone.")
@click.option("--parked", "only_parked", is_flag=True, help="The permanent failures alone.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv"]),
    default="jsonl",
    show_default=True,
    help="JSON Lines, or a table to read.",
)
@click.option("--gzip", is_flag=True, help="Compress it, as where FILE ends in .gz.")
@click.option("--payload", is_flag=True, help="In a CSV, payloads too.")
@click.option("--force", is_flag=True, help="Overwrite FILE, if there is one.")
@json_option
def command(
    *,
    database: str,
    output: str,
    only_dead: bool,
    only_parked: bool,
    as_json: bool,
    **choices: Any,
) -> int:
    """Write the dead letters and permanent failures of DB to FILE."""
    from azoth_dlq.exchange.exporting import export  # noqa: PLC0415 -- `--help` needs none of it
    from azoth_dlq.exchange.selection import Selection  # noqa: PLC0415 -- as above

    conditions = {name: choices.pop(name) for name in CONDITIONS}
    spaces = [False] * (not only_parked) + [True] * (not only_dead)
    _check(output, only_dead=only_dead, only_parked=only_parked, as_json=as_json, **choices)
    if conditions["ids"] and len(spaces) > 1:
        raise wrong("ids are of dead letters or of permanent failures: give --dead or --parked")
    wanted = [wanted_of(conditions, parked=parked) for parked in spaces]
    target = sys.stdout.buffer if output == _STDOUT else output
    choices["gzip"] = choices["gzip"] or (None if output != _STDOUT else False)
    try:
        with readable_store_of(database) as store:
            found = {
                f"{_SPACES[one.parked]}_ids": find_letters(store, one, clock.now())
                for one in wanted
                if not one.is_empty
            }
            selection = Selection(dead=not only_parked, parked=not only_dead, **found)
            report = export(store.exchange, target, selection, beside=database, **choices)
    except ExchangeError as error:
        raise click.ClickException(str(error).replace("(force)", "(--force)")) from error
    except KeyboardInterrupt:
        if output != _STDOUT and choices["form"] == "jsonl":
            say("interrupted; the same command goes on with what is written")
            return 130
        raise
    _print(report, database, as_json=as_json)
    return 0


def _check(
    output: str, *, only_dead: bool, only_parked: bool, as_json: bool, form: str, **choices: Any
) -> None:
    """Errors: click.UsageError."""
    message = None
    if only_dead and only_parked:
        message = "--dead and --parked cannot go together; without either, both are written"
    elif output == _STDOUT and as_json:
        message = "--json and --output - cannot go together: both are written to stdout"
    elif choices["payload"] and form != "csv":
        message = "--payload is for --format csv; JSON Lines have the payloads in any case"
    if message is not None:
        raise click.UsageError(message, click.get_current_context())


def _print(report: ExportReport, database: str, *, as_json: bool) -> None:
    if report.restarted is not None:
        say(f"what an interrupted export left was not gone on with: {report.restarted}")
    if as_json:
        print_json({"database": database, **report.as_dict()})
        return
    written = f"{counted(report.dead, 'dead letters')} and " + counted(
        report.parked, "permanent failures"
    )
    if report.file is None:
        say(f"{written} of {database} written")
        return
    print_lines(f"{written} of {database} written to {report.file}")
    if report.resumed:
        print_lines(f"{report.resumed:,} of them by an export that was interrupted")
