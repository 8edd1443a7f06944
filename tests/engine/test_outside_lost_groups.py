"""Faults and refused commits around calls outside any transaction: only the culprit pays."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from contextlib import closing

import pytest

from azoth_dlq import StorageError
from tests.conftest import Scene
from tests.engine.lost_groups import add_orphan, fault, refuse_orphans, roll_back_by_conflict
from tests.engine.outside import (
    amid_others,
    claims,
    outside,
    outside_batches,
    raises,
    retry_counts,
)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR])
def test_a_fault_of_the_database_charges_nobody(any_scene: Scene, code: int) -> None:
    outside(any_scene, raises(fault(code)))
    letters = amid_others(any_scene)
    with pytest.raises(StorageError, match="met in the handler") as caught:
        any_scene.drain()
    assert caught.value.report is not None
    assert (caught.value.report.succeeded, caught.value.report.failed) == (1, 0)
    assert any_scene.effects() == letters[:1]
    assert retry_counts(any_scene) == dict.fromkeys(letters[1:], 0)
    assert claims(any_scene) == []


def test_the_outcome_of_a_call_is_written_though_the_file_is_locked_beyond_busy_timeout(
    any_scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """Its handler would be called again otherwise."""
    caplog.set_level(logging.WARNING, "azoth_dlq")
    letter = any_scene.letter("outside")
    with closing(sqlite3.connect(str(any_scene.path), check_same_thread=False)) as other:

        def lock(_conn: None, _event_id: int) -> None:
            other.execute("BEGIN IMMEDIATE")
            threading.Timer(0.5, other.rollback).start()

        handler = outside(any_scene, lock)
        report = any_scene.drain(busy_timeout=0.1)
    assert (report.succeeded, handler.called) == (1, [letter])
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "locked by another program" in warning
    assert warning.endswith("trying for up to 1 s to write what became of a handler's call")


@pytest.mark.parametrize("busy_timeout", [0.05, 0])
def test_a_file_that_stays_locked_ends_the_wait_for_writing_an_outcome(
    any_scene: Scene, busy_timeout: float
) -> None:
    letter = any_scene.letter("outside")
    with closing(sqlite3.connect(str(any_scene.path))) as other:
        outside(any_scene, lambda *_: other.execute("BEGIN IMMEDIATE"))
        began = time.monotonic()
        with pytest.raises(StorageError, match="locked by another program"):
            any_scene.drain(busy_timeout=busy_timeout)
        assert 10 * busy_timeout <= time.monotonic() - began < 10
    assert any_scene.left() == [letter]


def _keep(scene: Scene, letter: int, event: str = "DELETE") -> None:
    scene.conn.execute(
        f"CREATE TRIGGER keep BEFORE {event} ON dead_letter_queue WHEN old.id = {letter} "
        "BEGIN SELECT RAISE(ABORT, 'it is to stay'); END"
    )
    if scene.conn.in_transaction:
        scene.conn.commit()


def test_an_ack_that_is_refused_fails_its_letter_once(any_scene: Scene) -> None:
    handler = outside(any_scene)
    letters = [any_scene.letter(kind) for kind in ("ok", "outside", "ok", "outside", "ok")]
    _keep(any_scene, letters[1])
    report = any_scene.drain()
    assert (report.succeeded, report.failed) == (4, 1)
    assert handler.called == [letters[1], letters[3]]
    assert retry_counts(any_scene) == {letters[1]: 1}
    failed = any_scene.queue.get(letters[1])
    assert failed is not None
    assert "tests.engine.outside.Outside: " in str(failed.last_error)
    assert "it is to stay" in str(failed.last_error)
    assert any_scene.effects() == [letters[0], letters[2], letters[4]]
    assert claims(any_scene) == []


def _register_orphan(scene: Scene) -> None:
    refuse_orphans(scene)

    def violate(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        add_orphan(conn)

    scene.registry.register("orphan", violate)


@pytest.mark.parametrize("place", range(4))
def test_a_letter_that_cannot_be_committed_costs_those_outside_nothing(
    any_scene: Scene, place: int
) -> None:
    _register_orphan(any_scene)
    handler = outside(any_scene)
    kinds = ["outside", "outside", "outside"]
    kinds.insert(place, "orphan")
    letters = [any_scene.letter(kind) for kind in kinds]
    culprit = letters.pop(place)
    report = any_scene.drain()
    assert (report.succeeded, report.failed) == (3, 1)
    assert handler.called == letters
    assert retry_counts(any_scene) == {culprit: 1}


def _roll_back(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
    conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
    roll_back_by_conflict(conn)


@pytest.mark.parametrize("place", range(4))
def test_a_letter_that_takes_the_transaction_away_costs_those_outside_nothing(
    any_scene: Scene, place: int
) -> None:
    """The outcome of the call before is recorded again."""
    any_scene.registry.register("rolls back", _roll_back)
    handler = outside(any_scene)
    kinds = ["outside", "ok", "outside"]
    kinds.insert(place, "rolls back")
    letters = [any_scene.letter(kind) for kind in kinds]
    culprit = letters.pop(place)
    report = any_scene.drain()
    assert (report.succeeded, report.failed) == (3, 1)
    assert handler.called == [letters[0], letters[2]]
    assert retry_counts(any_scene) == {culprit: 1}
    assert any_scene.effects() == [letters[1]]


def test_an_ack_of_a_batch_that_is_refused_fails_its_letter_alone(any_scene: Scene) -> None:
    handler = outside_batches(any_scene)
    letters = [any_scene.letter("outside") for _ in range(5)]
    _keep(any_scene, letters[2])
    report = any_scene.drain()
    assert (report.succeeded, report.failed) == (4, 1)
    assert handler.batches == [letters]
    assert retry_counts(any_scene) == {letters[2]: 1}
    assert claims(any_scene) == []
