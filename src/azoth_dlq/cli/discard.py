"""`azoth-dlq discard`: delete letters on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from azoth_dlq.acting import discard, in_parts
from azoth_dlq.cli.bulk import Change, Consent, Task, change_letters, consent_options, wrong
from azoth_dlq.cli.database import FILE, database_argument
from azoth_dlq.cli.filters import filter_options, parked_option, wanted_of
from azoth_dlq.cli.help import Command

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterator, Sequence

    from azoth_dlq.acting import Act
    from azoth_dlq.store.base import Store


@click.command(
    "discard",
    cls=Command,
    short_help="Delete letters for good.",
    exit_codes={1: "an error, an id was not there, or the answer was no"},
    see_also=("list", "show", "requeue"),
    epilog="""\b
    Examples:
      azoth-dlq discard projection.db 17 20-30
      azoth-dlq discard projection.db --type audit --older-than 30d --dry-run
      azoth-dlq discard projection.db --parked --all --yes
      azoth-dlq discard projection.db --group 5f0c --export discarded.jsonl.gz

    Letters that fit all that is given: ids (- reads them from stdin) and conditions. It says how
    many they are and of which groups; with conditions it then asks, or takes --yes. What arrives
    after that is not touched. What was written by --export can be imported again; a letter that
    changes before it is deleted stays, as does one that a handler has in hand. Ids of dead letters
    and of permanent failures (--parked) are two spaces. A thousand letters are committed at a time;
    Ctrl-C ends it after those in hand. `azoth-dlq audit` shows what was done, and by whom.
    """,
)
@database_argument
@click.option(
    "--export",
    "target",
    metavar="FILE",
    type=FILE,
    help="Write them to FILE first, as `export` does; where that fails, none is deleted.",
)
@consent_options
@parked_option
@filter_options()
def command(
    *,
    database: str,
    target: str | None,
    parked: bool,
    consent: Consent,
    as_json: bool,
    **conditions: Any,
) -> int:
    """Delete dead letters, or permanent failures, in DB for good."""
    if target == "-":
        raise wrong("--export takes a file: it is read again before anything is deleted")

    def delete(store: Store, ids: Sequence[int], _now: int) -> int:
        return discard(store, ids, parked=parked)

    def steps(store: Store, act: Act, ids: array[int]) -> Iterator[None]:
        if target is None:
            return in_parts(store, act, ids, delete)
        from azoth_dlq.exchange.discarding import (  # noqa: PLC0415 -- few write them out
            export_and_discard,
        )

        return export_and_discard(store, act, ids, target, database)

    change = Change(
        action="discard",
        steps=steps,
        done="discarded",
        announced="will be deleted for good",
        elsewhere="leave out --parked to discard those" if parked else "give --parked for those",
    )
    wanted = wanted_of(conditions, parked=parked)
    return change_letters(Task(database, change, wanted, consent), as_json=as_json)
