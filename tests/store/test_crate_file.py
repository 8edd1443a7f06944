"""A file of the Rust crate azoth 0.2.5: opens as it is, and the crate can go on using it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue, DlqReplayConfig, DlqReplayer, EventHandlerRegistry
from azoth_dlq.status import look
from azoth_dlq.store.sqlite import SqliteStore, open_for_looking
from tests.store.conftest import execute

ROWS = (
    "SELECT id, event_id, event_bytes, error_message, failed_at, retry_count "
    "FROM dead_letter_queue "
)
DUE = ROWS + (
    "WHERE retry_count < ? "
    "AND datetime(COALESCE(last_retry_at, failed_at)) <= datetime('now', '-5 seconds') "
    "ORDER BY retry_count ASC, failed_at ASC LIMIT ?"
)
DDL = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'azoth%' ORDER BY name"
OURS = "SELECT 1 FROM sqlite_master WHERE name LIKE 'azoth_dlq%'"


@pytest.fixture
def queue(crate_file: Path) -> Iterator[DeadLetterQueue]:
    with DeadLetterQueue.open(crate_file) as opened:
        yield opened


@pytest.fixture
def crate(crate_file: Path) -> Iterator[sqlite3.Connection]:
    """The crate's connection, to a file that has our migrations."""
    with DeadLetterQueue.open(crate_file) as queue:
        queue.mark_retry(1)
        assert execute(crate_file, OURS)
        with closing(sqlite3.connect(crate_file, isolation_level=None)) as connection:
            yield connection


def test_reading_changes_nothing_in_the_file(crate_file: Path) -> None:
    before = crate_file.read_bytes()
    with DeadLetterQueue.open(crate_file) as queue:
        assert queue.count() == 5000
        assert len(queue.letters(limit=10_000)) == 5000
        assert queue.permanent_failures() == []
        assert queue.permanent_failure_count() == 0
        assert look(queue.store, DlqReplayConfig(), 0).dead_letters == 5000
        assert queue.get(1) is not None
    assert crate_file.read_bytes() == before
    assert list(crate_file.parent.iterdir()) == [crate_file]


def test_looking_changes_nothing_in_the_file(crate_file: Path) -> None:
    before = crate_file.read_bytes()
    with closing(open_for_looking(crate_file)) as connection:
        assert SqliteStore(connection).figures().dead == 5000
    assert crate_file.read_bytes() == before


def test_letters_read_as_the_crate_wrote_them(queue: DeadLetterQueue) -> None:
    ours = [
        (row.id, row.event_id, row.event_bytes, row.error_message, row.failed_at, row.retry_count)
        for row in reversed(queue.letters(limit=10_000))
    ]
    assert ours == queue.connection.execute(ROWS + "ORDER BY id").fetchall()
    assert {letter.retry_count for letter in queue.letters(limit=10_000)} == {0, 1}


def test_our_first_write_adds_and_changes_no_table_of_the_crates(crate_file: Path) -> None:
    before = execute(crate_file, DDL)
    with DeadLetterQueue.open(crate_file) as queue:
        assert queue.remove(7)
    after = dict(execute(crate_file, DDL))
    assert {name for name, _ in before} < after.keys()
    for name, ddl in before:
        assert (after[name] or "").startswith((ddl or "").removesuffix(")").rstrip())
    assert execute(crate_file, "PRAGMA user_version") == [(0,)]
    assert execute(crate_file, "PRAGMA journal_mode") == [("delete",)]


def test_our_columns_may_be_left_out_by_others(crate: sqlite3.Connection) -> None:
    for table in ("dead_letter_queue", "permanent_failures"):
        columns = crate.execute(f"PRAGMA table_info({table})").fetchall()
        ours = [column for column in columns if column[1].startswith("azoth_")]
        assert len(ours) >= 4
        assert {(column[3], column[4]) for column in ours} == {(0, None)}
    kinds = crate.execute("SELECT DISTINCT type FROM sqlite_master ORDER BY 1").fetchall()
    assert kinds == [("index",), ("table",)]


def test_the_crate_goes_on_adding_letters(crate: sqlite3.Connection) -> None:
    added = crate.execute(
        "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message) VALUES (?, ?, ?)",
        (99, b"deposit:1", "boom"),
    ).lastrowid
    (row,) = crate.execute(ROWS + "WHERE id = ?", (added,)).fetchall()
    (now,) = crate.execute("SELECT datetime('now')").fetchone()
    assert row == (added, 99, b"deposit:1", "boom", row[4], 0)
    assert "2026" <= row[4] <= now


def test_the_crate_goes_on_counting_retries(crate: sqlite3.Connection) -> None:
    done = crate.execute(
        "UPDATE dead_letter_queue SET retry_count = retry_count + 1, last_retry_at = ? "
        "WHERE id = ?",
        ("2026-11-24T03:46:00.123456+00:00", 2),
    )
    assert done.rowcount == 1
    statement = "SELECT last_retry_at FROM dead_letter_queue WHERE id = 2"
    assert crate.execute(statement).fetchone() == ("2026-11-24T03:46:00.123456+00:00",)


def test_the_crate_goes_on_deleting_letters(crate: sqlite3.Connection) -> None:
    assert crate.execute("DELETE FROM dead_letter_queue WHERE id = ?", (3,)).rowcount == 1
    assert crate.execute("SELECT COUNT(*) FROM dead_letter_queue").fetchone() == (4999,)


def test_the_crate_goes_on_finding_due_letters(crate: sqlite3.Connection) -> None:
    rows = crate.execute(DUE, (5, 100)).fetchall()
    assert len(rows) == 100
    assert [row[5] for row in rows] == [0] * 100


def test_the_crate_finds_letters_that_we_added_and_retried_once_they_are_due(
    queue: DeadLetterQueue, crate_file: Path
) -> None:
    queue.clear()
    added = queue.add(1, b"deposit:1", "boom")
    assert execute(crate_file, DUE, 5, 10) == []
    later = DUE.replace("'-5 seconds'", "'+1 seconds'")
    assert [row[0] for row in execute(crate_file, later, 5, 10)] == [added]
    queue.mark_retry(added)
    assert [row[5] for row in execute(crate_file, later, 5, 10)] == [1]


def test_the_crate_goes_on_parking_letters(crate: sqlite3.Connection, crate_file: Path) -> None:
    crate.execute(
        "INSERT INTO permanent_failures (event_id, event_bytes, error_message, failed_at, "
        "retry_count) SELECT event_id, event_bytes, error_message, failed_at, retry_count "
        "FROM dead_letter_queue WHERE id = ?",
        (4,),
    )
    with DeadLetterQueue.open(crate_file) as queue:
        (parked,) = queue.permanent_failures()
    assert parked.dead_letter_id is None
    assert parked.reason is None


def test_permanent_failures_that_the_crate_made_are_kept(crate_file: Path) -> None:
    execute(
        crate_file,
        "CREATE TABLE permanent_failures (id INTEGER PRIMARY KEY AUTOINCREMENT, "
        "event_id INTEGER NOT NULL, event_bytes BLOB NOT NULL, error_message TEXT NOT NULL, "
        "failed_at TEXT NOT NULL, retry_count INTEGER NOT NULL, "
        "marked_permanent_at TEXT NOT NULL DEFAULT (datetime('now')))",
    )
    execute(
        crate_file,
        "INSERT INTO permanent_failures VALUES (5, 1, x'00', 'boom', 'then', 5, 'later')",
    )
    with DeadLetterQueue.open(crate_file) as queue:
        before = queue.permanent_failures()
        assert [row.id for row in before] == [5]
        queue.mark_retry(1)
        assert queue.permanent_failures() == before
        assert queue.requeue([5]) == 1
        assert queue.count() == 5001


def test_the_file_drains(queue: DeadLetterQueue, crate_file: Path) -> None:
    registry = EventHandlerRegistry()
    effects = "INSERT INTO effects VALUES (?, ?)"
    queue.connection.execute("CREATE TABLE effects (kind TEXT, event_id INTEGER)")

    @registry.handler("deposit")
    def deposit(connection: Any, event_id: int, _payload: bytes) -> None:
        connection.execute(effects, ("deposit", event_id))

    @registry.handler("withdraw")
    def withdraw(connection: Any, event_id: int, _payload: bytes) -> None:
        connection.execute(effects, ("withdraw", event_id))

    wanted = execute(
        crate_file,
        "SELECT substr(event_bytes, 1, instr(event_bytes, ':') - 1), event_id "
        "FROM dead_letter_queue ORDER BY 2, 1",
    )
    report = DlqReplayer(queue, registry).drain(now=True)
    assert (report.succeeded, report.failed, report.parked, report.skipped) == (5000, 0, 0, 0)
    done = execute(crate_file, "SELECT CAST(kind AS BLOB), event_id FROM effects ORDER BY 2, 1")
    assert done == [(bytes(kind), event_id) for kind, event_id in wanted]
    assert queue.count() == 0
    assert execute(crate_file, "PRAGMA integrity_check") == [("ok",)]
    assert execute(crate_file, "PRAGMA journal_mode") == [("delete",)]
