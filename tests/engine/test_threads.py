"""Threads that drain at once, each a file of its own."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue, DlqReplayer, EventHandlerRegistry
from tests.attacks import Attack
from tests.engine import every_outcome

THREADS = 8
# Of what is left, all that does not tell of the hour.
LEFT = """
    SELECT id, event_id, event_bytes, error_message, retry_count FROM dead_letter_queue
    UNION ALL
    SELECT azoth_dead_letter_id, event_id, event_bytes, azoth_reason, retry_count
    FROM permanent_failures
    ORDER BY 1
"""
COUNTS = ("attempted", "succeeded", "failed", "snoozed", "parked", "skipped", "remaining")


def drained(path: Path, registry: EventHandlerRegistry, letters: int) -> tuple[Any, ...]:
    """What two drains of a new file come to."""
    with DeadLetterQueue.open(path) as queue:
        every_outcome.make_effects(queue.connection)
        every_outcome.fill(queue.connection, letters)
        replayer = DlqReplayer(queue, registry, every_outcome.CONFIG)
        reports = [replayer.drain(now=True) for _ in range(2)]
        left = queue.connection.execute(LEFT).fetchall()
    return [[getattr(report, name) for name in COUNTS] for report in reports], left


@pytest.fixture
def eager_switches() -> Iterator[None]:
    """Between threads, wherever they may come."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager_switches")
def test_threads_that_open_and_close_queues_do_not_disturb_each_other(
    tmp_path: Path, attack: Attack
) -> None:
    opened = attack.size(200, long=20_000)
    start = threading.Barrier(THREADS)

    def work(place: int) -> None:
        path = tmp_path / f"{place}.db"
        start.wait(60)
        for _ in range(opened):
            with DeadLetterQueue.open(path) as queue:
                assert queue.count() == 0

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    attack.struck("queue opened beside seven other threads", THREADS * opened)


def test_eight_drains_at_once_come_to_what_one_comes_to(tmp_path: Path, attack: Attack) -> None:
    registry = every_outcome.a_registry()  # one for all
    letters = attack.size(500, long=20_000)
    expected = drained(tmp_path / "alone.db", registry, letters)
    start = threading.Barrier(THREADS)

    def work(place: int) -> tuple[Any, ...]:
        start.wait(60)
        return drained(tmp_path / f"{place}.db", registry, letters)

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(work, range(THREADS)))
    assert found.count(expected) == THREADS
    attack.struck("letter drained beside seven other threads", THREADS * letters)
