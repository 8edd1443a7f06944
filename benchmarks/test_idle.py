"""Polls of letters that are not due: what one costs, and what it costs the letters that are."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue, DlqReplayConfig, clock
from azoth_dlq.kernels.eligibility import Selection, select
from azoth_dlq.store.base import Suspects
from azoth_dlq.store.sqlite import statements as sql

LETTERS = 500_000
POLLS = 50
DELETED = 50_000
MOST_OF_A_SCAN = 0.01
MOST_OF_A_DELETE = 1.15  # journaled apart for a function in an index: 1.3
CONFIG = DlqReplayConfig(min_age=3600)


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
    assert queue.store.catch_up()
    return selection, suspects.next_due


def test_idle(benchmark: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    make_file(tmp_path / "idle.db", LETTERS)
    with DeadLetterQueue.open(tmp_path / "idle.db") as queue:
        with queue.store.candidates(with_error=False) as rows:
            assert len(select(rows, CONFIG.rules(clock.now()))) == 0
        start, longest, done = time.perf_counter(), 0.0, False
        while not done:
            before = time.perf_counter()
            done = queue.store.catch_up()
            longest = max(longest, time.perf_counter() - before)
        noted = (time.perf_counter() - start) / LETTERS * 1e6

        now = clock.now()
        selection, next_due = benchmark.pedantic(
            poll, args=(queue, now), rounds=POLLS, warmup_rounds=1
        )
        assert selection.examined == 0
        assert next_due is not None
        assert next_due > now
        scanned = scan(queue.connection)
    ratio = benchmark.stats["median"] / scanned
    benchmark.extra_info |= {"poll/scan": ratio, "us to note a letter": noted, "longest": longest}
    with capsys.disabled():
        print(  # noqa: T201 -- the result
            f"\npoll {benchmark.stats['median'] * 1e6:.0f} us, {ratio:.5f} of a scan of "
            f"{scanned * 1e3:.0f} ms; noting {noted:.1f} us a letter, once, "
            f"{longest * 1e3:.0f} ms the longest call"
        )
    assert ratio <= MOST_OF_A_SCAN


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
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with_indexes, without = tmp_path / "with.db", tmp_path / "without.db"
    make_file(with_indexes, DELETED)
    shutil.copyfile(with_indexes, without)
    with closing(sqlite3.connect(without)) as connection:
        connection.execute("DROP INDEX azoth_dlq_waiting")
        connection.execute("DROP INDEX azoth_dlq_not_before")
    rounds = [(seconds_to_delete(with_indexes), seconds_to_delete(without)) for _ in range(9)]
    ratio = min(seconds for seconds, _ in rounds) / min(seconds for _, seconds in rounds)
    with capsys.disabled():
        print(f"\ndeletes with the indexes of waiting letters: {ratio:.3f} of those without")  # noqa: T201 -- the result
    assert ratio <= MOST_OF_A_DELETE
