"""What a handler, a validator or another program may do that once cost other letters."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue, DlqReplayConfig, DlqReplayer
from tests.conftest import Scene

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


class Batches:
    """Writes effects in batches; payloads that are not wanted are refused by `validate`."""

    def __init__(self, scene: Scene, *, writes: bool = False) -> None:
        self.scene = scene
        self.writes = writes
        self.sizes: list[int] = []

    def validate(self, payload: bytes) -> None:
        if self.writes:
            self.scene.conn.execute("INSERT INTO effects VALUES (-1)")
        if payload == b"bad":
            raise ValueError("refused")

    def handle(self, conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))

    def handle_batch(self, conn: sqlite3.Connection, events: Any) -> None:
        self.sizes.append(len(events))
        conn.executemany("INSERT INTO effects VALUES (?)", [(e.event_id,) for e in events])


@pytest.mark.parametrize("swallowed", [False, True])
def test_a_watchdog_that_interrupts_a_query_costs_its_own_letter_alone(
    any_scene: Scene, *, swallowed: bool
) -> None:
    scene = any_scene

    def slow(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        watchdog = threading.Timer(0.1, conn.interrupt)
        watchdog.start()
        try:
            conn.execute(ENDLESS).fetchone()
        except sqlite3.OperationalError:
            if not swallowed:
                raise
        finally:
            watchdog.join()

    scene.registry.register("slow", slow)
    one, two, three = scene.letter(), scene.letter("slow"), scene.letter()
    report = scene.drain()
    assert (report.succeeded, report.failed) == ((3, 0) if swallowed else (2, 1))
    assert scene.effects() == sorted([one, three, *([two] if swallowed else [])])
    assert scene.left() == ([] if swallowed else [two])
    assert not scene.conn.in_transaction
    with closing(sqlite3.connect(str(scene.path), timeout=0)) as other:
        other.execute("BEGIN IMMEDIATE")


@pytest.mark.parametrize("kept", [0, 1, 128])
def test_a_run_that_is_broken_fails_no_letter_however_few_statements_are_cached(
    tmp_path: Path, kept: int
) -> None:
    path = tmp_path / "plain.db"
    DeadLetterQueue.open(path).close()
    with closing(sqlite3.connect(path, cached_statements=kept)) as connection:
        scene = Scene(DeadLetterQueue(connection), path)
        batches = Batches(scene)
        scene.registry.register("batch", batches)
        letters = [scene.letter(kind) for kind in ("batch", "batch", "ok", "batch", "batch")]
        letters += [scene.letter("batch", event_bytes=b"batch:" + b"x" * 20_000)]
        assert scene.drain().succeeded == 6
        assert scene.effects() == letters
        assert batches.sizes == [2, 3]


def test_what_validate_wrote_for_a_letter_that_it_refuses_is_undone(any_scene: Scene) -> None:
    scene = any_scene
    scene.registry.register("batch", Batches(scene, writes=True))
    bad = b"batch:bad"
    good, refused, last = (scene.letter("batch", event_bytes=b) for b in (None, bad, None))
    report = scene.drain()
    assert (report.succeeded, report.failed) == (2, 1)
    assert scene.left() == [refused]
    # It has no connection and is to look only: what it wrote for those before is undone, too.
    assert scene.effects() == [-1, good, last]


@pytest.mark.parametrize("fails", [False, True])
def test_the_outcome_of_a_letter_is_not_that_of_one_that_took_its_id(
    scene: Scene, *, fails: bool
) -> None:
    def replace(_conn: None, _event_id: int, payload: bytes) -> None:
        if payload != b"old":
            return
        with closing(sqlite3.connect(str(scene.path), isolation_level=None)) as other:
            other.execute(
                "INSERT OR REPLACE INTO dead_letter_queue "
                "(id, event_id, event_bytes, error_message, failed_at) "
                "VALUES (?, 8, CAST('outside:new' AS BLOB), 'boom', '2026-11-24 10:00:00')",
                (letter,),
            )
        if fails:
            raise ValueError("down")

    scene.registry.register("outside", replace, transactional=False)
    letter = scene.letter("outside", event_id=7, event_bytes=b"outside:old")
    report = scene.drain(max_retries=1)
    assert (report.attempted, report.skipped, report.parked) == (0, 1, 0)
    found = scene.queue.get(letter)
    assert found is not None
    assert (found.event_id, found.retry_count) == (8, 0)
    assert scene.drain().succeeded == 1


def test_an_attempt_that_another_program_counted_during_the_call_stays_counted(
    scene: Scene,
) -> None:
    def count_elsewhere(_conn: None, _event_id: int, _payload: bytes) -> None:
        with closing(sqlite3.connect(str(scene.path), isolation_level=None)) as other:
            other.execute("UPDATE dead_letter_queue SET retry_count = 3")
        raise ValueError("down")

    scene.registry.register("outside", count_elsewhere, transactional=False)
    letter = scene.letter("outside")
    assert scene.drain(max_retries=9).failed == 1
    found = scene.queue.get(letter)
    assert found is not None
    assert found.retry_count == 4


def test_a_handler_outside_that_closes_the_queues_connection_fails(scene: Scene) -> None:
    scene.registry.register("closes", lambda *_: scene.conn.close(), transactional=False)
    bad, good = scene.letter("closes"), scene.letter()
    report = scene.drain()
    assert (report.succeeded, report.failed) == (1, 1)
    assert (scene.left(), scene.effects()) == ([bad], [good])


def test_a_trigger_that_changes_each_letter_noted_does_not_stall_a_run(scene: Scene) -> None:
    scene.letter(failed_at="2026-11-24 11:59:59")
    scene.conn.execute(
        "CREATE TRIGGER again AFTER UPDATE ON dead_letter_queue BEGIN "
        "UPDATE dead_letter_queue SET failed_at = failed_at || '0' WHERE id = new.id; END"
    )
    replayer = DlqReplayer(
        scene.queue, scene.registry, DlqReplayConfig(check_interval=0.2, min_age=3600)
    )
    watchdog = threading.Timer(3, replayer.shutdown)
    watchdog.start()
    replayer.run()
    watchdog.join()
    assert replayer.metrics.snapshot().drains >= 2


def test_a_trigger_that_calls_what_only_its_program_has_does_not_end_a_run(scene: Scene) -> None:
    scene.letter(failed_at="2026-11-24 11:59:59")
    with closing(sqlite3.connect(str(scene.path), isolation_level=None)) as other:
        other.create_function("theirs", 0, lambda: 1)
        other.execute(
            "CREATE TRIGGER theirs AFTER UPDATE ON dead_letter_queue BEGIN SELECT theirs(); END"
        )
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        replayer.shutdown()

    replayer = DlqReplayer(
        scene.queue,
        scene.registry,
        DlqReplayConfig(min_age=3600, check_interval=60),
        clock=scene.clock,
        sleep=sleep,
    )
    assert replayer.run().stopped == "shutdown"
    assert slept == [60.0]
