"""A run plans anew: within long drains, and all letters once an hour."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from azoth_dlq import ReplayPriority
from tests.conftest import Scene
from tests.engine.running import Sleeper, count_looks, run


def test_a_long_drain_plans_anew_after_check_interval(scene: Scene) -> None:
    """A letter of the day before comes first, as soon as a plan has it."""

    def slow(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        scene.calls.append(event_id)
        time.sleep(0.02)
        if len(scene.calls) == 3:
            scene.queue.add(9999, b"ok:", "boom")
            conn.execute(
                "UPDATE dead_letter_queue SET failed_at = '2026-11-23 00:00:00' "
                "WHERE event_id = 9999"
            )

    scene.registry.register("slow", slow)
    letters = [scene.letter("slow") for _ in range(40)]
    report, _ = run(
        scene,
        1,
        check_interval=0.2,
        max_transaction_time=0.05,
        yield_time=0,
        priority=ReplayPriority.FIFO,
    )
    place = scene.calls.index(9999)
    assert 3 < place < 35
    assert [call for call in scene.calls if call != 9999] == letters
    assert (report.succeeded, report.skipped, report.remaining) == (41, 0, 0)


def test_planning_longer_than_check_interval_is_no_standstill(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates = scene.queue.store.candidates
    looks = 0

    def slow(**arguments: Any) -> Any:
        nonlocal looks
        looks += 1
        time.sleep(0.12)
        return candidates(**arguments)

    monkeypatch.setattr(scene.queue.store, "candidates", slow)
    letters = [scene.letter() for _ in range(30)]
    sleeper = Sleeper(scene, 1)
    report = sleeper.replay(check_interval=0.1, max_transaction_time=1e-6).run()
    assert scene.effects() == letters
    assert report.succeeded == 30
    # The time for the letters begins when the plan is there.
    assert looks < 15


def test_a_check_interval_of_a_microsecond_goes_on_all_the_same(scene: Scene) -> None:
    letters = [scene.letter() for _ in range(5)]
    report, slept = run(scene, 3, check_interval=1e-6, max_transaction_time=1e-6)
    assert scene.effects() == letters
    assert report.succeeded == 5
    assert slept == [1e-6] * 3


def test_all_letters_are_looked_at_once_an_hour(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("azoth_dlq.engine.run.monotonic", lambda: scene.clock.now / 1e6)
    monkeypatch.setattr(scene.queue.store, "is_as_seen", lambda: False)
    looks = count_looks(scene, monkeypatch)
    run(scene, 130, check_interval=60)
    full = [place for place, is_full in enumerate(looks) if is_full]
    assert full[0] == 0
    assert len(full) == 3
    assert all(59 <= b - a <= 60 for a, b in pairwise(full))


def test_letters_under_low_ids_are_seen_within_an_hour_however_long_it_sleeps(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("azoth_dlq.engine.run.monotonic", lambda: scene.clock.now / 1e6)
    scene.letter(id=1000)
    looks = count_looks(scene, monkeypatch)
    report, slept = run(
        scene, 4, {2: lambda: scene.letter(id=5)}, check_interval=2000, max_retries=1
    )
    assert slept == [1.0, 2000.0, 1.0, 2000.0]
    # Where the third did not look at all, the fourth would, after more than an hour.
    assert looks == [True, False, True, False]
    assert report.succeeded == 2


def test_calls_outside_a_transaction_are_planned_anew_after_check_interval(scene: Scene) -> None:
    """There is no group between them that has no call under way."""

    def slow(_conn: object, event_id: int, _payload: bytes) -> None:
        scene.calls.append(event_id)
        time.sleep(0.02)
        if len(scene.calls) == 3:
            scene.letter(event_id=9999, failed_at="2026-11-23 00:00:00")

    scene.registry.register("slow", slow, transactional=False)
    letters = [scene.letter("slow") for _ in range(40)]
    report, _ = run(scene, 1, check_interval=0.2, priority=ReplayPriority.FIFO)
    assert 3 < scene.calls.index(9999) < 35
    assert [call for call in scene.calls if call != 9999] == letters
    assert (report.succeeded, report.remaining) == (41, 0)


@pytest.mark.parametrize("transactional", [True, False], ids=["within", "outside"])
def test_a_failed_batch_is_not_planned_anew_before_its_letters_were_called_one_by_one(
    scene: Scene, transactional: bool
) -> None:
    batches: list[int] = []

    class Sender:
        def handle(self, _conn: object, event_id: int, _payload: bytes) -> None:
            scene.calls.append(event_id)
            time.sleep(0.01)

        def handle_batch(self, _conn: object, events: Sequence[object]) -> None:
            batches.append(len(events))
            time.sleep(0.01)
            raise ConnectionError("one of these is refused")

    scene.registry.register("batch", Sender(), transactional=transactional)
    letters = [scene.letter("batch") for _ in range(8)]
    report, _ = run(scene, 1, check_interval=0.001, max_transaction_time=0.001)
    assert scene.calls == letters
    assert batches == [8]
    assert report.succeeded == 8


def test_a_lost_group_is_done_again_however_short_check_interval_is(scene: Scene) -> None:
    scene.conn.execute("CREATE TABLE once (x UNIQUE)")
    scene.conn.execute("INSERT INTO once VALUES (1)")

    def lose(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        scene.calls.append(event_id)
        time.sleep(0.01)
        conn.execute("INSERT OR ROLLBACK INTO once VALUES (1)")

    scene.registry.register("loses", lose)
    before = [scene.letter() for _ in range(3)]
    culprits = [scene.letter("loses") for _ in range(2)]
    report, _ = run(scene, 1, check_interval=0.001)
    assert scene.effects() == before
    assert (report.succeeded, report.failed, report.skipped) == (3, 2, 0)
    assert [scene.calls.count(culprit) for culprit in culprits] == [1, 1]
