"""`azoth-dlq requeue`: permanent failures, back among the dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from azoth_dlq.cli.bulk import Change, Choice, change_letters, choice_options
from azoth_dlq.cli.database import database_argument
from azoth_dlq.cli.filters import filter_of, filter_options
from azoth_dlq.cli.help import Command
from azoth_dlq.queue import DeadLetterQueue

if TYPE_CHECKING:
    from collections.abc import Sequence

_CHANGE: Final = Change(
    verb=DeadLetterQueue.requeue,
    done="requeued",
    announced="will go back among the dead letters",
    elsewhere="those need no requeue: a drain attempts them",
    parked=True,
)


@click.command(
    "requeue",
    cls=Command,
    short_help="Move permanent failures back among the dead letters.",
    exit_codes={1: "an error, or an id was not there"},
    see_also=("list", "show", "discard", "drain"),
    epilog="""\b
    Examples:
      azoth-dlq requeue projection.db 3 4 5
      azoth-dlq requeue projection.db --error timeout --newer-than 2d
      azoth-dlq requeue projection.db --all --yes --json

    By ids (of permanent failures, as `list --parked` shows them), or by filter: then it says how
    many it will move, and asks, or takes --yes. A requeued letter is attempted afresh, with its old
    id where that is free. A thousand letters are committed at a time; Ctrl-C ends it after those in
    hand.
    """,
)
@database_argument
@choice_options
@filter_options
def command(
    *,
    database: str,
    ids: Sequence[int],
    every: bool,
    yes: bool,
    as_json: bool,
    **conditions: Any,
) -> int:
    """Move permanent failures in DB back among the dead letters, to be attempted afresh."""
    choice = Choice(ids, filter_of(conditions), every, yes)
    return change_letters(database, _CHANGE, choice, as_json=as_json)
