"""Handlers that would take the transaction away: only the culprit fails, by name."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
import time
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue, InvalidStateError, RetryAfter, StorageError
from tests.conftest import Scene


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


def _roll_back_by_conflict(conn: sqlite3.Connection) -> None:
    conn.execute("CREATE TABLE IF NOT EXISTS once (x UNIQUE)")
    conn.execute("INSERT INTO once VALUES (1)")
    conn.execute("INSERT OR ROLLBACK INTO once VALUES (1)")


def _swallowed_conflict_then_write(conn: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.IntegrityError):
        _roll_back_by_conflict(conn)
    with contextlib.suppress(sqlite3.Error):
        conn.execute("INSERT INTO effects VALUES (-1)")


@pytest.mark.parametrize(
    "rogue", [_roll_back_by_conflict, _swallowed_conflict_then_write], ids=lambda f: f.__name__
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
    any_scene.conn.execute("PRAGMA foreign_keys = ON")
    any_scene.conn.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
    any_scene.conn.execute(
        "CREATE TABLE child (parent REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED)"
    )
    any_scene.conn.commit()

    def orphan(conn: sqlite3.Connection) -> None:
        conn.execute("INSERT INTO child VALUES (7)")

    good, culprit = _surrounded(any_scene, orphan)
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
    assert (report.succeeded, report.failed) == (6, 1)


def test_ddl_of_a_good_letter_survives_a_later_failure(any_scene: Scene) -> None:
    def make_table(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        conn.execute(f"CREATE TABLE made_by_{event_id} (x)")

    any_scene.registry.register("ddl", make_table)
    first = any_scene.letter("ddl")
    any_scene.letter("fails")
    second = any_scene.letter("ddl")
    any_scene.drain()
    tables = {n for (n,) in any_scene.conn.execute("SELECT name FROM sqlite_master")}
    assert {f"made_by_{first}", f"made_by_{second}"} <= tables


def test_a_failing_handler_leaves_nothing_of_its_own(any_scene: Scene) -> None:
    ok = [any_scene.letter("fails" if n % 3 == 1 else "ok") for n in range(9)]
    any_scene.drain()
    assert any_scene.effects() == [letter for n, letter in enumerate(ok) if n % 3 != 1]
    assert any_scene.left() == [letter for n, letter in enumerate(ok) if n % 3 == 1]


def test_a_blob_written_by_a_good_letter_survives_a_later_failure(scene: Scene) -> None:
    scene.conn.execute("CREATE TABLE blobs (id INTEGER PRIMARY KEY, b BLOB)")
    scene.conn.execute("INSERT INTO blobs VALUES (1, zeroblob(3))")

    def write_blob(conn: sqlite3.Connection, _event_id: int, _payload: bytes) -> None:
        with conn.blobopen("blobs", "b", 1) as blob:
            blob.write(b"abc")

    scene.registry.register("blob", write_blob)
    scene.letter("blob")
    scene.letter("fails")
    scene.drain()
    assert scene.conn.execute("SELECT b FROM blobs").fetchone() == (b"abc",)


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


def test_a_failing_letter_with_the_id_zero_leaves_nothing(any_scene: Scene) -> None:
    any_scene.letter("fails", id=0, event_id=7)
    report = any_scene.drain()
    assert (report.failed, any_scene.effects(), any_scene.left()) == (1, [], [0])


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    reason: str


class Undelayed(RetryAfter):
    def __init__(self) -> None:
        Exception.__init__(self, "no delay")


class Strange(sqlite3.OperationalError):
    sqlite_errorcode = "none"  # type: ignore[assignment]


@pytest.mark.parametrize("error", [Frozen("x"), Undelayed(), Strange("x")], ids=repr)
def test_an_error_of_an_odd_type_fails_its_letter_alone(scene: Scene, error: Exception) -> None:
    def raise_(_conn: sqlite3.Connection, _event_id: int, _payload: bytes) -> None:
        raise error

    scene.registry.register("odd", raise_)
    odd = scene.letter("odd")
    good = scene.letter()
    report = scene.drain()
    assert (report.succeeded, report.failed, scene.left()) == (1, 1, [odd])
    assert scene.effects() == [good]


@pytest.mark.parametrize(
    ("table", "event"),
    [("permanent_failures", "INSERT"), ("dead_letter_queue", "DELETE")],
)
def test_a_trigger_that_swallows_a_write_loses_and_doubles_nothing(
    scene: Scene, table: str, event: str
) -> None:
    scene.conn.execute(
        f"CREATE TRIGGER silent BEFORE {event} ON {table} BEGIN SELECT RAISE(IGNORE); END"
    )
    exhausted = scene.letter(retry_count=9)
    with pytest.raises(StorageError):
        scene.drain()
    assert scene.left() == [exhausted]
    assert scene.parked() == {}


def test_a_trigger_that_swallows_the_charge_of_a_letter_is_told(scene: Scene) -> None:
    letter = scene.letter("fails")
    scene.conn.execute(
        "CREATE TRIGGER silent BEFORE UPDATE ON dead_letter_queue BEGIN SELECT RAISE(IGNORE); END"
    )
    with pytest.raises(StorageError, match="kept from being updated"):
        scene.drain()
    assert (scene.effects(), scene.left()) == ([], [letter])


def test_an_interrupt_of_the_acks_charges_nobody(scene: Scene) -> None:
    letters = [scene.letter(), scene.letter()]

    def interrupt(text: str) -> None:
        if text.startswith("DELETE"):
            scene.conn.interrupt()

    scene.conn.set_trace_callback(interrupt)
    with pytest.raises(StorageError, match="interrupted"):
        scene.drain()
    scene.conn.set_trace_callback(None)
    assert (scene.effects(), scene.left()) == ([], letters)
    assert {letter.retry_count for letter in scene.queue.letters()} == {0}


def test_a_trigger_that_swallows_new_letters_is_told(scene: Scene) -> None:
    scene.conn.execute(
        "CREATE TRIGGER silent BEFORE INSERT ON dead_letter_queue BEGIN SELECT RAISE(IGNORE); END"
    )
    with pytest.raises(StorageError, match="does not take a row"):
        scene.queue.add(1, b"ok:", "boom")


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


def test_letters_discarded_through_another_queue_on_the_connection_are_skipped(
    scene: Scene,
) -> None:
    def discard(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        DeadLetterQueue(conn).discard([event_id + 1])

    scene.registry.register("discards", discard)
    scene.letter("discards")
    scene.letter()
    last = scene.letter()
    assert scene.drain(max_transaction_time=30).skipped == 1
    assert scene.calls == [last]


def test_an_interrupt_goes_up_also_where_the_group_cannot_be_committed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_conn: sqlite3.Connection, _event_id: int, _payload: bytes) -> None:
        raise KeyboardInterrupt

    def refuse(_settlement: object) -> None:
        raise StorageError("no")

    scene.registry.register("interrupts", interrupt)
    letter = scene.letter("interrupts")
    monkeypatch.setattr(scene.queue.store, "settle", refuse)
    with pytest.raises(KeyboardInterrupt):
        scene.drain()
    assert scene.left() == [letter]


def test_a_progress_handler_left_behind_leaves_the_connection_in_order(scene: Scene) -> None:
    def leave(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        conn.set_progress_handler(lambda: 1, 1)

    scene.registry.register("leaves", leave)
    letters = [scene.letter(), scene.letter("leaves"), scene.letter()]
    report = scene.drain()
    assert (report.succeeded, report.failed) == (2, 1)
    scene.conn.set_progress_handler(None, 0)
    assert not scene.conn.in_transaction
    assert scene.conn.isolation_level is None
    assert scene.conn.execute("PRAGMA wal_autocheckpoint").fetchone() == (1000,)
    assert (scene.effects(), scene.left()) == ([letters[0], letters[2]], [letters[1]])
