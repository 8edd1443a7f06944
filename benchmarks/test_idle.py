"""Polls of letters that are not due: what one costs, and what it costs the letters that are."""

from __future__ import annotations

import shutil
import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import (
    DeadLetterQueue,
    DlqReplayConfig,
    EventHandlerRegistry,
    clock,
)
from azoth_dlq.engine.drain import Drain
from azoth_dlq.engine.plan import Look
from azoth_dlq.engine.run import Run
from azoth_dlq.engine.stop import Stop
from azoth_dlq.engine.surroundings import Surroundings
from azoth_dlq.kernels.eligibility import select
from azoth_dlq.metrics import MetricsRecorder
from azoth_dlq.store.base import Store
from azoth_dlq.store.sqlite import statements as sql
from benchmarks import subjects
from benchmarks.conftest import Figure

LETTERS = 500_000
POLLS = 200
WARM = 5  # cycles that are not measured: the look at all letters, and what comes first
DELETED, BATCH = 50_000, 500
DUE = 100
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


def look_at_all(store: Store) -> None:
    """Letters that are not due are noted."""
    with store.candidates(with_error=False) as rows:
        assert len(select(rows, CONFIG.rules(clock.now()))) == 0
    while not store.catch_up():
        pass


@pytest.fixture(scope="module")
def noted_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Letters of which none is due, all noted."""
    path = tmp_path_factory.mktemp("idle") / "noted.db"
    make_file(path, LETTERS)
    with DeadLetterQueue.open(path) as queue:
        look_at_all(queue.store)
    return path


@pytest.fixture
def idle_file(noted_file: Path, tmp_path: Path) -> Path:
    path = tmp_path / "idle.db"
    shutil.copyfile(noted_file, path)
    return path


@pytest.fixture
def idle_queue(idle_file: Path) -> Iterator[DeadLetterQueue]:
    """It has looked at them once."""
    with DeadLetterQueue.open(idle_file) as queue:
        look_at_all(queue.store)
        yield queue


@pytest.mark.parametrize(
    ("inserted", "at_most", "floor"),
    [(0, 0.005, 0.05), (1, 0.01, 0.2)],
    ids=["nothing due", "another program inserted one"],
)
def test_idle(  # noqa: PLR0913, PLR0917 -- fixtures, and a row of a table
    benchmark: Any,
    figure: Figure,
    idle_file: Path,
    request: pytest.FixtureRequest,
    inserted: int,
    at_most: float,
    floor: float,
) -> None:
    """Whole cycles of a run, from the end of one rest to the beginning of the next."""
    cycles: list[float] = []
    stop, metrics = Stop(), MetricsRecorder()
    with (
        closing(sqlite3.connect(idle_file, isolation_level=None)) as other,
        DeadLetterQueue.open(idle_file) as queue,
    ):
        woken = 0.0

        def rest(_seconds: float) -> None:
            nonlocal woken
            cycles.append(time.perf_counter() - woken)
            for _ in range(inserted):
                other.execute(INSERT)
            if len(cycles) == POLLS + WARM:
                stop.request()
            woken = time.perf_counter()

        surroundings = Surroundings(clock.now, rest, stop, metrics)
        run = Run(queue.store, EventHandlerRegistry(), CONFIG, surroundings)
        benchmark.pedantic(run.run, rounds=1)
        scanned = scan(queue.connection)
    cycle = statistics.median(cycles[WARM:])
    figure(
        f"idle cycle / scan, {request.node.callspec.id}",
        cycle / scanned,
        at_most=at_most,
        floor=floor,
        cycle_us=cycle * 1e6,
        scan_ms=scanned * 1e3,
    )


def test_first_call(
    benchmark: Any, figure: Figure, idle_queue: DeadLetterQueue, idle_file: Path
) -> None:
    """A hundred due letters behind those that are not: the time to the first handler call."""
    called: list[float] = []
    waits: list[float] = []
    registry = EventHandlerRegistry()
    registry.register("deposit", lambda *_: called.append(time.perf_counter()))
    surroundings = Surroundings(clock.now, time.sleep, Stop(), MetricsRecorder())

    def before_each() -> None:
        called.clear()
        with closing(sqlite3.connect(idle_file)) as other, other:
            other.executemany(INSERT_DUE, ((n,) for n in range(DUE)))

    def drain() -> None:
        start = time.perf_counter()
        report = Drain(idle_queue.store, registry, CONFIG, surroundings).run(Look(suspects=True))
        waits.append(called[0] - start)
        assert report.succeeded == DUE

    benchmark.pedantic(drain, setup=before_each, rounds=50, warmup_rounds=1)
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


def seconds_to_delete(*paths: Path) -> list[float]:
    """Of each file, in turns: what slows the machine for a while slows all of them."""
    with ExitStack() as stack:
        connections = [
            stack.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
            for path in paths
        ]
        for connection in connections:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("BEGIN IMMEDIATE")
        seconds = [0.0] * len(paths)
        ids = range(1, DELETED + 1)
        statement = sql.delete(BATCH, parked=False)
        for first in range(0, DELETED, BATCH):
            for n, connection in enumerate(connections):
                start = time.process_time()
                connection.execute(statement, ids[first : first + BATCH])
                seconds[n] += time.process_time() - start
        for connection in connections:
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
    found: list[float] = []

    def once() -> None:
        indexed, plain = seconds_to_delete(with_indexes, without)
        found.append(indexed / plain)

    benchmark.pedantic(once, rounds=9)
    # Where its changes are journaled apart, as for a function in an index, it is 1.3.
    figure("deletes with the indexes of waiting letters / without", found, at_most=1.15, floor=1.15)
