"""`azoth-dlq groups`: the letters in a file by what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

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
from azoth_dlq.cli.letters import space_key, space_of
from azoth_dlq.cli.numbers import HOW_MANY
from azoth_dlq.cli.output import (
    counted,
    cut,
    first_line,
    json_option,
    print_json,
    print_lines,
    terminal_width,
)
from azoth_dlq.cli.times import instant_text, utc_option
from azoth_dlq.engine.failure import one_line
from azoth_dlq.groups import Grouping, LetterGroup, group_letters

if TYPE_CHECKING:
    from collections.abc import Mapping

_INDENT: Final = " " * 10
_NARROWEST: Final = 40
_FEW: Final = 5  # retry counts that are shown


@click.command(
    "groups",
    cls=Command,
    short_help="Group letters by what went wrong; the file is only read.",
    see_also=("list", "status", "drain"),
    epilog="""\b
    Examples:
      azoth-dlq groups projection.db
      azoth-dlq groups projection.db --type deposit --since 2h
      azoth-dlq groups projection.db --limit 3
      azoth-dlq groups projection.db --parked --json

    Letters are grouped by their latest errors (the first ones, where no attempt has failed since),
    in which numbers, ids, addresses, quoted parts, paths and the like are masked, and stack traces
    left out. A group's fingerprint is the same in every file, process and version; --group takes
    it, or its first digits, in every command. With ids or conditions, letters that fit are grouped
    alone. The file is never written.
    """,
)
@database_argument
@parked_option
@filter_options()
@click.option(
    "--limit",
    type=HOW_MANY,
    default=20,
    show_default=True,
    metavar="N",
    help="How many groups to show.",
)
@utc_option
@json_option
def command(*, database: str, parked: bool, limit: int, as_json: bool, **conditions: Any) -> int:
    """Show what went wrong with the letters in DB: groups of alike errors, the largest first."""
    wanted = wanted_of(conditions, parked=parked)
    with readable_store_of(database) as store:
        ids = None if wanted.is_empty else find_letters(store, wanted, clock.now())
        grouping = group_letters(store, ids, parked=parked, limit=limit)
    if as_json:
        print_json(_document(grouping, database, parked=parked))
    else:
        _print(grouping, database, parked=parked)
    return 0


def _document(grouping: Grouping, database: str, *, parked: bool) -> dict[str, Any]:
    return {
        "database": database,
        "ids_of": space_key(parked),
        "total": grouping.letters,
        "groups_found": grouping.found,
        "letters_in_no_group": grouping.other,
        "groups": [group.as_dict() for group in grouping.groups],
    }


def _print(grouping: Grouping, database: str, *, parked: bool) -> None:
    groups = grouping.groups
    letters = counted(grouping.letters, space_of(parked))
    found = counted(grouping.found, "groups")
    print_lines(f"{found} of {letters} in {database}")
    if groups:
        print_lines("", f"  {'share':>6}  {'letters':>9}  fingerprint")
    for group in groups:
        _print_group(group)
    if grouping.found > len(groups):
        hidden = counted(grouping.found - len(groups), "groups")
        print_lines("", f"not shown: {hidden} with {counted(grouping.not_shown, 'letters')}")
    if grouping.other:
        print_lines("", f"in no group: {counted(grouping.other, 'letters')}")
        print_lines("there were too many groups; the smallest were not kept")


def _print_group(group: LetterGroup) -> None:
    print_lines(f"  {group.share:>6.1%}  {group.count:>9,}  {group.fingerprint}")
    room = max(terminal_width() - len(_INDENT), _NARROWEST)
    for line in (group.template, _seen(group), _parts(group), _example(group)):
        if line:
            print_lines(_INDENT + cut(one_line(line), room))


def _seen(group: LetterGroup) -> str:
    if group.first_seen is None or group.last_seen is None:
        return "failed at times that cannot be read"
    if group.first_seen == group.last_seen:
        return f"failed at {instant_text(group.first_seen)}"
    return f"failed from {instant_text(group.first_seen)} to {instant_text(group.last_seen)}"


def _parts(group: LetterGroup) -> str:
    retries = dict(list(group.retry_counts.items())[:_FEW])
    more = ", …" if len(group.retry_counts) > _FEW else ""
    shown = {"type": _listed(group.event_types), "attempts": _listed(retries) + more}
    return "; ".join(f"{name} {text}" for name, text in shown.items() if text)


def _listed(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{name} ({letters:,})" for name, letters in counts.items())


def _example(group: LetterGroup) -> str:
    return f"letter {group.example_id}: {first_line(group.example)}"
