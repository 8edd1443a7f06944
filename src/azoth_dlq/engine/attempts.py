"""The loop over letters: each in isolation, one call of its handler, one outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from azoth_dlq.engine.group import Group
from azoth_dlq.errors import EventDecodeError
from azoth_dlq.registry import EventHandlerRegistry
from azoth_dlq.store.base import Forked, Store, TransactionLost

logger = logging.getLogger("azoth_dlq")
_SQL_TYPES = {"NoneType": "NULL", "int": "INTEGER", "float": "REAL", "bytearray": "TEXT"}
SLOW_CALL_SECONDS = 1.0


def attempt(
    rows: Sequence[tuple[Any, ...]],
    group: Group,
    store: Store,
    registry: EventHandlerRegistry,
    go_on: Callable[[float], bool],
) -> int:
    """Attempt the letters of `rows` in order while `go_on(now)`; how many were taken.

    A row's event bytes are None where they are fetched only now. Errors: TransactionLost and
    StorageFault, with `group.in_hand` and `group.error` telling where; an interrupt (a
    `BaseException` that is no `Exception`) ends the loop and is left in `group.interrupt`.
    """
    connection = store.connection
    resolve = registry.resolve
    isolate, keep, acked = store.isolate, store.keep, group.acked
    before = monotonic()
    taken = 0
    try:
        for row in rows:
            taken += 1
            letter_id = row[0]
            group.in_hand = None
            event_bytes = row[-1]
            if type(event_bytes) is not bytes or type(row[-2]) is not int:
                event_bytes = _event_bytes(row, group, store)
                if event_bytes is None:
                    continue
            try:
                registration, payload = resolve(event_bytes)
            except EventDecodeError as error:
                group.raised(row, error)
                continue
            isolate(letter_id)
            group.in_hand = row
            try:
                registration.call(connection, row[-2], payload)
                keep()
            except (TransactionLost, Forked):
                raise
            except Exception as error:
                _failed(row, registration.name, error, group, store)
            else:
                acked.append(letter_id)
                group.failures_in_row = 0
            now = monotonic()
            if now - before > SLOW_CALL_SECONDS:
                _warn_slow(letter_id, registration.name, now - before)
            before = now
            if not go_on(now):
                break
    except TransactionLost:
        group.handler = registration.name
        raise
    except Exception:
        raise
    except BaseException as interrupt:
        group.interrupt = interrupt
        store.undo(unless=acked[-1] if acked else None)
    return taken


def _failed(
    row: tuple[Any, ...], name: str, error: Exception, group: Group, store: Store
) -> None:
    group.error = error
    violation = store.undo(error)
    group.raised(row, error, None if violation is None else f"{name}: {violation}")
    # The traceback's frames may hold a cursor, and with it a statement that is half read.
    group.error = error.__traceback__ = None


def _event_bytes(row: tuple[Any, ...], group: Group, store: Store) -> bytes | None:
    """Event bytes that were too long to be fetched with the others, or stored as TEXT; None where
    the row cannot be read and is parked."""
    event_bytes = row[-1]
    if event_bytes is None:
        fetched = store.fetch([row[0]], inline=None, verify=False)
        event_bytes = fetched[0][-1] if fetched else None
    if type(row[-2]) is not int:
        column, value = "event_id", row[-2]
    elif isinstance(event_bytes, (bytes, bytearray)):
        return bytes(event_bytes)
    else:
        column, value = "event_bytes", event_bytes
    kind = _SQL_TYPES.get(type(value).__name__, "BLOB")
    group.park_unattempted(row[0], f"unreadable: {column} is of type {kind}", unreadable=True)
    return None


def _warn_slow(letter_id: int, name: str, seconds: float) -> None:
    logger.warning(
        "letter %d: handler %s kept the file locked for %.1f s; other programs could not write. "
        "Register it with transactional=False if it waits for other systems",
        letter_id,
        name,
        seconds,
    )
