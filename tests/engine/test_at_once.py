"""Many calls outside transactions at once: how many, which ones, when their outcome is written."""

from __future__ import annotations

import sqlite3
import threading
import time
from functools import partial
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue, InvalidStateError, ReplayPriority
from tests.conftest import Scene
from tests.engine.at_once import KINDS, AtOnce, Gate, at_once, drain_meanwhile, until
from tests.engine.outside import claims, elsewhere, retry_counts

pytestmark = pytest.mark.parametrize("kind", KINDS)


def letters(scene: Scene, count: int, kind: str = "outside") -> list[int]:
    return [scene.letter(kind) for _ in range(count)]


def opens_when(handler: AtOnce, gate: Gate, waiting: int) -> Any:
    def watch() -> None:
        try:
            until(lambda: handler.waiting >= waiting)
            time.sleep(0.02)  # for more than there should be
        finally:
            gate.open()

    return watch


# How many


@pytest.mark.parametrize("concurrency", [1, 2, 7])
def test_as_many_run_at_once_as_are_allowed(scene: Scene, kind: str, concurrency: int) -> None:
    gate = Gate()
    handler = at_once(scene, kind, gate=gate)
    made = letters(scene, 5 * concurrency)
    report = drain_meanwhile(
        scene, opens_when(handler, gate, min(concurrency, len(made))), concurrency=concurrency
    )
    if kind == "task" or concurrency > 1:
        assert handler.most == concurrency
    assert sorted(handler.began) == made
    assert (report.succeeded, report.remaining, scene.left(), claims(scene)) == (
        len(made),
        0,
        [],
        [],
    )


@pytest.mark.parametrize("concurrency", [1, 4])
def test_they_start_in_the_order_of_the_priority(scene: Scene, kind: str, concurrency: int) -> None:
    handler = at_once(scene, kind, timeout=20)
    made = [scene.letter("outside", failed_at=f"2026-11-24 10:00:{n:02}") for n in range(40)]
    scene.drain(concurrency=concurrency, priority=ReplayPriority.LIFO)
    assert sorted(handler.began) == made
    order = {letter: place for place, letter in enumerate(reversed(made))}
    moved = [abs(place - order[letter]) for place, letter in enumerate(handler.began)]
    # Of those that start together any may be the first to be seen, and a thread may stand still.
    assert sum(moved) / len(moved) <= 2 * (concurrency - 1)


def test_those_that_are_to_start_are_claimed_ahead_and_no_others(scene: Scene, kind: str) -> None:
    gate, seen = Gate(), []
    handler = at_once(scene, kind, gate=gate)
    made = letters(scene, 30)

    def watch() -> None:
        try:
            until(lambda: handler.waiting == 3 and len(claims(scene)) >= 9)
            time.sleep(0.02)
            seen.append(claims(scene))
        finally:
            gate.open()

    assert drain_meanwhile(scene, watch, concurrency=3).succeeded == 30
    assert seen == [made[:9]]  # three that run, and two for each of them
    assert claims(scene) == []


def test_no_more_are_attempted_than_a_cycle_allows(scene: Scene, kind: str) -> None:
    handler = at_once(scene, kind)
    made = letters(scene, 20)
    report = scene.replay(concurrency=4, batch_size=7).run_replay_cycle()
    assert (report.succeeded, report.remaining) == (7, 13)
    assert sorted(handler.began) == made[:7]
    assert (scene.left(), claims(scene)) == (made[7:], [])


def test_one_letter_is_replayed(scene: Scene, kind: str) -> None:
    handler = at_once(scene, kind)
    made = letters(scene, 3)
    assert scene.replay(concurrency=4).replay(made[1]).succeeded == 1
    assert (handler.began, scene.left()) == ([made[1]], [made[0], made[2]])


def test_payloads_in_hand_stay_within_the_limit_of_memory(scene: Scene, kind: str) -> None:
    gate = Gate()
    handler = at_once(scene, kind, gate=gate)
    large = b"outside:" + b"x" * 200_000
    made = [scene.letter(event_bytes=large) for _ in range(12)]

    def watch() -> None:
        try:
            until(lambda: handler.waiting >= 1)
            time.sleep(0.05)
            # Each is held twice, and half of the limit is for them.
            assert len(claims(scene)) <= 2
        finally:
            gate.open()

    report = drain_meanwhile(scene, watch, concurrency=8, memory_limit=2**20)
    assert (report.succeeded, sorted(handler.began)) == (12, made)


def test_one_that_is_larger_than_the_limit_of_memory_is_called_all_the_same(
    scene: Scene, kind: str
) -> None:
    handler = at_once(scene, kind)
    made = [scene.letter(event_bytes=b"outside:" + b"x" * 3_000_000) for _ in range(3)]
    assert scene.drain(concurrency=8, memory_limit=2**20).succeeded == 3
    assert handler.began == made


# Beside the others


def test_letters_within_the_transaction_do_not_wait_for_those_outside(
    scene: Scene, kind: str
) -> None:
    gate = Gate()
    handler = at_once(scene, kind, gate=gate)
    made = [scene.letter("outside"), scene.letter("outside"), *letters(scene, 50, "ok")]

    def watch() -> None:
        try:
            until(lambda: elsewhere(scene, "SELECT count(*) FROM effects") == [(50,)])
            until(lambda: handler.waiting == 2)
        finally:
            gate.open()

    assert drain_meanwhile(scene, watch, concurrency=2).succeeded == 52
    assert scene.effects() == made[2:]


def test_both_kinds_keep_their_order_but_within_a_group(scene: Scene, kind: str) -> None:
    order: list[int] = []
    at_once(scene, kind, order.append)
    scene.registry.register("inside", lambda _conn, event_id, _payload: order.append(event_id))
    made = [scene.letter(name) for _ in range(60) for name in ("outside", "inside")]
    assert scene.drain(concurrency=2).succeeded == 120
    assert sorted(order) == made
    # A group takes at most six letters outside with it, those between them, and the first behind.
    assert max(abs(place - made.index(e)) for place, e in enumerate(order)) <= 24


def test_what_it_came_to_is_written_soon_whatever_else_runs(scene: Scene, kind: str) -> None:
    gate = Gate()
    ended_at: dict[int, float] = {}
    handler = at_once(scene, kind, lambda e: ended_at.update({e: time.monotonic()}), gate=gate)
    made = letters(scene, 4)
    late: list[float] = []

    def is_gone(letter: int) -> bool:
        return not elsewhere(scene, "SELECT 1 FROM dead_letter_queue WHERE id = ?", letter)

    def watch() -> None:
        try:
            until(lambda: handler.waiting == 4)
            for letter in made[:3]:
                gate.open(letter)
                until(partial(ended_at.get, letter))
                until(partial(is_gone, letter))
                late.append(time.monotonic() - ended_at[letter])
        finally:
            gate.open()

    assert drain_meanwhile(scene, watch, concurrency=4).succeeded == 4
    # Some of these include a pause of the machine's; the rule is 0.03 s.
    assert min(late) < 0.03


def test_what_it_came_to_ends_a_group_of_calls_within_the_transaction(
    scene: Scene, kind: str
) -> None:
    """Each takes 5 ms: a group of a second would have kept the outcome waiting."""
    ended_at: list[float] = []
    seen_at: list[float] = []
    at_once(scene, kind, lambda _: ended_at.append(time.monotonic()))
    scene.letter("outside")
    scene.registry.register("slow", lambda *_: time.sleep(0.005))
    letters(scene, 200, "slow")

    def watch() -> None:
        until(lambda: ended_at)
        until(lambda: elsewhere(scene, "SELECT min(id) FROM dead_letter_queue") != [(1,)])
        seen_at.append(time.monotonic())

    report = drain_meanwhile(scene, watch, concurrency=2, max_transaction_time=5)
    assert report.succeeded == 201
    assert seen_at[0] - ended_at[0] < 0.5


def test_a_group_of_calls_within_the_transaction_keeps_none_from_starting(
    scene: Scene, kind: str
) -> None:
    """Each takes 5 ms, and the group might take five seconds."""
    began_at: list[float] = []
    at_once(scene, kind, lambda _: began_at.append(time.monotonic()))
    scene.registry.register("slow", lambda *_: time.sleep(0.005))
    letters(scene, 20, "slow")
    scene.letter("outside")
    letters(scene, 300, "slow")
    began = time.monotonic()
    assert scene.drain(concurrency=2, max_transaction_time=5).succeeded == 321
    assert began_at[0] - began < 0.75


def test_no_lock_is_held_while_they_run(scene: Scene, kind: str) -> None:
    gate = Gate()
    handler = at_once(scene, kind, gate=gate)
    letters(scene, 4)

    def watch() -> None:
        try:
            until(lambda: handler.waiting == 2 and len(claims(scene)) == 4)
            time.sleep(0.02)
            elsewhere(scene, "INSERT INTO effects VALUES (-1)")
        finally:
            gate.open()

    assert drain_meanwhile(scene, watch, concurrency=2).succeeded == 4
    assert scene.effects() == [-1]


# Their connections


def test_they_get_no_connection_but_on_demand(scene: Scene, kind: str) -> None:
    handler = at_once(scene, kind)
    letters(scene, 5)
    scene.drain(concurrency=2)
    assert handler.connections == [None] * 5


def test_each_thread_has_a_connection_of_its_own_that_reads_what_is_committed(
    scene: Scene, kind: str
) -> None:
    gate = Gate()
    counts: list[int] = []
    handler = at_once(scene, kind, gate=gate, needs_connection=True)
    made = letters(scene, 12)

    def watch() -> None:
        until(lambda: handler.waiting == 3)
        gate.open()

    assert drain_meanwhile(scene, watch, concurrency=3).succeeded == 12
    pairs = set(zip(handler.threads, map(id, handler.connections), strict=True))
    if kind == "thread":
        assert len({thread for thread, _ in pairs}) == len(pairs) == 3
    else:
        assert len(pairs) == 3  # for each that runs at once
    assert all(isinstance(conn, sqlite3.Connection) for conn in handler.connections)
    assert scene.conn not in handler.connections
    assert (counts, scene.left(), len(made)) == ([], [], 12)


def test_nothing_can_be_written_through_it(scene: Scene, kind: str) -> None:
    def write(conn: Any, event_id: int, _payload: bytes) -> None:
        assert conn.execute("SELECT count(*) FROM dead_letter_queue").fetchone()[0] >= 1
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))

    async def write_async(conn: Any, event_id: int, payload: bytes) -> None:
        write(conn, event_id, payload)

    call = write if kind == "thread" else write_async
    scene.registry.register("outside", call, transactional=False, needs_connection=True)
    made = letters(scene, 3)
    report = scene.drain(concurrency=2)
    assert (report.failed, scene.effects()) == (3, [])
    assert "readonly" in report.errors[0][0]
    assert retry_counts(scene) == dict.fromkeys(made, 1)


def test_a_queue_without_a_file_has_none_to_give(kind: str) -> None:
    with DeadLetterQueue.open(":memory:") as queue:
        queue.add(1, b"ok:", "boom")
        queue.clear()
        scene = Scene(queue, None)
        handler = at_once(scene, kind)
        made = letters(scene, 9)
        assert scene.drain(concurrency=3).succeeded == 9
        assert sorted(handler.began) == made
        at_once(scene, kind, name="reads", needs_connection=True)
        scene.letter("reads")
        with pytest.raises(InvalidStateError, match="needs_connection"):
            scene.drain(concurrency=3)


# What others do meanwhile


def test_a_letter_that_is_deleted_while_it_is_in_hand_is_skipped(scene: Scene, kind: str) -> None:
    gate = Gate()
    handler = at_once(scene, kind, gate=gate)
    made = letters(scene, 3)

    def watch() -> None:
        try:
            until(lambda: handler.waiting == 3)
            elsewhere(scene, "UPDATE dead_letter_queue SET event_id = 77 WHERE id = ?", made[1])
            elsewhere(scene, "UPDATE dead_letter_queue SET retry_count = 3 WHERE id = ?", made[2])
        finally:
            gate.open()

    report = drain_meanwhile(scene, watch, concurrency=3)
    assert (report.succeeded, report.skipped) == (2, 1)
    assert (scene.left(), claims(scene)) == ([made[1]], [])


def test_threads_and_connections_are_gone_at_the_end(scene: Scene, kind: str) -> None:
    at_once(scene, kind, needs_connection=True)
    letters(scene, 20)
    before = threading.active_count()
    scene.drain(concurrency=5)
    extra = 0 if kind == "thread" else 1  # the loop's, for the next drain of the replayer
    assert threading.active_count() <= before + extra
    assert scene.path is not None
    left = sorted(p.name.removeprefix(scene.path.name) for p in scene.path.parent.iterdir())
    assert left == ["", "-azoth", "-shm", "-wal"]
    scene.queue.close()
    assert not scene.path.with_name(f"{scene.path.name}-wal").exists()
