"""Ids that a table without AUTOINCREMENT gives again: a history belongs to its letter."""

from __future__ import annotations

from pathlib import Path

import pytest

from azoth_dlq import Snooze
from tests.conftest import Scene
from tests.store.conftest import execute


def replaced(scene: Scene, kind: str) -> int:
    """A letter under the id of one that has a history and that another program deletes."""
    letter = scene.letter("fails")
    scene.drain()
    assert len(scene.queue.history(letter)) == 1
    execute(Path(str(scene.path)), "DELETE FROM dead_letter_queue")
    assert scene.letter(kind, id=letter) == letter
    return letter


def test_a_new_letter_has_none_of_the_one_before(scene: Scene) -> None:
    assert scene.queue.history(replaced(scene, "ok")) == []


def test_its_first_failure_is_its_whole_history(scene: Scene) -> None:
    letter = replaced(scene, "fails")
    scene.clock.move(hours=1)
    scene.drain(now=True)
    (attempt,) = scene.queue.history(letter)
    scene.clock.move(hours=1)
    scene.drain(now=True)
    assert scene.queue.history(letter)[0] == attempt
    assert len(scene.queue.history(letter)) == 2


def test_so_it_is_where_that_parks_it(scene: Scene) -> None:
    replaced(scene, "fails")
    scene.drain(now=True, max_retries=1)
    (parked,) = scene.queue.permanent_failures(10)
    assert len(scene.queue.history(parked.id, parked=True)) == 1


@pytest.mark.parametrize("raised", [ValueError("no"), Snooze(1)], ids=["failed", "snoozed"])
def test_a_requeued_letter_keeps_its_own(scene: Scene, raised: Exception) -> None:
    def fails(*_: object) -> None:
        raise raised

    scene.registry.register("own", fails)
    letter = scene.letter("own", retry_count=2)
    scene.drain(now=True)
    scene.drain(now=True, max_retries=1)
    (parked,) = scene.queue.permanent_failures(10)
    scene.queue.requeue([parked.id])
    assert len(scene.queue.history(letter)) >= 1
