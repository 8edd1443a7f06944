"""The schema and its numbered steps: what they make, and what files of other versions get."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from azoth_dlq import DeadLetterQueue, DlqReplayer, EventHandlerRegistry, StorageError
from azoth_dlq.store.sqlite import migrations, open_for_looking
from azoth_dlq.store.sqlite.migrations import LATEST, STEPS
from tests.conftest import Scene
from tests.store.conftest import execute

COLUMNS = {
    "dead_letter_queue": [
        ("id", "INTEGER", 0, None, 1),
        ("event_id", "INTEGER", 1, None, 0),
        ("event_bytes", "BLOB", 1, None, 0),
        ("error_message", "TEXT", 1, None, 0),
        ("failed_at", "TEXT", 1, "datetime('now')", 0),
        ("retry_count", "INTEGER", 1, "0", 0),
        ("last_retry_at", "TEXT", 0, None, 0),
    ],
    "permanent_failures": [
        ("id", "INTEGER", 0, None, 1),
        ("event_id", "INTEGER", 1, None, 0),
        ("event_bytes", "BLOB", 1, None, 0),
        ("error_message", "TEXT", 1, None, 0),
        ("failed_at", "TEXT", 1, None, 0),
        ("retry_count", "INTEGER", 1, None, 0),
        ("marked_permanent_at", "TEXT", 1, "datetime('now')", 0),
    ],
}
RECORDED = "SELECT number, name, needs FROM azoth_dlq_migrations"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def later_step(connection: sqlite3.Connection, *, needs: int) -> None:
    """What a later version would have left: a column, and its record."""
    number = LATEST + 1
    connection.execute("ALTER TABLE dead_letter_queue ADD COLUMN azoth_colour TEXT DEFAULT 'red'")
    connection.execute(
        "INSERT INTO azoth_dlq_migrations (number, name, needs) VALUES (?, 'colour', ?)",
        (number, needs),
    )


@pytest.mark.parametrize("table", COLUMNS)
def test_a_new_file_has_the_columns_that_the_crate_knows(path: Path, table: str) -> None:
    DeadLetterQueue.open(path).close()
    columns = [column[1:] for column in execute(path, f"PRAGMA table_info({table})")]
    assert columns[: len(COLUMNS[table])] == COLUMNS[table]
    assert all(name.startswith("azoth_") for name, *_ in columns[len(COLUMNS[table]) :])


def test_a_new_file_has_the_crates_tables_and_index_and_ours_by_their_names(path: Path) -> None:
    DeadLetterQueue.open(path).close()
    made = execute(path, "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
    crates = {name: sql for name, sql in made if not name.startswith("azoth_dlq_")}
    assert crates.keys() == {*COLUMNS, "idx_dlq_event_id"}
    assert crates["idx_dlq_event_id"] == (
        "CREATE INDEX idx_dlq_event_id ON dead_letter_queue(event_id)"
    )


def test_ids_are_never_given_twice(path: Path) -> None:
    with DeadLetterQueue.open(path) as queue:
        first = queue.add(1, b"ok:x", "boom")
        queue.clear()
        assert queue.add(1, b"ok:x", "boom") > first


def test_ids_of_permanent_failures_are_never_given_twice(scene: Scene) -> None:
    ids = []
    for _ in range(2):
        scene.letter(retry_count=9)
        assert scene.drain().parked == 1
        ids += [row.id for row in scene.queue.permanent_failures()]
        scene.queue.clear_permanent_failures()
    assert ids[1] > ids[0]


def test_each_step_is_recorded(path: Path) -> None:
    DeadLetterQueue.open(path).close()
    assert execute(path, RECORDED) == [(step.number, step.name, step.needs) for step in STEPS]
    assert execute(path, "PRAGMA user_version") == [(0,)]


def test_steps_are_numbered_without_gaps_and_need_no_later_one() -> None:
    assert [step.number for step in STEPS] == [*range(1, LATEST + 1)]
    assert all(1 <= step.needs <= step.number for step in STEPS)


def test_a_program_that_knows_no_claims_is_kept_out_and_one_that_knows_no_index_is_not(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrations.migrate(connection, migrations.ALL)
    monkeypatch.setattr(migrations, "LATEST", 2)
    assert DeadLetterQueue(connection).count() == 0
    monkeypatch.setattr(migrations, "LATEST", 1)
    with pytest.raises(StorageError, match="upgrade azoth-dlq"):
        DeadLetterQueue(connection).count()


def test_a_file_of_the_first_version_is_read_and_migrated_by_the_first_write(
    connection: sqlite3.Connection, path: Path
) -> None:
    migrations.migrate(connection, frozenset({1}))
    connection.execute(
        "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message, azoth_last_error) "
        "VALUES (7, x'6f6b3a', 'boom', 'bang')"
    )
    queue = DeadLetterQueue(connection)
    assert (queue.count(), queue.history(1), queue.permanent_failures()) == (1, [], [])
    assert len(execute(path, RECORDED)) == 1
    registry = EventHandlerRegistry()
    registry.register("ok", lambda *_args: None)
    assert DlqReplayer(queue, registry).drain(now=True).succeeded == 1
    required = [step for step in STEPS if step.number in migrations.REQUIRED]
    assert execute(path, RECORDED) == [(step.number, step.name, step.needs) for step in required]


@pytest.mark.parametrize("had", [{1, 2}, {1, 2, 3}, {1, 2, 3, 4}])
def test_steps_that_were_left_out_are_made_up_for_whatever_came_later(
    connection: sqlite3.Connection, path: Path, had: set[int]
) -> None:
    migrations.migrate(connection, frozenset(had))
    DeadLetterQueue(connection).add(7, b"ok:x", "boom")
    recorded = [number for number, *_ in execute(path, RECORDED)]
    assert set(recorded) == had | migrations.REQUIRED
    names = [name for (name,) in execute(path, "SELECT name FROM sqlite_master")]
    assert {"azoth_dlq_audit", "azoth_dlq_origins"} <= set(names)


@pytest.mark.parametrize("column", ["number", "needs"])
def test_a_record_of_migrations_that_is_no_number_is_told(
    connection: sqlite3.Connection, column: str
) -> None:
    migrations.migrate(connection)
    # The primary key takes integers alone.
    connection.execute("ALTER TABLE azoth_dlq_migrations RENAME TO kept")
    connection.execute("CREATE TABLE azoth_dlq_migrations AS SELECT * FROM kept")
    connection.execute(f"UPDATE azoth_dlq_migrations SET {column} = 'two'")  # noqa: S608 -- own text
    with pytest.raises(StorageError, match="azoth_dlq_migrations holds something else than"):
        DeadLetterQueue(connection).count()


def test_the_first_write_migrates_and_no_other_does(connection: sqlite3.Connection) -> None:
    queue = DeadLetterQueue(connection)
    assert (queue.count(), queue.letters(), queue.permanent_failures()) == (0, [], [])
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    queue.add(1, b"ok:x", "boom")
    version = connection.execute("PRAGMA schema_version").fetchone()
    queue.add(1, b"ok:x", "boom")
    queue.requeue([1])
    assert connection.execute("PRAGMA schema_version").fetchone() == version


def test_a_failed_step_leaves_the_file_as_it_was(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = STEPS[1]._replace(statements=(*STEPS[1].statements, "CREATE TABLE"))
    monkeypatch.setattr(migrations, "STEPS", (STEPS[0], bad, *STEPS[2:]))
    with pytest.raises(StorageError, match="incomplete input"):
        DeadLetterQueue(connection).add(1, b"ok:x", "boom")
    assert not connection.in_transaction
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_a_column_that_is_there_already_is_no_obstacle(connection: sqlite3.Connection) -> None:
    connection.execute(migrations.DEAD_LETTER_QUEUE)
    connection.execute("ALTER TABLE dead_letter_queue ADD COLUMN AZOTH_LAST_ERROR TEXT")
    queue = DeadLetterQueue(connection)
    assert queue.add(1, b"ok:x", "boom") == 1


def test_a_table_whose_name_is_written_otherwise_is_found(connection: sqlite3.Connection) -> None:
    connection.execute(migrations.DEAD_LETTER_QUEUE.replace("dead_letter", "Dead_Letter"))
    queue = DeadLetterQueue(connection)
    assert queue.count() == 0
    queue.add(1, b"ok:x", "boom")
    assert queue.count() == 1
    assert [letter.event_id for letter in queue.letters()] == [1]


def test_a_file_of_a_later_version_that_only_added_things_is_read_and_drained(
    scene: Scene,
) -> None:
    later_step(scene.conn, needs=LATEST)
    assert scene.path is not None
    with DeadLetterQueue.open(scene.path) as scene.queue:
        first = scene.letter()
        second = scene.letter("fails")
        assert scene.drain().succeeded == 1
        assert scene.left() == [second]
        assert scene.effects() == [first]
        assert scene.queue.count() == 1
        assert execute(scene.path, RECORDED)[-1] == (LATEST + 1, "colour", LATEST)


def test_a_file_that_says_it_is_incompatible_is_refused_unchanged(scene: Scene) -> None:
    scene.letter()
    later_step(scene.conn, needs=LATEST + 1)
    assert scene.path is not None
    with DeadLetterQueue.open(scene.path) as queue:
        scene.queue = queue
        for verb in (queue.count, queue.letters, queue.clear, scene.drain):
            with pytest.raises(StorageError, match="upgrade azoth-dlq"):
                verb()
        assert scene.left() == [1]
    assert scene.calls == []


def test_a_file_that_becomes_incompatible_while_it_is_open_is_not_drained(scene: Scene) -> None:
    scene.letter()
    assert scene.drain().succeeded == 1
    scene.letter()
    assert scene.path is not None
    with closing(sqlite3.connect(scene.path, isolation_level=None)) as another:
        later_step(another, needs=LATEST + 1)
    with pytest.raises(StorageError, match="upgrade azoth-dlq") as caught:
        scene.drain()
    assert caught.value.report is not None
    assert caught.value.report.attempted == 0
    assert (scene.calls, scene.left()) == ([1], [2])
    assert not scene.conn.in_transaction


def test_a_file_that_is_incompatible_is_refused_for_looking_too(scene: Scene) -> None:
    later_step(scene.conn, needs=LATEST + 1)
    assert scene.path is not None
    with closing(open_for_looking(scene.path)) as connection:
        queue = DeadLetterQueue(connection)
        with pytest.raises(StorageError, match=rf"schema {LATEST + 1}.*knows {LATEST}"):
            queue.count()


@pytest.mark.parametrize("kind", ["TABLE", "VIEW"])
def test_a_temporary_namesake_hides_no_letter(scene: Scene, kind: str) -> None:
    letter = scene.letter()
    for table in ("dead_letter_queue", "permanent_failures", "azoth_dlq_state"):
        scene.conn.execute(f"CREATE TEMP {kind} {table} AS SELECT 1 AS one")
    assert scene.queue.count() == 1
    assert [row.id for row in scene.queue.letters()] == [letter]
    added = scene.queue.add(7, b"unknown:x", "boom")
    report = scene.drain(now=True, max_retries=1)
    assert (report.succeeded, report.failed, report.parked) == (1, 1, 1)
    (parked,) = scene.queue.permanent_failures()
    assert parked.dead_letter_id == added
    assert scene.queue.requeue([parked.id]) == 1
    assert scene.queue.clear() == 1


def test_a_temporary_namesake_is_no_queue(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("CREATE TEMP TABLE dead_letter_queue (id INTEGER, azoth_last_error TEXT)")
    connection.execute("INSERT INTO temp.dead_letter_queue (id) VALUES (1)")
    queue = DeadLetterQueue(connection)
    assert queue.count() == 0
    queue.add(7, b"ok:x", "boom")
    assert [letter.event_id for letter in queue.letters()] == [7]
    assert execute(path, "SELECT event_id FROM dead_letter_queue") == [(7,)]


def test_letters_of_an_attached_file_are_left_alone(
    connection: sqlite3.Connection, crate_file: Path, path: Path
) -> None:
    connection.execute("ATTACH ? AS crate", (str(crate_file),))
    queue = DeadLetterQueue(connection)
    assert queue.count() == 0
    queue.add(7, b"ok:x", "boom")
    queue.clear()
    assert execute(path, "SELECT count(*) FROM dead_letter_queue") == [(0,)]
    assert execute(crate_file, "SELECT count(*) FROM dead_letter_queue") == [(5000,)]


def test_a_view_in_the_place_of_a_table_is_told(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE VIEW dead_letter_queue AS SELECT 1 AS id")
    queue = DeadLetterQueue(connection)
    with pytest.raises(StorageError, match="dead_letter_queue must have"):
        queue.add(7, b"ok:x", "boom")
    assert not connection.in_transaction
    names = connection.execute("SELECT name FROM sqlite_master").fetchall()
    assert names == [("dead_letter_queue",)]
