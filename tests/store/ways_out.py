"""Every way out of a drain, and what it must have put back on its connection."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import DlqReplayer, StorageError
from azoth_dlq.store.sqlite.guard import QueueConnection
from tests.conftest import Scene


class Watched(sqlite3.Connection):
    """Tells which authorizer it has; SQLite does not."""

    authorizer: object = None

    def set_authorizer(self, authorizer_callback: Any) -> None:
        self.authorizer = authorizer_callback
        super().set_authorizer(authorizer_callback)


class WatchedQueueConnection(Watched, QueueConnection):
    """The same, of the kind that DeadLetterQueue.open makes."""


def pragma(connection: sqlite3.Connection, name: str) -> Any:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return value


def settings(connection: Any) -> dict[str, Any]:
    return {
        "isolation_level": connection.isolation_level,
        "row_factory": connection.row_factory,
        "text_factory": connection.text_factory,
        "autocommit": getattr(connection, "autocommit", None),
        "in_transaction": connection.in_transaction,
        "authorizer": connection.authorizer,
        "busy_timeout": pragma(connection, "busy_timeout"),
        "wal_autocheckpoint": pragma(connection, "wal_autocheckpoint"),
        "synchronous": pragma(connection, "synchronous"),
        "journal_mode": pragma(connection, "journal_mode"),
        "foreign_keys": pragma(connection, "foreign_keys"),
    }


def fault(_conn: object, _event_id: int, _payload: bytes) -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


def interrupt(_conn: object, _event_id: int, _payload: bytes) -> None:
    raise KeyboardInterrupt


def drain_well(scene: Scene) -> None:
    scene.letter("fails")
    assert scene.drain().attempted == 2


def drain_without_letters(scene: Scene) -> None:
    scene.queue.clear()
    assert scene.drain().attempted == 0


def drain_into_a_fault(scene: Scene) -> None:
    scene.registry.register("full", fault)
    scene.letter("full")
    with pytest.raises(StorageError):
        scene.drain()


def drain_into_an_interrupt(scene: Scene) -> None:
    scene.registry.register("interrupt", interrupt)
    scene.letter("interrupt")
    with pytest.raises(KeyboardInterrupt):
        scene.drain()


def drain_a_locked_file(scene: Scene) -> None:
    assert scene.path is not None
    with closing(sqlite3.connect(scene.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="locked"):
            scene.drain(busy_timeout=0.01)


def drain_until_failures(scene: Scene) -> None:
    scene.queue.clear()
    letters = [scene.letter("fails") for _ in range(3)]
    assert scene.drain(stop_on_consecutive_failures=2).stopped == "failures"
    assert scene.calls == letters[:2]


def drain_until_shutdown(scene: Scene) -> None:
    replayer = scene.replay()
    scene.registry.register("shuts down", lambda _conn, _event_id, _payload: replayer.shutdown())
    scene.letter("shuts down")
    scene.letter()
    report = replayer.drain()
    assert (report.stopped, report.remaining) == ("shutdown", 1)


def drain_into_an_error_of_progress(scene: Scene) -> None:
    def fail(_report: object) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        scene.replay().drain(on_progress=fail)


def drain_into_an_interrupted_plan(scene: Scene) -> None:
    scene.conn.execute(
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
        "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message) "
        "SELECT i, 'ok:', 'boom' FROM n"
    )
    if scene.conn.in_transaction:
        scene.conn.commit()
    scene.conn.set_progress_handler(lambda: 1, 10_000)
    with pytest.raises(StorageError, match="interrupted"):
        scene.drain()
    scene.conn.set_progress_handler(None, 0)
    assert scene.calls == []


def drain_with_a_clock_that_fails(scene: Scene, reading: int) -> None:
    scene.letter("fails")
    scene.letter(failed_at="never")
    readings = iter(range(1, 100))

    def read() -> int:
        if next(readings) == reading:
            raise LookupError
        return scene.clock()

    with pytest.raises(LookupError):
        DlqReplayer(scene.queue, scene.registry, clock=read).drain()


def drain_with_a_clock_that_fails_before_the_plan(scene: Scene) -> None:
    drain_with_a_clock_that_fails(scene, 2)
    assert scene.calls == []


def drain_with_a_clock_that_fails_while_parking(scene: Scene) -> None:
    drain_with_a_clock_that_fails(scene, 3)
    assert (scene.calls, scene.parked()) == ([], {})


def drain_with_a_clock_that_fails_in_a_group(scene: Scene) -> None:
    drain_with_a_clock_that_fails(scene, 4)
    assert len(scene.calls) == 2
    assert scene.parked() != {}


def drain_into_a_lost_group(scene: Scene) -> None:
    def conflict(conn: sqlite3.Connection, _event_id: int, _payload: bytes) -> None:
        conn.execute("CREATE TABLE once (x UNIQUE)")
        for _ in range(2):
            conn.execute("INSERT OR ROLLBACK INTO once VALUES (1)")

    scene.registry.register("conflicts", conflict)
    scene.letter("conflicts")
    report = scene.drain()
    assert (report.succeeded, report.failed) == (1, 1)


def drain_into_a_group_that_was_committed(scene: Scene) -> None:
    def commit(conn: sqlite3.Connection, _event_id: int, _payload: bytes) -> None:
        sqlite3.Connection.set_authorizer(conn, None)
        sqlite3.Connection.commit(conn)

    scene.registry.register("commits", commit)
    scene.letter("commits")
    report = scene.drain()
    assert (report.succeeded, report.failed) == (1, 1)


def drain_without_a_marker(scene: Scene) -> None:
    Path(f"{scene.path}-azoth").mkdir()
    with pytest.raises(StorageError, match="ordinary file"):
        scene.drain()


DRAINS = [
    drain_well,
    drain_without_letters,
    drain_into_a_fault,
    drain_into_an_interrupt,
    drain_a_locked_file,
    drain_without_a_marker,
    drain_until_failures,
    drain_until_shutdown,
    drain_into_an_error_of_progress,
    drain_into_an_interrupted_plan,
    drain_with_a_clock_that_fails_before_the_plan,
    drain_with_a_clock_that_fails_while_parking,
    drain_with_a_clock_that_fails_in_a_group,
    drain_into_a_lost_group,
    drain_into_a_group_that_was_committed,
]
