"""What ends a drain before its end: failures in a row, and shutdown()."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from azoth_dlq import (
    BackoffStrategy,
    DlqReplayConfig,
    DlqReplayer,
    EventDecodeError,
    EventHandlerRegistry,
    NonRetryable,
    ReplayReport,
    RetryAfter,
    Snooze,
)
from tests.conftest import Scene
from tests.engine.deaths import die_in_the_handler_of
from tests.engine.lost_groups import roll_back_by_conflict


def _script(scene: Scene, *outcomes: Exception | None) -> list[int]:
    """A letter an outcome, played in order by the handler `plays`."""
    played: Iterator[Exception | None] = iter(outcomes)

    def handle(_conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        scene.calls.append(event_id)
        outcome = next(played)
        if outcome is not None:
            raise outcome

    scene.registry.register("plays", handle)
    return [scene.letter("plays") for _ in outcomes]


def _fault() -> Exception:
    return ValueError("it failed")


def test_failures_in_a_row_stop_the_drain(scene: Scene) -> None:
    letters = _script(scene, None, *[_fault() for _ in range(5)])
    report = scene.drain(stop_on_consecutive_failures=3)
    assert scene.calls == letters[:4]
    assert (report.stopped, report.succeeded, report.failed) == ("failures", 1, 3)
    assert scene.left() == letters[1:]


def test_failures_in_a_row_stop_a_cycle(scene: Scene) -> None:
    letters = _script(scene, *[_fault() for _ in range(5)])
    report = scene.replay(stop_on_consecutive_failures=2).run_replay_cycle()
    assert scene.calls == letters[:2]
    assert report.stopped == "failures"


def test_a_success_between_starts_the_count_anew(scene: Scene) -> None:
    letters = _script(scene, _fault(), _fault(), None, _fault(), _fault(), None)
    report = scene.drain(stop_on_consecutive_failures=3)
    assert scene.calls == letters
    assert report.stopped is None


def test_none_never_stops(scene: Scene) -> None:
    letters = _script(scene, *[_fault() for _ in range(50)])
    report = scene.drain(stop_on_consecutive_failures=None)
    assert (scene.calls, report.stopped) == (letters, None)


def test_the_count_runs_across_groups(scene: Scene) -> None:
    letters = _script(scene, *[_fault() for _ in range(9)])
    report = scene.drain(stop_on_consecutive_failures=4, max_transaction_time=1e-6)
    assert scene.calls == letters[:4]
    assert report.stopped == "failures"


def test_retry_after_counts(scene: Scene) -> None:
    letters = _script(scene, *[RetryAfter(5) for _ in range(5)])
    report = scene.drain(stop_on_consecutive_failures=2)
    assert scene.calls == letters[:2]
    assert report.stopped == "failures"


@pytest.mark.parametrize(
    "silent", [NonRetryable("gone"), Snooze(5), EventDecodeError("odd")], ids=repr
)
def test_what_says_nothing_about_the_outside_does_not_count(
    scene: Scene, silent: Exception
) -> None:
    letters = _script(scene, *[silent for _ in range(6)])
    report = scene.drain(stop_on_consecutive_failures=2)
    assert (scene.calls, report.stopped) == (letters, None)


@pytest.mark.parametrize(
    "silent", [NonRetryable("gone"), Snooze(5), EventDecodeError("odd")], ids=repr
)
def test_what_says_nothing_about_the_outside_does_not_start_the_count_anew(
    scene: Scene, silent: Exception
) -> None:
    letters = _script(scene, _fault(), silent, _fault(), None)
    report = scene.drain(stop_on_consecutive_failures=2)
    assert scene.calls == letters[:3]
    assert report.stopped == "failures"


def test_events_without_a_handler_and_unreadable_rows_do_not_count(scene: Scene) -> None:
    for _ in range(5):
        scene.letter("unknown")
        scene.letter("", event_bytes=5)
        scene.letter(failed_at="?")
    good = scene.letter()
    report = scene.drain(stop_on_consecutive_failures=2)
    assert (scene.calls, report.stopped) == ([good], None)


def test_a_death_in_a_handler_does_not_count(scene: Scene) -> None:
    scene.letter()
    scene.drain()
    poison, bad, good = scene.letter(), scene.letter("fails"), scene.letter()
    die_in_the_handler_of(scene, poison)
    report = scene.drain(stop_on_consecutive_failures=2)
    assert (report.failed, report.succeeded, report.skipped) == (2, 1, 0)
    assert report.stopped is None
    assert scene.left() == [poison, bad]
    assert good in scene.calls


def test_what_a_route_does_to_the_transaction_does_not_count(scene: Scene) -> None:
    def route(event_bytes: bytes) -> tuple[str, bytes]:
        if event_bytes == b"bad":
            scene.conn.execute("ROLLBACK")
        return "ok", event_bytes

    handler: Any = scene.registry.get("ok")
    scene.registry = EventHandlerRegistry(route=route)
    scene.registry.register("ok", handler)
    for _ in range(3):
        scene.letter(event_bytes=b"bad")
    good = scene.letter()
    report = scene.drain(stop_on_consecutive_failures=2)
    assert (report.failed, report.stopped) == (3, None)
    assert scene.calls == [good]


def test_a_letter_parked_by_its_last_failure_is_parked_before_the_stop(scene: Scene) -> None:
    letters = _script(scene, _fault(), _fault())
    report = scene.drain(stop_on_consecutive_failures=1, max_retries=1)
    assert report.stopped == "failures"
    assert list(scene.parked()) == letters[:1]
    assert scene.left() == letters[1:]


def test_failures_that_lose_the_transaction_count_too(scene: Scene) -> None:
    def rogue(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        scene.calls.append(event_id)
        roll_back_by_conflict(conn)

    scene.registry.register("rogue", rogue)
    letters = [scene.letter("rogue") for _ in range(6)]
    report = scene.drain(stop_on_consecutive_failures=2)
    assert scene.calls == letters[:2]
    assert (report.stopped, report.failed) == ("failures", 2)


def test_the_letters_before_a_lost_transaction_are_done_before_the_stop(scene: Scene) -> None:
    scene.registry.register("rogue", roll_back_by_conflict)
    before = [scene.letter() for _ in range(3)]
    scene.letter("rogue")
    scene.letter()
    report = scene.drain(stop_on_consecutive_failures=1)
    assert scene.effects() == before
    assert (report.stopped, report.succeeded, report.failed) == ("failures", 3, 1)


# shutdown()


def test_shutdown_ends_a_drain_after_the_letter_in_hand(scene: Scene) -> None:
    replayer = scene.replay()

    def stop(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        scene.calls.append(event_id)
        replayer.shutdown()
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))

    scene.registry.register("stop", stop)
    before = scene.letter()
    in_hand = scene.letter("stop")
    after = scene.letter()
    report = replayer.drain()
    assert scene.calls == [before, in_hand]
    assert scene.effects() == [before, in_hand]
    assert scene.left() == [after]
    assert (report.stopped, report.succeeded) == ("shutdown", 2)


def test_shutdown_with_the_last_letter_in_hand_stops_nothing(scene: Scene) -> None:
    replayer = scene.replay()
    scene.registry.register("stop", lambda *_args: replayer.shutdown())
    scene.letter("stop")
    report = replayer.drain()
    assert (report.stopped, report.succeeded) == (None, 1)


def test_shutdown_by_another_thread_ends_a_drain(scene: Scene) -> None:
    scene.registry.register("slow", lambda *_args: time.sleep(0.01))
    for _ in range(500):
        scene.letter("slow")
    replayer = scene.replay()
    timer = threading.Timer(0.1, replayer.shutdown)
    timer.start()
    report = replayer.drain()
    timer.join()
    assert report.stopped == "shutdown"
    assert 0 < report.succeeded < 400
    assert len(scene.left()) == 500 - report.succeeded


@pytest.mark.parametrize("kind", ["within", "outside"])
def test_shutdown_loses_no_outcome_where_others_hold_the_file(scene: Scene, kind: str) -> None:
    """A reader keeps the first group from being committed, a writer the second from being begun."""
    scene.conn.execute("PRAGMA journal_mode = DELETE")
    other = sqlite3.connect(str(scene.path), isolation_level=None, check_same_thread=False)
    timer = threading.Timer(0.3, other.execute, ["ROLLBACK"])

    def handle(_conn: sqlite3.Connection | None, _event_id: int, _payload: bytes) -> None:
        other.execute("BEGIN" if kind == "within" else "BEGIN IMMEDIATE")
        other.execute("SELECT count(*) FROM dead_letter_queue").fetchone()
        timer.start()
        replayer.shutdown()

    scene.registry.register("within", handle)
    scene.registry.register("outside", handle, transactional=False)
    _done, left = scene.letter(kind), scene.letter(kind)
    replayer = scene.replay()
    report = replayer.drain()
    timer.join()
    other.close()
    assert (report.succeeded, report.stopped) == (1, "shutdown")
    assert scene.left() == [left]


def test_shutdown_leaves_unreadable_rows_for_the_next_drain(scene: Scene) -> None:
    for _ in range(3):
        scene.letter(failed_at="?")
    replayer = scene.replay()
    replayer.shutdown()
    report = replayer.drain()
    assert (report.parked, report.stopped) == (0, "shutdown")
    assert len(scene.left()) == 3


def test_shutdown_ends_the_sleep_of_a_turn_at_once(scene: Scene) -> None:
    """The drain leaves the file to others for a minute, after two calls of 0.6 s."""
    scene.registry.register("slow", lambda *_args: time.sleep(0.6))
    for _ in range(3):
        scene.letter("slow")
    config = DlqReplayConfig(yield_time=60, max_transaction_time=0.1)
    replayer = DlqReplayer(scene.queue, scene.registry, config, clock=scene.clock)
    asleep = threading.Event()

    def progress(report: ReplayReport) -> None:
        if report.succeeded == 2:
            asleep.set()

    def stop() -> None:
        asleep.wait(10)
        time.sleep(0.1)
        replayer.shutdown()

    thread = threading.Thread(target=stop)
    thread.start()
    began = time.monotonic()
    report = replayer.drain(on_progress=progress)
    took = time.monotonic() - began
    thread.join()
    assert (report.succeeded, report.stopped) == (2, "shutdown")
    assert took < 5


def test_shutdown_ends_the_wait_for_a_locked_file(scene: Scene) -> None:
    scene.letter()
    other = sqlite3.connect(str(scene.path), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    replayer = scene.replay(busy_timeout=60)
    timer = threading.Timer(0.2, replayer.shutdown)
    timer.start()
    began = time.monotonic()
    report = replayer.drain()
    took = time.monotonic() - began
    timer.join()
    other.close()
    assert (report.stopped, report.attempted) == ("shutdown", 0)
    assert took < 5


def test_settings_of_a_replayer_are_those_it_was_made_with(scene: Scene) -> None:
    settings: dict[str, Any] = {"max_retries": 7, "backoff": BackoffStrategy.fixed(1)}
    assert scene.replay(**settings).config.max_retries == 7
    default = DlqReplayer(scene.queue, scene.registry)
    assert default.config == DlqReplayConfig()
