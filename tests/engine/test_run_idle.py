"""A run that wakes and finds its file as it was looks at nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from azoth_dlq.engine import plan
from azoth_dlq.store.base import Opened, StorageFault
from tests.conftest import Scene
from tests.engine.running import Sleeper, count_looks, run

SOON = "2026-11-24 11:59:50"  # ten seconds before now
LONG_AGO = "2026-11-24 10:00:00"


@pytest.fixture
def counted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rests are skipped here, so that the time between two counts is not that of a run."""
    monkeypatch.setattr(plan, "RESTS_OF_COUNTS", 0)


def test_a_file_that_nobody_has_written_to_is_not_looked_at_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = count_looks(scene, monkeypatch)
    scene.letter(failed_at=SOON)
    sleeper = Sleeper(scene, 8)
    replayer = sleeper.replay(min_age=3600, check_interval=10)
    assert replayer.run().waiting is None
    # The second counts the letters.
    assert looks == [True, False]
    # The gauges tell of the last poll all the same.
    assert replayer.metrics.snapshot().looked_at == pytest.approx(scene.clock() / 1e6, abs=10.1)
    assert replayer.metrics.snapshot().depth == 1


@pytest.mark.usefixtures("counted_at_once")
@pytest.mark.parametrize("by_another", [True, False])
def test_it_is_once_anybody_has(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, *, by_another: bool
) -> None:
    """Also through the queue's own connection, where no letter is new."""
    looks = count_looks(scene, monkeypatch)
    letter = scene.letter(failed_at=SOON)

    def make_due() -> None:
        statement = "UPDATE dead_letter_queue SET failed_at = ?"
        if by_another:
            with closing(sqlite3.connect(str(scene.path))) as other, other:
                other.execute(statement, (LONG_AGO,))
        else:
            with scene.conn:
                scene.conn.execute(statement, (LONG_AGO,))

    report, _ = run(scene, 8, {5: make_due}, min_age=3600, check_interval=10)
    assert report.succeeded == 1
    assert scene.effects() == [letter]
    assert len(looks) <= 5


@pytest.mark.usefixtures("counted_at_once")
def test_it_is_when_a_letter_may_be_due(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = count_looks(scene, monkeypatch)
    letter = scene.letter(failed_at=SOON)
    report, slept = run(scene, 10, min_age=60, check_interval=10)
    assert slept[:5] == [10.0] * 5
    assert report.succeeded == 1
    assert scene.effects() == [letter]
    assert len(looks) <= 5


@pytest.mark.usefixtures("counted_at_once")
def test_it_is_after_a_drain_that_failed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has seen the letter that was new, and done nothing about it."""
    scene.letter(failed_at=SOON)
    begin, failures = scene.queue.store.begin, 1

    def fails_once() -> Opened:
        nonlocal failures
        failures -= 1
        if failures == 0:
            raise StorageFault("the disk went away")
        return begin()

    monkeypatch.setattr(scene.queue.store, "begin", fails_once)
    new = {4: lambda: scene.letter(failed_at=LONG_AGO)}
    report, _ = run(scene, 8, new, min_age=3600, check_interval=10)
    assert failures < 0
    assert report.succeeded == 1


def test_a_transaction_left_open_is_told_as_by_a_drain(scene: Scene) -> None:
    scene.letter(failed_at=SOON)
    with pytest.raises(Exception, match="transaction"):
        run(scene, 8, {5: lambda: scene.conn.execute("BEGIN")}, min_age=3600, check_interval=10)
    scene.conn.rollback()


def test_letters_are_counted_a_hundredth_of_the_time(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And in the end, when nobody writes any more."""
    counts: list[float] = []
    count, now = scene.queue.store.count, 0.0

    def slow_count(*, parked: bool = False) -> int:
        nonlocal now
        if not parked:
            counts.append(now)
            now += 1.0
        return count(parked=parked)

    def insert() -> None:
        nonlocal now
        now += 10.0
        with closing(sqlite3.connect(str(scene.path))) as other, other:
            other.execute(
                "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message, failed_at) "
                "VALUES (1, CAST('ok:' AS BLOB), 'boom', ?)",
                (SOON,),
            )

    def wait() -> None:
        nonlocal now
        now += 10.0

    scene.letter(failed_at=SOON)
    monkeypatch.setattr(plan, "monotonic", lambda: now)
    monkeypatch.setattr(scene.queue.store, "count", slow_count)
    sleeper = Sleeper(scene, 60)
    sleeper.during = {n: insert if n < 30 else wait for n in range(1, 60)}
    replayer = sleeper.replay(min_age=3600 * 24, check_interval=1)
    replayer.run()
    assert replayer.metrics.snapshot().depth == scene.queue.count() == 30
    assert 3 <= len(counts) <= 6
