"""The verbs for letters whose handlers run outside any transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from azoth_dlq.store.base import Abandoned
from azoth_dlq.store.sqlite.claims import DrainClaims
from azoth_dlq.store.sqlite.faults import told_to_engine
from azoth_dlq.store.sqlite.presence import Presence
from azoth_dlq.store.sqlite.reader import Reader
from azoth_dlq.store.sqlite.starts import Starts
from azoth_dlq.store.sqlite.upkeep import SqliteUpkeep


class SqliteOutside(SqliteUpkeep):
    """A queue, and one drain of it among others."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._enter("", 0)

    def _enter(self, file: str, busy_timeout: float) -> None:
        self._file = file
        self._presence = Presence(file)
        self._starts = Starts(file, self._presence.name)
        self._is_outlived = False
        self._busy_timeout = busy_timeout
        self._claims = DrainClaims(self._cursor, file, self._presence.name)
        self._reader = self.open_reader()

    def _leave(self) -> None:
        """The drain is over."""
        if not self._is_outlived:
            self._presence.leave()
            self._starts.close()

    def outlive(self) -> Callable[[], None]:
        self._is_outlived = True
        presence, starts = self._presence, self._starts

        def end() -> None:
            presence.leave()
            starts.close()

        return end

    def claim(self, ids: Sequence[int], *, batch: bool, slots: Sequence[int] | None = None) -> None:
        with told_to_engine(self.where):
            self._claims.claim(ids, [None] * len(ids) if slots is None else slots, batch=batch)

    def start_marks(self, slots: int) -> Any:
        return self._starts.marks(slots)

    def claimed(self) -> set[int]:
        with told_to_engine(self.where):
            return self._claims.claimed_by_others()

    def abandoned(self) -> Abandoned:
        with told_to_engine(self.where):
            return self._claims.abandoned()

    def reader(self) -> sqlite3.Connection:
        return self._reader.connection()

    def open_reader(self) -> Reader:
        return Reader(self._file, self._busy_timeout, self.where)
