"""Batches that change letters, planned ones or their own."""

from __future__ import annotations

import itertools

import pytest

from tests.conftest import Scene
from tests.engine.batching import Batching, takes_batches
from tests.engine.changes import CHANGES


@pytest.mark.parametrize("use", CHANGES)
@pytest.mark.parametrize("group", [1e-6, 30], ids=["a group each", "one group"])
def test_a_planned_letter_that_a_batch_removes_or_changes_is_skipped(
    any_scene: Scene, use: str, group: float
) -> None:
    others = iter([4, 8])
    handler = takes_batches(
        any_scene, Batching(lambda *_: CHANGES[use](any_scene, next(others, 99))), most=2
    )
    letters = [any_scene.letter("batch") for _ in range(9)]
    report = any_scene.drain(max_transaction_time=group)
    assert handler.batches == [[1, 2], [3, 5], [6, 7], [9]]
    assert (report.succeeded, report.skipped, report.failed) == (7, 2, 0)
    assert any_scene.effects() == [n for n in letters if n not in (4, 8)]


@pytest.mark.parametrize("use", CHANGES)
def test_a_planned_letter_that_a_failed_batch_removed_or_changed_is_attempted(
    any_scene: Scene, use: str
) -> None:
    def act(_conn: object, _events: object) -> None:
        CHANGES[use](any_scene, 5)
        raise ValueError("no batches")

    takes_batches(any_scene, Batching(act), most=3)
    letters = [any_scene.letter("batch") for _ in range(6)]
    report = any_scene.drain()
    assert (report.succeeded, report.skipped) == (6, 0)
    assert (any_scene.effects(), any_scene.left()) == (letters, [])


def test_a_batch_may_remove_its_own_letters(any_scene: Scene) -> None:
    handler = takes_batches(
        any_scene,
        Batching(lambda _c, events: any_scene.queue.discard([e.event_id for e in events[::2]])),
        most=4,
    )
    letters = [any_scene.letter("batch") for _ in range(10)]
    report = any_scene.drain()
    assert (report.succeeded, report.skipped) == (10, 0)
    assert list(itertools.chain(*handler.batches)) == letters
    assert (any_scene.effects(), any_scene.left()) == (letters, [])


def test_letters_that_a_batch_adds_wait_for_the_next_drain(any_scene: Scene) -> None:
    added: list[int] = []
    takes_batches(
        any_scene,
        Batching(lambda *_: added.append(any_scene.queue.add(-5, b"ok:", "later"))),
        most=2,
    )
    for _ in range(4):
        any_scene.letter("batch")
    assert any_scene.drain().succeeded == 4
    assert any_scene.left() == added
    assert len(added) == 2
