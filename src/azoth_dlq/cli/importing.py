"""`azoth-dlq import`: letters from a file that `export` or the Rust crate wrote."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO, Final

import click

from azoth_dlq.cli.bulk import by_option
from azoth_dlq.cli.database import FILE, database_argument, queue_of
from azoth_dlq.cli.help import Command
from azoth_dlq.cli.output import command_line, counted, json_option, print_json, print_lines, say
from azoth_dlq.errors import StorageError
from azoth_dlq.queue import DeadLetterQueue

if TYPE_CHECKING:
    from azoth_dlq.exchange.importing import Record
    from azoth_dlq.exchange.reports import ImportReport
    from azoth_dlq.store.upkeep import Exchange

_STDIN: Final = "-"


@click.command(
    "import",
    cls=Command,
    short_help="Take letters in from a file that was exported.",
    see_also=("export", "audit"),
    epilog="""\b
    Examples:
      azoth-dlq import projection.db letters.jsonl.gz --dry-run
      azoth-dlq import projection.db letters.jsonl.gz
      zstd -dc letters.zst | azoth-dlq import new.db - --create

    FILE is what `azoth-dlq export` wrote, or the Rust crate azoth's dead_letter_queue.jsonl of its
    event log; gzip or not. All of it is read first: where a line cannot be, it says which, and
    nothing comes in. Each letter comes in once, however often it is imported, also when it was
    replayed since; an own letter of DB that is gone does not come back. --again takes both. A
    thousand letters are committed at a time: what was interrupted, the same command makes whole.
    """,
)
@database_argument
@click.argument("file", metavar="FILE", type=FILE)
@click.option("--dry-run", is_flag=True, help="Read FILE, and tell what would come in.")
@click.option("--again", is_flag=True, help="Also letters that came in before, or are gone.")
@click.option("--create", is_flag=True, help="Make DB where there is none.")
@by_option
@json_option
def command(  # noqa: PLR0913 -- one keyword an option
    *,
    database: str,
    file: str,
    dry_run: bool,
    again: bool,
    create: bool,
    by: str | None,
    as_json: bool,
) -> int:
    """Take the letters in FILE (- is stdin) into DB."""
    is_new = create and not os.path.lexists(database)
    if is_new and dry_run:
        message = "--dry-run writes nothing, so --create makes no file with it"
        raise click.UsageError(message, click.get_current_context())
    if not (create or os.path.lexists(database)):
        raise StorageError(f"there is no file {database!r}; check the path, or make it by --create")
    source = sys.stdin.buffer if file == _STDIN else file
    try:
        if is_new:
            report = _import_into_new(database, source, by)
        else:
            with queue_of(database) as dlq:
                report = dlq.import_from(source, again=again, dry_run=dry_run, by=by)
    except KeyboardInterrupt:
        say("interrupted; the same command goes on with what has not come in")
        return 130
    except StorageError as error:
        say(f"{error}; the same command goes on with what has not come in")
        return 1
    _print(report, database, file, as_json=as_json)
    return 0


def _import_into_new(database: str, source: str | BinaryIO, by: str | None) -> ImportReport:
    """It is made when the file is found good."""
    from azoth_dlq.exchange.importing import (  # noqa: PLC0415 -- `--help` needs none of it
        Record,
        import_,
    )

    with ExitStack() as opened:
        fresh = opened.enter_context(DeadLetterQueue.open(":memory:"))

        def into() -> tuple[Exchange, Record]:
            store = opened.enter_context(DeadLetterQueue.open(database)).store
            return store.exchange, Record(store, source, by)

        return import_(fresh.store.exchange, source, into=into)


def _print(report: ImportReport, database: str, file: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"database": database, "file": file, **report.as_dict()})
    else:
        come = "would come" if report.dry_run else "came"
        print_lines(
            f"{counted(report.dead, 'dead letters')} and "
            f"{counted(report.parked, 'permanent failures')} {come} into {database}"
        )
        for number, why in (
            (report.here, "here already"),
            (report.before, "imported before"),
            (report.gone, f"gone from {database}, and may have been replayed"),
        ):
            if number:
                print_lines(f"  {number:>6,} left out: {why}")
    if report.before or report.gone:
        way = command_line("import", database, file, "--again")
        say(f"letters that came in before were left out; `{way}` takes those that are gone")
