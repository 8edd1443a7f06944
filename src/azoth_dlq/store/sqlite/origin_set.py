"""A set of origins that may be larger than memory."""

from __future__ import annotations

import sqlite3
from typing import Final, Self

from azoth_dlq.store.sqlite import exchange_statements as sql
from azoth_dlq.store.sqlite.faults import explained

_IN_A_TEMPORARY_FILE: Final = ""
_WHERE: Final = "the temporary file of SQLite"


class OriginSet:
    """In a database of its own, which SQLite keeps in memory while it is small. Errors:
    StorageError."""

    def __init__(self) -> None:
        with explained(_WHERE):
            self._connection = sqlite3.connect(_IN_A_TEMPORARY_FILE, isolation_level=None)
            self._connection.execute(sql.MAKE_SET)
            self._connection.execute(sql.BEGIN)  # never to be committed

    def add(self, origin: bytes) -> bool:
        """Whether it is new."""
        with explained(_WHERE):
            return self._connection.execute(sql.ADD_TO_SET, (origin,)).rowcount == 1

    def __contains__(self, origin: object) -> bool:
        with explained(_WHERE):
            return self._connection.execute(sql.IN_SET, (origin,)).fetchone() is not None

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
