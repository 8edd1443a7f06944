"""Whole drains of a file, planning included: ours, and the loops that people write."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from azoth_dlq import (
    BackoffStrategy,
    DeadLetterQueue,
    DlqReplayConfig,
    DlqReplayer,
    EventHandlerRegistry,
    ReplayReport,
)
from azoth_dlq._event import Event
from benchmarks.conftest import Contender, Taken
from benchmarks.outage import ACCOUNTS

Handler = Callable[[sqlite3.Connection, int, bytes], object]
ERROR = "the ledger does not answer"
# As the Rust crate asks, a batch at a time.
SELECT_DUE = (
    "SELECT id, event_id, event_bytes FROM dead_letter_queue WHERE retry_count < 5 "
    "AND (last_retry_at IS NULL OR datetime(last_retry_at, '+' || (5 << retry_count) || "
    "' seconds') <= datetime('now')) AND datetime(failed_at, '+5 seconds') <= datetime('now') "
    "ORDER BY retry_count, failed_at LIMIT 100"
)
SELECT_FIRST = "SELECT id, event_id, event_bytes FROM dead_letter_queue ORDER BY id LIMIT 100"
DELETE = "DELETE FROM dead_letter_queue WHERE id = ?"


def do_nothing(conn: sqlite3.Connection, event_id: int, payload: bytes) -> None:
    """What is left is the cost of draining."""


def update(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
    conn.execute("UPDATE accounts SET balance = balance + 1 WHERE id = ?", (event_id % ACCOUNTS,))


def fail(_conn: sqlite3.Connection, _event_id: int, _payload: bytes) -> None:
    raise ValueError(ERROR)


class NoOpBatches:
    """Takes batches, and does nothing."""

    def handle(self, conn: sqlite3.Connection, event_id: int, payload: bytes) -> None:
        do_nothing(conn, event_id, payload)

    def handle_batch(self, conn: sqlite3.Connection, events: Sequence[Event]) -> None:
        """What is left is the cost of draining."""


def ours(handler: Any, **settings: Any) -> Contender:
    """A drain with these settings, otherwise the defaults; each letter must be attempted."""
    registry = EventHandlerRegistry()
    registry.register("deposit", handler)
    config = DlqReplayConfig(**settings)

    def drain(path: Path) -> Taken:
        with DeadLetterQueue.open(path) as dlq:
            dlq.connection.execute("PRAGMA synchronous = NORMAL")
            there = dlq.count()
            replayer = DlqReplayer(dlq, registry, config)
            seconds, report = timed(replayer)
            assert report.attempted == there
        return Taken(seconds, replayer.metrics.snapshot().phase_seconds)

    return drain


def timed(replayer: DlqReplayer) -> tuple[float, ReplayReport]:
    logger = logging.getLogger("azoth_dlq")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        start = time.perf_counter()
        report = replayer.drain()
        return time.perf_counter() - start, report
    finally:
        logger.setLevel(before)


def ours_failing() -> Contender:
    """A drain in which every letter fails and is kept."""
    return ours(
        fail,
        stop_on_consecutive_failures=None,
        max_retries=9,
        backoff=BackoffStrategy.exponential(10, 3600),
    )


def by_hand(select: str, handler: Any, *, letters_a_commit: int = 100) -> Contender:
    """SELECT, the handler, DELETE, COMMIT, until nothing is found."""

    def loop(path: Path) -> Taken:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = NORMAL")
            start = time.perf_counter()
            while rows := connection.execute(select).fetchall():
                for first in range(0, len(rows), letters_a_commit):
                    _replay(connection, rows[first : first + letters_a_commit], handler)
            return Taken(time.perf_counter() - start)

    return loop


def _replay(connection: sqlite3.Connection, rows: list[tuple[Any, ...]], handler: Any) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for _, event_id, event_bytes in rows:
        handler(connection, event_id, event_bytes[event_bytes.index(b":") + 1 :])
    connection.executemany(DELETE, [(row[0],) for row in rows])
    connection.execute("COMMIT")
