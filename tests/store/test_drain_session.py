"""What a drain sets on its connection, and that everything is put back on every way out."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import (
    ConfigError,
    DeadLetterQueue,
    DlqReplayer,
    EventHandlerRegistry,
    InvalidStateError,
    StorageError,
)
from azoth_dlq.store.sqlite import statements as sql
from tests.conftest import Scene
from tests.store.conftest import execute
from tests.store.ways_out import DRAINS, Watched, WatchedQueueConnection, pragma, settings

SINCE_312 = pytest.mark.skipif(sys.version_info < (3, 12), reason="autocommit came with 3.12")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "letters.db"
    DeadLetterQueue.open(path).close()
    return path


@pytest.fixture(params=[Watched, WatchedQueueConnection])
def watched(request: pytest.FixtureRequest, path: Path) -> Iterator[Scene]:
    with closing(sqlite3.connect(path, factory=request.param)) as connection:
        yield Scene(DeadLetterQueue(connection), path)


def factory(_cursor: object, row: tuple[Any, ...]) -> list[Any]:
    return [*row]


# Putting back


@pytest.mark.parametrize("drain", DRAINS)
@pytest.mark.parametrize("isolation_level", ["", None, "DEFERRED", "EXCLUSIVE"])
def test_everything_is_put_back(
    watched: Scene, drain: Callable[[Scene], None], isolation_level: str | None
) -> None:
    conn = watched.conn
    watched.letter()
    for statement in ("busy_timeout = 1234", "wal_autocheckpoint = 56", "synchronous = NORMAL"):
        conn.execute(f"PRAGMA {statement}")
    conn.isolation_level = isolation_level  # type: ignore[assignment]  # stubs lack ""
    conn.row_factory = factory
    conn.text_factory = bytes
    before = settings(conn)
    assert (before["busy_timeout"], before["wal_autocheckpoint"]) == (1234, 56)
    drain(watched)
    assert settings(conn) == before
    conn.execute("BEGIN")
    conn.execute("INSERT INTO effects VALUES (0)")
    conn.commit()
    assert not conn.in_transaction


@pytest.mark.parametrize("isolation_level", ["", None])
def test_everything_is_put_back_where_a_reader_keeps_a_group_from_its_commit(
    path: Path, isolation_level: str | None
) -> None:
    execute(path, "PRAGMA journal_mode = DELETE")
    with (
        closing(sqlite3.connect(path, factory=Watched)) as connection,
        closing(sqlite3.connect(path, isolation_level=None)) as reader,
    ):
        scene = Scene(DeadLetterQueue(connection), path)
        scene.letter()
        connection.isolation_level = isolation_level  # type: ignore[assignment]  # stubs lack ""
        connection.row_factory = factory
        before = settings(connection)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM dead_letter_queue").fetchall()
        with pytest.raises(StorageError, match="locked by another program"):
            scene.drain(busy_timeout=0.01)
        reader.execute("COMMIT")
        assert settings(connection) == before
        assert scene.queue.count() == 1
        assert scene.drain().succeeded == 1


@pytest.mark.parametrize("limit", [20, 100_000])
def test_limits_that_a_handler_sets_end_with_the_drain(path: Path, limit: int) -> None:
    categories = (sqlite3.SQLITE_LIMIT_SQL_LENGTH, sqlite3.SQLITE_LIMIT_LENGTH)
    with closing(sqlite3.connect(path)) as connection:
        scene = Scene(DeadLetterQueue(connection), path)

        def lower(conn: sqlite3.Connection, *_: object) -> None:
            for category in categories:
                conn.setlimit(category, limit)

        scene.registry.register("lowers", lower)
        letters = [scene.letter("lowers"), scene.letter()]
        before = [connection.getlimit(category) for category in categories]
        with suppress(StorageError):
            scene.drain()
        assert [connection.getlimit(category) for category in categories] == before
        assert scene.queue.count() in (0, len(letters))


@SINCE_312
@pytest.mark.parametrize("drain", DRAINS)
def test_autocommit_is_put_back(path: Path, drain: Callable[[Scene], None]) -> None:
    options: dict[str, Any] = {"autocommit": True}
    with closing(sqlite3.connect(path, factory=Watched, **options)) as connection:
        scene = Scene(DeadLetterQueue(connection), path)
        scene.letter()
        before = settings(connection)
        drain(scene)
        assert settings(connection) == before
        assert before["autocommit"] is True


@pytest.mark.parametrize(
    "text_factory",
    [bytes, bytearray, lambda text: text[::-1], lambda _text: 7],
    ids=["bytes", "bytearray", "backwards", "a number"],
)
@pytest.mark.parametrize(
    "row_factory", [sqlite3.Row, lambda _cursor, _row: 7], ids=["Row", "a number"]
)
def test_factories_of_the_user_change_no_result(
    watched: Scene, text_factory: Any, row_factory: Any
) -> None:
    ids = [watched.letter(), watched.letter("fails"), watched.letter(failed_at="never")]
    watched.conn.text_factory = text_factory
    watched.conn.row_factory = row_factory
    queue = DeadLetterQueue(watched.conn)
    watched.queue = queue
    report = watched.drain()
    assert (report.succeeded, report.failed, report.unreadable) == (1, 1, 1)
    (letter,) = queue.letters()
    assert (letter.id, letter.last_error) == (ids[1], "ValueError: event 2 failed")
    (parked,) = queue.permanent_failures()
    assert (parked.failed_at, parked.error_message) == ("never", "boom")
    assert queue.requeue([parked.id]) == 1
    assert queue.add(9, b"ok:x", "boom") > ids[-1]


def test_handlers_read_through_the_users_factories(watched: Scene) -> None:
    seen = []

    def reads(conn: sqlite3.Connection, _event_id: int, _payload: bytes) -> None:
        seen.append(conn.execute("SELECT 'text'").fetchone())

    watched.registry.register("reads", reads)
    watched.letter("reads")
    watched.conn.row_factory = factory
    watched.conn.text_factory = bytes
    watched.drain()
    assert seen == [[b"text"]]


# During the drain


def test_handlers_statements_wait_as_long_as_configured_in_every_group(watched: Scene) -> None:
    waits = []

    def asks(conn: sqlite3.Connection, _event_id: int, _payload: bytes) -> None:
        waits.append(pragma(conn, "busy_timeout"))

    watched.registry.register("asks", asks)
    for _ in range(3):
        watched.letter("asks")
    watched.drain(busy_timeout=7, max_transaction_time=1e-6)
    assert waits == [7000] * 3


def test_the_file_is_cached_and_mapped_as_configured_in_the_drain_alone(watched: Scene) -> None:
    sizes = []

    def asks(conn: sqlite3.Connection, _event_id: int, _payload: bytes) -> None:
        sizes.append((pragma(conn, "cache_size"), pragma(conn, "mmap_size")))

    watched.registry.register("asks", asks)
    for name, size in (("cache_size", 77), ("mmap_size", 4096)):
        watched.conn.execute(f"PRAGMA {name} = {size}")
    before = pragma(watched.conn, "cache_size"), pragma(watched.conn, "mmap_size")
    every: list[dict[str, Any]] = [
        {"cache_size": 3 * 2**20, "mmap_size": 2**20},
        {"mmap_size": 0, "cache_size": None},
        {},
    ]
    for given in every:
        watched.letter("asks")
        watched.drain(**given)
        assert (pragma(watched.conn, "cache_size"), pragma(watched.conn, "mmap_size")) == before
    assert sizes == [(-3 * 1024, 2**20), (77, 0), (-32 * 1024, 4096)]


@pytest.mark.parametrize("own", [-2048, 512])
def test_a_larger_cache_of_the_connection_stays(watched: Scene, own: int) -> None:
    sizes = []

    def asks(conn: sqlite3.Connection, _event_id: int, _payload: bytes) -> None:
        sizes.append(pragma(conn, "cache_size"))

    watched.registry.register("asks", asks)
    watched.conn.execute(f"PRAGMA cache_size = {own}")
    for size in (2**20, 2**21, 2**21 + 1024):
        watched.letter("asks")
        watched.drain(cache_size=size)
    assert sizes == [own, own, -2049]


def test_a_database_without_a_file_takes_the_sizes_too() -> None:
    with DeadLetterQueue.open(":memory:") as queue:
        queue.add(event_id=1, event_bytes=b"ok:", error="boom")
        scene = Scene(queue, None)
        scene.clock.move(hours=10**5)
        assert scene.drain(cache_size=2**20, mmap_size=2**20).succeeded == 1


def test_transactions_that_will_write_begin_as_such(watched: Scene) -> None:
    watched.letter()
    watched.letter(failed_at="never")
    statements: list[str] = []
    watched.conn.set_trace_callback(statements.append)
    watched.drain()
    watched.queue.add(1, b"ok:x", "boom")
    watched.conn.set_trace_callback(None)
    begun = [t for t in statements if t.startswith("BEGIN") and t != sql.BEGIN_READING]
    assert len(begun) == 3
    assert all(text.startswith("BEGIN IMMEDIATE") for text in begun)


# What cannot be drained


@pytest.mark.parametrize("mode", ["OFF", "MEMORY"])
def test_a_journal_that_survives_no_crash_is_refused(path: Path, mode: str) -> None:
    execute(path, "PRAGMA journal_mode = DELETE")
    with closing(sqlite3.connect(path, factory=Watched)) as connection:
        scene = Scene(DeadLetterQueue(connection), path)
        scene.letter()
        assert pragma(connection, f"journal_mode = {mode}") == mode.lower()
        with pytest.raises(StorageError, match=rf"journal_mode={mode}.*PRAGMA journal_mode=WAL"):
            scene.drain()
        assert scene.calls == []
        assert scene.left() == [1]
        assert pragma(connection, "journal_mode") == mode.lower()


@pytest.mark.parametrize("mode", ["DELETE", "TRUNCATE", "PERSIST", "WAL"])
def test_a_journal_that_survives_a_crash_is_drained_and_left(path: Path, mode: str) -> None:
    execute(path, f"PRAGMA journal_mode = {mode}")
    with closing(sqlite3.connect(path)) as connection:
        scene = Scene(DeadLetterQueue(connection), path)
        connection.execute(f"PRAGMA journal_mode = {mode}")
        scene.letter()
        assert scene.drain().succeeded == 1
        assert pragma(connection, "journal_mode") == mode.lower()


def test_a_database_in_memory_drains() -> None:
    with DeadLetterQueue.open(":memory:") as queue:
        queue.add(1, b"ok:x", "boom")
        scene = Scene(queue, None)
        assert scene.drain(now=True).succeeded == 1
        assert scene.effects() == [1]


@SINCE_312
def test_a_connection_with_an_eternal_transaction_is_refused(path: Path) -> None:
    options: dict[str, Any] = {"autocommit": False}
    with closing(sqlite3.connect(path, **options)) as connection:
        replayer = DlqReplayer(DeadLetterQueue(connection), EventHandlerRegistry())
        with pytest.raises(ConfigError, match=r"autocommit=False.*DeadLetterQueue\.open"):
            replayer.drain()


def test_an_open_transaction_is_refused_and_left_open(watched: Scene) -> None:
    watched.letter()
    watched.conn.execute("BEGIN")
    watched.conn.execute("INSERT INTO effects VALUES (7)")
    before = settings(watched.conn)
    with pytest.raises(InvalidStateError, match="commit it or roll it back"):
        watched.drain()
    assert settings(watched.conn) == before
    assert before["in_transaction"]
    watched.conn.commit()
    assert watched.effects() == [7]


def test_a_drain_within_a_drain_is_refused_and_harms_no_other_letter(watched: Scene) -> None:
    errors = []

    def drains(_conn: object, _event_id: int, _payload: bytes) -> None:
        try:
            DeadLetterQueue(watched.conn)
            watched.drain()
        except InvalidStateError as error:
            errors.append(str(error))
            raise

    watched.registry.register("drains", drains)
    first = watched.letter()
    inner = watched.letter("drains")
    last = watched.letter()
    report = watched.drain()
    assert (report.succeeded, report.failed) == (2, 1)
    assert "a drain is running on this connection" in errors[0]
    assert watched.effects() == [first, last]
    assert watched.left() == [inner]
    assert watched.drain(now=True).failed == 1


def test_a_trigger_that_refuses_the_outcome_is_told(watched: Scene) -> None:
    ok = watched.letter()
    failed = watched.letter("fails")
    watched.conn.execute(
        "CREATE TRIGGER never BEFORE UPDATE ON dead_letter_queue "
        "BEGIN SELECT raise(ABORT, 'no update'); END"
    )
    with pytest.raises(StorageError, match="no update"):
        watched.drain()
    assert watched.effects() == [ok]
    assert watched.left() == [failed]
