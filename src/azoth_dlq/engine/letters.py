"""What the loop over letters does seldom: failures, event bytes that come late, slow calls."""

from __future__ import annotations

import logging
from typing import Any

from azoth_dlq.engine.group import Group
from azoth_dlq.store.base import Store

logger = logging.getLogger("azoth_dlq")
_SQL_TYPES = {
    "NoneType": "NULL",
    "int": "INTEGER",
    "float": "REAL",
    "str": "TEXT",
    "bytearray": "TEXT",
}


def note_failure(
    row: tuple[Any, ...], name: str, error: Exception, group: Group, store: Store
) -> None:
    """Take back what the letter's handler wrote, and record what it raised."""
    group.error = error
    violation = store.undo(error)
    if violation is None:
        group.raised(row, name, error)
    else:
        group.failed_with(row, f"{name}: {violation}")
    # The traceback's frames may hold a cursor, and with it a statement that is half read.
    BaseException.with_traceback(error, None)
    group.error = None


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
    group.park_unattempted(row[0], f"unreadable: {column} is of type {kind}", unreadable=True)
    return None


def warn_slow(letter_id: int, name: str, seconds: float) -> None:
    logger.warning(
        "letter %d: handler %s kept the file locked for %.1f s; other programs could not write. "
        "Register it with transactional=False if it waits for other systems",
        letter_id,
        name,
        seconds,
    )
