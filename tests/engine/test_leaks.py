"""What drains hold does not grow from one to the next, whatever becomes of the letters."""

from __future__ import annotations

import gc
import logging
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from azoth_dlq import (
    BatchConfig,
    DeadLetterQueue,
    DlqReplayConfig,
    DlqReplayer,
    EventHandlerRegistry,
    NonRetryable,
    RetryAfter,
    Snooze,
)
from azoth_dlq._event import Event
from tests.attacks import Attack

PORTIONS = 10
FIRST_ALIKE = 4  # of the portions: by then all that is kept once is there
BLOCKS, REFERENCES, BYTES = 60, 60, 8 * 2**20  # that may come and go
STATM = Path("/proc/self/statm")


class Held(NamedTuple):
    """Blocks of Python's allocator, references to objects that letters share, and resident bytes
    (0 where the system does not say)."""

    blocks: int
    references: int
    resident: int


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


def fill(connection: sqlite3.Connection, letters: int) -> None:
    """Nothing of the portion before is left."""
    for table in ("dead_letter_queue", "permanent_failures", "azoth_dlq_history"):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 -- of ours
    for event_bytes, failed_at, of_a_hundred in LETTERS:
        statement = INSERT.format(event_bytes=event_bytes)
        connection.execute(statement, (letters * of_a_hundred // 100, failed_at))
    connection.commit()


def held(shared: Sequence[object]) -> Held:
    for _ in range(3):
        gc.collect()
    pages = int(STATM.read_text().split()[1]) if STATM.exists() else 0
    references = sum(sys.getrefcount(one) for one in shared)
    return Held(sys.getallocatedblocks(), references, pages * 4096)


@pytest.fixture
def unheard() -> Iterator[None]:
    """Every line of the log is made, and kept by nobody; pytest would keep it."""

    def refuse(_: logging.LogRecord) -> bool:
        return False

    loggers = [logging.getLogger(name) for name in ("azoth_dlq", "azoth_dlq.letters")]
    for logger in loggers:
        logger.addFilter(refuse)
        logger.setLevel(logging.DEBUG)
    yield
    for logger in loggers:
        logger.removeFilter(refuse)
        logger.setLevel(logging.NOTSET)


@pytest.mark.skipif(
    sys.getallocatedblocks() == 0, reason="malloc, which is used here, does not count blocks"
)
@pytest.mark.usefixtures("unheard")
def test_drains_keep_nothing_of_their_letters(path: Path, attack: Attack) -> None:
    registry = a_registry()
    letters = attack.size(20_000, long=1_000_000) // PORTIONS
    config = DlqReplayConfig(
        stop_on_consecutive_failures=None, history_limit=3, yield_time=0, max_retries=2
    )
    with DeadLetterQueue.open(path) as queue:
        queue.connection.execute("CREATE TABLE effects (event_id INTEGER NOT NULL)")
        queue.connection.execute("INSERT INTO effects VALUES (0)")
    shared: list[object] = [None, True, registry, config, *(registry.by_key or {}).values()]
    shared += [Event, ValueError, writes, commits, raises_from_another]
    seen = []
    for _ in range(PORTIONS):
        # sqlite3 keeps up to 200 cursors in mind that are gone, until their connection is, too.
        with DeadLetterQueue.open(path) as queue:
            queue.connection.execute("PRAGMA synchronous = OFF")
            fill(queue.connection, letters)
            replayer = DlqReplayer(queue, registry, config)
            attempted = [replayer.drain(now=True).attempted for _ in range(2)]
        assert attempted[0] > letters * 0.9
        assert attempted[1] > letters * 0.2
        attack.struck("letter drained under a leak check", sum(attempted))
        del replayer, queue
        seen.append(held(shared))
    alike = seen[FIRST_ALIKE:]
    grown = [max(column) - alike[0][place] for place, column in enumerate(zip(*alike, strict=True))]
    attack.measured("growth of resident memory under a leak check, MB", grown[2] / 1e6)
    assert grown[0] < BLOCKS, seen
    assert grown[1] < REFERENCES, seen
    assert grown[2] < BYTES, seen
