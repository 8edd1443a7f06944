"""Letters as commands name and read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from azoth_dlq.cli.output import command_line
from azoth_dlq.cli.times import instant_text
from azoth_dlq.clock import to_datetime
from azoth_dlq.kernels.eligibility import parse_timestamp
from azoth_dlq.shown import plain
from azoth_dlq.types import PermanentFailure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from azoth_dlq.store.base import Letters
    from azoth_dlq.types import FailedEvent

MISSING_SHOWN: Final = 10


def space_of(parked: bool) -> str:  # noqa: FBT001 -- there is nothing else to tell
    """What ids are ids of."""
    return "permanent failures" if parked else "dead letters"


def space_key(parked: bool) -> str:  # noqa: FBT001 -- as above
    """The same for programs, as `status` has it."""
    return space_of(parked).replace(" ", "_")


def read_letter(
    store: Letters, letter_id: int, *, parked: bool = False
) -> FailedEvent | PermanentFailure | None:
    """The letter of this id; None where there is none."""
    found: Sequence[FailedEvent | PermanentFailure] = (
        store.read(parked=True, ids=[letter_id]) if parked else store.read(ids=[letter_id])
    )
    return found[0] if found else None


def listing(database: str, *, parked: bool) -> str:
    """The command that lists the letters of a space."""
    return command_line("list", database, *(["--parked"] if parked else []))


def missing_text(missing: Sequence[int], space: str) -> str:
    """That ids are not in a space."""
    verb = "is" if len(missing) == 1 else "are"
    shown = ", ".join(map(str, missing[:MISSING_SHOWN]))
    more = ", …" if len(missing) > MISSING_SHOWN else ""
    return f"{len(missing):,} of the ids {verb} not among the {space}: {shown}{more}"


def no_such_letter(
    store: Letters, letter_id: int, database: str, *, way: str, parked: bool = False
) -> click.ClickException:
    """The error that tells it; `way`: what to do where the other space has that id."""
    message = f"{database} has no {letter_id} among its {space_of(parked)}"
    if read_letter(store, letter_id, parked=not parked) is None:
        shown = listing(database, parked=parked)
        return click.ClickException(f"{message}; `{shown}` shows the ids")
    return click.ClickException(f"{message}, but among its {space_of(not parked)}: {way}")


def why(letter: FailedEvent | PermanentFailure) -> str:
    """The latest that is known of why it is there: why it was parked, its last error, its first."""
    reason = letter.reason if isinstance(letter, PermanentFailure) else None
    return reason or letter.last_error or letter.error_message


def stored_instant_text(stored: object) -> str:
    """A stored timestamp in the form of all others; as it is, where it is none."""
    text = str(plain(stored))
    try:
        return instant_text(to_datetime(parse_timestamp(text)))
    except (ValueError, OverflowError):
        return text
