"""How drains end that call many handlers at once: stops, shutdowns, interrupts, faults."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
import time
from typing import Any

import pytest

from azoth_dlq import DlqReplayer, NonRetryable, ReplayReport, StorageError
from tests.conftest import Scene
from tests.engine.at_once import KINDS, AtOnce, Gate, at_once, drain_meanwhile, meanwhile, until
from tests.engine.outside import claims, elsewhere, retry_counts

pytestmark = pytest.mark.parametrize("kind", KINDS)


def letters(scene: Scene, count: int) -> list[int]:
    return [scene.letter("outside") for _ in range(count)]


class Downstream:
    """What handlers need: down, until it is mended."""

    def __init__(self) -> None:
        self.is_down = True

    def __call__(self, _event_id: int) -> None:
        if self.is_down:
            raise ConnectionError("down")


# Stops by failures


@pytest.mark.parametrize("concurrency", [1, 4, 16])
def test_failures_in_a_row_stop_the_drain_with_few_more_attempts(
    scene: Scene, kind: str, concurrency: int
) -> None:
    handler = at_once(scene, kind, Downstream())
    letters(scene, 200)
    report = scene.drain(concurrency=concurrency, stop_on_consecutive_failures=10)
    assert report.stopped == "failures"
    assert 10 <= report.failed == len(handler.began) <= 10 + concurrency
    assert (report.attempted, report.remaining) == (report.failed, 200 - report.failed)
    assert claims(scene) == []
    assert sum(retry_counts(scene).values()) == report.failed


def test_a_success_between_them_begins_the_row_anew(scene: Scene, kind: str) -> None:
    def act(event_id: int) -> None:
        if event_id % 4:
            raise ConnectionError("down")

    at_once(scene, kind, act)
    letters(scene, 200)
    report = scene.drain(concurrency=1, stop_on_consecutive_failures=4, timeout=5)
    assert (report.stopped, report.succeeded, report.failed) == (None, 50, 150)


def test_what_says_nothing_of_others_does_not_count(scene: Scene, kind: str) -> None:
    def act(_event_id: int) -> None:
        raise NonRetryable("poison")

    at_once(scene, kind, act)
    letters(scene, 50)
    report = scene.drain(concurrency=8, stop_on_consecutive_failures=3)
    assert (report.stopped, report.parked) == (None, 50)


def test_the_probe_after_a_stop_is_one_letter(scene: Scene, kind: str) -> None:
    downstream = Downstream()
    handler = at_once(scene, kind, downstream)
    letters(scene, 60)
    settings: dict[str, Any] = {"concurrency": 8, "stop_on_consecutive_failures": 5}
    replayer = scene.replay(**settings)
    assert replayer.drain(now=True).stopped == "failures"
    for drain in (replayer, scene.replay(**settings)):  # of another process, too
        before = len(handler.began)
        report = drain.drain(now=True)
        assert (report.stopped, report.failed, len(handler.began) - before) == ("failures", 1, 1)
    downstream.is_down = False
    before = len(handler.began)
    report = replayer.drain(now=True)
    assert (report.stopped, report.succeeded) == (None, 60)
    assert len(handler.began) - before == 60
    assert scene.queue.store.figures().stopped_at is None


def test_the_others_begin_when_the_probe_has_succeeded(scene: Scene, kind: str) -> None:
    downstream, gate = Downstream(), Gate()
    handler = at_once(scene, kind, downstream, gate=gate)
    letters(scene, 40)
    replayer = scene.replay(concurrency=4, stop_on_consecutive_failures=3)
    gate.is_open = True
    replayer.drain(now=True)
    gate.is_open, downstream.is_down = False, False
    began, most = len(handler.began), []

    def watch() -> None:
        try:
            until(lambda: handler.waiting == 1)
            time.sleep(0.05)
            most.append(handler.waiting)
            gate.open(*handler.began)
            until(lambda: handler.waiting == 4)
        finally:
            gate.open()

    with meanwhile(watch):
        report = replayer.drain(now=True)
    assert most == [1]
    assert (report.succeeded, len(handler.began) - began) == (40, 40)


def test_a_call_that_succeeds_after_the_stop_does_not_lift_it(scene: Scene, kind: str) -> None:
    gate = Gate()

    def act(event_id: int) -> None:
        if event_id != 1:
            raise ConnectionError("down")

    handler = at_once(scene, kind, act, gate=gate)
    letters(scene, 30)

    def watch() -> None:
        try:
            until(lambda: handler.waiting == 4)
            gate.open(*range(2, 40))
            until(lambda: elsewhere(scene, "SELECT 1 FROM azoth_dlq_state WHERE key = 'stopped'"))
        finally:
            gate.open()

    report = drain_meanwhile(scene, watch, concurrency=4, stop_on_consecutive_failures=5)
    assert (report.stopped, report.succeeded) == ("failures", 1)
    assert 5 <= report.failed <= 9
    assert scene.queue.store.figures().stopped_at is not None
    assert scene.drain(now=True, stop_on_consecutive_failures=5).attempted == 1


# Shutdowns


def test_a_shutdown_lets_those_that_run_finish_and_gives_the_others_back(
    scene: Scene, kind: str
) -> None:
    gate = Gate()
    handler = at_once(scene, kind, gate=gate)
    made = letters(scene, 40)
    replayer = scene.replay(concurrency=4)

    def watch() -> None:
        try:
            until(lambda: handler.waiting == 4 and len(claims(scene)) == 12)
            replayer.shutdown()
            # Those that have not started are free for others at once.
            until(lambda: len(claims(scene)) == 4)
        finally:
            gate.open()

    with meanwhile(watch):
        report = replayer.drain()
    assert (report.stopped, report.succeeded, report.remaining) == ("shutdown", 4, 36)
    assert sorted(handler.began) == made[:4]
    assert (scene.left(), claims(scene)) == (made[4:], [])
    assert set(retry_counts(scene).values()) == {0}


def test_a_run_plans_anew_beside_calls_that_go_on(scene: Scene, kind: str) -> None:
    """New letters take their place in the order, and nothing is called twice."""
    handler = at_once(scene, kind, lambda _: time.sleep(0.01) if kind == "thread" else None)
    made = letters(scene, 60)
    replayer = scene.replay(concurrency=2, check_interval=0.03)

    def watch() -> None:
        until(lambda: not elsewhere(scene, "SELECT 1 FROM dead_letter_queue"))
        replayer.shutdown()

    with meanwhile(watch):
        report = replayer.run()
    assert (report.succeeded, sorted(handler.began)) == (60, made)
    if kind == "thread":
        assert replayer.metrics.snapshot().drains > 2
    assert claims(scene) == []


# Interrupts


class Interrupted(BaseException):
    """No Exception."""


def test_an_interrupt_of_the_drain_cancels_tasks_and_leaves_threads_behind(
    scene: Scene, kind: str
) -> None:
    gate = Gate()
    handler = at_once(scene, kind, gate=gate)
    at_once(scene, kind, name="quick")
    made = letters(scene, 10)
    quick = scene.letter("quick", failed_at="2026-11-24 09:00:00")
    interrupts = [Interrupted()]

    def interrupt(report: ReplayReport) -> None:
        if report.succeeded and interrupts:
            until(lambda: handler.waiting >= 3)
            raise interrupts.pop()

    began = time.monotonic()
    with pytest.raises(Interrupted):
        scene.replay(concurrency=4).drain(on_progress=interrupt)
    assert time.monotonic() - began < 5
    running = sorted(handler.began)
    assert quick not in scene.left()
    assert scene.left() == made
    assert set(retry_counts(scene).values()) == {0}
    if kind == "task":
        assert sorted(handler.cancelled) == running
        assert claims(scene) == []
        return
    # Their letters are nobody else's for as long as they run.
    assert claims(scene) == running
    others = [letter for letter in made if letter not in running]

    def watch() -> None:
        until(lambda: handler.waiting == 10)
        gate.open(*others)

    with meanwhile(watch):
        report = scene.drain(concurrency=16)
    assert (report.succeeded, report.skipped, scene.left()) == (len(others), len(running), running)
    assert sorted(handler.began) == made
    gate.open()
    until(lambda: not handler.waiting)
    assert scene.drain().succeeded == len(running)
    assert sorted(handler.began) == sorted([*made, *running])


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_a_handler_raises_beyond_exception_goes_up_when_the_others_are_done(
    scene: Scene, kind: str, error: type[BaseException]
) -> None:
    gate = Gate()

    def act(event_id: int) -> None:
        if event_id == made[0]:
            raise error

    handler = at_once(scene, kind, act, gate=gate)
    made = letters(scene, 30)

    def watch() -> None:
        try:
            until(lambda: handler.waiting == 3)
            gate.open(made[0])
            until(lambda: handler.waiting == 2)
            time.sleep(0.05)
        finally:
            gate.open()

    with pytest.raises(error), meanwhile(watch):
        scene.drain(concurrency=3)
    assert sorted(handler.began) == made[:3]
    assert (scene.left(), claims(scene)) == ([made[0], *made[3:]], [])
    assert set(retry_counts(scene).values()) == {0}


def test_a_cancellation_goes_up_but_of_a_task_that_nobody_cancelled(
    scene: Scene, kind: str
) -> None:
    def act(event_id: int) -> None:
        if event_id == made[0]:
            raise asyncio.CancelledError

    at_once(scene, kind, act)
    made = letters(scene, 1)
    if kind == "thread":
        with pytest.raises(asyncio.CancelledError):
            scene.drain(concurrency=2)
        assert retry_counts(scene) == {made[0]: 0}
    else:
        assert scene.drain(concurrency=2).failed == 1
        assert retry_counts(scene) == {made[0]: 1}
    assert claims(scene) == []


# Faults of the database


def test_a_fault_of_the_database_in_a_handler_charges_nobody_and_ends_the_drain(
    scene: Scene, kind: str
) -> None:
    def act(event_id: int) -> None:
        if event_id == made[0]:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error

    at_once(scene, kind, act)
    made = letters(scene, 5)
    with pytest.raises(StorageError, match="handler"):
        scene.drain(concurrency=2)
    assert made[0] in scene.left()
    assert set(retry_counts(scene).values()) <= {0}
    assert claims(scene) == []


def test_a_file_that_stays_locked_loses_nothing(scene: Scene, kind: str) -> None:
    gate = Gate()
    handler = at_once(scene, kind, gate=gate)
    made = letters(scene, 6)
    assert scene.path is not None
    other = sqlite3.connect(str(scene.path), isolation_level=None, check_same_thread=False)

    def watch() -> None:
        try:
            until(lambda: handler.waiting == 2)
            other.execute("BEGIN IMMEDIATE")
        finally:
            gate.open()

    with meanwhile(watch), pytest.raises(StorageError, match="locked"):
        scene.drain(concurrency=2, busy_timeout=0.05)
    other.execute("ROLLBACK")
    other.close()
    assert scene.left() == made
    assert set(retry_counts(scene).values()) == {0}
    assert scene.drain(concurrency=2).succeeded == 6
    assert claims(scene) == []


def test_threads_end_however_the_drain_does(scene: Scene, kind: str) -> None:
    def act(_event_id: int) -> None:
        raise SystemExit

    before = {thread.name for thread in threading.enumerate()}
    at_once(scene, kind, act)
    letters(scene, 20)
    replayer: DlqReplayer = scene.replay(concurrency=5)
    with pytest.raises(SystemExit):
        replayer.drain()
    after = {thread.name for thread in threading.enumerate()} - before
    assert after <= {"azoth-dlq-loop"}
    del replayer


def test_the_loop_ends_with_its_replayer(scene: Scene, kind: str) -> None:
    handler: AtOnce = at_once(scene, kind)
    letters(scene, 3)
    replayer = scene.replay(concurrency=2)
    replayer.drain()
    letters(scene, 3)
    replayer.drain()  # on the same loop
    assert len(handler.began) == 6
    if kind == "task":
        assert len(set(handler.threads)) == 1
    del replayer
    gc.collect()
    if kind == "task":
        until(lambda: handler.threads[0] not in {t.ident for t in threading.enumerate()})
