"""Handlers that take longer than they may: tasks are cancelled, threads are left behind."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from azoth_dlq import InvalidStateError, LetterFilter
from azoth_dlq.engine import at_once as engine
from tests.conftest import Scene
from tests.engine.at_once import KINDS, Gate, InBatches, at_once, in_batches, meanwhile, until
from tests.engine.outside import claims, retry_counts

with_kinds = pytest.mark.parametrize("kind", KINDS)


def letters(scene: Scene, count: int) -> list[int]:
    return [scene.letter("outside") for _ in range(count)]


@with_kinds
@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("where", ["handler", "settings"])
def test_a_call_that_takes_too_long_fails(
    scene: Scene, kind: str, concurrency: int, where: str
) -> None:
    gate = Gate()
    own: dict[str, Any] = {"timeout": 0.1} if where == "handler" else {}
    settings: dict[str, Any] = {"timeout": 0.1} if where == "settings" else {}
    handler = at_once(scene, kind, gate=gate, **own)
    made = letters(scene, 4)
    gate.open(*made[1:])
    report = scene.drain(concurrency=concurrency, **settings)
    assert (report.succeeded, report.failed, report.remaining) == (3, 1, 0)
    assert report.lost == (1 if kind == "thread" else 0)
    [(error, _)] = report.errors
    assert error.startswith("TimeoutError: the handler took longer than its timeout of 0.1 s, and")
    assert retry_counts(scene) == {made[0]: 1}
    assert handler.cancelled == ([made[0]] if kind == "task" else [])
    [attempt] = scene.queue.history(made[0])
    assert (attempt.outcome, attempt.error_type) == ("failed", "TimeoutError")
    assert attempt.duration is not None
    assert 0.1 <= attempt.duration.total_seconds() < 5
    if kind == "task":
        assert "in AtOnce.handle_async" in attempt.traceback  # where it waited
    gate.open()
    until(lambda: handler.waiting == 0)


@with_kinds
def test_a_timeout_of_its_own_wins_over_that_of_the_settings(scene: Scene, kind: str) -> None:
    at_once(scene, kind, lambda _: time.sleep(0.2) if kind == "thread" else None, timeout=20)
    letters(scene, 2)
    assert scene.drain(concurrency=2, timeout=0.05).succeeded == 2


def test_the_letter_of_a_thread_that_is_left_behind_is_nobodys_until_it_ends(
    scene: Scene,
) -> None:
    gate = Gate()
    handler = at_once(scene, "thread", gate=gate, timeout=0.05)
    [letter] = letters(scene, 1)
    began = time.monotonic()
    assert scene.drain(concurrency=2).lost == 1
    assert time.monotonic() - began < 5
    assert claims(scene) == [letter]
    for report in (scene.drain(now=True), scene.replay().replay(letter)):
        assert (report.skipped, report.attempted) == (1, 0)
    assert handler.began == [letter]
    assert len(scene.queue.store.figures().draining) == 1  # the handler is part of it
    gate.open()
    until(lambda: handler.waiting == 0)
    until(lambda: not scene.queue.store.figures().draining)
    report = scene.drain(now=True)
    assert (report.succeeded, report.skipped, scene.left()) == (1, 0, [])
    assert handler.began == [letter, letter]
    assert scene.path is not None
    left = sorted(p.name.removeprefix(scene.path.name) for p in scene.path.parent.iterdir())
    assert left == ["", "-azoth", "-shm", "-wal"]


def test_what_a_thread_that_was_left_behind_comes_to_changes_nothing(scene: Scene) -> None:
    gate = Gate()
    handler = at_once(scene, "thread", gate=gate, timeout=0.05)
    made = letters(scene, 2)
    gate.open(made[1])
    replayer = scene.replay(concurrency=2)
    assert replayer.drain().lost == 1
    assert replayer.metrics.snapshot().lost_calls == 1
    gate.open()
    until(lambda: handler.waiting == 0)
    assert retry_counts(scene) == {made[0]: 1}
    assert replayer.metrics.snapshot().successes == 1


def test_others_go_on_beside_threads_that_were_left_behind(scene: Scene) -> None:
    gate = Gate()
    handler = at_once(scene, "thread", gate=gate, timeout=0.05)
    made = letters(scene, 40)
    stuck = made[::4]
    gate.open(*(letter for letter in made if letter not in stuck))
    report = scene.drain(concurrency=2)
    assert (report.succeeded, report.failed, report.lost) == (30, 10, 10)
    assert handler.most <= 2 + 10
    assert (scene.left(), claims(scene)) == (stuck, stuck)
    gate.open()


def test_a_letter_that_was_parked_meanwhile_stays_claimed_too(scene: Scene) -> None:
    gate = Gate()
    handler = at_once(scene, "thread", gate=gate, timeout=0.05)
    [letter] = letters(scene, 1)
    report = scene.drain(concurrency=2, max_retries=1)
    assert (report.parked, report.lost, claims(scene)) == (1, 1, [letter])
    [parked] = scene.queue.permanent_failures(1)
    assert scene.queue.requeue([parked.id]) == 1
    assert scene.left() == [letter]
    assert scene.drain(now=True).skipped == 1
    gate.open()
    until(lambda: handler.waiting == 0)
    until(lambda: not scene.queue.store.figures().draining)
    assert scene.drain(now=True).succeeded == 1


def test_a_drain_ends_that_leaves_too_many_threads_behind(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine, "MOST_LOST", 5)
    gate = Gate()
    at_once(scene, "thread", gate=gate, timeout=0.02)
    letters(scene, 40)
    report = scene.drain(concurrency=2)
    assert report.stopped == "failures"
    assert 5 <= report.lost <= 5 + 2 * 2
    assert report.remaining == 40 - report.failed
    assert "give their clients a timeout of their own" in caplog.text
    assert len(claims(scene)) == report.lost
    gate.open()


@with_kinds
def test_a_batch_that_takes_too_long(scene: Scene, kind: str) -> None:
    gate = threading.Event()

    def act_on_batch(_events: list[int]) -> None:
        gate.wait(20)

    if kind == "thread":
        handler = in_batches(scene, kind, InBatches(act_on_batch))
    else:
        handler = InBatches(lambda _: None)

        class Waits:
            handle = handler.handle_async

            async def handle_batch(self, _conn: Any, _events: Any) -> None:
                await asyncio.sleep(60)

        scene.registry.register("outside", Waits(), transactional=False)
    made = letters(scene, 5)
    report = scene.drain(concurrency=2, timeout=0.1)
    if kind == "task":  # it has ended: its letters are called one by one
        assert (report.succeeded, sorted(handler.began)) == (5, made)
    else:  # it goes on: none of its letters is called beside it
        assert (report.failed, report.lost, handler.began) == (5, 1, [])
        assert claims(scene) == made
    gate.set()


def test_a_task_that_does_not_end_when_it_is_cancelled_is_lost(scene: Scene) -> None:
    gate = threading.Event()

    async def stubborn(*_: object) -> None:
        while not gate.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    scene.registry.register("stubborn", stubborn, transactional=False, timeout=0.05)
    handler = at_once(scene, "task")
    stuck, *made = [scene.letter("stubborn"), *letters(scene, 20)]
    report = scene.drain(concurrency=2)
    assert (report.succeeded, report.failed, report.lost) == (20, 1, 1)
    assert "did not end when it was cancelled" in report.errors[0][0]
    assert sorted(handler.began) == made
    assert claims(scene) == [stuck]
    gate.set()
    until(lambda: not scene.queue.store.figures().draining)


def test_a_task_that_blocks_its_loop_keeps_no_drain_from_its_end(scene: Scene) -> None:
    gate = threading.Event()

    async def blocks(*_: object) -> None:
        gate.wait(20)

    scene.registry.register("blocks", blocks, transactional=False, timeout=0.05)
    stuck = scene.letter("blocks")
    began = time.monotonic()
    report = scene.drain(concurrency=2)
    assert time.monotonic() - began < 10
    assert (report.failed, report.lost, claims(scene)) == (1, 1, [stuck])
    gate.set()


def test_a_parked_letter_is_not_changed_while_a_call_that_was_given_up_goes_on(
    scene: Scene,
) -> None:
    """What its handler is still doing, it does with what the letter was."""
    gate = Gate()
    at_once(scene, "thread", gate=gate, timeout=0.05)
    letters(scene, 1)
    assert scene.drain(concurrency=2, max_retries=1).parked == 1
    [parked] = scene.queue.find(LetterFilter(parked=True))
    with pytest.raises(InvalidStateError, match="in the hands of a handler"):
        scene.queue.edit(parked, b"outside:other", parked=True)
    assert scene.queue.original(parked, parked=True) is None
    gate.open()
    until(lambda: not scene.queue.store.figures().draining)
    assert scene.queue.edit(parked, b"outside:other", parked=True)


def test_a_letter_whose_call_goes_on_is_not_requeued_under_another_id(scene: Scene) -> None:
    """By its old id alone it is known that it is in a hand."""
    gate = Gate()
    at_once(scene, "thread", gate=gate, timeout=0.05)
    [letter] = letters(scene, 1)
    assert scene.drain(concurrency=2, max_retries=1).parked == 1
    scene.conn.execute(
        "INSERT INTO dead_letter_queue (id, event_id, event_bytes, error_message) "
        "VALUES (?, 7, 'ok:', 'boom')",
        (letter,),
    )
    parked = LetterFilter(error="timeout")
    assert scene.queue.requeue(parked) == 0
    gate.open()
    until(lambda: not scene.queue.store.figures().draining)
    assert scene.queue.requeue(parked) == 1


@with_kinds
def test_a_handler_that_times_out_in_its_own_way_is_just_a_failure(scene: Scene, kind: str) -> None:
    def act(_event_id: int) -> None:
        raise TimeoutError("the service said nothing")

    at_once(scene, kind, act, timeout=20)
    letters(scene, 1)
    report = scene.drain(concurrency=2)
    assert report.errors == (("TimeoutError: the service said nothing", 1),)
    assert report.lost == 0


@with_kinds
def test_a_shutdown_waits_no_longer_than_the_timeout(scene: Scene, kind: str) -> None:
    gate = Gate()
    handler = at_once(scene, kind, gate=gate, timeout=0.3)
    letters(scene, 4)
    replayer = scene.replay(concurrency=2)

    def watch() -> None:
        until(lambda: handler.waiting == 2)
        replayer.shutdown()

    with meanwhile(watch):
        report = replayer.drain()
    assert (report.stopped, report.failed, report.remaining) == ("shutdown", 2, 2)
    gate.open()
