"""Faults of the database itself charge nobody, and what can be committed is."""

from __future__ import annotations

import pickle
import sqlite3
from typing import Any

import pytest

from azoth_dlq import StorageError
from tests.conftest import Scene
from tests.engine.lost_groups import add_orphan, fault, refuse_orphans

FAULTS = [
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
]


def _register(scene: Scene, code: int) -> None:
    def handle(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        scene.calls.append(event_id)
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        raise fault(code)

    scene.registry.register("meets", handle)


def _assert_nobody_was_charged(scene: Scene) -> None:
    counts = "SELECT max(retry_count), max(azoth_last_error) FROM dead_letter_queue"
    assert scene.conn.execute(counts).fetchone() == (0, None)
    assert scene.queue.permanent_failure_count() == 0
    assert scene.conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("code", FAULTS)
@pytest.mark.parametrize("before", [0, 1, 2, 5, 8])
def test_a_fault_that_a_handler_meets_ends_the_drain_when_what_was_before_is_done(
    any_scene: Scene, code: int, before: int
) -> None:
    _register(any_scene, code)
    done = [any_scene.letter() for _ in range(before)]
    in_hand = any_scene.letter("meets")
    after = any_scene.letter()
    with pytest.raises(StorageError) as caught:
        any_scene.drain()
    assert any_scene.effects() == done
    assert any_scene.left() == [in_hand, after]
    _assert_nobody_was_charged(any_scene)
    report = caught.value.report
    assert report is not None
    assert (report.succeeded, report.failed, report.attempted) == (before, 0, before)
    assert str(any_scene.path) in str(caught.value)
    assert after not in any_scene.calls


@pytest.mark.parametrize("is_cause", [True, False], ids=["cause", "context"])
def test_a_fault_behind_another_error_of_the_handler_is_a_fault(
    scene: Scene, is_cause: bool
) -> None:
    def handle(_conn: sqlite3.Connection, _event_id: int, _payload: bytes) -> None:
        try:
            raise fault(sqlite3.SQLITE_IOERR)
        except sqlite3.OperationalError as error:
            failure = RuntimeError("the handler's own words")
            if is_cause:
                failure.__cause__ = error
            raise failure  # noqa: B904 -- both ways are looked at

    scene.registry.register("wraps", handle)
    scene.letter("wraps")
    with pytest.raises(StorageError, match="cannot be read or written"):
        scene.drain()
    _assert_nobody_was_charged(scene)


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_BUSY]
)
def test_other_errors_of_sqlite_are_failures_of_the_letter(scene: Scene, code: int) -> None:
    _register(scene, code)
    letter = scene.letter("meets")
    report = scene.drain()
    assert report.failed == 1
    failed = scene.queue.get(letter)
    assert failed is not None
    assert failed.retry_count == 1


def test_a_failure_before_the_fault_stays_charged(scene: Scene) -> None:
    _register(scene, sqlite3.SQLITE_FULL)
    failed = scene.letter("fails")
    scene.letter("meets")
    with pytest.raises(StorageError) as caught:
        scene.drain()
    assert caught.value.report is not None
    assert caught.value.report.failed == 1
    letter = scene.queue.get(failed)
    assert letter is not None
    assert letter.retry_count == 1


def test_an_event_without_a_handler_before_the_fault_does_not_hide_it(scene: Scene) -> None:
    """The drain ends, instead of doing the same group again and again."""
    _register(scene, sqlite3.SQLITE_FULL)
    unknown = scene.letter("unknown")
    in_hand = scene.letter("meets")
    with pytest.raises(StorageError):
        scene.drain()
    assert scene.left() == [unknown, in_hand]
    assert scene.calls.count(in_hand) < 5
    letter = scene.queue.get(unknown)
    assert letter is not None
    assert letter.retry_count == 1


def test_the_error_of_a_fault_pickles_with_its_report(scene: Scene) -> None:
    _register(scene, sqlite3.SQLITE_FULL)
    scene.letter()
    scene.letter("meets")
    with pytest.raises(StorageError) as caught:
        scene.drain()
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert copy.report == caught.value.report


# A file that really cannot grow


def _limit_pages(scene: Scene, more: int) -> None:
    [pages] = scene.conn.execute("PRAGMA page_count").fetchone()
    scene.conn.execute(f"PRAGMA max_page_count = {pages + more}")


def _register_growing(scene: Scene) -> None:
    scene.conn.execute("CREATE TABLE blobs (event_id INTEGER, b BLOB)")

    def grow(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        scene.calls.append(event_id)
        conn.execute("INSERT INTO blobs VALUES (?, zeroblob(20000))", (event_id,))

    scene.registry.register("grows", grow)


def test_a_full_file_commits_what_fits_and_charges_nobody(any_scene: Scene) -> None:
    any_scene.letter()
    any_scene.drain()
    _register_growing(any_scene)
    letters = [any_scene.letter("grows") for _ in range(40)]
    _limit_pages(any_scene, 60)
    with pytest.raises(StorageError, match="disk is full") as caught:
        any_scene.drain()
    stored = [e for (e,) in any_scene.conn.execute("SELECT event_id FROM blobs ORDER BY 1")]
    assert 5 <= len(stored) < 40
    assert stored == letters[: len(stored)]
    assert any_scene.left() == letters[len(stored) :]
    _assert_nobody_was_charged(any_scene)
    assert caught.value.report is not None
    assert caught.value.report.succeeded == len(stored)


def test_a_file_that_was_full_is_drained_when_there_is_room(scene: Scene) -> None:
    _register_growing(scene)
    letters = [scene.letter("grows") for _ in range(20)]
    _limit_pages(scene, 40)
    with pytest.raises(StorageError):
        scene.drain()
    scene.conn.execute("PRAGMA max_page_count = 1000000")
    scene.drain()
    stored = [e for (e,) in scene.conn.execute("SELECT event_id FROM blobs ORDER BY 1")]
    assert stored == letters
    assert scene.left() == []


def test_a_file_too_full_for_the_errors_of_handlers_charges_nobody(scene: Scene) -> None:
    def fail(*_args: object) -> None:
        raise ValueError("x" * 3000)

    scene.registry.register("tells", fail)
    letters = [scene.letter("tells") for _ in range(20)]
    _limit_pages(scene, 1)
    with pytest.raises(StorageError, match="the disk is full; free some space"):
        scene.drain()
    assert scene.left() == letters
    assert scene.queue.permanent_failure_count() == 0


# What keeps a group from being written or committed


def _register_orphan(scene: Scene) -> None:
    refuse_orphans(scene)

    def orphan(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        scene.calls.append(event_id)
        add_orphan(conn)

    scene.registry.register("orphan", orphan)


def _assert_charged_once(scene: Scene, letters: list[int], words: str) -> None:
    for letter_id in letters:
        letter = scene.queue.get(letter_id)
        assert letter is not None
        assert letter.retry_count == 1
        assert words in str(letter.last_error)


@pytest.mark.parametrize("place", [0, 73, 199])
def test_a_deferred_constraint_is_found_among_two_hundred_by_halving(
    any_scene: Scene, place: int
) -> None:
    _register_orphan(any_scene)
    letters = [any_scene.letter("orphan" if n == place else "ok") for n in range(200)]
    commits = 0

    def count(statement: str) -> None:
        nonlocal commits
        commits += statement.startswith("COMMIT")

    any_scene.conn.set_trace_callback(count)
    report = any_scene.drain(max_transaction_time=30)
    any_scene.conn.set_trace_callback(None)
    culprit = letters.pop(place)
    assert any_scene.effects() == letters
    assert any_scene.left() == [culprit]
    _assert_charged_once(any_scene, [culprit], "FOREIGN KEY")
    assert (report.succeeded, report.failed, report.skipped) == (199, 1, 0)
    # Letter by letter it would take 200.
    assert commits < 50


def test_two_deferred_constraints_are_both_found(scene: Scene) -> None:
    _register_orphan(scene)
    letters = [scene.letter("orphan" if n in (3, 4) else "ok") for n in range(30)]
    report = scene.drain()
    _assert_charged_once(scene, letters[3:5], "FOREIGN KEY")
    assert (report.succeeded, report.failed) == (28, 2)
    assert scene.effects() == letters[:3] + letters[5:]


def test_an_event_without_a_handler_before_a_deferred_constraint_hides_nothing(
    scene: Scene,
) -> None:
    _register_orphan(scene)
    unknown = scene.letter("unknown")
    orphan = scene.letter("orphan")
    good = scene.letter()
    report = scene.drain()
    assert (report.succeeded, report.failed) == (1, 2)
    assert scene.effects() == [good]
    _assert_charged_once(scene, [orphan], "FOREIGN KEY")
    _assert_charged_once(scene, [unknown], "EventDecodeError")


@pytest.mark.parametrize("columns", [{"event_bytes": 5}, {"event_id": "seven"}])
def test_an_unreadable_row_behind_a_deferred_constraint_hides_nothing(
    scene: Scene, columns: dict[str, Any]
) -> None:
    _register_orphan(scene)
    good = scene.letter()
    orphan = scene.letter("orphan")
    bad = scene.letter(**columns)
    report = scene.drain()
    assert (report.succeeded, report.failed, report.unreadable) == (1, 1, 1)
    assert scene.effects() == [good]
    assert list(scene.parked()) == [bad]
    _assert_charged_once(scene, [orphan], "FOREIGN KEY")


def test_a_trigger_that_keeps_an_ack_out_fails_that_letter(scene: Scene) -> None:
    letters = [scene.letter() for _ in range(10)]
    scene.conn.execute(
        f"CREATE TRIGGER keep BEFORE DELETE ON dead_letter_queue WHEN old.id = {letters[4]} "
        "BEGIN SELECT RAISE(ABORT, 'it is to stay'); END"
    )
    report = scene.drain()
    assert (report.succeeded, report.failed) == (9, 1)
    _assert_charged_once(scene, [letters[4]], "it is to stay")


@pytest.mark.parametrize("unreadable", [False, True], ids=["failed", "unreadable"])
def test_a_trigger_that_keeps_letters_from_being_parked_is_told_as_a_storage_error(
    scene: Scene, unreadable: bool
) -> None:
    scene.letter()
    scene.letter("fails", failed_at="?" if unreadable else "2026-11-24 10:00:01")
    scene.queue.clear_permanent_failures()
    scene.conn.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON permanent_failures "
        "BEGIN SELECT RAISE(ABORT, 'nothing is parked here'); END"
    )
    with pytest.raises(StorageError, match="nothing is parked here") as caught:
        scene.drain(max_retries=1)
    assert caught.value.report is not None
    assert not scene.conn.in_transaction
    assert scene.queue.count() == 1  # the other one is done all the same


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
