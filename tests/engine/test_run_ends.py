"""What a run tells while it lasts and when it is over, and what ends it."""

from __future__ import annotations

import logging
import signal
import sqlite3
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import (
    BackoffStrategy,
    DeadLetterQueue,
    DlqReplayConfig,
    DlqReplayer,
    InvalidStateError,
    ReplayReport,
    Snooze,
)
from tests.conftest import Scene
from tests.engine.running import Sleeper, run

# What it tells


def test_the_report_adds_up_over_all_drains(scene: Scene) -> None:
    def snooze(*_args: object) -> None:
        raise Snooze(3600)

    scene.registry.register("snoozes", snooze)

    def more() -> None:
        scene.letter("fails")
        scene.letter("snoozes")
        scene.letter(retry_count=99)
        scene.letter(failed_at="?")

    scene.letter()
    scene.letter("fails")
    first = scene.clock.now
    report, _ = run(
        scene, 4, {1: more, 2: scene.letter, 3: more}, backoff=BackoffStrategy.fixed(3600)
    )
    assert (report.succeeded, report.failed, report.snoozed) == (2, 3, 2)
    assert (report.parked, report.exhausted, report.unreadable) == (4, 2, 2)
    assert report.attempted == 7
    assert sum(letters for _, letters in report.errors) == 3
    assert all(text.startswith("ValueError: event") for text, _ in report.errors)
    assert report.stopped == "shutdown"
    assert (report.started_at - timedelta(microseconds=first)).timestamp() == 0


def test_equal_errors_of_several_drains_are_counted_together(scene: Scene) -> None:
    scene.letter("unknown")
    report, _ = run(
        scene, 5, {2: lambda: scene.letter("unknown")}, backoff=BackoffStrategy.fixed(3600)
    )
    [(text, letters)] = report.errors
    assert text.startswith("EventDecodeError: unknown event type")
    assert letters == 2


def test_what_is_left_is_told_by_the_last_drain(scene: Scene) -> None:
    for _ in range(4):
        scene.letter("fails")
    report, _ = run(scene, 1, stop_on_consecutive_failures=1)
    assert (report.failed, report.remaining) == (1, 3)


def test_progress_is_told_in_all(scene: Scene) -> None:
    told: list[ReplayReport] = []
    scene.letter()
    scene.letter("fails")
    sleeper = Sleeper(scene, 3)
    sleeper.during = {1: scene.letter, 2: scene.letter}
    report = sleeper.replay().run(on_progress=told.append)
    assert [(one.succeeded, one.failed) for one in told] == [(1, 1), (2, 1), (3, 1)]
    assert told[-1].errors == report.errors
    assert (report.succeeded, report.failed) == (3, 1)
    assert all(one.stopped is None for one in told)


def test_progress_tells_what_remains_of_the_drain_at_work(scene: Scene) -> None:
    told: list[ReplayReport] = []
    for _ in range(3):
        scene.letter()
    Sleeper(scene, 1).replay(max_transaction_time=1e-6).run(on_progress=told.append)
    assert [(one.succeeded, one.remaining) for one in told] == [(1, 2), (2, 1), (3, 0)]


def test_a_drain_that_did_something_is_a_line_of_info_and_an_idle_look_none(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="azoth_dlq")
    scene.letter()
    run(scene, 6, {3: scene.letter})
    told = [r.getMessage() for r in caplog.records if r.levelno == logging.INFO]
    assert [line.split(";")[0] for line in told] == [
        "1 attempted (1 succeeded)",
        "1 attempted (1 succeeded)",
        "run ended: 2 attempted (2 succeeded)",
    ]
    idle = [r for r in caplog.records if r.getMessage().startswith("0 attempted")]
    assert idle
    assert {record.levelno for record in idle} == {logging.DEBUG}


def test_letters_in_the_hands_of_others_are_no_line_of_info(
    scene: Scene, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = scene.letter()
    monkeypatch.setattr(scene.queue.store, "claimed", lambda: {letter})
    caplog.set_level(logging.INFO, logger="azoth_dlq")
    report, slept = run(scene, 3)
    assert (report.skipped, report.attempted) == (3, 0)
    assert slept == [1.0] * 3
    # The first look, and the end.
    assert len(caplog.records) == 2


# What ends it


def test_it_does_nothing_where_it_is_not_enabled(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="azoth_dlq")
    letter = scene.letter()
    replayer = Sleeper(scene, 1).replay(enabled=False)
    report = replayer.run()
    assert (report.attempted, report.stopped, report.remaining) == (0, None, 0)
    assert scene.left() == [letter]
    assert [record.getMessage() for record in caplog.records] == [
        "nothing is replayed: enabled is False; enabled=True (--enabled) changes it"
    ]
    # Drains do not ask.
    assert replayer.drain().succeeded == 1


def test_a_run_after_a_shutdown_ends_at_once(scene: Scene) -> None:
    letter = scene.letter()
    sleeper = Sleeper(scene, 1)
    replayer = sleeper.replay()
    replayer.shutdown()
    for _ in range(2):
        report = replayer.run()
        assert (report.attempted, report.stopped) == (0, "shutdown")
    assert sleeper.asked == []
    assert scene.left() == [letter]


def test_a_shutdown_in_a_handler_ends_it_after_that_letter(scene: Scene) -> None:
    sleeper = Sleeper(scene, 9)

    def stop(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        replayer.shutdown()

    scene.registry.register("stop", stop)
    done, left = scene.letter("stop"), scene.letter("stop")
    replayer = sleeper.replay()
    report = replayer.run()
    assert (report.succeeded, report.remaining, report.stopped) == (1, 1, "shutdown")
    assert (scene.effects(), scene.left()) == ([done], [left])
    assert sleeper.asked == []


def _sleeping_run(scene: Scene, **settings: Any) -> DlqReplayer:
    """With the default sleep."""
    return DlqReplayer(scene.queue, scene.registry, DlqReplayConfig(**settings), clock=scene.clock)


def test_a_shutdown_from_another_thread_ends_its_sleep_at_once(scene: Scene) -> None:
    letters = [scene.letter() for _ in range(3)]
    replayer = _sleeping_run(scene)
    timer = threading.Timer(0.3, replayer.shutdown)
    timer.start()
    began = time.monotonic()
    report = replayer.run()
    took = time.monotonic() - began
    timer.join()
    assert 0.25 < took < 10
    assert scene.effects() == letters
    assert (report.succeeded, report.stopped) == (3, "shutdown")


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the platform has no interval timer")
@pytest.mark.parametrize("during", ["sleep", "handler"])
def test_a_shutdown_by_a_signal_of_its_own_thread_ends_it(scene: Scene, during: str) -> None:
    def slow(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        time.sleep(0.3)
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))

    scene.registry.register("slow", slow)
    letters = [scene.letter("slow") for _ in range(2)] if during == "handler" else []
    replayer = _sleeping_run(scene)
    before = signal.signal(signal.SIGALRM, lambda *_: replayer.shutdown())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        began = time.monotonic()
        report = replayer.run()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < 10
    assert report.stopped == "shutdown"
    assert scene.effects() == letters[:1]
    assert scene.left() == letters[1:]


def test_in_real_time_it_wakes_for_a_letter_that_failed_before(scene: Scene) -> None:
    failures = 1

    def once(*_args: object) -> None:
        nonlocal failures
        scene.calls.append(0)
        if failures:
            failures = 0
            raise ConnectionError("nobody answers")
        replayer.shutdown()

    scene.registry.register("once", once)
    scene.queue.add(1, b"once:", "boom")
    config = DlqReplayConfig(min_age=0, backoff=BackoffStrategy.fixed(1.5))
    replayer = DlqReplayer(scene.queue, scene.registry, config)
    began = time.monotonic()
    report = replayer.run()
    took = time.monotonic() - began
    assert (report.succeeded, report.failed) == (1, 1)
    assert 1.5 <= took < 10


def test_what_a_handler_raises_beyond_exception_goes_up(scene: Scene) -> None:
    def leave(*_args: object) -> None:
        raise SystemExit(3)

    scene.registry.register("leaves", leave)
    done = scene.letter()
    left = scene.letter("leaves")
    sleeper = Sleeper(scene, 9)
    with pytest.raises(SystemExit):
        sleeper.replay().run()
    assert sleeper.asked == []
    assert (scene.effects(), scene.left()) == ([done], [left])
    assert scene.conn.execute("SELECT max(retry_count) FROM dead_letter_queue").fetchone() == (0,)


def test_a_transaction_left_open_by_the_progress_ends_it(scene: Scene) -> None:
    def begin(_report: ReplayReport) -> None:
        scene.conn.execute("BEGIN")

    for _ in range(3):
        scene.letter()
    sleeper = Sleeper(scene, 9)
    with pytest.raises(InvalidStateError, match="left open"):
        sleeper.replay(max_transaction_time=1e-6).run(on_progress=begin)
    assert sleeper.asked == []


def test_a_queue_that_is_closed_cannot_run(tmp_path: Path, scene: Scene) -> None:
    queue = DeadLetterQueue.open(tmp_path / "other.db")
    queue.close()
    with pytest.raises(InvalidStateError, match="closed"):
        DlqReplayer(queue, scene.registry).run()
