"""`azoth-dlq list`: the letters in a file, newest first."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from azoth_dlq import clock
from azoth_dlq.cli.database import database_argument, readable_store_of
from azoth_dlq.cli.filters import filter_of, filter_options, parked_option
from azoth_dlq.cli.help import Command
from azoth_dlq.cli.letters import (
    age_of,
    as_dict,
    plain,
    read_letter,
    space_key,
    space_of,
    stored_instant_text,
    why,
)
from azoth_dlq.cli.numbers import HOW_MANY
from azoth_dlq.cli.output import (
    counted,
    duration_text,
    first_line,
    json_option,
    print_json,
    print_lines,
)
from azoth_dlq.cli.times import utc_option
from azoth_dlq.engine.failure import one_line
from azoth_dlq.event_type import event_type_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from azoth_dlq.store.base import Letters
    from azoth_dlq.types import FailedEvent, PermanentFailure

_HEADINGS: Final = ("id", "event id", "type", "attempts", "failed at", "age")
_LAST_HEADING: Final = {False: "last error", True: "reason"}
_NUMBERS: Final = ("id", "event id", "attempts")
_WIDEST: Final = 40  # of a column but the last
_NARROWEST: Final = 20  # of the last


class Found(NamedTuple):
    """How many letters fit, and the newest of them."""

    total: int
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

    A letter is listed that fits all the options given. It is shown with its last error (the first
    one, where no attempt has failed since), or with --parked with the reason that it was parked
    for; --error searches the first one, error_message. Payloads are never shown, but by `show
    --payload`. Ids of dead letters and of permanent failures (--parked) are two spaces. The file is
    never written.
    """,
)
@database_argument
@parked_option
@filter_options
@click.option(
    "--limit",
    type=HOW_MANY,
    default=50,
    show_default=True,
    metavar="N",
    help="How many to list.",
)
@utc_option
@json_option
def command(*, database: str, parked: bool, limit: int, as_json: bool, **conditions: Any) -> int:
    """List the letters in DB that fit, newest first, with how many there are in all."""
    wanted = filter_of(conditions)
    now = clock.now()
    with readable_store_of(database) as store:
        ids = store.find(wanted, now, parked=parked)
        shown = ids[len(ids) - min(limit, len(ids)) :]
        found = Found(len(ids), _newest_first(store, shown, parked=parked))
        if as_json:
            print_json(_document(found, now, database, parked=parked))
        else:
            _print(found, now, database, parked=parked, fitting=not wanted.is_empty)
    return 0


def _newest_first(
    store: Letters, ids: Sequence[int], *, parked: bool
) -> Iterator[FailedEvent | PermanentFailure]:
    """Each by itself, for it comes with its payload."""
    for row_id in reversed(ids):
        letter = read_letter(store, row_id, parked=parked)
        if letter is not None:
            yield letter


def _document(found: Found, now: int, database: str, *, parked: bool) -> dict[str, Any]:
    return {
        "database": database,
        "ids_of": space_key(parked),
        "total": found.total,
        "letters": [as_dict(letter, now) for letter in found.newest],
    }


def _print(found: Found, now: int, database: str, *, parked: bool, fitting: bool) -> None:
    rows = [_row(letter, now) for letter in found.newest]
    letters = counted(found.total, space_of(parked))
    if fitting:
        letters += " that fits" if found.total == 1 else " that fit"
    print_lines(f"{len(rows):,} of {letters} in {database}, newest first")
    if rows:
        print_lines("")
        _print_columns([(*_HEADINGS, _LAST_HEADING[parked]), *rows])


def _row(letter: FailedEvent | PermanentFailure, now: int) -> tuple[str, ...]:
    age = age_of(letter, now)
    cells = (
        letter.id,
        plain(letter.event_id),
        event_type_of(letter.event_bytes) or "?",
        plain(letter.retry_count),
        stored_instant_text(letter.failed_at),
        "?" if age is None else duration_text(age),
    )
    return (
        # Cut first, too: one may be megabytes.
        *(_cut(one_line(str(cell)[: _WIDEST + 1]), _WIDEST) for cell in cells),
        one_line(first_line(why(letter))),
    )


def _print_columns(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows of cells, the last cut to the terminal's width where there is one."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(_HEADINGS))]
    left = _terminal_width() - 2 - sum(width + 2 for width in widths)
    for row in rows:
        aligned = [
            f"{cell:>{width}}" if heading in _NUMBERS else f"{cell:<{width}}"
            for heading, cell, width in zip(_HEADINGS, row, widths, strict=False)
        ]
        line = "  ".join(["", *aligned, _cut(row[-1], max(left, _NARROWEST))])
        print_lines(line.rstrip())


def _terminal_width() -> int:
    import shutil  # noqa: PLC0415 -- it loads compression, which no other command needs

    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    return shutil.get_terminal_size().columns if is_terminal else sys.maxsize


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
