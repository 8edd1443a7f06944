"""Files of dead letters as after a day of trouble."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from azoth_dlq import DeadLetterQueue

KINDS = [
    f"Projection error: {what} talking to service-{n} of the ledger cluster"
    for n, what in enumerate(["timeout", "connection_error", "HTTP 503", "deadlock"] * 5)
]
ACCOUNTS = 1000


def text_of(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%d %H:%M:%S")


def make_outage(path: Path, *, in_order: bool, letters: int) -> None:
    """A WAL file of letters of 128 bytes, 20 kinds of error, retry counts 0 to 4, all due; and a
    table of accounts for handlers to write to."""
    chance = random.Random(7)
    start = datetime.now(UTC) - timedelta(days=3)
    DeadLetterQueue.open(path).close()

    def rows() -> Iterator[tuple[object, ...]]:
        for n in range(letters):
            seconds = n * 86400 // letters if in_order else chance.randrange(86400)
            failed_at = start + timedelta(seconds=seconds)
            retries = chance.randrange(5)
            event = b"deposit:%d:" % (n % ACCOUNTS)
            yield (
                n,
                event + b"x" * (128 - len(event)),
                chance.choice(KINDS),
                text_of(failed_at),
                retries,
                text_of(failed_at + timedelta(days=1)) if retries else None,
            )

    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(
            "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)"
        )
        connection.executemany(
            "INSERT INTO accounts VALUES (?, 0)", ((n,) for n in range(ACCOUNTS))
        )
        connection.executemany(
            "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message, failed_at, "
            "retry_count, last_retry_at) VALUES (?, ?, ?, ?, ?, ?)",
            rows(),
        )
