"""Letters whose rows the database does not let be changed or deleted cost only themselves."""

from __future__ import annotations

import pytest

from azoth_dlq import ReplayReport, StorageError
from tests.conftest import Scene


def _refuse_changes(scene: Scene, condition: str) -> None:
    scene.conn.execute(
        f"CREATE TRIGGER keep BEFORE UPDATE ON dead_letter_queue WHEN {condition} "
        "BEGIN SELECT RAISE(ABORT, 'it is to stay'); END"
    )
    if scene.conn.in_transaction:
        scene.conn.commit()


def test_a_letter_whose_failure_cannot_be_written_keeps_no_other_from_being_done(
    any_scene: Scene,
) -> None:
    kinds = ("ok", "fails", "ok", "fails", "ok", "fails")
    letters = [any_scene.letter(kind) for kind in kinds]
    kept = letters[1:4:2]
    _refuse_changes(any_scene, f"old.id IN ({kept[0]}, {kept[1]})")
    told: list[ReplayReport] = []
    with pytest.raises(StorageError, match="it is to stay") as caught:
        any_scene.replay().drain(on_progress=told.append)
    assert f"letter {kept[0]} stays as it was" in str(caught.value)
    report = caught.value.report
    assert report is not None
    assert (report.succeeded, report.failed, report.skipped, report.remaining) == (3, 1, 0, 2)
    assert told[-1].remaining == 2
    assert any_scene.effects() == letters[::2]
    assert any_scene.left() == [*kept, letters[-1]]
    # It has not been charged, and is called again by the next drain.
    _assert_counts(any_scene, {kept[0]: 0, kept[1]: 0, letters[-1]: 1})


def test_a_foreign_key_that_forbids_the_ack_fails_its_letter_alone(any_scene: Scene) -> None:
    letters = [any_scene.letter() for _ in range(5)]
    any_scene.conn.execute("PRAGMA foreign_keys = ON")
    any_scene.conn.execute("CREATE TABLE notes (letter REFERENCES dead_letter_queue(id))")
    any_scene.conn.execute("INSERT INTO notes VALUES (?)", (letters[2],))
    if any_scene.conn.in_transaction:
        any_scene.conn.commit()
    report = any_scene.drain()
    assert (report.succeeded, report.failed, report.remaining) == (4, 1, 0)
    assert any_scene.effects() == [letter for letter in letters if letter != letters[2]]
    _assert_counts(any_scene, {letters[2]: 1})


def test_a_table_that_refuses_every_failure_ends_the_drain_before_all_are_called(
    scene: Scene,
) -> None:
    letters = [scene.letter("fails") for _ in range(1200)]
    _refuse_changes(scene, "true")
    with pytest.raises(StorageError, match="it is to stay"):
        scene.drain()
    assert scene.left() == letters
    # In the first group alone.
    assert scene.calls.count(letters[-1]) == 1


def _assert_counts(scene: Scene, expected: dict[int, int]) -> None:
    assert dict(scene.conn.execute("SELECT id, retry_count FROM dead_letter_queue")) == expected
