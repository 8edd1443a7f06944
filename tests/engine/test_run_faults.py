"""A run beside a busy, full or failing disk, and on a file that cannot be mended by waiting."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import (
    BackoffStrategy,
    DeadLetterQueue,
    DlqReplayConfig,
    DlqReplayer,
    EventHandlerRegistry,
    StorageError,
)
from azoth_dlq.store.base import Busy, StorageFault
from tests.conftest import Scene
from tests.engine.outside import Outside
from tests.engine.running import Sleeper, count_looks, run

_HOLDER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(60)
"""


@contextmanager
def _held_by_another_process(path: Path | None) -> Iterator[Callable[[], None]]:
    """The file's write lock; what is yielded ends the process."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process.kill
        finally:
            process.kill()


def test_a_file_that_is_busy_beyond_busy_timeout_is_tried_again_after_check_interval(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    letter = scene.letter()
    caplog.set_level(logging.ERROR, logger="azoth_dlq")
    with _held_by_another_process(scene.path) as let_go:
        report, slept = run(scene, 4, {2: let_go}, busy_timeout=0.1, check_interval=33)
    assert slept == [33.0, 33.0, 1.0, 33.0]
    assert (scene.calls, report.succeeded) == ([letter], 1)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert all("locked by another program" in line for line in said)
    assert all(line.endswith("trying again in 33.0 s") for line in said)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names of files")
def test_the_name_of_a_file_forges_no_line_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "letters\nERROR forged\x1b[2J\u202e.db"
    caplog.set_level(logging.ERROR, logger="azoth_dlq")
    with DeadLetterQueue.open(path) as queue:
        scene = Scene(queue, path)
        scene.letter()
        with _held_by_another_process(path) as let_go:
            run(scene, 3, {1: let_go}, busy_timeout=0.1)
    [line] = [record.getMessage() for record in caplog.records]
    assert r"letters\x0aERROR forged\x1b[2J\u202e.db is locked" in line
    assert line.isprintable()


def test_a_file_that_cannot_grow_is_tried_again_after_check_interval(scene: Scene) -> None:
    """What fits is done, and in the report of all."""
    scene.conn.execute("CREATE TABLE blobs (event_id INTEGER, b BLOB)")

    def grow(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        conn.execute("INSERT INTO blobs VALUES (?, zeroblob(20000))", (event_id,))

    scene.registry.register("grows", grow)
    scene.letter()
    letters = [scene.letter("grows") for _ in range(20)]
    [pages] = scene.conn.execute("PRAGMA page_count").fetchone()
    scene.conn.execute(f"PRAGMA max_page_count = {pages + 40}")
    stored: list[int] = []

    def make_room() -> None:
        stored.append(scene.queue.count())
        scene.conn.execute("PRAGMA max_page_count = 1000000")

    report, slept = run(scene, 4, {2: make_room})
    assert slept == [60.0, 60.0, 1.0, 60.0]
    assert 0 < stored[0] < len(letters)
    assert (report.succeeded, report.failed, report.remaining) == (21, 0, 0)
    assert scene.left() == []


def _refuse_changes(scene: Scene, condition: str) -> None:
    for event in ("UPDATE", "DELETE"):
        scene.conn.execute(
            f"CREATE TRIGGER keep_{event} BEFORE {event} ON dead_letter_queue "
            f"WHEN {condition} BEGIN SELECT RAISE(ABORT, 'it is to stay'); END"
        )


def test_a_letter_that_stays_as_it_was_ends_no_run(scene: Scene) -> None:
    """The others are drained, and it is tried again after check_interval."""
    kept = scene.letter("fails")
    unfit = scene.letter(failed_at="never")
    _refuse_changes(scene, f"old.id <= {unfit}")
    letters = [scene.letter()]

    def add() -> None:
        letters.append(scene.letter())

    def release() -> None:
        add()
        for event in ("UPDATE", "DELETE"):
            scene.conn.execute(f"DROP TRIGGER keep_{event}")

    report, slept = run(scene, 3, {1: add, 2: release})
    assert slept == [60.0, 60.0, 1.0]
    assert scene.effects() == letters
    assert (report.succeeded, report.failed, report.parked, report.remaining) == (3, 1, 1, 0)
    assert (list(scene.parked()), scene.left()) == ([unfit], [kept])


def test_a_run_makes_no_call_again_and_again_whose_outcome_is_refused(scene: Scene) -> None:
    """It cannot be taken back. The others are drained before the run ends."""
    outside = Outside()
    scene.registry.register("outside", outside, transactional=False)
    called = scene.letter("outside")
    unfit = scene.letter(failed_at="never")
    _refuse_changes(scene, f"old.id <= {unfit}")
    letter = scene.letter()
    with pytest.raises(StorageError, match=r"it is to stay.*\(and 1 more: see the log\)") as caught:
        Sleeper(scene, 3).replay().run()
    assert outside.called == [called]
    assert scene.effects() == [letter]
    assert caught.value.report is not None
    assert (caught.value.report.succeeded, caught.value.report.remaining) == (1, 2)


class Faulty:
    """A verb of the store that raises what is next in line; None: it works."""

    def __init__(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch, verb: str, *errors: Exception | None
    ) -> None:
        self.errors = list(errors)
        self.calls = 0
        self._works = getattr(scene.queue.store, verb)
        monkeypatch.setattr(scene.queue.store, verb, self)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.calls += 1
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        return self._works(*arguments, **named)


@pytest.mark.parametrize("verb", ["candidates", "begin", "settle", "catch_up"])
@pytest.mark.parametrize("transient", [True, False])
def test_a_fault_of_any_verb_is_survived_where_waiting_may_mend_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, verb: str, transient: bool
) -> None:
    scene.letter()
    fault = StorageFault("the disk went away", transient=transient)
    Faulty(scene, monkeypatch, verb, fault)
    sleeper = Sleeper(scene, 3)
    replayer = sleeper.replay()
    if transient:
        report = replayer.run()
        assert sleeper.asked[0] == 60.0
        assert report.succeeded == 1
        return
    with pytest.raises(StorageError, match="the disk went away") as caught:
        replayer.run()
    assert sleeper.asked == []
    assert caught.value.report is not None
    assert caught.value.report.succeeded == (verb == "catch_up")
    assert not scene.conn.in_transaction


def test_a_look_that_failed_is_taken_again_at_all_letters(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = count_looks(scene, monkeypatch)
    Faulty(scene, monkeypatch, "catch_up", StorageFault("the disk went away"))
    _, slept = run(scene, 3)
    assert looks == [True, True, False]
    assert slept == [60.0] * 3


def test_what_the_store_notes_in_pieces_is_noted_in_turns_with_others(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = [False, False, True]

    def catch_up() -> bool:
        time.sleep(1.0)
        return pieces.pop(0)

    monkeypatch.setattr(scene.queue.store, "catch_up", catch_up)
    _, slept = run(scene, 3, yield_time=0.11)
    assert slept == [pytest.approx(0.11, abs=0.1), pytest.approx(0.11, abs=0.1), 60.0]


def test_a_shutdown_ends_what_the_store_notes(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeper = Sleeper(scene, 1)
    replayer = sleeper.replay()

    def never_done() -> bool:
        replayer.shutdown()
        return False

    monkeypatch.setattr(scene.queue.store, "catch_up", never_done)
    assert replayer.run().stopped == "shutdown"


def test_a_shutdown_ends_the_wait_for_a_file_that_is_busy(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    replayer = Sleeper(scene, 1).replay(busy_timeout=60)

    def busy() -> bool:
        replayer.shutdown()
        raise Busy("somebody writes")

    monkeypatch.setattr(scene.queue.store, "catch_up", busy)
    assert replayer.run().stopped == "shutdown"


# What waiting does not mend


def _assert_ended(scene: Scene, sleeper: Sleeper, said: str, *, succeeded: int) -> None:
    replayer = sleeper.replayer
    assert replayer is not None
    with pytest.raises(StorageError, match=said) as caught:
        replayer.run()
    report = caught.value.report
    assert report is not None
    assert (report.succeeded, report.failed) == (succeeded, 0)
    assert not caught.value.transient
    assert not scene.conn.in_transaction


def test_a_file_that_was_overwritten_ends_it_with_what_was_done_in_all(scene: Scene) -> None:
    scene.conn.execute("PRAGMA journal_mode = DELETE")
    for _ in range(3):
        scene.letter()

    def overwrite() -> None:
        assert scene.path is not None
        scene.path.write_bytes(b"no database at all. " * 5000)

    sleeper = Sleeper(scene, 9)
    sleeper.during = {1: overwrite}
    sleeper.replay()
    _assert_ended(scene, sleeper, "not an SQLite database|damaged", succeeded=3)
    assert sleeper.asked == [1.0]


def test_a_damaged_file_ends_it(scene: Scene) -> None:
    scene.conn.execute("PRAGMA journal_mode = DELETE")
    scene.conn.execute("PRAGMA cache_size = 1")
    for _ in range(50):
        scene.letter(event_bytes=b"ok:" + b"x" * 8000)
    root = "SELECT rootpage FROM sqlite_schema WHERE name = 'dead_letter_queue'"
    [page] = scene.conn.execute(root).fetchone()
    [size] = scene.conn.execute("PRAGMA page_size").fetchone()
    assert scene.path is not None
    with scene.path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\x05" * size)
    sleeper = Sleeper(scene, 9)
    with DeadLetterQueue.open(scene.path) as queue:
        scene.queue.close()
        scene.queue = queue
        sleeper.replay()
        _assert_ended(scene, sleeper, "damaged", succeeded=0)
    assert sleeper.asked == []


@pytest.mark.parametrize("journal_mode", ["WAL", "DELETE"])
def test_a_read_only_connection_ends_it(tmp_path: Path, journal_mode: str) -> None:
    path = tmp_path / "letters.db"
    with DeadLetterQueue.open(path) as queue:
        queue.add(1, b"unknown:", "boom")
        queue.connection.execute(f"PRAGMA journal_mode = {journal_mode}")
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        slept: list[float] = []
        replayer = DlqReplayer(
            DeadLetterQueue(connection),
            EventHandlerRegistry(),
            DlqReplayConfig(min_age=0, backoff=BackoffStrategy.fixed(0)),
            sleep=slept.append,
        )
        with pytest.raises(StorageError, match="cannot be written") as caught:
            replayer.run()
    assert slept == []
    assert caught.value.report is not None
    assert caught.value.report.remaining == 1


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write to every file"
)
def test_a_file_without_permission_to_write_ends_it(scene: Scene) -> None:
    assert scene.path is not None
    scene.path.chmod(0o400)
    sleeper = Sleeper(scene, 9)
    sleeper.replay()
    _assert_ended(scene, sleeper, "cannot be written", succeeded=0)


def test_a_file_of_an_incompatible_version_ends_it(scene: Scene) -> None:
    scene.letter()
    scene.conn.execute(
        "INSERT INTO azoth_dlq_migrations (number, name, needs) VALUES (999, 'later', 999)"
    )
    assert scene.path is not None
    with DeadLetterQueue.open(scene.path) as queue:
        scene.queue.close()
        scene.queue = queue
        sleeper = Sleeper(scene, 9)
        sleeper.replay()
        _assert_ended(scene, sleeper, "needs a newer azoth-dlq", succeeded=0)
    assert sleeper.asked == []


def test_a_handler_that_closes_a_plain_connection_ends_it(plain_scene: Scene) -> None:
    plain_scene.registry.register("closes", lambda conn, *_args: conn.close())
    plain_scene.letter()
    plain_scene.letter("closes")
    sleeper = Sleeper(plain_scene, 9)
    replayer = sleeper.replay()
    with pytest.raises(StorageError, match="clos") as caught:
        replayer.run()
    assert caught.value.report is not None
    assert sleeper.asked == []
