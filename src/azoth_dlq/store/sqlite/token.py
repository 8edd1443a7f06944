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
        self._before: str | None = None

    def set(self) -> None:
        """Write a new one, as part of the group that is open."""
        self._before = self._stored()
        self._text = os.urandom(8).hex()
        execute_uninterrupted(self._cursor, sql.SET_STATE, (_KEY, self._text))

    def is_committed(self) -> bool:
        """Whether the file holds it; False in a transaction. Errors: sqlite3.Error."""
        return self._is_at_rest() and self._stored() == self._text

    def has_moved(self) -> bool:
        """Whether the file holds it, or one that another drain has left since; False in a
        transaction. Errors: sqlite3.Error."""
        return self._is_at_rest() and self._stored() != self._before

    def _is_at_rest(self) -> bool:
        return not is_closed(self._connection) and not self._connection.in_transaction

    def _stored(self) -> str | None:
        with raw_text(self._connection):
            execute_uninterrupted(self._cursor, sql.GET_STATE, (_KEY,))
            tokens = [text_of(token) for (token,) in self._cursor]
        return tokens[0] if tokens else None
