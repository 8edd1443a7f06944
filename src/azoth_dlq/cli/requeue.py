"""`azoth-dlq requeue`: permanent failures, back among the dead letters."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from azoth_dlq.acting import in_parts
from azoth_dlq.cli.bulk import Change, Consent, Task, change_letters, consent_options
from azoth_dlq.cli.database import database_argument
from azoth_dlq.cli.filters import filter_options, wanted_of
from azoth_dlq.cli.help import Command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from azoth_dlq.store.base import Store


def _requeue(store: Store, ids: Sequence[int], now: int) -> int:
    return store.requeue(ids, now)


_CHANGE: Final = Change(
    action="requeue",
    steps=partial(in_parts, verb=_requeue),
    done="requeued",
    announced="will go back among the dead letters",
    elsewhere="those need no requeue: a drain attempts them",
)


@click.command(
    "requeue",
    cls=Command,
    short_help="Move permanent failures back among the dead letters.",
    exit_codes={1: "an error, an id was not there, or the answer was no"},
    see_also=("list", "show", "discard", "drain"),
    epilog="""\b
    Examples:
      azoth-dlq requeue projection.db 3 4 20-30
      azoth-dlq requeue projection.db --error timeout --newer-than 2d --dry-run
      azoth-dlq requeue projection.db --all --yes --json
      azoth-dlq list projection.db --parked --type deposit --ids | azoth-dlq requeue projection.db -

    Letters that fit all that is given: ids (of permanent failures, as `list --parked` shows them; -
    reads them from stdin) and conditions. It says how many they are and of which groups; with
    conditions it then asks, or takes --yes. What arrives after that is not touched. A requeued
    letter is attempted afresh, with its history, and its old id where that is free. A thousand
    letters are committed at a time; Ctrl-C ends it after those in hand. `azoth-dlq audit` shows
    what was done, and by whom.
    """,
)
@database_argument
@consent_options
@filter_options()
def command(
    *,
    database: str,
    consent: Consent,
    as_json: bool,
    **conditions: Any,
) -> int:
    """Move permanent failures in DB back among the dead letters, to be attempted afresh."""
    wanted = wanted_of(conditions, parked=True)
    return change_letters(Task(database, _CHANGE, wanted, consent), as_json=as_json)
