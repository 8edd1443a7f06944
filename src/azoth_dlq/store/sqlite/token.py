"""Each group leaves a token in the file, which tells whether it was committed."""

from __future__ import annotations

import os
import sqlite3
from typing import Final

from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite.left_open import execute_uninterrupted
from azoth_dlq.store.sqlite.raw import is_closed, raw_text, text_of

_KEY: Final = "group"


class Token:
    """The token of the group that was begun last on a connection."""

    def __init__(self, connection: sqlite3.Connection, cursor: sqlite3.Cursor) -> None:
        self._connection = connection
        self._cursor = cursor
        self._text = ""

    def set(self) -> None:
        """Write a new one, as part of the group that is open."""
        self._text = os.urandom(8).hex()
        execute_uninterrupted(self._cursor, sql.SET_STATE, (_KEY, self._text))

    def is_committed(self) -> bool:
        """Whether the file holds it; False in a transaction. Errors: sqlite3.Error."""
        if is_closed(self._connection) or self._connection.in_transaction:
            return False
        with raw_text(self._connection):
            execute_uninterrupted(self._cursor, sql.GET_STATE, (_KEY,))
            return [text_of(token) for (token,) in self._cursor] == [self._text]
