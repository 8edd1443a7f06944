"""A store that is polled for letters that may be due."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from azoth_dlq import BackoffStrategy, DlqReplayConfig
from azoth_dlq.kernels.eligibility import format_timestamp, parse_timestamp
from azoth_dlq.store.base import DrainSettings, Suspects
from azoth_dlq.store.settlement import Settlement
from azoth_dlq.store.sqlite import SqliteStore

NOON = parse_timestamp("2026-11-24 12:00:00")
SECOND = 1_000_000
HOUR = 3600 * SECOND
CONFIG = DlqReplayConfig(backoff=BackoffStrategy.fixed(60), min_age=0)
# As other programs may make it.
ANOTHERS_TABLE = (
    "CREATE TABLE dead_letter_queue (id INTEGER PRIMARY KEY AUTOINCREMENT, event_id INTEGER, "
    "event_bytes BLOB, error_message TEXT, failed_at TEXT, retry_count INTEGER DEFAULT 0, "
    "last_retry_at TEXT)"
)
INSERT = (
    "INSERT INTO dead_letter_queue (id, event_id, event_bytes, error_message, failed_at, "
    "retry_count) VALUES (?, 1, x'00', 'boom', ?, ?)"
)


class InterleavedStore(SqliteStore):
    """Another program may write just before the lock is taken."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.before_lock: Callable[[], object] | None = None
        super().__init__(connection)

    def _lock(self) -> None:
        meanwhile, self.before_lock = self.before_lock, None
        if meanwhile is not None:
            meanwhile()
        super()._lock()


class Polls:
    """A store, and what another program writes beside it; `connection` is that of both."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.store = InterleavedStore(connection)

    def insert(
        self, letters: int = 1, *, at: int = NOON, first_id: int | None = None, retry_count: Any = 0
    ) -> None:
        ids = [None] * letters if first_id is None else range(first_id, first_id + letters)
        text = format_timestamp(at)
        self.connection.execute("BEGIN")
        self.connection.executemany(INSERT, ((row_id, text, retry_count) for row_id in ids))
        self.connection.execute("COMMIT")

    def ids_read(self, now: int) -> list[int]:
        """Those of the rows that a look for suspects gives."""
        suspects = Suspects(now, CONFIG.least_wait)
        with self.store.candidates(with_error=False, suspects=suspects) as rows:
            return sorted(row[0] for row in rows)  # type: ignore[misc]  # ids are integers

    def catch_up(self) -> int:
        """All of it; how many calls it took."""
        calls = 1
        while not self.store.catch_up():
            calls += 1
        return calls

    def note_all(self) -> None:
        with self.store.candidates(with_error=False) as rows:
            list(rows)
        self.catch_up()

    def settle(self, settlement: Settlement) -> None:
        """As a drain does, of another store."""
        store = SqliteStore(self.connection)
        with store.draining(DrainSettings(1, "{}")):
            store.begin()
            store.settle(settlement)
            store.end(commit=True)

    def ids_where(self, condition: str) -> list[int]:
        rows = self.connection.execute(f"SELECT id FROM dead_letter_queue WHERE {condition}")  # noqa: S608 -- own text
        return sorted(row_id for (row_id,) in rows)


@contextmanager
def polling(path: Path) -> Iterator[Polls]:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        yield Polls(connection)
