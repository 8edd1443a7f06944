"""Handlers that are called outside any transaction, between two groups."""

from __future__ import annotations

import sqlite3
import threading
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from azoth_dlq import DeadLetterQueue, InvalidStateError
from tests.conftest import Scene
from tests.engine.batching import Batching, takes_batches
from tests.engine.outside import (
    OutsideBatches,
    claims,
    elsewhere,
    outside,
    retry_counts,
)


def test_a_handler_outside_gets_no_connection(any_scene: Scene) -> None:
    handler = outside(any_scene)
    letter = any_scene.letter(event_bytes=b"outside:a:b", event_id=-7)
    report = any_scene.drain()
    assert handler.calls == [(None, -7, b"a:b")]
    assert (report.succeeded, any_scene.left(), letter) == (1, [], 1)


def test_a_handler_that_needs_a_connection_gets_one_that_reads_what_is_committed(
    any_scene: Scene,
) -> None:
    seen: list[Any] = []

    def look(conn: sqlite3.Connection, _event_id: int) -> None:
        seen.append(conn.execute("SELECT event_id FROM effects ORDER BY 1").fetchall())

    handler = outside(any_scene, look, needs_connection=True)
    for kind in ("ok", "outside", "ok", "outside"):
        any_scene.letter(kind)
    assert any_scene.drain().succeeded == 4
    assert seen == [[(1,)], [(1,), (3,)]]
    connections = {id(conn) for conn, *_ in handler.calls}
    assert len(connections) == 1
    assert connections != {id(any_scene.conn)}


@pytest.mark.parametrize("swallows", [False, True])
def test_a_write_through_the_connection_that_only_reads_fails_its_letter(
    any_scene: Scene, swallows: bool
) -> None:
    def write(conn: sqlite3.Connection, _event_id: int) -> None:
        try:
            conn.execute("INSERT INTO effects VALUES (-1)")
        except sqlite3.Error:
            if not swallows:
                raise

    outside(any_scene, write, needs_connection=True)
    letters = [any_scene.letter(kind) for kind in ("ok", "outside", "ok")]
    report = any_scene.drain()
    assert any_scene.effects() == [letters[0], letters[2]]
    if swallows:
        assert report.succeeded == 3
        return
    assert (report.succeeded, report.failed) == (2, 1)
    assert retry_counts(any_scene) == {letters[1]: 1}
    assert "readonly" in report.errors[0][0]


def test_a_reader_left_half_read_shows_the_next_call_the_newest_state(any_scene: Scene) -> None:
    seen: list[int] = []
    kept: list[Any] = []

    def look(conn: sqlite3.Connection, _event_id: int) -> None:
        seen.append(conn.execute("SELECT count(*) FROM dead_letter_queue").fetchone()[0])
        cursor = conn.execute("SELECT id FROM dead_letter_queue")
        cursor.fetchone()
        kept.append(cursor)

    outside(any_scene, look, needs_connection=True)
    for _ in range(3):
        any_scene.letter("outside")
    assert any_scene.drain().succeeded == 3
    assert seen == [3, 2, 1]


def test_a_queue_without_a_file_cannot_give_a_connection() -> None:
    with DeadLetterQueue.open(":memory:") as queue:
        queue.add(1, b"ok:", "boom")
        queue.clear()
        scene = Scene(queue, None)
        outside(scene, needs_connection=True)
        letters = [scene.letter(), scene.letter("outside")]
        with pytest.raises(InvalidStateError, match="needs_connection"):
            scene.drain()
        assert (scene.calls, scene.left()) == ([], letters)


def test_a_queue_without_a_file_calls_handlers_outside_transactions() -> None:
    with DeadLetterQueue.open(":memory:") as queue:
        queue.add(1, b"ok:", "boom")
        queue.clear()
        scene = Scene(queue, None)
        handler = outside(scene, lambda *_: open_.append(scene.conn.in_transaction))
        open_: list[bool] = []
        letters = [scene.letter(kind) for kind in ("ok", "outside", "ok", "outside")]
        assert scene.drain().succeeded == 4
        assert (handler.called, open_) == (letters[1::2], [False, False])


@pytest.mark.parametrize("journal_mode", ["wal", "delete"])
@pytest.mark.parametrize("needs_connection", [False, True])
def test_no_lock_is_held_during_the_call(
    any_scene: Scene, journal_mode: str, needs_connection: bool
) -> None:
    any_scene.conn.execute(f"PRAGMA journal_mode = {journal_mode}")

    def write_elsewhere(conn: sqlite3.Connection | None, event_id: int) -> None:
        assert not any_scene.conn.in_transaction
        if conn is not None:
            conn.execute("SELECT count(*) FROM dead_letter_queue").fetchall()
        elsewhere(any_scene, "INSERT INTO effects VALUES (?)", event_id)

    outside(any_scene, write_elsewhere, needs_connection=needs_connection)
    letters = [any_scene.letter(kind) for kind in ("ok", "outside", "outside", "ok")]
    assert any_scene.drain().succeeded == 4
    assert any_scene.effects() == letters


def test_a_letter_is_claimed_before_its_call_and_freed_with_its_outcome(any_scene: Scene) -> None:
    seen: list[Any] = []

    def look(_conn: object, event_id: int) -> None:
        seen.append((claims(any_scene), sorted(retry_counts(any_scene))))
        if event_id == 4:
            raise ValueError("it failed")

    outside(any_scene, look)
    for kind in ("ok", "outside", "ok", "outside", "outside"):
        any_scene.letter(kind)
    any_scene.drain()
    # The letters before it are committed with its claim; its outcome with what follows.
    assert seen == [([2], [2, 3, 4, 5]), ([4], [4, 5]), ([5], [4, 5])]
    assert claims(any_scene) == []
    assert retry_counts(any_scene) == {4: 1}


def test_a_call_outside_may_take_long(any_scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """A writer with no patience at all is never refused, and nothing is said of a held lock."""
    wrote: list[float] = []
    done = threading.Event()

    def write() -> None:
        while not done.wait(0.01):
            elsewhere(any_scene, "INSERT INTO effects VALUES (-1)")
            wrote.append(time.monotonic())

    writer = threading.Thread(target=write)

    def act(*_: object) -> None:
        writer.start()
        time.sleep(1.1)
        done.set()
        writer.join()

    outside(any_scene, act)
    any_scene.letter("outside")
    assert any_scene.drain().succeeded == 1
    assert len(wrote) > 10
    assert "kept the file locked" not in caplog.text


def test_a_shutdown_during_the_call_finishes_it(any_scene: Scene) -> None:
    handler = outside(any_scene, lambda *_: replayer.shutdown())
    letters = [any_scene.letter(kind) for kind in ("ok", "outside", "ok", "outside")]
    replayer = any_scene.replay()
    report = replayer.drain()
    assert (report.stopped, report.succeeded, report.remaining) == ("shutdown", 2, 2)
    assert handler.called == letters[1:2]
    assert any_scene.left() == letters[2:]
    assert claims(any_scene) == []


def test_a_cycle_counts_calls_outside(any_scene: Scene) -> None:
    handler = outside(any_scene)
    letters = [any_scene.letter("outside") for _ in range(5)]
    replayer = any_scene.replay(batch_size=2)
    assert [replayer.run_replay_cycle().attempted for _ in range(3)] == [2, 2, 1]
    assert handler.called == letters


def test_one_letter_is_replayed_outside(any_scene: Scene) -> None:
    handler = outside(any_scene)
    letters = [any_scene.letter("outside") for _ in range(3)]
    assert any_scene.replay().replay(letters[1]).succeeded == 1
    assert handler.called == [letters[1]]
    assert any_scene.left() == [letters[0], letters[2]]


def test_counters_tell_of_calls_outside(any_scene: Scene) -> None:
    def act(_conn: object, event_id: int) -> None:
        time.sleep(0.01)
        if event_id == 2:
            raise ValueError("it failed")

    outside(any_scene, act)
    for _ in range(3):
        any_scene.letter("outside")
    replayer = any_scene.replay()
    replayer.drain()
    counted = replayer.metrics.snapshot()
    assert counted.attempts == {("outside", "succeeded"): 2, ("outside", "failed"): 1}
    assert counted.handler_seconds["outside"].count == 3
    assert 0.03 <= counted.handler_seconds["outside"].sum < 0.3
    assert dict(counted.handler_seconds["outside"].cumulative())[0.003] == 0
    (attempt,) = any_scene.queue.history(2)
    assert attempt.duration is not None
    assert attempt.duration.total_seconds() >= 0.01


# Among others

KINDS = ["ok", "fails", "batch", "bad", "outside", "outside fails", "outside batch", "unknown"]


@pytest.mark.timeout(120)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kinds=st.lists(st.sampled_from(KINDS), max_size=14),
    broken=st.sets(st.integers(1, 14)),
    group=st.sampled_from([1e-6, 30]),
)
def test_in_every_order_of_kinds_each_letter_is_attempted_once_in_the_order_of_the_plan(
    kinds: list[str], broken: set[int], group: float
) -> None:
    """`broken` letters of batches outside fail their batch, then succeed singly."""
    order: list[int] = []

    def note(_conn: object, event_id: int) -> None:
        order.append(event_id)

    def fail(_conn: object, event_id: int) -> None:
        order.append(event_id)
        raise ValueError("it failed")

    def note_batch(events: list[Any]) -> None:
        if broken.intersection(event.event_id for event in events):
            raise ValueError("no batch")
        order.extend(event.event_id for event in events)

    with DeadLetterQueue.open(":memory:") as queue:
        queue.add(1, b"ok:", "boom")
        queue.clear()
        queue.connection.execute("DELETE FROM sqlite_sequence")
        scene = Scene(queue, None)
        scene.calls = order
        outside(scene, note)
        outside(scene, fail, kind="outside fails")
        scene.registry.register(
            "outside batch", OutsideBatches(note_batch, note), transactional=False
        )
        within = takes_batches(scene, Batching())
        takes_batches(scene, Batching(acts_singly=fail), kind="bad")
        letters = [scene.letter(kind) for kind in kinds]
        report = scene.drain(max_transaction_time=group)
        by_kind = dict(zip(letters, kinds, strict=True))
        failed = [i for i in letters if by_kind[i] in ("fails", "outside fails", "unknown")]
        assert scene.left() == failed
        assert {letter.retry_count for letter in queue.letters()} <= {1}
        assert (report.attempted, report.failed) == (len(letters), len(failed))
        silent = ("batch", "bad", "unknown")
        assert order == [i for i in letters if by_kind[i] not in silent]
        batched = [i for batch in within.batches for i in batch]
        assert batched == [i for i in letters if by_kind[i] == "batch"]
        assert scene.effects() == [i for i in letters if by_kind[i] in ("ok", "batch", "bad")]


def test_where_nobody_calls_outside_a_letter_costs_no_statement_more(scene: Scene) -> None:
    statements: list[str] = []
    letters = [scene.letter() for _ in range(300)]
    scene.conn.set_trace_callback(statements.append)
    assert scene.drain(max_transaction_time=30).succeeded == len(letters)
    scene.conn.set_trace_callback(None)
    own = [s for s in statements if "INTO effects" not in s and "azoth_dlq_letter" not in s]
    assert len(own) < 50
    assert not [s for s in statements if s.startswith("INSERT INTO main.azoth_dlq_claims")]
