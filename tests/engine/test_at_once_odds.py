"""Calls at once, and what comes at the worst moment: interrupts, blocked loops, odd errors."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from azoth_dlq import DlqReplayer, ReplayReport, StorageError
from azoth_dlq.store.sqlite.store import SqliteStore
from tests.conftest import Scene
from tests.engine.at_once import KINDS, Gate, InBatches, at_once, in_batches, until
from tests.engine.outside import claims, retry_counts

with_kinds = pytest.mark.parametrize("kind", KINDS)


class Interrupted(BaseException):
    """No Exception."""


def letters(scene: Scene, count: int) -> list[int]:
    return [scene.letter("outside") for _ in range(count)]


@pytest.mark.parametrize("concurrency", [1, 4])
@with_kinds
def test_an_interrupt_as_a_group_is_opened_keeps_what_calls_came_to(
    scene: Scene, kind: str, concurrency: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = at_once(scene, kind)
    letters(scene, 3)
    interrupts = [Interrupted()]
    claimed = SqliteStore.claimed

    def interrupted(store: SqliteStore) -> set[int]:
        if handler.ended and interrupts:
            raise interrupts.pop()
        return claimed(store)

    monkeypatch.setattr(SqliteStore, "claimed", interrupted)
    with pytest.raises(Interrupted):
        scene.drain(concurrency=concurrency)
    assert len(scene.left()) == 3 - len(handler.ended)
    scene.drain(concurrency=concurrency)
    assert sorted(handler.began) == [1, 2, 3]


def test_an_interrupt_while_threads_are_started_leaves_their_letters_claimed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    start: Callable[[threading.Thread], None] = threading.Thread.start

    def slowly(thread: threading.Thread) -> None:
        if thread.name == "azoth-dlq-3":
            time.sleep(0.3)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", slowly)
    gate = Gate()
    handler = at_once(scene, "thread", gate=gate)
    at_once(scene, "thread", name="quick")
    scene.letter("quick")
    made = letters(scene, 3)
    interrupts = [Interrupted()]

    def interrupt(report: ReplayReport) -> None:
        if report.succeeded and interrupts:
            raise interrupts.pop()

    with pytest.raises(Interrupted):
        scene.replay(concurrency=4).drain(on_progress=interrupt)
    # A thread that comes late calls nothing.
    time.sleep(0.4)
    running = list(handler.began)
    assert set(running) <= set(claims(scene)) <= set(made)
    gate.open()
    until(lambda: not handler.waiting)
    assert scene.drain(concurrency=4).skipped == 0
    assert (scene.left(), sorted(handler.began)) == ([], sorted([*made, *running]))


def test_a_blocked_loop_ends_the_drain_and_charges_the_blocking_letter_alone(
    scene: Scene,
) -> None:
    blocks = threading.Event()

    async def block(_conn: Any, event_id: int, _payload: bytes) -> None:
        if event_id == 1:
            blocks.wait(30)

    scene.registry.register("outside", block, transactional=False, timeout=0.2)
    made = letters(scene, 5)
    replayer = scene.replay(concurrency=3)
    began = time.monotonic()
    report = replayer.drain()
    assert time.monotonic() - began < 15
    assert (report.stopped, report.failed, report.lost) == ("failures", 1, 1)
    assert report.remaining == 4
    assert retry_counts(scene) == {made[0]: 1, **dict.fromkeys(made[1:], 0)}
    # The next drain has a loop of its own.
    assert replayer.drain().succeeded == 4
    blocks.set()
    assert scene.left() == [made[0]]


def test_a_batch_left_behind_whose_failure_is_refused_stays_claimed(scene: Scene) -> None:
    gate = threading.Event()
    in_batches(scene, "thread", InBatches(lambda _: gate.wait(20)))
    scene.letter("ok")
    scene.drain()
    made = letters(scene, 4)
    scene.conn.execute(
        "CREATE TRIGGER keeps BEFORE UPDATE ON dead_letter_queue WHEN old.id = 4 "
        "BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    with pytest.raises(StorageError) as caught:
        scene.drain(concurrency=2, timeout=0.2)
    assert caught.value.report is not None
    assert caught.value.report.lost == 1
    assert claims(scene) == made
    assert scene.drain(now=True).attempted == 0
    gate.set()


def test_an_interrupt_while_the_file_is_locked_charges_nobody(scene: Scene) -> None:
    gate = Gate()
    handler = at_once(scene, "thread", gate=gate)
    at_once(scene, "thread", name="quick")
    scene.letter("quick")
    made = letters(scene, 3)
    assert scene.path is not None
    other = sqlite3.connect(str(scene.path), isolation_level=None)
    interrupts = [Interrupted()]

    def interrupt(report: ReplayReport) -> None:
        if report.succeeded and interrupts:
            until(lambda: handler.waiting == 3)
            other.execute("BEGIN IMMEDIATE")
            raise interrupts.pop()

    with pytest.raises(Interrupted):
        scene.replay(concurrency=4, busy_timeout=0.1).drain(on_progress=interrupt)
    other.execute("ROLLBACK")
    other.close()
    # What would tell the next process, if this one died now.
    [marks] = scene.path.parent.glob(f"{scene.path.name}-azoth-*-started")
    assert not any(marks.read_bytes())
    assert claims(scene) == made
    gate.open()


@pytest.mark.parametrize("name", ["drain_async", "run_async"])
def test_an_error_that_no_future_takes_is_raised(scene: Scene, name: str) -> None:
    letters(scene, 1)
    at_once(scene, "task")
    replayer = scene.replay(concurrency=2)

    def exhausted(_report: ReplayReport) -> None:
        raise StopIteration

    async def main() -> None:
        async with asyncio.timeout(20):
            await getattr(replayer, name)(on_progress=exhausted)

    with pytest.raises(RuntimeError, match="what was called raised StopIteration"):
        asyncio.run(main())


EXITS = """
import asyncio, sys
from azoth_dlq import *
registry = EventHandlerRegistry()
@registry.handler("x", transactional=False)
async def wait(conn, event_id, payload):
    await asyncio.sleep(600)
queue = DeadLetterQueue.open(sys.argv[1])
queue.add(1, b"x:", "boom")
loop = asyncio.new_event_loop()
replayer = DlqReplayer(queue, registry, DlqReplayConfig(concurrency=2))
task = loop.create_task(replayer.drain_async(now=True))
loop.run_until_complete(asyncio.sleep(0.3))
"""


def test_a_loop_that_runs_no_more_keeps_no_process_from_its_end(tmp_path: Any) -> None:
    command = [sys.executable, "-c", EXITS, str(tmp_path / "letters.db")]
    subprocess.run(command, check=True, timeout=30, capture_output=True)


class Hostile(Exception):
    """Nobody may ask of what class it is."""

    @property
    def __class__(self) -> Any:
        raise RuntimeError("hostile")

    @__class__.setter
    def __class__(self, _value: Any) -> None: ...


@pytest.mark.parametrize("concurrency", [1, 2])
@with_kinds
def test_an_error_that_hides_its_class_is_a_failure(
    scene: Scene, kind: str, concurrency: int
) -> None:
    def act(event_id: int) -> None:
        if event_id == made[0]:
            raise Hostile

    at_once(scene, kind, act)
    made = letters(scene, 3)
    report = scene.drain(concurrency=concurrency)
    assert (report.failed, report.succeeded) == (1, 2)
    assert retry_counts(scene) == {made[0]: 1}


def test_what_a_handler_awaits_may_be_cancelled_by_others(scene: Scene) -> None:
    async def await_cancelled(_conn: Any, event_id: int, _payload: bytes) -> None:
        if event_id == made[0]:
            inner = asyncio.ensure_future(asyncio.sleep(10))
            inner.cancel()
            await inner

    scene.registry.register("outside", await_cancelled, transactional=False)
    made = letters(scene, 3)
    report = scene.drain(concurrency=2)
    assert (report.failed, report.succeeded) == (1, 2)
    assert report.errors[0][0].startswith("CancelledError")
    assert retry_counts(scene) == {made[0]: 1}


def test_a_call_that_ended_as_its_loop_was_closed_is_not_made_again(scene: Scene) -> None:
    calls: list[int] = []

    async def stop_the_loop(_conn: Any, event_id: int, _payload: bytes) -> None:
        calls.append(event_id)
        asyncio.get_running_loop().stop()

    scene.registry.register("outside", stop_the_loop, transactional=False)
    letters(scene, 1)
    replayer: DlqReplayer = scene.replay(concurrency=2)
    loop = asyncio.new_event_loop()
    task = loop.create_task(replayer.drain_async())
    loop.run_forever()
    threads = [thread for thread in threading.enumerate() if thread.name == "azoth-dlq"]
    loop.close()
    for thread in threads:
        thread.join(20)
    assert (calls, scene.left()) == ([1], [])
    del task
