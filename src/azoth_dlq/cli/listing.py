"""`azoth-dlq list`: the letters in a file, newest first."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from azoth_dlq import clock
from azoth_dlq.cli.database import database_argument, readable_store_of
from azoth_dlq.cli.filters import (
    filter_options,
    find_letters,
    parked_option,
    wanted_of,
)
from azoth_dlq.cli.help import Command
from azoth_dlq.cli.letters import (
    missing_text,
    read_letter,
    space_key,
    space_of,
    stored_instant_text,
    why,
)
from azoth_dlq.cli.numbers import HOW_MANY
from azoth_dlq.cli.output import (
    counted,
    cut,
    duration_text,
    first_line,
    json_option,
    print_json_list,
    print_lines,
    say,
    terminal_width,
)
from azoth_dlq.cli.times import utc_option
from azoth_dlq.engine.failure import one_line
from azoth_dlq.event_type import shown_event_type
from azoth_dlq.shown import age_of, letter_as_dict, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from azoth_dlq.store.base import Letters
    from azoth_dlq.types import FailedEvent, PermanentFailure

_HEADINGS: Final = ("id", "event id", "type", "attempts", "failed at", "age")
_LAST_HEADING: Final = {False: "last error", True: "reason"}
_NUMBERS: Final = ("id", "event id", "attempts")
_WIDEST: Final = 40  # of a column but the last
_NARROWEST: Final = 20  # of the last
_LISTED: Final = 50
_MEASURED: Final = 1000  # rows that are held, to make columns as wide as they are


class Found(NamedTuple):
    """How many letters fit, how many are shown, and those: the newest."""

    total: int
    shown: int
    newest: Iterator[FailedEvent | PermanentFailure]


@click.command(
    "list",
    cls=Command,
    short_help="List letters, newest first; the file is only read.",
    see_also=("show", "status", "requeue", "discard"),
    epilog="""\b
    Examples:
      azoth-dlq list projection.db
      azoth-dlq list projection.db --error timeout --older-than 2h --limit 200
      azoth-dlq list projection.db --parked --type deposit --json
      azoth-dlq list projection.db --due --since '2026-11-30 03:00' --ids

    A letter is listed that fits all that is given. It is shown with its last error (the first one,
    where no attempt has failed since), or with --parked with the reason that it was parked for.
    Payloads are never shown, but by `show`. Ids of dead letters and of permanent failures
    (--parked) are two spaces. The file is never written.
    """,
)
@database_argument
@parked_option
@filter_options()
@click.option(
    "--limit",
    type=HOW_MANY,
    metavar="N",
    help="How many to list.  [default: 50; of --ids: all]",
)
@click.option("--ids", "only_ids", is_flag=True, help="Print ids alone, one a line, ascending.")
@utc_option
@json_option
def command(
    *,
    database: str,
    parked: bool,
    limit: int | None,
    only_ids: bool,
    as_json: bool,
    **conditions: Any,
) -> int:
    """List the letters in DB that fit, newest first, with how many there are in all."""
    if only_ids and as_json:
        raise click.UsageError("--ids and --json cannot go together; give one of them")
    wanted = wanted_of(conditions, parked=parked)
    now = clock.now()
    with readable_store_of(database) as store:
        ids = find_letters(store, wanted, now)
        if missing := wanted.missing_from(ids):
            say(missing_text(missing, space_of(parked)))
        most = (len(ids) if only_ids else _LISTED) if limit is None else limit
        shown = ids[len(ids) - min(most, len(ids)) :]
        if only_ids:
            _print_ids(shown)
            return 0
        found = Found(len(ids), len(shown), _newest_first(store, shown, parked=parked))
        if as_json:
            head = {"database": database, "ids_of": space_key(parked), "total": found.total}
            print_json_list(
                head, "letters", (letter_as_dict(letter, now) for letter in found.newest)
            )
        else:
            _print(found, now, database, parked=parked, fitting=not wanted.is_empty)
    return 0


def _print_ids(ids: Sequence[int]) -> None:
    for start in range(0, len(ids), _MEASURED):
        click.echo("\n".join(map(str, ids[start : start + _MEASURED])))


def _newest_first(
    store: Letters, ids: Sequence[int], *, parked: bool
) -> Iterator[FailedEvent | PermanentFailure]:
    """Each by itself, for it comes with its payload."""
    for row_id in reversed(ids):
        letter = read_letter(store, row_id, parked=parked)
        if letter is not None:
            yield letter


def _print(found: Found, now: int, database: str, *, parked: bool, fitting: bool) -> None:
    rows = (_row(letter, now) for letter in found.newest)
    first = list(islice(rows, _MEASURED))
    letters = counted(found.total, space_of(parked))
    if fitting:
        letters += " that fits" if found.total == 1 else " that fit"
    print_lines(f"{found.shown:,} of {letters} in {database}, newest first")
    if first:
        print_lines("")
        _print_columns([(*_HEADINGS, _LAST_HEADING[parked]), *first], rows)


def _row(letter: FailedEvent | PermanentFailure, now: int) -> tuple[str, ...]:
    age = age_of(letter, now)
    cells = (
        letter.id,
        plain(letter.event_id),
        shown_event_type(letter.event_bytes) or "?",
        plain(letter.retry_count),
        stored_instant_text(letter.failed_at),
        "?" if age is None else duration_text(age),
    )
    return (
        # Cut first, too: one may be megabytes.
        *(cut(one_line(str(cell)[: _WIDEST + 1]), _WIDEST) for cell in cells),
        one_line(first_line(why(letter))),
    )


def _print_columns(measured: Sequence[tuple[str, ...]], more: Iterator[tuple[str, ...]]) -> None:
    """Print rows of cells in columns as wide as those measured, the last cut to the terminal's
    width where there is one."""
    widths = [max(len(row[place]) for row in measured) for place in range(len(_HEADINGS))]
    left = terminal_width() - 2 - sum(width + 2 for width in widths)
    for row in chain(measured, more):
        aligned = [
            f"{cell:>{width}}" if heading in _NUMBERS else f"{cell:<{width}}"
            for heading, cell, width in zip(_HEADINGS, row, widths, strict=False)
        ]
        line = "  ".join(["", *aligned, cut(row[-1], max(left, _NARROWEST))])
        print_lines(line.rstrip())
