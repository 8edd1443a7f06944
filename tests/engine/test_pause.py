"""A pause: no other letter is attempted, nothing is locked, and it goes on as it was."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import DlqReplayer, ReplayReport
from azoth_dlq.engine.stop import Stop, StopOfOne
from tests.conftest import Scene
from tests.engine.at_once import KINDS, Gate, at_once, meanwhile, until
from tests.engine.outside import outside
from tests.engine.running import count_looks, sleeping_replayer

STILL = 0.3  # seconds in which much would happen
SOON = 1.0


def write_beside(path: Path) -> None:
    """As another program that waits for nobody."""
    with closing(sqlite3.connect(path, timeout=0)) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS beside (x)")
        connection.execute("INSERT INTO beside VALUES (1)")


def stays(figure: Callable[[], Any]) -> Any:
    """What it is, for a while."""
    before = figure()
    time.sleep(STILL)
    assert figure() == before
    return before


def paused_amid(replayer: DlqReplayer, called: Callable[[], int]) -> int:
    """Pause once letters are attempted; how many were called until then."""
    until(called)
    began = time.monotonic()
    replayer.pause()
    assert replayer.paused
    until(lambda: stays_for(called, 0.1))
    assert time.monotonic() - began < SOON + 0.1
    return called()


def stays_for(figure: Callable[[], int], seconds: float) -> bool:
    before = figure()
    time.sleep(seconds)
    return figure() == before


@pytest.mark.parametrize("kind", ["transactional", "in turn"])
def test_between_letters_nothing_is_attempted_or_locked(scene: Scene, kind: str) -> None:
    called: list[int] = []

    def act(_conn: Any, event_id: int, _payload: bytes = b"") -> None:
        called.append(event_id)
        time.sleep(0.002)

    if kind == "in turn":
        outside(scene, act)
    else:
        scene.registry.register("outside", act)
    for _ in range(300):
        scene.letter("outside")
    # A group would last longer than the test.
    replayer = scene.replay(max_transaction_time=60)
    committed: list[ReplayReport] = []

    def watch() -> None:
        before = paused_amid(replayer, lambda: len(called))
        assert stays(lambda: len(called)) == before < 300
        until(lambda: committed and committed[-1].succeeded == before)
        assert scene.path is not None
        write_beside(scene.path)
        replayer.resume()

    with meanwhile(watch):
        report = replayer.drain(on_progress=committed.append)
    assert (report.succeeded, report.stopped) == (300, None)
    assert len(called) == len(set(called)) == 300
    assert not replayer.paused
    assert replayer.metrics.snapshot().phase_seconds["yield"] >= STILL


@pytest.mark.parametrize("kind", KINDS)
def test_calls_in_hand_end_and_are_settled_and_no_other_starts(scene: Scene, kind: str) -> None:
    gate = Gate()
    handler = at_once(scene, kind, gate=gate)
    for _ in range(40):
        scene.letter("outside")
    replayer = scene.replay(concurrency=4)

    def watch() -> None:
        until(lambda: handler.waiting == 4)
        assert replayer.activity.calls == 4
        replayer.pause()
        gate.open()
        until(lambda: handler.waiting == 0)
        assert stays(lambda: len(handler.began)) == 4
        assert replayer.metrics.snapshot().successes == 4
        assert replayer.activity.calls == 0
        assert scene.path is not None
        write_beside(scene.path)
        replayer.resume()

    with meanwhile(watch):
        assert replayer.drain().succeeded == 40
    assert sorted(handler.began) == sorted(set(handler.began))
    assert replayer.activity.calls is None


@pytest.mark.parametrize("kind", ["transactional", *KINDS])
def test_a_shutdown_ends_a_paused_drain_at_once(scene: Scene, kind: str) -> None:
    called: list[int] = []

    def act(event_id: int) -> None:
        called.append(event_id)
        time.sleep(0.002)

    if kind in KINDS:
        at_once(scene, kind, act)
    else:
        scene.registry.register("outside", lambda _conn, event_id, _payload: act(event_id))
    for _ in range(300):
        scene.letter("outside")
    replayer = scene.replay(concurrency=2)
    ended: list[float] = []

    def watch() -> None:
        paused_amid(replayer, lambda: len(called))
        ended.append(time.monotonic())
        replayer.shutdown()

    with meanwhile(watch):
        report = replayer.drain()
    assert time.monotonic() - ended[0] < SOON
    assert report.stopped == "shutdown"
    assert report.succeeded == len(called) == 300 - report.remaining
    assert not replayer.paused
    with closing(sqlite3.connect(str(scene.path))) as connection:
        (left,) = connection.execute("SELECT count(*) FROM dead_letter_queue").fetchone()
    assert left == report.remaining


def test_a_drain_that_begins_paused_waits_before_it_plans(scene: Scene) -> None:
    scene.letter("ok")
    replayer = scene.replay()
    replayer.pause()

    def watch() -> None:
        time.sleep(STILL)
        # Seen by the plan, which is not made yet.
        assert scene.path is not None
        with closing(sqlite3.connect(scene.path)) as connection, connection:
            connection.execute("DELETE FROM dead_letter_queue")
        replayer.resume()

    with meanwhile(watch):
        report = replayer.drain()
    assert (report.attempted, report.skipped) == (0, 0)


def test_letters_that_are_only_parked_wait_too(scene: Scene) -> None:
    scene.letter("ok", retry_count=99)
    scene.letter("ok")
    replayer = scene.replay()

    def watch() -> None:
        assert stays(lambda: replayer.metrics.snapshot().groups) == 0
        replayer.resume()

    # When it is planned, before anything of it is written.
    scene.queue.store.candidates = paused_behind(replayer, scene.queue.store.candidates)  # type: ignore[method-assign]  # one that pauses
    with meanwhile(watch):
        assert replayer.drain().exhausted == 1


def paused_behind(replayer: DlqReplayer, action: Callable[..., Any]) -> Callable[..., Any]:
    def act(*arguments: Any, **named: Any) -> Any:
        replayer.pause()
        return action(*arguments, **named)

    return act


def test_a_paused_run_looks_at_nothing_until_it_is_resumed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = count_looks(scene, monkeypatch)
    scene.letter("ok")
    replayer = sleeping_replayer(scene, min_age=0)
    replayer.pause()

    def watch() -> None:
        assert stays(lambda: len(looks)) == 0
        replayer.resume()
        until(scene_is_done)
        replayer.pause()
        replayer.shutdown()

    def scene_is_done() -> bool:
        return replayer.metrics.snapshot().successes == 1

    with meanwhile(watch):
        report = replayer.run()
    assert (report.succeeded, report.stopped) == (1, "shutdown")


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the platform has no interval timer")
def test_a_signal_handler_may_pause_and_resume(scene: Scene) -> None:
    for _ in range(50):
        scene.letter("ok")
    replayer = scene.replay()
    seen: list[bool] = []

    def on_signal(*_: object) -> None:
        seen.append(replayer.paused)
        replayer.resume() if replayer.paused else replayer.pause()

    replayer.pause()
    before = signal.signal(signal.SIGALRM, on_signal)
    try:
        signal.setitimer(signal.ITIMER_REAL, STILL)
        assert replayer.drain().succeeded == 50
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen == [True]


# The request itself


def test_a_stop_ends_a_pause_and_none_begins_after_it() -> None:
    stop = Stop()
    stop.pause()
    threading.Timer(0.05, stop.request).start()
    stop.wait_while_paused()
    assert stop.is_halted
    stop.pause()
    assert not stop.is_paused
    stop.resume()
    assert stop.is_halted


def test_a_pause_of_all_is_one_of_each() -> None:
    of_all = Stop()
    of_one = StopOfOne(of_all)
    assert not of_one.is_halted
    of_all.pause()
    assert of_one.is_paused
    of_all.resume()
    assert not of_one.is_halted
    of_one.request()
    assert of_one.is_halted
    assert not of_one.is_paused
    assert not of_all.is_halted
