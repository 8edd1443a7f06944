"""`azoth-dlq discard`: delete letters on purpose."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from azoth_dlq.cli.bulk import Change, Choice, change_letters, choice_options
from azoth_dlq.cli.database import database_argument
from azoth_dlq.cli.filters import filter_of, filter_options, parked_option
from azoth_dlq.cli.help import Command
from azoth_dlq.queue import DeadLetterQueue

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command(
    "discard",
    cls=Command,
    short_help="Delete letters for good.",
    exit_codes={1: "an error, or an id was not there"},
    see_also=("list", "show", "requeue"),
    epilog="""\b
    Examples:
      azoth-dlq discard projection.db 17 18
      azoth-dlq discard projection.db --type audit --older-than 30d
      azoth-dlq discard projection.db --parked --all --yes

    By ids, or by filter: then it says how many it will delete, and asks, or takes --yes. Ids of
    dead letters and of permanent failures (--parked) are two spaces. A thousand letters are
    committed at a time; Ctrl-C ends it after those in hand.
    """,
)
@database_argument
@choice_options
@parked_option
@filter_options
def command(  # noqa: PLR0913 -- one keyword an option
    *,
    database: str,
    ids: Sequence[int],
    parked: bool,
    every: bool,
    yes: bool,
    as_json: bool,
    **conditions: Any,
) -> int:
    """Delete dead letters, or permanent failures, in DB for good."""
    change = Change(
        verb=partial(DeadLetterQueue.discard, parked=parked),
        done="discarded",
        announced="will be deleted for good",
        elsewhere="leave out --parked to discard those" if parked else "give --parked for those",
        parked=parked,
    )
    choice = Choice(ids, filter_of(conditions), every, yes)
    return change_letters(database, change, choice, as_json=as_json)
