"""Polls of letters that are not due: what one costs, and what it costs the letters that are."""

from __future__ import annotations

import shutil
import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import (
    DeadLetterQueue,
    DlqReplayConfig,
    DlqReplayer,
    EventHandlerRegistry,
    clock,
)
from azoth_dlq.engine.drain import Drain
from azoth_dlq.engine.plan import Look
from azoth_dlq.engine.stop import Stop
from azoth_dlq.engine.surroundings import Surroundings
from azoth_dlq.kernels.eligibility import Selection, select
from azoth_dlq.store.base import Suspects
from azoth_dlq.store.sqlite import statements as sql
from benchmarks import subjects
from benchmarks.conftest import Figure

LETTERS = 500_000
POLLS = 50
DELETED = 50_000
DUE = 100
MOST_OF_A_SCAN = 0.01
MOST_OF_A_DELETE = 1.15  # journaled apart for a function in an index: 1.3
INSERT = (
    "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message) "
    "VALUES (0, CAST('deposit:' AS BLOB), 'timeout')"
)
INSERT_DUE = (
    "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message, failed_at) "
    "VALUES (?, CAST('deposit:' AS BLOB), 'timeout', '2026-01-01 00:00:00')"
)
CONFIG = DlqReplayConfig(min_age=3600)
pytestmark = pytest.mark.benchmark(group=subjects.IDLE)


def make_file(path: Path, letters: int) -> None:
    """Letters that failed just now, retry counts 0 to 4."""
    DeadLetterQueue.open(path).close()
    text = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.executemany(
            "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message, failed_at, "
            "retry_count, last_retry_at) VALUES (?, ?, 'timeout', ?, ?, ?)",
            (
                (n, b"deposit:" + b"x" * 110, text, n % 5, text if n % 5 else None)
                for n in range(letters)
            ),
        )
        connection.commit()


def scan(connection: sqlite3.Connection) -> float:
    """Seconds that SQLite needs to read one column of every row, the best of five."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        connection.execute("SELECT sum(retry_count) FROM dead_letter_queue").fetchall()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def poll(queue: DeadLetterQueue, now: int) -> tuple[Selection, int | None]:
    suspects = Suspects(now, CONFIG.least_wait)
    with queue.store.candidates(with_error=False, suspects=suspects) as rows:
        selection = select(rows, CONFIG.rules(now))
    while not queue.store.catch_up():
        pass
    return selection, suspects.next_due


@pytest.fixture
def idle_queue(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[DeadLetterQueue]:
    """Letters of which none is due, looked at once and noted."""
    is_quick = request.config.getoption("--quick")
    make_file(tmp_path / "idle.db", 100_000 if is_quick else LETTERS)
    with DeadLetterQueue.open(tmp_path / "idle.db") as queue:
        with queue.store.candidates(with_error=False) as rows:
            assert len(select(rows, CONFIG.rules(clock.now()))) == 0
        while not queue.store.catch_up():
            pass
        yield queue


@pytest.mark.parametrize(
    ("inserted", "at_most", "floor"),
    [(0, 0.005, 0.05), (1, 0.01, 0.1)],
    ids=["nothing due", "another program inserted one"],
)
def test_idle(  # noqa: PLR0913, PLR0917 -- fixtures, and a row of a table
    benchmark: Any,
    figure: Figure,
    idle_queue: DeadLetterQueue,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    inserted: int,
    at_most: float,
    floor: float,
) -> None:
    now = clock.now()
    with closing(sqlite3.connect(tmp_path / "idle.db", isolation_level=None)) as other:

        def before_each() -> tuple[tuple[DeadLetterQueue, int], dict[str, Any]]:
            for _ in range(inserted):
                other.execute(INSERT)
            return (idle_queue, now), {}

        selection, next_due = benchmark.pedantic(
            poll, setup=before_each, rounds=POLLS, warmup_rounds=1
        )
    assert selection.examined == inserted
    assert next_due > now
    scanned = scan(idle_queue.connection)
    ratio = benchmark.stats["median"] / scanned
    figure(
        f"idle poll / scan, {request.node.callspec.id}",
        ratio,
        at_most=at_most,
        floor=floor,
        poll_us=benchmark.stats["median"] * 1e6,
        scan_ms=scanned * 1e3,
    )
    if not inserted and idle_queue.count() == LETTERS:
        assert ratio <= MOST_OF_A_SCAN


def test_first_call(
    benchmark: Any, figure: Figure, idle_queue: DeadLetterQueue, tmp_path: Path
) -> None:
    """A hundred due letters behind those that are not: the time to the first handler call."""
    called: list[float] = []
    waits: list[float] = []
    registry = EventHandlerRegistry()
    registry.register("deposit", lambda *_: called.append(time.perf_counter()))
    replayer = DlqReplayer(idle_queue, registry, CONFIG)
    surroundings = Surroundings(clock.now, time.sleep, Stop(), replayer.metrics)

    def before_each() -> None:
        called.clear()
        with closing(sqlite3.connect(tmp_path / "idle.db")) as other, other:
            other.executemany(INSERT_DUE, ((n,) for n in range(DUE)))

    def drain() -> None:
        start = time.perf_counter()
        report = Drain(idle_queue.store, registry, CONFIG, surroundings).run(Look(suspects=True))
        waits.append(called[0] - start)
        assert report.succeeded == DUE

    benchmark.pedantic(drain, setup=before_each, rounds=POLLS, warmup_rounds=1)
    scanned = scan(idle_queue.connection)
    wait = statistics.median(waits[1:])
    figure(
        "first call / scan, 100 due letters behind those that are not",
        wait / scanned,
        at_most=0.02,
        floor=1.5,
        first_call_us=wait * 1e6,
        scan_ms=scanned * 1e3,
    )


def seconds_to_delete(path: Path) -> float:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN IMMEDIATE")
        ids = range(1, DELETED + 1)
        start = time.process_time()
        for first in range(0, DELETED, 500):
            statement = sql.delete(500, parked=False)
            connection.execute(statement, ids[first : first + 500])
        seconds = time.process_time() - start
        connection.execute("ROLLBACK")
    return seconds


def test_letters_never_seen_waiting_pay_nothing(
    benchmark: Any, figure: Figure, tmp_path: Path
) -> None:
    with_indexes, without = tmp_path / "with.db", tmp_path / "without.db"
    make_file(with_indexes, DELETED)
    shutil.copyfile(with_indexes, without)
    with closing(sqlite3.connect(without)) as connection:
        connection.execute("DROP INDEX azoth_dlq_waiting")
        connection.execute("DROP INDEX azoth_dlq_not_before")
    rounds: list[tuple[float, float]] = []

    def once() -> None:
        rounds.append((seconds_to_delete(with_indexes), seconds_to_delete(without)))

    benchmark.pedantic(once, rounds=9)
    ratio = min(seconds for seconds, _ in rounds) / min(seconds for _, seconds in rounds)
    figure("deletes with the indexes of waiting letters / without", ratio, at_most=MOST_OF_A_DELETE)
    assert ratio <= MOST_OF_A_DELETE
