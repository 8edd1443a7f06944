"""The verbs for letters whose handlers run outside any transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from azoth_dlq.store.base import Abandoned
from azoth_dlq.store.sqlite.claims import DrainClaims
from azoth_dlq.store.sqlite.faults import told_to_engine
from azoth_dlq.store.sqlite.presence import Presence
from azoth_dlq.store.sqlite.queue import SqliteQueue
from azoth_dlq.store.sqlite.reader import Reader


class SqliteOutside(SqliteQueue):
    """A queue, and one drain of it among others."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._enter("", 0)

    def _enter(self, file: str, busy_timeout: float) -> None:
        self._file = file
        self._presence = Presence(file)
        self._claims = DrainClaims(self._cursor, file, self._presence.name)
        self._reader = Reader(file, busy_timeout)

    def claim(self, ids: Sequence[int], *, batch: bool) -> None:
        with told_to_engine(self.where):
            self._claims.claim(ids, batch=batch)

    def claimed(self) -> set[int]:
        with told_to_engine(self.where):
            return self._claims.claimed_by_others()

    def abandoned(self) -> Abandoned:
        with told_to_engine(self.where):
            return self._claims.abandoned()

    def reader(self) -> sqlite3.Connection:
        return self._reader.connection()
