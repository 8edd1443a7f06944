"""Queues in SQLite that a Python user would pick instead: items of 128 bytes in a file, handled
once each by a no-op, until none is left. Each as its documentation shows, in WAL mode; pip install
'azoth-dlq[bench]' installs them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import BackoffStrategy, DeadLetterQueue
from benchmarks import drains, subjects
from benchmarks.conftest import Figure, ratios, us_a_letter

ITEMS = 5000
ROUNDS = 3
ITEM = b"deposit:" + b"x" * 120
pytestmark = pytest.mark.benchmark(group=subjects.PEERS)


def _handle(item: object) -> None:
    """What is left is the cost of the queue."""


def azoth(folder: Path) -> Callable[[], int]:
    path = folder / "azoth.db"
    with DeadLetterQueue.open(path) as dlq:
        dlq.add_many((n, ITEM, "timeout") for n in range(ITEMS))

    def drain() -> int:
        drains.ours(drains.do_nothing, min_age=0, backoff=BackoffStrategy.fixed(0))(path)
        return ITEMS

    return drain


def simplebroker(folder: Path) -> Callable[[], int]:
    module = pytest.importorskip("simplebroker")
    queue = module.Queue("dead", db_path=str(folder / "simplebroker.db"), persistent=True)
    for _ in range(ITEMS):
        queue.write(ITEM.decode())

    def drain() -> int:
        count = 0
        for message in queue.read_generator(delivery_guarantee="at_least_once"):
            _handle(message)
            count += 1
        return count

    return drain


def huey(folder: Path) -> Callable[[], int]:
    module = pytest.importorskip("huey.storage")
    storage = module.SqliteStorage("dead", filename=str(folder / "huey.db"))
    for _ in range(ITEMS):
        storage.enqueue(ITEM)

    def drain() -> int:
        count = 0
        while (item := storage.dequeue()) is not None:
            _handle(item)
            count += 1
        return count

    return drain


def persist_queue(folder: Path) -> Callable[[], int]:
    module = pytest.importorskip("persistqueue")
    queue = module.SQLiteAckQueue(str(folder / "persist-queue"), auto_commit=True)
    for _ in range(ITEMS):
        queue.put(ITEM)

    def drain() -> int:
        count = 0
        while queue.size:
            item = queue.get(block=False)
            _handle(item)
            queue.ack(item)
            count += 1
        return count

    return drain


def litequeue(folder: Path) -> Callable[[], int]:
    module = pytest.importorskip("litequeue")
    queue = module.LiteQueue(str(folder / "litequeue.db"))
    for _ in range(ITEMS):
        queue.put(ITEM.decode())

    def drain() -> int:
        count = 0
        while (message := queue.pop()) is not None:
            _handle(message.data)
            queue.done(message.message_id)
            count += 1
        return count

    return drain


def pulse_queue(folder: Path) -> Callable[[], int]:
    """Without its worker, which is asyncio's and takes longer."""
    module = pytest.importorskip("pulse_queue", reason="pulse-queue needs Python 3.12")
    store = module.Store(folder / "pulse-queue.db")
    for _ in range(ITEMS):
        store.enqueue(ITEM.decode())

    def drain() -> int:
        count = 0
        while (task := store.lease_next_task("benchmark")) is not None:
            _handle(task.payload)
            assert store.complete_task(task.id, "benchmark", task.lease_epoch)
            count += 1
        store.close()
        return count

    return drain


@pytest.mark.parametrize("peer", [simplebroker, huey, persist_queue, litequeue, pulse_queue])
def test_peers(
    benchmark: Any, figure: Figure, tmp_path: Path, peer: Callable[[Path], Callable[[], int]]
) -> None:
    seconds: dict[str, list[float]] = {"azoth-dlq": [], "peer": []}

    def once() -> None:
        for name, make in (("peer", peer), ("azoth-dlq", azoth)):
            folder = tmp_path / f"{name} {len(seconds[name])}"
            folder.mkdir()
            drain = make(folder)
            start = time.perf_counter()
            assert drain() == ITEMS
            seconds[name].append(time.perf_counter() - start)

    benchmark.pedantic(once, rounds=ROUNDS)
    figure(
        f"{peer.__name__.replace('_', '-')} / drain",
        ratios(seconds["peer"], seconds["azoth-dlq"]),
        at_least=1,
        floor=1,
        drain_us=us_a_letter(seconds["azoth-dlq"], ITEMS),
        peer_us=us_a_letter(seconds["peer"], ITEMS),
    )
