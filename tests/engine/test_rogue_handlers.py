"""Handlers that would take the transaction away: only the culprit fails, by name."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue, StorageError
from tests.conftest import Scene
from tests.engine.lost_groups import add_orphan, refuse_orphans, roll_back_by_conflict


def _commit(conn: sqlite3.Connection) -> None:
    conn.commit()


def _rollback(conn: sqlite3.Connection) -> None:
    conn.rollback()


def _with_block(conn: sqlite3.Connection) -> None:
    with conn:
        conn.execute("INSERT INTO effects VALUES (-1)")


def _executescript(conn: sqlite3.Connection) -> None:
    conn.executescript("INSERT INTO effects VALUES (-1)")


def _execute_commit(conn: sqlite3.Connection) -> None:
    conn.execute("COMMIT")


def _execute_end(conn: sqlite3.Connection) -> None:
    conn.execute("end transaction")


def _execute_rollback(conn: sqlite3.Connection) -> None:
    conn.execute("ROLLBACK")


def _release_ours(conn: sqlite3.Connection) -> None:
    conn.execute("RELEASE AZOTH_DLQ_LETTER")


def _roll_back_to_ours(conn: sqlite3.Connection) -> None:
    conn.execute("ROLLBACK TO azoth_dlq_letter")


def _isolation_level_none(conn: sqlite3.Connection) -> None:
    conn.isolation_level = None
    conn.commit()


def _swallowed_commit(conn: sqlite3.Connection) -> None:
    with contextlib.suppress(Exception):
        conn.commit()


def _query_only(conn: sqlite3.Connection) -> None:
    conn.execute("PRAGMA query_only = ON")


def _swallowed_locking_mode(conn: sqlite3.Connection) -> None:
    with contextlib.suppress(Exception):
        conn.execute("PRAGMA locking_mode = EXCLUSIVE")


def _swallowed_commit_and_begin(conn: sqlite3.Connection) -> None:
    for statement in ("COMMIT", "BEGIN", "INSERT INTO effects VALUES (-1)"):
        with contextlib.suppress(Exception):
            conn.execute(statement)


PREVENTED = [
    _commit,
    _rollback,
    _with_block,
    _executescript,
    _execute_commit,
    _execute_end,
    _execute_rollback,
    _release_ours,
    _roll_back_to_ours,
    _isolation_level_none,
    _swallowed_commit,
    _query_only,
    _swallowed_locking_mode,
    _swallowed_commit_and_begin,
]


def _surrounded(scene: Scene, rogue: Any) -> tuple[list[int], int]:
    """Three good letters, the rogue one, three good ones; the good ids and the rogue's."""

    def handle(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        rogue(conn)

    scene.registry.register("rogue", handle)
    before = [scene.letter() for _ in range(3)]
    culprit = scene.letter("rogue")
    after = [scene.letter() for _ in range(3)]
    return before + after, culprit


def _assert_only_the_culprit_failed(scene: Scene, good: list[int], culprit: int) -> str:
    assert scene.effects() == good
    assert scene.left() == [culprit]
    letter = scene.queue.get(culprit)
    assert letter is not None
    assert letter.retry_count == 1
    assert letter.last_error is not None
    assert "_surrounded.<locals>.handle" in letter.last_error
    return letter.last_error


@pytest.mark.parametrize("rogue", PREVENTED, ids=lambda f: f.__name__.strip("_"))
def test_a_handler_cannot_end_the_transaction(any_scene: Scene, rogue: Any) -> None:
    good, culprit = _surrounded(any_scene, rogue)
    report = any_scene.drain()
    error = _assert_only_the_culprit_failed(any_scene, good, culprit)
    assert "the handler tried to" in error
    assert (report.succeeded, report.failed) == (6, 1)
    # Nothing was lost, so nothing was called again.
    assert any_scene.calls == good


def _swallowed_conflict_then_write(conn: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.IntegrityError):
        roll_back_by_conflict(conn)
    with contextlib.suppress(sqlite3.Error):
        conn.execute("INSERT INTO effects VALUES (-1)")


@pytest.mark.parametrize(
    "rogue", [roll_back_by_conflict, _swallowed_conflict_then_write], ids=lambda f: f.__name__
)
def test_a_group_that_a_statement_rolled_back_is_done_again(any_scene: Scene, rogue: Any) -> None:
    good, culprit = _surrounded(any_scene, rogue)
    report = any_scene.drain()
    _assert_only_the_culprit_failed(any_scene, good, culprit)
    assert (report.succeeded, report.failed, report.skipped) == (6, 1, 0)
    assert any_scene.calls == good[:3] + good


def test_a_statement_left_half_read_fails_its_own_letter(any_scene: Scene) -> None:
    kept = []

    def half_read(conn: sqlite3.Connection) -> None:
        cursor = conn.execute("INSERT INTO effects VALUES (-1), (-2) RETURNING event_id")
        cursor.fetchone()
        kept.append(cursor)

    good, culprit = _surrounded(any_scene, half_read)
    report = any_scene.drain()
    error = _assert_only_the_culprit_failed(any_scene, good, culprit)
    assert "half read" in error
    assert (report.succeeded, report.failed) == (6, 1)


def test_a_deferred_constraint_fails_its_own_letter(any_scene: Scene) -> None:
    refuse_orphans(any_scene)
    good, culprit = _surrounded(any_scene, add_orphan)
    report = any_scene.drain()
    assert any_scene.effects() == good
    assert any_scene.left() == [culprit]
    letter = any_scene.queue.get(culprit)
    assert letter is not None
    assert "FOREIGN KEY" in str(letter.last_error)
    assert (report.succeeded, report.failed, report.skipped) == (6, 1, 0)


def test_closing_the_connection_is_refused(scene: Scene) -> None:
    good, culprit = _surrounded(scene, lambda conn: conn.close())
    scene.drain()
    assert "close the connection" in _assert_only_the_culprit_failed(scene, good, culprit)


def test_closing_a_connection_of_the_users_ends_the_drain_with_an_error_that_says_so(
    plain_scene: Scene,
) -> None:
    good, culprit = _surrounded(plain_scene, lambda conn: conn.close())
    with pytest.raises(StorageError, match=f"the handler of letter {culprit} closed") as caught:
        plain_scene.drain()
    assert caught.value.report is not None
    assert caught.value.report.succeeded == 0
    with DeadLetterQueue.open(str(plain_scene.path)) as queue:
        assert queue.count() == len(good) + 1
        assert queue.connection.execute("SELECT count(*) FROM effects").fetchone() == (0,)


def test_a_commit_behind_the_guard_is_told_by_the_token(plain_scene: Scene) -> None:
    """The effects are in the file, so the letters are acked, not called again."""

    def sneaky(conn: sqlite3.Connection) -> None:
        conn.set_authorizer(None)
        conn.commit()

    good, culprit = _surrounded(plain_scene, sneaky)
    report = plain_scene.drain()
    assert plain_scene.effects() == sorted([*good, culprit])
    assert plain_scene.left() == [culprit]
    assert plain_scene.calls == good
    assert (report.succeeded, report.failed, report.skipped) == (6, 1, 0)


def _own_authorizer(conn: sqlite3.Connection) -> None:
    conn.set_authorizer(lambda *_: sqlite3.SQLITE_OK)


def _roll_back_and_go_on(conn: sqlite3.Connection) -> None:
    _own_authorizer(conn)
    conn.rollback()
    conn.execute("BEGIN")
    conn.execute("INSERT INTO effects VALUES (-1)")


def _roll_back_by_conflict_and_go_on(conn: sqlite3.Connection) -> None:
    _own_authorizer(conn)
    _swallowed_conflict_then_write(conn)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("rogue", [_roll_back_and_go_on, _roll_back_by_conflict_and_go_on])
def test_a_transaction_of_the_handlers_own_is_no_endless_loop(
    plain_scene: Scene, rogue: Any
) -> None:
    good, culprit = _surrounded(plain_scene, rogue)
    report = plain_scene.drain()
    _assert_only_the_culprit_failed(plain_scene, good, culprit)
    assert (report.succeeded, report.failed) == (6, 1)


@pytest.mark.parametrize("end", [sqlite3.Connection.commit, sqlite3.Connection.rollback])
def test_a_transaction_of_the_handlers_own_is_told_of_no_letter_behind_it(
    plain_scene: Scene, end: Any
) -> None:
    """Also where that one's event leads to no handler."""

    def sneaky(conn: sqlite3.Connection) -> None:
        _own_authorizer(conn)
        end(conn)
        conn.execute("BEGIN IMMEDIATE")

    good, culprit = _surrounded(plain_scene, sneaky)
    plain_scene.conn.execute(
        "UPDATE dead_letter_queue SET event_bytes = CAST('zzz' AS BLOB) WHERE id = ?", (good[3],)
    )
    plain_scene.conn.commit()
    report = plain_scene.drain()
    assert plain_scene.left() == [culprit, good[3]]
    errors = {letter.id: letter.last_error or "" for letter in plain_scene.queue.letters()}
    assert "ended the transaction" in errors[culprit]
    assert "EventDecodeError" in errors[good[3]]
    assert (report.succeeded, report.failed, report.remaining) == (5, 2, 0)


def test_a_commit_behind_the_guard_that_goes_on_writing_fails_its_letter(
    plain_scene: Scene,
) -> None:
    def sneaky(conn: sqlite3.Connection) -> None:
        _own_authorizer(conn)
        conn.commit()
        conn.execute("INSERT INTO effects VALUES (-1)")

    good, culprit = _surrounded(plain_scene, sneaky)
    report = plain_scene.drain()
    assert plain_scene.effects() == sorted([*good, culprit])
    assert plain_scene.left() == [culprit]
    assert plain_scene.calls == good
    assert (report.succeeded, report.failed) == (6, 1)
