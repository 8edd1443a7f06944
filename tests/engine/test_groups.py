"""Letters are committed in groups; a group ends by time, and others get their turn."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import Counter

import pytest

from azoth_dlq import ReplayReport
from azoth_dlq.store.settlement import Settlement
from azoth_dlq.store.sqlite import statements as sql
from tests.conftest import Scene


def _count_statements(scene: Scene) -> Counter[str]:
    """First words of the statements that the queue's connection runs."""
    counted: Counter[str] = Counter()
    scene.conn.set_trace_callback(lambda text: counted.update([text.split()[0]]))
    return counted


def _register_slow(scene: Scene, seconds: float) -> None:
    def slow(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        scene.calls.append(event_id)
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        time.sleep(seconds)

    scene.registry.register("slow", slow)


def test_many_letters_are_committed_together(scene: Scene) -> None:
    scene.registry.register("nothing", lambda *_args: None)
    for _ in range(2000):
        scene.letter("nothing")
    counted = _count_statements(scene)
    assert scene.drain(max_transaction_time=30).succeeded == 2000
    assert counted["COMMIT"] == 1
    assert counted["BEGIN"] == 2  # the plan is read in one, too
    # Neither are they read or deleted one by one, nor has each a savepoint.
    assert counted["WITH"] == 4
    assert counted["DELETE"] == 4 + 1  # and of histories whose letters are gone, once a drain
    assert counted["SAVEPOINT"] < 5


def test_a_transaction_that_writes_begins_as_one(scene: Scene) -> None:
    begun: list[str] = []

    def trace(text: str) -> None:
        if text.startswith("BEGIN") and text != sql.BEGIN_READING:
            begun.append(text)

    scene.letter()
    scene.conn.set_trace_callback(trace)
    scene.drain()
    assert begun
    assert all(text.startswith("BEGIN IMMEDIATE") for text in begun)


def test_a_group_ends_when_its_time_is_over(scene: Scene) -> None:
    _register_slow(scene, 0.01)
    for _ in range(40):
        scene.letter("slow")
    groups: list[int] = []
    replayer = scene.replay(max_transaction_time=0.05)
    report = replayer.drain(on_progress=lambda so_far: groups.append(so_far.succeeded))
    assert report.succeeded == 40
    sizes = [after - before for before, after in zip([0, *groups], groups, strict=False)]
    assert max(sizes) <= 5
    assert len(sizes) >= 8


def test_what_is_still_to_be_written_is_reckoned_in(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("azoth_dlq.engine.groups._TELLING", 0)
    _register_slow(scene, 0.001)
    for _ in range(130):
        scene.letter("slow")
    groups: list[int] = []
    settle = scene.queue.store.settle

    def settle_slowly(settlement: Settlement) -> None:
        groups.append(len(settlement.acked))
        time.sleep(0.01 * len(settlement.acked))
        settle(settlement)

    monkeypatch.setattr(scene.queue.store, "settle", settle_slowly)
    scene.drain(max_transaction_time=0.05)
    assert groups[0] > 2 * max(groups[1:])


def test_a_letter_that_takes_longer_than_a_group_has_one_to_itself(scene: Scene) -> None:
    _register_slow(scene, 0.02)
    for _ in range(4):
        scene.letter("slow")
    counted = _count_statements(scene)
    assert scene.drain(max_transaction_time=0.01).succeeded == 4
    assert counted["COMMIT"] == 4


def test_a_group_also_ends_where_all_of_its_letters_fail(scene: Scene) -> None:
    for _ in range(300):
        scene.letter("fails")
        scene.letter("unknown")
    counted = _count_statements(scene)
    assert scene.drain(max_transaction_time=1e-6).failed == 600
    assert counted["COMMIT"] == 600


def test_a_group_also_ends_where_all_of_its_letters_are_gone(scene: Scene) -> None:
    first = scene.letter()
    for _ in range(1500):
        scene.letter()
    other = sqlite3.connect(str(scene.path), isolation_level=None)

    def remove(_report: ReplayReport) -> None:
        other.execute("DELETE FROM dead_letter_queue WHERE id > ?", (first,))

    counted = _count_statements(scene)
    report = scene.replay(max_transaction_time=1e-6).drain(on_progress=remove)
    other.close()
    assert (report.succeeded, report.skipped) == (1, 1500)
    # Behind that of the first letter, one for each 500 that were asked for at once.
    assert counted["COMMIT"] == 1 + 3


def test_a_group_of_a_cycle_holds_no_more_than_its_batch(scene: Scene) -> None:
    for _ in range(30):
        scene.letter()
    counted = _count_statements(scene)
    assert scene.replay(batch_size=7).run_replay_cycle().succeeded == 7
    assert counted["COMMIT"] == 1


def test_outcomes_are_written_once_the_letters_savepoint_is_released(scene: Scene) -> None:
    """While it is open, SQLite copies each page before it writes to it."""
    scene.letter()
    scene.letter("fails")
    statements: list[str] = []
    scene.conn.set_trace_callback(statements.append)
    scene.drain()
    scene.conn.set_trace_callback(None)
    within = statements[statements.index(sql.SAVEPOINT_LETTER) :]
    assert within.count(sql.SAVEPOINT_LETTER) == within.count(sql.RELEASE_LETTER)
    behind = within[len(within) - within[::-1].index(sql.RELEASE_LETTER) :]
    written = [s for s in within if s.startswith(("DELETE", "UPDATE main", "INSERT INTO main"))]
    assert len(written) >= 3
    assert [s for s in behind if s in written] == written


def test_others_get_a_turn_after_each_second_of_held_lock(scene: Scene) -> None:
    _register_slow(scene, 0.15)
    for _ in range(16):
        scene.letter("slow")
    scene.drain(max_transaction_time=0.2, yield_time=0.123)
    # 2.4 s in groups of 0.3 s: a turn after the fourth and before the last.
    (turn,) = scene.slept
    assert 0.06 < turn <= 0.123


def test_what_a_drain_does_without_the_lock_is_a_turn_of_others(scene: Scene) -> None:
    _register_slow(scene, 0.15)

    def turns_with_reports_of(seconds: float) -> list[float]:
        for _ in range(16):
            scene.letter("slow")
        scene.slept.clear()
        replayer = scene.replay(max_transaction_time=0.2, yield_time=0.1)
        replayer.drain(on_progress=lambda _report: time.sleep(seconds))
        return scene.slept

    assert turns_with_reports_of(0.11) == []
    turns = turns_with_reports_of(0.04)
    assert turns
    assert all(0 < turn <= 0.06 for turn in turns)


@pytest.mark.parametrize(("rest", "turns"), [(0.0, 1), (0.12, 0)], ids=["at once", "rested"])
def test_others_get_their_turn_between_short_drains_unless_these_rest(
    scene: Scene, rest: float, turns: int
) -> None:
    _register_slow(scene, 0.15)
    for _ in range(10):
        scene.letter("slow")
    replayer = scene.replay(batch_size=2)
    for _ in range(5):  # 0.3 s each
        assert replayer.run_replay_cycle().succeeded == 2
        time.sleep(rest)
    assert len(scene.slept) == turns
    assert all(0 < turn <= 0.11 for turn in scene.slept)


def test_no_turn_is_given_within_a_second(scene: Scene) -> None:
    for _ in range(50):
        scene.letter()
    scene.drain(max_transaction_time=1e-6)
    assert scene.slept == []


def test_the_lock_is_free_while_others_have_their_turn(scene: Scene) -> None:
    _register_slow(scene, 0.3)
    for _ in range(5):
        scene.letter("slow")
    wrote: list[float] = []

    def write(seconds: float) -> None:
        other = sqlite3.connect(str(scene.path), timeout=0, isolation_level=None)
        other.execute("INSERT INTO effects VALUES (-1)")
        other.close()
        wrote.append(seconds)

    replayer = scene.replay(max_transaction_time=0.01)
    replayer._surroundings.sleep = write  # noqa: SLF001 -- scene.replay() gives its own
    assert replayer.drain().succeeded == 5
    assert len(wrote) == 1


# A call that keeps others out for long


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def test_a_call_of_over_a_second_is_logged_with_the_handler_and_the_way_out(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    _register_slow(scene, 1.08)
    scene.letter()
    slow = scene.letter("slow")
    scene.letter()
    with caplog.at_level(logging.WARNING, logger="azoth_dlq"):
        scene.drain()
    [warning] = _warnings(caplog)
    assert f"letter {slow}:" in warning
    assert "kept the file locked for 1.1 s" in warning
    assert "_register_slow.<locals>.slow" in warning
    assert "transactional=False" in warning


def test_many_short_calls_are_not_logged_as_one_long_one(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    _register_slow(scene, 0.2)
    for _ in range(6):
        scene.letter("slow")
    with caplog.at_level(logging.WARNING, logger="azoth_dlq"):
        scene.drain(max_transaction_time=30)
    assert _warnings(caplog) == []


def test_the_texts_of_errors_in_a_group_are_bounded(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "azoth_dlq")
    text = "x" * 4000

    def fail(_conn: object, _event_id: int, _payload: bytes) -> None:
        raise ValueError(text)

    scene.registry.register("long", fail)
    scene.conn.execute(
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 3000) "
        "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message, failed_at) "
        "SELECT i, CAST('long:' AS BLOB), 'boom', '2026-11-24 10:00:00' FROM n"
    )
    failed: list[int] = []
    replayer = scene.replay(max_transaction_time=60, history_limit=0)
    replayer.drain(on_progress=lambda report: failed.append(report.failed))
    held = len("ValueError: ") + len(text)
    assert failed == [-(-8 * 2**20 // held), 3000]
