"""Triggers that swallow our writes: nothing is lost or doubled, and it is told."""

from __future__ import annotations

import pytest

from azoth_dlq import StorageError
from tests.conftest import Scene


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


def test_a_trigger_that_swallows_new_letters_is_told(scene: Scene) -> None:
    scene.conn.execute(
        "CREATE TRIGGER silent BEFORE INSERT ON dead_letter_queue BEGIN SELECT RAISE(IGNORE); END"
    )
    with pytest.raises(StorageError, match="does not take a row"):
        scene.queue.add(1, b"ok:", "boom")
