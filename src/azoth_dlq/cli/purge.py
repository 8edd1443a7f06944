"""`azoth-dlq purge`: delete permanent failures, and what is kept of attempts, that are old."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from azoth_dlq.acting import discard_parked, in_parts, purge_attempts
from azoth_dlq.cli.bulk import Change, Consent, Task, change_letters, consent_options
from azoth_dlq.cli.database import database_argument
from azoth_dlq.cli.filters import filter_options, wanted_of
from azoth_dlq.cli.help import Command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from azoth_dlq.acting import Act
    from azoth_dlq.store.base import Store


@click.command(
    "purge",
    cls=Command,
    short_help="Delete permanent failures, and histories, that are old.",
    exit_codes={1: "an error, an id was not there, or the answer was no"},
    see_also=("discard", "audit", "run"),
    epilog="""\b
    Examples:
      azoth-dlq purge projection.db --parked-for 30d --dry-run
      azoth-dlq purge projection.db --parked-for 30d --yes
      azoth-dlq purge projection.db --parked-for 7d --type audit

    Permanent failures that fit all that is given are deleted with their histories. Where
    --parked-for (or --older-than, which is the same here) is all that is given, so is what is kept
    of attempts of the dead letters from before that time; their payloads from before an edit stay.
    It says how many fit and of which groups, and asks, or takes --yes. `run` with --retention does
    the same from time to time. A thousand letters are committed at a time; Ctrl-C ends it after
    those in hand. `azoth-dlq audit` shows what was done, and by whom.
    """,
)
@database_argument
@consent_options
@filter_options(by_parking=True)
def command(
    *,
    database: str,
    consent: Consent,
    as_json: bool,
    **conditions: Any,
) -> int:
    """Delete permanent failures in DB, and what is kept of attempts, that are old."""
    wanted = wanted_of(conditions, parked=True)
    age = wanted.filter.min_parked_age
    has_only_age = wanted.filter.as_dict().keys() == {"min_parked_age", "parked"}

    def steps(store: Store, act: Act, ids: Sequence[int]) -> Iterator[None]:
        yield from in_parts(store, act, ids, discard_parked)
        if age is not None and has_only_age:
            yield from purge_attempts(store, act, age)

    change = Change(
        action="purge",
        steps=steps,
        done="purged",
        announced="will be deleted for good",
        elsewhere="`azoth-dlq discard` deletes those",
        does_more=has_only_age,
    )
    return change_letters(Task(database, change, wanted, consent), as_json=as_json)
