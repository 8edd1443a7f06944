"""Batches that would take the transaction away, keep it from being committed, or meet faults."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue, StorageError
from azoth_dlq._event import Event
from tests.conftest import Scene
from tests.engine.batching import Batching, takes_batches
from tests.engine.lost_groups import add_orphan, fault, refuse_orphans, roll_back_by_conflict

Acts = Callable[[Any, list[Event]], object]


def _surrounded(
    scene: Scene,
    acts: Acts | None,
    acts_singly: Callable[[Any, int], object] | None = None,
    most: int | None = None,
) -> tuple[Batching, list[int]]:
    """Two good letters, six of a batch, two good ones; the ids of all."""
    handler = takes_batches(scene, Batching(acts, acts_singly), most=most)
    kinds = ["ok"] * 2 + ["batch"] * 6 + ["ok"] * 2
    return handler, [scene.letter(kind) for kind in kinds]


def _assert_all_done_once(scene: Scene, letters: list[int]) -> None:
    assert scene.effects() == letters
    assert scene.left() == []
    assert scene.queue.permanent_failure_count() == 0


def _assert_failed_alone(scene: Scene, letters: list[int], culprit: int, words: str) -> None:
    assert scene.effects() == [letter for letter in letters if letter != culprit]
    assert scene.left() == [culprit]
    failed = scene.queue.get(culprit)
    assert failed is not None
    assert failed.retry_count == 1
    assert words in str(failed.last_error)


def _with_block(conn: sqlite3.Connection) -> None:
    with conn:
        pass


def _swallowed_commit(conn: sqlite3.Connection) -> None:
    with contextlib.suppress(Exception):
        conn.commit()


def _execute_rollback(conn: sqlite3.Connection) -> None:
    conn.execute("ROLLBACK")


def _release_ours(conn: sqlite3.Connection) -> None:
    conn.execute("RELEASE azoth_dlq_letter")


def _half_read(conn: sqlite3.Connection) -> None:
    cursor = conn.execute("INSERT INTO effects VALUES (-1), (-2) RETURNING event_id")
    cursor.fetchone()
    _kept.append(cursor)


def _swallowed_conflict(conn: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.IntegrityError):
        roll_back_by_conflict(conn)


def _swallowed_conflict_then_write(conn: sqlite3.Connection) -> None:
    _swallowed_conflict(conn)
    with contextlib.suppress(sqlite3.Error):
        conn.execute("INSERT INTO effects VALUES (-1)")


_kept: list[sqlite3.Cursor] = []
ROGUES = [
    sqlite3.Connection.commit,
    sqlite3.Connection.rollback,
    _with_block,
    _swallowed_commit,
    _execute_rollback,
    _release_ours,
    _half_read,
    roll_back_by_conflict,
    _swallowed_conflict,
    _swallowed_conflict_then_write,
]


def test_a_culprit_that_is_found_late_is_named(scene: Scene) -> None:
    """Also where the next letters are fetched before it is."""

    def end(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        # In the words of the drain: SQLite takes the statement for one that it has checked.
        conn.execute("RELEASE azoth_dlq_letter /* azoth-dlq */")

    scene.registry.register("ends", end)
    letters = [*(scene.letter() for _ in range(31)), scene.letter("ends"), scene.letter()]
    report = scene.drain(memory_limit=2**20)  # 32 letters are fetched at once
    assert (report.succeeded, report.failed, scene.left()) == (32, 1, letters[31:32])
    failed = scene.queue.get(letters[31])
    assert failed is not None
    assert "test_a_culprit_that_is_found_late_is_named.<locals>.end: " in str(failed.last_error)


@pytest.mark.parametrize("rogue", ROGUES, ids=lambda f: f.__name__.strip("_"))
@pytest.mark.parametrize("most", [6, 2])
def test_a_batch_that_ends_the_transaction_costs_no_letter_anything(
    any_scene: Scene, rogue: Callable[[sqlite3.Connection], object], most: int
) -> None:
    handler, letters = _surrounded(any_scene, lambda conn, _events: rogue(conn), most=most)
    report = any_scene.drain()
    _assert_all_done_once(any_scene, letters)
    assert (report.succeeded, report.failed, report.skipped) == (10, 0, 0)
    assert sorted(set(handler.singly)) == letters[2:8]


@pytest.mark.parametrize(
    ("rogue", "words"),
    [
        (roll_back_by_conflict, "ended the transaction"),
        (_swallowed_conflict, "ended the transaction"),
        (_half_read, "half read"),
        (_execute_rollback, "the handler tried to"),
        (_release_ours, "the handler tried to"),
    ],
)
def test_the_culprit_of_a_batch_is_found_by_single_calls(
    any_scene: Scene, rogue: Callable[[sqlite3.Connection], object], words: str
) -> None:
    def act(conn: sqlite3.Connection, events: list[Event]) -> None:
        if culprit in [event.event_id for event in events]:
            rogue(conn)

    def act_singly(conn: sqlite3.Connection, event_id: int) -> None:
        if event_id == culprit:
            rogue(conn)

    culprit = 5
    _, letters = _surrounded(any_scene, act, act_singly)
    report = any_scene.drain()
    assert (report.succeeded, report.failed, report.skipped) == (9, 1, 0)
    _assert_failed_alone(any_scene, letters, culprit, words)


def test_a_batch_that_ends_the_transaction_and_is_interrupted_charges_nobody(
    any_scene: Scene,
) -> None:
    def act(conn: sqlite3.Connection, _events: object) -> None:
        _swallowed_conflict(conn)
        raise KeyboardInterrupt

    _, letters = _surrounded(any_scene, act)
    with pytest.raises(KeyboardInterrupt):
        any_scene.drain()
    assert (any_scene.effects(), any_scene.left()) == ([], letters)
    assert {letter.retry_count for letter in any_scene.queue.letters()} == {0}


def test_a_commit_behind_the_guard_is_told_by_the_token(plain_scene: Scene) -> None:
    """The effects are in the file: those of the letters before are acked; of those of the batch,
    which are called again, nobody knows."""

    def sneaky(conn: sqlite3.Connection, _events: object) -> None:
        conn.set_authorizer(None)
        conn.commit()

    handler, letters = _surrounded(plain_scene, sneaky)
    report = plain_scene.drain()
    assert plain_scene.left() == []
    assert plain_scene.calls == [*letters[:2], *letters[8:]]
    assert handler.batches == [letters[2:8]]
    assert handler.singly == letters[2:8]
    assert (report.succeeded, report.failed) == (10, 0)
    assert plain_scene.effects() == sorted([*letters, *letters[2:8]])


def test_closing_the_connection_is_refused(scene: Scene) -> None:
    _, letters = _surrounded(scene, lambda conn, _events: conn.close())
    assert scene.drain().succeeded == 10
    _assert_all_done_once(scene, letters)


def test_closing_a_connection_of_the_users_ends_the_drain(plain_scene: Scene) -> None:
    _, letters = _surrounded(plain_scene, lambda conn, _events: conn.close())
    with pytest.raises(StorageError, match="closed the queue's connection"):
        plain_scene.drain()
    with DeadLetterQueue.open(str(plain_scene.path)) as queue:
        assert {letter.retry_count for letter in queue.letters()} == {0}
        assert queue.count() == len(letters)


# What is found only when the group is committed


@pytest.mark.parametrize("culprit", [3, 5, 8])
@pytest.mark.parametrize("most", [6, 4])
def test_a_letter_of_a_batch_that_violates_a_deferred_constraint_fails_alone(
    any_scene: Scene, culprit: int, most: int
) -> None:
    refuse_orphans(any_scene)

    def act(conn: sqlite3.Connection, events: list[Event]) -> None:
        if culprit in [event.event_id for event in events]:
            add_orphan(conn)

    def act_singly(conn: sqlite3.Connection, event_id: int) -> None:
        if event_id == culprit:
            add_orphan(conn)

    _, letters = _surrounded(any_scene, act, act_singly, most)
    report = any_scene.drain()
    assert (report.succeeded, report.failed, report.skipped) == (9, 1, 0)
    _assert_failed_alone(any_scene, letters, culprit, "FOREIGN KEY")


def test_batches_that_violate_a_deferred_constraint_by_themselves_charge_nobody(
    any_scene: Scene,
) -> None:
    refuse_orphans(any_scene)
    handler, letters = _surrounded(any_scene, lambda conn, _events: add_orphan(conn))
    report = any_scene.drain()
    assert (report.succeeded, report.failed, report.skipped) == (10, 0, 0)
    _assert_all_done_once(any_scene, letters)
    assert sorted(set(handler.singly)) == letters[2:8]


def test_a_letter_before_a_failed_batch_that_cannot_be_committed_fails_alone(
    any_scene: Scene,
) -> None:
    """Where the group ends behind the batch, of which no letter has an outcome."""
    refuse_orphans(any_scene)

    def act(_conn: object, _events: object) -> None:
        time.sleep(0.1)
        raise ValueError("no batches")

    def violate(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        add_orphan(conn)

    takes_batches(any_scene, Batching(act))
    any_scene.registry.register("orphan", violate)
    letters = [any_scene.letter(kind) for kind in ("orphan", "batch", "batch")]
    report = any_scene.drain(max_transaction_time=0.05)
    assert (report.succeeded, report.failed) == (2, 1)
    _assert_failed_alone(any_scene, letters, letters[0], "violate")


def test_a_trigger_that_keeps_one_ack_of_a_batch_out_fails_that_letter(scene: Scene) -> None:
    handler, letters = _surrounded(scene, None)
    scene.conn.execute(
        f"CREATE TRIGGER keep BEFORE DELETE ON dead_letter_queue WHEN old.id = {letters[4]} "
        "BEGIN SELECT RAISE(ABORT, 'it is to stay'); END"
    )
    report = scene.drain()
    assert (report.succeeded, report.failed) == (9, 1)
    _assert_failed_alone(scene, letters, letters[4], "it is to stay")
    assert handler.batches[0] == letters[2:8]


# Faults of the database


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR])
def test_a_fault_that_every_batch_meets_charges_nobody(any_scene: Scene, code: int) -> None:
    def act(_conn: object, _events: object) -> None:
        raise fault(code)

    handler, letters = _surrounded(any_scene, act)
    with pytest.raises(StorageError) as caught:
        any_scene.drain()
    assert caught.value.report is not None
    assert (caught.value.report.succeeded, caught.value.report.failed) == (2, 0)
    assert any_scene.effects() == letters[:2]
    assert any_scene.left() == letters[2:]
    assert {letter.retry_count for letter in any_scene.queue.letters()} == {0}
    assert handler.singly == []


def test_a_batch_that_does_not_fit_on_the_disk_is_halved_until_it_does(any_scene: Scene) -> None:
    def grow(conn: sqlite3.Connection, events: list[Event]) -> None:
        for event in events:
            conn.execute("INSERT INTO blobs VALUES (?, zeroblob(20000))", (event.event_id,))

    takes_batches(any_scene, Batching(acts=grow))
    any_scene.conn.execute("CREATE TABLE blobs (event_id INTEGER, b BLOB)")
    any_scene.letter()
    any_scene.drain()
    letters = [any_scene.letter("batch") for _ in range(40)]
    [pages] = any_scene.conn.execute("PRAGMA page_count").fetchone()
    any_scene.conn.execute(f"PRAGMA max_page_count = {pages + 60}")
    with pytest.raises(StorageError, match="disk is full") as caught:
        any_scene.drain()
    stored = [e for (e,) in any_scene.conn.execute("SELECT event_id FROM blobs ORDER BY 1")]
    assert 8 <= len(stored) < 40
    assert stored == letters[: len(stored)]
    assert any_scene.left() == letters[len(stored) :]
    assert caught.value.report is not None
    assert caught.value.report.succeeded == len(stored)
    assert {letter.retry_count for letter in any_scene.queue.letters()} == {0}
    any_scene.conn.execute("PRAGMA max_page_count = 1000000")
    assert any_scene.drain().succeeded == 40 - len(stored)
