"""A table whose AUTOINCREMENT has reached its end: SQLite says that the disk is full."""

from __future__ import annotations

from typing import Any

import pytest

from azoth_dlq import NonRetryable, StorageError
from tests.conftest import Scene

HIGHEST = 2**63 - 1


def use_up(scene: Scene, table: str) -> None:
    scene.conn.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (table, HIGHEST))
    scene.conn.commit()


def park(_conn: object, _event_id: int, _payload: bytes) -> None:
    raise NonRetryable("no use")


def test_a_letter_that_cannot_be_added_is_told_from_a_full_disk(any_scene: Scene) -> None:
    use_up(any_scene, "dead_letter_queue")
    with pytest.raises(
        StorageError, match=r"no id left for another row of dead_letter_queue.*sqlite_sequence"
    ):
        any_scene.queue.add(1, b"ok:", "boom")
    assert any_scene.left() == []


def test_a_letter_that_cannot_be_parked_is_told_from_a_full_disk(any_scene: Scene) -> None:
    any_scene.registry.register("parks", park)
    letters = [any_scene.letter(), any_scene.letter("parks"), any_scene.letter()]
    use_up(any_scene, "permanent_failures")
    with pytest.raises(StorageError, match="no id left for another row of permanent_failures"):
        any_scene.drain()
    assert any_scene.effects() == letters[:1]
    assert any_scene.left() == letters[1:]


def test_a_letter_of_the_highest_id_is_drained_and_requeued(any_scene: Scene) -> None:
    any_scene.registry.register("parks", park)
    letter = any_scene.letter("parks", id=HIGHEST)
    assert any_scene.drain().parked == 1
    (parked,) = any_scene.queue.permanent_failures()
    assert any_scene.queue.requeue([parked.id]) == 1
    assert any_scene.left() == [letter]


def test_ids_that_are_used_up_amid_a_verb_are_told_though_it_is_undone(any_scene: Scene) -> None:
    """The second letter's former id is in use again, and the first takes the last one."""
    any_scene.registry.register("parks", park)
    highest = any_scene.letter("parks", id=HIGHEST, failed_at="2020-01-01 00:00:00")  # is first
    again = any_scene.letter("parks", id=7)
    assert any_scene.drain().parked == 2
    any_scene.letter(id=7)
    any_scene.conn.execute("DELETE FROM sqlite_sequence WHERE name = 'dead_letter_queue'")
    any_scene.conn.commit()
    ids = {letter.dead_letter_id: letter.id for letter in any_scene.queue.permanent_failures()}
    with pytest.raises(StorageError, match="no id left for another row of dead_letter_queue"):
        any_scene.queue.requeue([ids[highest], ids[again]])
    assert any_scene.left() == [7]


def test_a_full_disk_is_still_told_as_one(any_scene: Scene) -> None:
    pages: Any = any_scene.conn.execute("PRAGMA page_count").fetchone()[0]
    any_scene.conn.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="the disk is full"):
        any_scene.queue.add(1, bytes(10**6), "boom")
