"""A letter as commands show it: its payload is never shown, only its size."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any

import click

from azoth_dlq.cli.output import command_line
from azoth_dlq.cli.times import instant_text
from azoth_dlq.clock import EPOCH, MICROSECOND, to_datetime
from azoth_dlq.event_type import event_type_of
from azoth_dlq.kernels.eligibility import format_timestamp, parse_timestamp
from azoth_dlq.types import PermanentFailure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from azoth_dlq.store.base import Letters
    from azoth_dlq.types import FailedEvent


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


def no_such_letter(
    store: Letters, letter_id: int, database: str, *, way: str, parked: bool = False
) -> click.ClickException:
    """The error that tells it; `way`: what to do where the other space has that id."""
    message = f"{database} has no {letter_id} among its {space_of(parked)}"
    if read_letter(store, letter_id, parked=not parked) is None:
        shown = listing(database, parked=parked)
        return click.ClickException(f"{message}; `{shown}` shows the ids")
    return click.ClickException(f"{message}, but among its {space_of(not parked)}: {way}")


def age_of(letter: FailedEvent | PermanentFailure, now: int) -> timedelta | None:
    """The time since the failure at `now` (µs), 0 where it lies ahead; None where unreadable."""
    try:
        return timedelta(microseconds=max(now - parse_timestamp(letter.failed_at), 0))
    except ValueError:
        return None


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


def rfc3339(instant: datetime) -> str:
    """An instant for programs, in UTC."""
    return format_timestamp((instant - EPOCH) // MICROSECOND)


def as_dict(letter: FailedEvent | PermanentFailure, now: int) -> dict[str, Any]:
    """The letter ready for JSON: every column but the payload, whose size in bytes is told."""
    age = age_of(letter, now)
    document: dict[str, Any] = {}
    for field in fields(letter):
        if field.name == "event_bytes":
            document["event_type"] = event_type_of(letter.event_bytes)
            document["event_size"] = len(letter.event_bytes)
        else:
            document[field.name] = plain(getattr(letter, field.name))
    return {**document, "age": None if age is None else age.total_seconds()}


def plain(value: Any) -> Any:
    """A column's value for JSON; another program may have left any type there."""
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return value
