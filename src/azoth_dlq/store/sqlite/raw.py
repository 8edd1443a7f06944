"""Reading a connection as it is stored, whatever factories its owner has set."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from azoth_dlq.clock import to_datetime
from azoth_dlq.store.sqlite import statements as sql


@contextmanager
def raw_text(connection: sqlite3.Connection) -> Iterator[None]:
    """TEXT as `bytearray`: bad UTF-8 raises nothing, and BLOB (`bytes`) can be told from it."""
    factory = connection.text_factory
    try:
        connection.text_factory = bytearray
        yield
    finally:
        connection.text_factory = factory


def is_closed(connection: sqlite3.Connection) -> bool:
    try:
        return connection.in_transaction is None
    except sqlite3.ProgrammingError:
        return True


def own_cursor(connection: sqlite3.Connection) -> sqlite3.Cursor:
    """A cursor that gives plain tuples."""
    cursor = sqlite3.Cursor(connection)
    cursor.row_factory = None
    return cursor


def read(
    connection: sqlite3.Connection, statement: str, parameters: Sequence[Any] = ()
) -> list[tuple[Any, ...]]:
    """All rows of a statement."""
    with raw_text(connection):
        return own_cursor(connection).execute(statement, parameters).fetchall()


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """What is read within is the state of one instant."""
    joined = connection.in_transaction
    cursor = own_cursor(connection)
    try:
        if not joined:
            cursor.execute(sql.BEGIN_READING)
        yield
    finally:
        if not joined and not is_closed(connection) and connection.in_transaction:
            cursor.execute(sql.ROLLBACK)


def text_of(value: object) -> str:
    """A TEXT value, whatever its bytes are."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    return "" if value is None else str(value)


def integer_or_none(value: object) -> int | None:
    """An integer of ours; None where another program has left something else."""
    return value if type(value) is int else None


def instant_or_none(value: object) -> datetime | None:
    """The same as microseconds since 1970."""
    return to_datetime(value) if type(value) is int else None
