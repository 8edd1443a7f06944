"""Whole drains, planning included, beside the loop that most people write and the C limit.

All in one run, in turn, on fresh copies of one file: WAL, synchronous=NORMAL, 100,000 letters of
128 bytes, the default settings. The ratios are what counts: machines are shared and noisy.
"""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue, DlqReplayer, EventHandlerRegistry
from benchmarks.conftest import LETTERS

ROUNDS = 3
Handler = Callable[[sqlite3.Connection, int, bytes], object]


def do_nothing(conn: sqlite3.Connection, event_id: int, payload: bytes) -> None:
    """What is left is the cost of draining."""


def update(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
    conn.execute("UPDATE accounts SET balance = balance + 1 WHERE id = ?", (event_id % 1000,))


def drain(path: Path, handler: Handler) -> float:
    registry = EventHandlerRegistry()
    registry.register("deposit", handler)
    with DeadLetterQueue.open(path) as dlq:
        dlq.connection.execute("PRAGMA synchronous = NORMAL")
        replayer = DlqReplayer(dlq, registry)
        start = time.perf_counter()
        report = replayer.drain()
        seconds = time.perf_counter() - start
        assert (report.succeeded, dlq.count()) == (LETTERS, 0)
    return seconds


def drain_by_hand(path: Path, handler: Handler) -> float:
    """No due test, no order but that of ids, one commit a hundred letters."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = NORMAL")
    start = time.perf_counter()
    while True:
        connection.execute("BEGIN IMMEDIATE")
        rows = connection.execute(
            "SELECT id, event_id, event_bytes FROM dead_letter_queue ORDER BY id LIMIT 100"
        ).fetchall()
        for _, event_id, event_bytes in rows:
            handler(connection, event_id, event_bytes[event_bytes.index(b":") + 1 :])
        ids = [(row[0],) for row in rows]
        connection.executemany("DELETE FROM dead_letter_queue WHERE id = ?", ids)
        connection.execute("COMMIT")
        if not rows:
            break
    seconds = time.perf_counter() - start
    connection.close()
    return seconds


@pytest.mark.parametrize(
    ("handler", "mode"), [(do_nothing, ()), (update, ("write",))], ids=["no-op", "update"]
)
def test_drain(  # noqa: PLR0913, PLR0917 -- fixtures
    benchmark: Any,
    capsys: pytest.CaptureFixture[str],
    fresh: Callable[[], Path],
    limit: Callable[..., float],
    handler: Handler,
    mode: tuple[str, ...],
) -> None:
    ours, by_hand, c_loop = [], [], []

    def once() -> None:
        c_loop.append(limit(fresh(), *mode))
        by_hand.append(drain_by_hand(fresh(), handler))
        ours.append(drain(fresh(), handler))

    benchmark.pedantic(once, rounds=ROUNDS)
    of_limit = statistics.median(c / o for c, o in zip(c_loop, ours, strict=True))
    of_hand = statistics.median(h / o for h, o in zip(by_hand, ours, strict=True))
    benchmark.extra_info |= {
        "drain_us": statistics.median(ours) / LETTERS * 1e6,
        "limit_us": statistics.median(c_loop) / LETTERS * 1e6,
        "by_hand_us": statistics.median(by_hand) / LETTERS * 1e6,
        "limit/drain": of_limit,
        "by hand/drain": of_hand,
    }
    with capsys.disabled():
        figures = ", ".join(f"{name} {value:.2f}" for name, value in benchmark.extra_info.items())
        print(f"\n{benchmark.name}: {figures}")  # noqa: T201 -- the result
