"""What a drain holds in memory does not grow with the size of payloads or of the queue."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

from azoth_dlq import DlqReplayConfig, ReplayPriority
from azoth_dlq.engine.plan import make_plan
from tests.conftest import Scene

MEBIBYTE = 2**20


class Peak:
    """Bytes at the peak, above what was there before."""

    bytes = 0


@contextmanager
def _measured() -> Iterator[Peak]:
    peak = Peak()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield peak
        peak.bytes = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def _register_nothing(scene: Scene) -> None:
    def nothing(_conn: object, _event_id: int, _payload: bytes) -> None:
        pass

    scene.registry.register("nothing", nothing)


def _letters(scene: Scene, count: int, payload: int = 0) -> None:
    scene.conn.execute(
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message, failed_at) "
        "SELECT i, CAST('nothing:' || replace(hex(zeroblob(?)), '0', 'x') AS BLOB), 'boom', "
        "'2026-11-24 10:00:00' FROM n",
        (count, payload // 2),
    )


def test_letters_of_ten_megabytes_are_held_one_at_a_time(scene: Scene) -> None:
    _register_nothing(scene)
    _letters(scene, 12, 10 * MEBIBYTE)
    with _measured() as peak:
        assert scene.drain().succeeded == 12
    # The event, its payload, and the one before.
    assert 10 * MEBIBYTE < peak.bytes < 42 * MEBIBYTE


def test_text_of_ten_megabytes_that_begins_with_nul_is_held_one_at_a_time(scene: Scene) -> None:
    scene.registry.register("\0nothing", lambda _conn, _event_id, _payload: None)
    for _ in range(12):
        scene.letter(event_bytes="\0nothing:" + "x" * (10 * MEBIBYTE))
    with _measured() as peak:
        assert scene.drain().succeeded == 12
    # As bytes, as the bytearray that they were, and the payload.
    assert 10 * MEBIBYTE < peak.bytes < 62 * MEBIBYTE


def test_payloads_held_at_once_keep_within_the_memory_limit(scene: Scene) -> None:
    _register_nothing(scene)
    _letters(scene, 500, 15_000)
    with _measured() as peak:
        assert scene.drain(memory_limit=MEBIBYTE).succeeded == 500
    assert peak.bytes < 1.5 * MEBIBYTE


def test_a_plan_takes_at_most_32_bytes_a_due_letter(scene: Scene) -> None:
    _letters(scene, 20_000)
    config = DlqReplayConfig()
    with _measured() as peak:
        plan = make_plan(scene.queue.store, config, config.rules(scene.clock())).letters
    assert len(plan) == 20_000
    assert plan.nbytes <= 32 * 20_000
    # Also while it grew.
    assert peak.bytes < 32 * 20_000 + 100_000


def test_a_plan_by_error_text_holds_no_text(scene: Scene) -> None:
    _letters(scene, 2000)
    scene.conn.execute("UPDATE dead_letter_queue SET error_message = hex(zeroblob(5000))")
    config = DlqReplayConfig(priority=ReplayPriority.by_error_type(["timeout"]))
    with _measured() as peak:
        plan = make_plan(scene.queue.store, config, config.rules(scene.clock())).letters
    assert len(plan) == 2000
    assert peak.bytes < 32 * 2000 + 100_000


def test_a_drain_of_a_hundred_thousand_letters_takes_a_few_megabytes(scene: Scene) -> None:
    _register_nothing(scene)
    _letters(scene, 100_000)
    with _measured() as peak:
        assert scene.drain(max_transaction_time=0.1).succeeded == 100_000
    assert peak.bytes < 8 * MEBIBYTE
