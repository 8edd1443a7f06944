"""Letters of every outcome, and the handlers that they lead to."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from azoth_dlq import (
    BatchConfig,
    DlqReplayConfig,
    EventHandlerRegistry,
    NonRetryable,
    RetryAfter,
    Snooze,
)
from azoth_dlq._event import Event

CONFIG = DlqReplayConfig(
    stop_on_consecutive_failures=None, history_limit=3, yield_time=0, max_retries=2
)


class Batches:
    """Takes batches; one with an odd event fails, and that event again on its own."""

    def handle_batch(self, _conn: object, events: list[Event]) -> None:
        if any(event.payload == b"odd" for event in events):
            raise ValueError("a batch with an odd one")

    def handle(self, _conn: object, _event_id: int, payload: bytes) -> None:
        if payload == b"odd":
            raise ValueError("an odd one")


class Validates:
    def validate(self, payload: bytes) -> None:
        if payload == b"odd":
            raise ValueError("invalid")

    def handle(self, _conn: object, _event_id: int, _payload: bytes) -> None:
        pass


def writes(conn: Any, event_id: int, _payload: bytes) -> None:
    conn.execute("UPDATE effects SET event_id = ?", (event_id,))


def raising(make: Callable[[], Exception]) -> Callable[[Any, int, bytes], None]:
    def handle(conn: Any, event_id: int, payload: bytes) -> None:
        if conn is not None:
            writes(conn, event_id, payload)
        raise make()

    return handle


def raises_from_another(_conn: object, _event_id: int, _payload: bytes) -> None:
    try:
        {"": 0}["\ud800"]
    except KeyError as error:
        raise ValueError("é") from error


def commits(conn: Any, _event_id: int, _payload: bytes) -> None:
    conn.commit()


def a_registry() -> EventHandlerRegistry:
    registry = EventHandlerRegistry(batch=BatchConfig(max_batch_size=50))
    registry.register("writes", writes)
    registry.register("fails", raising(lambda: ValueError("boom")))
    registry.register("parks", raising(lambda: NonRetryable("never")))
    registry.register("later", raising(lambda: RetryAfter(60, "later")))
    registry.register("snoozes", raising(lambda: Snooze(60)))
    registry.register("chained", raises_from_another)
    registry.register("commits", commits)
    registry.register("validates", Validates())
    registry.register("batched", Batches())
    registry.register("outside", lambda _conn, _event_id, _payload: None, transactional=False)
    registry.register("outside fails", raising(lambda: OSError("no")), transactional=False)
    registry.register("outside batched", Batches(), transactional=False)
    return registry


# Event bytes in SQL, failed_at, and of a hundred letters how many.
LETTERS = [
    ("'writes:'", "2026-11-24 10:00:00", 20),
    ("'writes:' || hex(zeroblob(10000))", "2026-11-24 10:00:00", 5),
    ("'fails:'", "2026-11-24 10:00:00", 10),
    ("'parks:'", "2026-11-24 10:00:00", 5),
    ("'later:'", "2026-11-24 10:00:00", 5),
    ("'snoozes:'", "2026-11-24 10:00:00", 5),
    ("'chained:'", "2026-11-24 10:00:00", 5),
    ("'commits:'", "2026-11-24 10:00:00", 2),
    ("'validates:odd'", "2026-11-24 10:00:00", 3),
    ("'batched:'", "2026-11-24 10:00:00", 15),
    ("'batched:odd'", "2026-11-24 10:00:00", 1),
    ("'outside:'", "2026-11-24 10:00:00", 5),
    ("'outside fails:'", "2026-11-24 10:00:00", 4),
    ("'outside batched:'", "2026-11-24 10:00:00", 4),
    ("'outside batched:odd'", "2026-11-24 10:00:00", 1),
    ("'unknown:'", "2026-11-24 10:00:00", 3),
    ("x'ff'", "2026-11-24 10:00:00", 2),
    ("'writes:'", "not an instant", 5),
]


INSERT = """
    WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?)
    INSERT INTO dead_letter_queue (event_id, event_bytes, error_message, failed_at)
    SELECT i, CAST({event_bytes} AS BLOB), 'boom', ? FROM n
"""


def make_effects(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("CREATE TABLE IF NOT EXISTS effects (event_id INTEGER NOT NULL)")
    if connection.execute("SELECT * FROM effects").fetchone() is None:
        connection.execute("INSERT INTO effects VALUES (0)")
        connection.commit()


def fill(connection: sqlite3.Connection, letters: int) -> None:
    """Nothing of the portion before is left."""
    for table in ("dead_letter_queue", "permanent_failures", "azoth_dlq_history"):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 -- of ours
    for event_bytes, failed_at, of_a_hundred in LETTERS:
        statement = INSERT.format(event_bytes=event_bytes)
        connection.execute(statement, (letters * of_a_hundred // 100, failed_at))
    connection.commit()
