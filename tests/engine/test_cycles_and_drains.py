"""What a cycle and a drain take on, and what their reports say."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from typing import Any

import pytest

from azoth_dlq import (
    BackoffStrategy,
    NonRetryable,
    ReplayReport,
    RetryAfter,
    Snooze,
)
from tests.conftest import NOW, Scene


def test_a_drain_attempts_every_due_letter(scene: Scene) -> None:
    letters = [scene.letter() for _ in range(350)]
    report = scene.drain(batch_size=10)
    assert scene.calls == letters
    assert report.succeeded == 350


def test_a_cycle_attempts_at_most_its_batch(scene: Scene) -> None:
    letters = [scene.letter() for _ in range(25)]
    replayer = scene.replay(batch_size=10)
    assert [replayer.run_replay_cycle().succeeded for _ in range(4)] == [10, 10, 5, 0]
    assert scene.calls == letters


def test_a_letter_is_attempted_once_a_drain_however_soon_it_is_due_again(scene: Scene) -> None:
    letters = [scene.letter("fails") for _ in range(5)]
    report = scene.drain(backoff=BackoffStrategy.fixed(0), min_age=0, max_transaction_time=1e-6)
    assert scene.calls == letters
    assert report.failed == 5


def test_letters_that_arrive_meanwhile_wait_for_the_next_drain(scene: Scene) -> None:
    """From the handler, from another connection, and beside the handler's own batch."""
    planned = [scene.letter() for _ in range(3)]
    other = sqlite3.connect(str(scene.path), isolation_level=None)
    arrived: list[int] = []

    def arrive(_report: ReplayReport) -> None:
        cursor = other.execute(
            "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message, failed_at) "
            "VALUES (-1, 'ok:', 'boom', '2026-11-20 00:00:00')"
        )
        assert cursor.lastrowid is not None
        arrived.append(cursor.lastrowid)

    replayer = scene.replay(max_transaction_time=1e-6)
    report = replayer.drain(on_progress=arrive)
    other.close()
    assert (report.succeeded, scene.calls) == (3, planned)
    assert len(arrived) == 3
    assert scene.left() == arrived
    assert scene.drain().succeeded == 3


def test_letters_that_others_removed_or_changed_are_skipped(scene: Scene) -> None:
    letters = [scene.letter() for _ in range(6)]
    other = sqlite3.connect(str(scene.path), isolation_level=None)
    changes = [
        ("DELETE FROM dead_letter_queue WHERE id = ?", letters[1]),
        ("UPDATE dead_letter_queue SET retry_count = 1 WHERE id = ?", letters[3]),
        (
            "UPDATE dead_letter_queue SET last_retry_at = '2026-11-24 11:59:59' WHERE id = ?",
            letters[4],
        ),
    ]

    def change(_report: ReplayReport) -> None:
        while changes:
            statement, letter = changes.pop()
            other.execute(statement, (letter,))

    report = scene.replay(max_transaction_time=1e-6).drain(on_progress=change)
    other.close()
    assert scene.calls == [letters[0], letters[2], letters[5]]
    assert (report.succeeded, report.skipped, report.attempted) == (3, 3, 3)
    assert scene.left() == [letters[3], letters[4]]


def test_letters_that_are_skipped_take_no_place_in_a_cycle(scene: Scene) -> None:
    def remove(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        scene.calls.append(event_id)
        conn.execute("DELETE FROM dead_letter_queue WHERE id IN (?, ?)", (gone, event_id + 2))

    scene.registry.register("remove", remove)
    first = scene.letter("remove")
    gone, _also_gone = scene.letter(), scene.letter()
    second, third, left = (scene.letter() for _ in range(3))
    report = scene.replay(batch_size=3).run_replay_cycle()
    assert scene.calls == [first, second, third]
    assert (report.attempted, report.skipped, report.remaining) == (3, 2, 1)
    assert scene.left() == [left]


def test_a_letter_whose_new_text_says_the_same_is_not_skipped(scene: Scene) -> None:
    letters = [scene.letter() for _ in range(2)]
    other = sqlite3.connect(str(scene.path), isolation_level=None)

    def rewrite(_report: ReplayReport) -> None:
        other.execute("UPDATE dead_letter_queue SET failed_at = '2026-11-24T11:00:00+01:00'")

    report = scene.replay(max_transaction_time=1e-6).drain(on_progress=rewrite)
    other.close()
    assert (scene.calls, report.skipped) == (letters, 0)


def test_an_empty_queue_gives_an_empty_report_and_writes_nothing(any_scene: Scene) -> None:
    version = any_scene.conn.execute("PRAGMA schema_version").fetchone()
    report = any_scene.drain()
    assert (report.attempted, report.parked, report.skipped, report.waiting) == (0, 0, 0, 0)
    assert (report.stopped, report.next_due) == (None, None)
    assert any_scene.conn.execute("PRAGMA schema_version").fetchone() == version


# Reports


def _mixed(scene: Scene) -> ReplayReport:
    """One drain in which everything happens; its report."""

    def raising(error: Exception) -> Any:
        def handle(_conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
            scene.calls.append(event_id)
            raise error

        return handle

    scene.registry.register("never", raising(NonRetryable("it is gone")))
    scene.registry.register("later", raising(RetryAfter(30)))
    scene.registry.register("snooze", raising(Snooze(60)))
    kinds = ["ok"] * 4 + ["fails"] * 3 + ["never"] * 2 + ["later", "snooze", "unknown"]
    for kind in kinds:
        scene.letter(kind)
    scene.letter("fails", retry_count=4)
    scene.letter(retry_count=5)
    scene.letter(failed_at="?")
    scene.letter("", event_bytes=7)
    scene.letter(failed_at="2026-11-24 12:00:00")
    scene.letter(failed_at="2026-11-24 12:00:30")
    return scene.drain(backoff=BackoffStrategy.fixed(40))


def test_the_report_adds_up(scene: Scene) -> None:
    report = _mixed(scene)
    assert report.succeeded == 4
    assert report.failed == 3 + 2 + 1 + 1 + 1  # fails, never, later, unknown, the last attempt
    assert report.snoozed == 1
    assert report.attempted == report.succeeded + report.failed + report.snoozed == 13
    assert (report.exhausted, report.unreadable) == (1, 2)
    assert report.parked == 2 + 1 + 1 + 2  # never, the last attempt, exhausted, unreadable
    assert report.parked == scene.queue.permanent_failure_count()
    assert (report.waiting, report.next_due) == (2, NOW + timedelta(seconds=40))
    assert (report.skipped, report.stopped) == (0, None)
    assert report.started_at == NOW
    assert len(scene.left()) == 3 + 1 + 1 + 1 + 2


def test_the_report_so_far_is_given_after_each_commit(scene: Scene) -> None:
    for _ in range(5):
        scene.letter()
    seen: list[tuple[int, int]] = []
    other = sqlite3.connect(str(scene.path))

    def progress(report: ReplayReport) -> None:
        [committed] = other.execute("SELECT count(*) FROM effects").fetchone()
        seen.append((report.succeeded, committed))

    scene.replay(max_transaction_time=1e-6).drain(on_progress=progress)
    other.close()
    assert seen == [(n, n) for n in range(1, 6)]


def test_the_duration_is_that_of_the_monotonic_clock(scene: Scene) -> None:
    """The wall clock jumps back by a day meanwhile."""

    def jump(_conn: sqlite3.Connection, _event_id: int, _payload: bytes) -> None:
        scene.clock.move(days=-1)

    scene.registry.register("jump", jump)
    scene.letter("jump")
    assert timedelta(0) <= scene.drain().duration < timedelta(seconds=10)


def test_a_second_drain_of_one_replayer_starts_its_counts_anew(scene: Scene) -> None:
    replayer = scene.replay()
    scene.letter()
    assert replayer.drain().succeeded == 1
    scene.letter()
    assert replayer.drain().succeeded == 1


@pytest.mark.parametrize("table", ["dead_letter_queue", "permanent_failures"])
def test_a_temporary_table_of_the_same_name_hides_nothing(scene: Scene, table: str) -> None:
    scene.letter()
    scene.letter(retry_count=9)
    scene.conn.execute(f"CREATE TEMP TABLE {table} (id)")
    report = scene.drain()
    assert (report.succeeded, report.exhausted) == (1, 1)
    assert scene.queue.count() == 0
    assert scene.queue.permanent_failure_count() == 1


def test_letters_that_were_due_and_not_reached_remain(scene: Scene) -> None:
    for _ in range(5):
        scene.letter("fails")
    report = scene.drain(stop_on_consecutive_failures=2)
    assert (report.attempted, report.remaining, report.stopped) == (2, 3, "failures")
    assert scene.replay(batch_size=1).run_replay_cycle().remaining == 2


def test_the_report_counts_errors_the_commonest_first(scene: Scene) -> None:
    def raise_(_conn: object, event_id: int, _payload: bytes) -> None:
        raise ValueError("rare" if event_id == 1 else "common")

    scene.registry.register("raises", raise_)
    for event_id in (1, 2, 3):
        scene.letter("raises", event_id=event_id)
    assert scene.drain().errors == (("ValueError: common", 2), ("ValueError: rare", 1))


def test_errors_beyond_the_commonest_are_counted_together(scene: Scene) -> None:
    def raise_(_conn: object, event_id: int, _payload: bytes) -> None:
        raise ValueError("abcdefghijkl"[event_id] + " is down")

    scene.registry.register("raises", raise_)
    for event_id in (*range(12), 3, 3):
        scene.letter("raises", event_id=event_id)
    errors = scene.drain(max_retries=9, stop_on_consecutive_failures=None).errors
    assert [letters for _, letters in errors] == [3, *[1] * 9, 2]
    assert errors[-1][0] == "(other errors)"


def test_errors_that_differ_in_numbers_alone_are_one(scene: Scene) -> None:
    for _ in range(1200):
        scene.letter("fails")
    scene.letter("nobody's")
    errors = scene.drain(max_retries=9, stop_on_consecutive_failures=None).errors
    assert [letters for _, letters in errors] == [1200, 1]
