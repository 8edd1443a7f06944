"""What is written, or left open, between two groups of a drain."""

from __future__ import annotations

import sqlite3
import time

import pytest

from azoth_dlq import InvalidStateError
from tests.conftest import Scene


def test_what_is_written_between_groups_through_the_same_connection_stays(scene: Scene) -> None:
    letters = [scene.letter() for _ in range(3)]

    def note(_report: object) -> None:
        scene.conn.execute("INSERT INTO effects VALUES (-1)")

    report = scene.replay(max_transaction_time=1e-6).drain(on_progress=note)
    assert report.succeeded == 3
    assert scene.effects() == [-1] * 3 + letters


def test_a_transaction_left_open_between_groups_is_told(plain_scene: Scene) -> None:
    for _ in range(2):
        plain_scene.letter()

    def note(_report: object) -> None:
        plain_scene.conn.execute("INSERT INTO effects VALUES (-1)")

    with pytest.raises(InvalidStateError, match="between two groups"):
        plain_scene.replay(max_transaction_time=1e-6).drain(on_progress=note)


def test_a_statement_that_was_used_between_groups_is_watched_in_handlers(scene: Scene) -> None:
    def drop(letter: int) -> None:
        scene.conn.execute("DELETE FROM dead_letter_queue WHERE id = ?", (letter,))

    scene.registry.register("drops", lambda _conn, event_id, _payload: drop(event_id + 1))
    scene.registry.register("takes a group", lambda *_: time.sleep(0.3))
    scene.letter("takes a group")
    scene.letter("drops")
    scene.letter()
    last = scene.letter()
    report = scene.replay(max_transaction_time=0.25).drain(on_progress=lambda _report: drop(-1))
    assert scene.calls == [last]
    assert (report.succeeded, report.skipped, scene.left()) == (3, 1, [])


def test_a_select_left_half_read_does_not_stop_the_drain(any_scene: Scene) -> None:
    kept = []

    def half_read(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        cursor = conn.execute("SELECT id FROM dead_letter_queue")
        cursor.fetchone()
        kept.append(cursor)
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))

    any_scene.registry.register("reads", half_read)
    letters = [any_scene.letter("reads") for _ in range(20)]
    writer = sqlite3.connect(str(any_scene.path), isolation_level=None)

    def write_beside(_report: object) -> None:
        writer.execute("CREATE TABLE IF NOT EXISTS beside (x)")
        writer.execute("INSERT INTO beside VALUES (1)")

    replayer = any_scene.replay(max_transaction_time=0.000001)
    report = replayer.drain(on_progress=write_beside)
    writer.close()
    assert report.succeeded == len(letters)
    assert any_scene.effects() == letters
