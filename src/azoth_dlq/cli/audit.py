"""`azoth-dlq audit`: what was done on purpose, by whom, and to which letters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from azoth_dlq.cli.database import database_argument, readable_store_of
from azoth_dlq.cli.filters import conditions_text
from azoth_dlq.cli.help import Command
from azoth_dlq.cli.letters import space_of
from azoth_dlq.cli.numbers import HOW_MANY
from azoth_dlq.cli.output import (
    counted,
    json_option,
    print_json_list,
    print_lines,
)
from azoth_dlq.cli.times import instant_text, utc_option
from azoth_dlq.clock import rfc3339

if TYPE_CHECKING:
    from azoth_dlq.types import AuditRecord

_ALL: Final = "all"


@click.command(
    "audit",
    cls=Command,
    short_help="Show what was done, by whom, and to which letters; the file is only read.",
    see_also=("list", "show"),
    epilog="""\b
    Examples:
      azoth-dlq audit projection.db
      azoth-dlq audit projection.db --limit 1000 --json

    Every requeue, discard, edit, purge and import, and every drain that attempted a letter, is
    written down in the table azoth_dlq_audit, in the transaction that does it: when, by whom (the
    login name, or --as), by which filter, how many letters fitted then, and how many it was done
    to. Fewer than fitted: others were gone meanwhile, or it was interrupted. Nothing is ever
    deleted from it. The file is never written.
    """,
)
@database_argument
@click.option(
    "--limit", type=HOW_MANY, default=50, show_default=True, metavar="N", help="How many to show."
)
@utc_option
@json_option
def command(*, database: str, limit: int, as_json: bool) -> int:
    """Show what was done on purpose to the letters in DB, the newest first."""
    with readable_store_of(database) as store:
        actions = store.actions(limit)
    if as_json:
        print_json_list({"database": database}, "actions", map(_as_dict, actions))
        return 0
    print_lines(f"{counted(len(actions), 'actions')} in {database}, newest first")
    for action in actions:
        print_lines("", f"{instant_text(action.at)}  {action.action}  by {action.who}")
        print_lines(f"  {_letters_text(action)}")
        details = ", ".join(f"{name} {_text(one)}" for name, one in (action.details or {}).items())
        print_lines(*([f"  {details}"] if details else []))
    return 0


def _as_dict(action: AuditRecord) -> dict[str, Any]:
    return {
        "id": action.id,
        "at": rfc3339(action.at),
        "who": action.who,
        "action": action.action,
        "filter": action.filter,
        "matched": action.matched,
        "done": action.done,
        "details": action.details,
    }


def _letters_text(action: AuditRecord) -> str:
    parked = action.filter.get("parked")
    space = space_of(parked) if isinstance(parked, bool) else "letters"
    conditions = {name: one for name, one in action.filter.items() if name != "parked"}
    return f"{action.done:,} of {counted(action.matched, space)}: " + (
        conditions_text(conditions) or _ALL
    )


def _text(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value if isinstance(value, str) else json.dumps(value)
