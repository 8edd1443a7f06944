"""What the loop over letters does seldom: failures, event bytes that come late, slow calls."""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple

from azoth_dlq.engine._group import Group
from azoth_dlq.engine.failure import describe, one_line
from azoth_dlq.registration import Registration
from azoth_dlq.store.base import Store

logger = logging.getLogger("azoth_dlq")
INLINE = 16 * 1024  # longer event bytes are fetched when their turn comes
_SQL_TYPES = {
    "NoneType": "NULL",
    "int": "INTEGER",
    "float": "REAL",
    "str": "TEXT",
    "bytearray": "TEXT",
}


class Limits(NamedTuple):
    """What bounds the letters of a group, and of a batch.

    ends_at: monotonic seconds, with `ack_seconds` a letter for what is still to be written. most:
    letters of the group. batch_size, batch_bytes: letters and payload bytes of one batch. singly:
    letters, by id, that are to be called one by one. outside_only: end before a letter whose
    handler runs within the transaction.

    room: how many letters whose handlers run outside may be met on the way, to be claimed, of
    `room_bytes` in memory; None: the group ends before the first. soon: in how many seconds after
    one is met the group ends. hurry: its only item is the instant (monotonic seconds) at which the
    group ends in any case; others may set it meanwhile.
    """

    ends_at: float
    ack_seconds: float
    most: int
    batch_size: int
    batch_bytes: int
    singly: set[int]
    outside_only: bool
    room: int | None = None
    room_bytes: int = 0
    soon: float = inf
    hurry: list[float] | None = None


def note_failed_attempt(  # noqa: PLR0913 -- what is known of a failed call
    row: tuple[Any, ...],
    registration: Registration | None,
    error: Exception,
    group: Group,
    undo: Callable[[Exception], str | None] | None,
    *,
    seconds: float,
) -> None:
    """Take back what the letter's handler wrote, if one was called, and record what was raised
    after `seconds`."""
    group.raised(row, registration, error, seconds, undo)
    group.error = None


def note_batch_failure(
    ids: list[int], name: str, error: Exception, group: Group, store: Store
) -> None:
    """Take back what the handler of a batch wrote; its letters are called one by one."""
    # While its letters are isolated, for it may use the connection: as `Group.raised` does it.
    group.error = describe(error)
    BaseException.with_traceback(error, None)
    store.undo(error)
    warn_batch_failed(ids, name, group.error)
    group.error = None


def warn_batch_failed(ids: list[int], name: str, error: str) -> None:
    logger.warning(
        "%s: failed as a batch in %s, now called one by one: %s",
        _letters(ids[0], len(ids)),
        one_line(name),
        one_line(error),
    )


def event_bytes_of(row: tuple[Any, ...], group: Group, store: Store) -> bytes | None:
    """Event bytes that were too long to be fetched with the others, or stored as TEXT; None where
    the row cannot be read and is parked."""
    event_bytes = row[-1]
    if event_bytes is None:
        fetched = store.fetch([row[0]], inline=None, verify=False)
        if not fetched:
            group.skipped += 1
            return None
        event_bytes = fetched[0][-1]
    if type(row[-2]) is not int:
        column, value = "event_id", row[-2]
    elif isinstance(event_bytes, (bytes, bytearray)):
        return bytes(event_bytes)
    else:
        column, value = "event_bytes", event_bytes
    kind = _SQL_TYPES.get(type(value).__name__, "BLOB")
    group.park_unattempted(
        row[0],
        f"unreadable: {column} is of type {kind}",
        unreadable=True,
        event=(row[-2], event_bytes),
    )
    return None


def warn_slow(letter_id: int, letters: int, name: str, seconds: float) -> None:
    logger.warning(
        "%s: handler %s kept the file locked for %.1f s; other programs could not write. "
        "Register it with transactional=False if it waits for other systems",
        _letters(letter_id, letters),
        one_line(name),
        seconds,
    )


def _letters(first: int, count: int) -> str:
    return f"letter {first}" if count == 1 else f"{count} letters from {first} on"
