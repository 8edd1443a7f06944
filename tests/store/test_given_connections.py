"""Connections of every kind that a user may give: the results are those of a plain one."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from azoth_dlq import (
    DeadLetterQueue,
    DlqReplayConfig,
    DlqReplayer,
    EventHandlerRegistry,
    InvalidStateError,
    LetterFilter,
    NonRetryable,
    ReplayPriority,
    RetryAfter,
    Snooze,
    StorageError,
    clock,
)
from azoth_dlq.status import look
from azoth_dlq.store.sqlite import open_connection
from tests.store.conftest import execute

NOW = 1_795_521_600_000_000  # 2026-11-24 12:00:00 UTC, in microseconds
NOT_OURS = "CREATE {} {}.dead_letter_queue (id INTEGER PRIMARY KEY, event_bytes, retry_count)"
STORED = (
    "SELECT * FROM dead_letter_queue ORDER BY id",
    "SELECT * FROM permanent_failures ORDER BY id",
    "SELECT * FROM effects ORDER BY 1",
)
CONFIG = DlqReplayConfig(max_retries=3, priority=ReplayPriority.by_error_type(["late", "boom"]))
NATURAL_TYPES = ("TEXT", "BLOB", "INTEGER", "TIMESTAMP", "INT")


def refuse(*_arguments: Any, **_options: Any) -> NoReturn:
    raise AssertionError("what is the user's was called for a statement of the queue")


class OwnCursor(sqlite3.Cursor):
    execute = executemany = executescript = fetchone = fetchall = refuse


class OwnConnection(sqlite3.Connection):
    """Its ways to run a statement are its owner's."""

    execute = executemany = executescript = refuse
    commit = rollback = __enter__ = __exit__ = refuse

    def cursor(self, *_arguments: Any) -> Any:
        return OwnCursor(self)


def with_options(**options: Any) -> Callable[[str], sqlite3.Connection]:
    return lambda path: sqlite3.connect(path, **options)


def with_attributes(**attributes: Any) -> Callable[[str], sqlite3.Connection]:
    def connect(path: str) -> sqlite3.Connection:
        connection = sqlite3.connect(path)
        for name, value in attributes.items():
            setattr(connection, name, value)
        return connection

    return connect


def after(*statements: str) -> Callable[[str], sqlite3.Connection]:
    def connect(path: str) -> sqlite3.Connection:
        connection = sqlite3.connect(path)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        return connection

    return connect


def by_uri(path: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{Path(path).as_uri()}?cache=private", uri=True)


KINDS: dict[str, Callable[[str], sqlite3.Connection]] = {
    **{
        f"isolation_level={level}": with_options(isolation_level=level)
        for level in (None, "", "DEFERRED", "IMMEDIATE", "EXCLUSIVE")
    },
    "rows": with_attributes(row_factory=sqlite3.Row),
    "dicts": with_attributes(
        row_factory=lambda cursor, row: {
            column[0]: value for column, value in zip(cursor.description, row, strict=True)
        }
    ),
    "no rows": with_attributes(row_factory=refuse),
    "text as bytes": with_attributes(text_factory=bytes),
    "text as bytearray": with_attributes(text_factory=bytearray),
    "no text": with_attributes(text_factory=refuse),
    "converters": with_options(detect_types=sqlite3.PARSE_DECLTYPES | sqlite3.PARSE_COLNAMES),
    "own cursor": with_options(factory=OwnConnection),
    "no statement cache": with_options(cached_statements=0),
    "uri": by_uri,
    "attached": after(
        "ATTACH ':memory:' AS a",
        NOT_OURS.format("TABLE", "a"),
        "INSERT INTO a.dead_letter_queue VALUES (1, 'ok:', 9)",
    ),
    "temporary": after(
        NOT_OURS.format("TABLE", "temp"),
        "INSERT INTO temp.dead_letter_queue VALUES (1, 'ok:', 9)",
        "CREATE TEMP VIEW permanent_failures AS SELECT 1 AS id",
        "CREATE TEMP TABLE azoth_dlq_state (key, value)",
    ),
}
if sys.version_info >= (3, 12):
    KINDS["autocommit"] = with_options(autocommit=True)
    KINDS["legacy"] = with_options(autocommit=sqlite3.LEGACY_TRANSACTION_CONTROL)


@pytest.fixture(autouse=True)
def _one_instant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)


@pytest.fixture(autouse=True)
def _converters() -> Iterator[None]:
    """Of every type that our columns have; they concern connections with detect_types alone."""
    before = dict(sqlite3.converters)
    for name in NATURAL_TYPES:
        sqlite3.register_converter(name, refuse)
    yield
    sqlite3.converters.clear()
    sqlite3.converters.update(before)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make(tmp_path / "letters.db")


def make(path: Path) -> Path:
    """A file with letters of another program's: exhausted, unreadable, odd, and a plain one."""
    DeadLetterQueue.open(path).close()
    execute(path, "CREATE TABLE effects (event_id INTEGER NOT NULL)")
    for event_bytes, error, failed_at, count in [
        (b"ok:x", "boom", "2026-11-24 10:00:00", 0),
        ("ok:größe", b"\xff\xfe", "2026-11-24T10:00:00.5Z", 1),
        (b"ok:x", "too often", "2026-11-24 10:00:00", 7),
        (b"ok:x", "boom", "never", "many"),
    ]:
        execute(
            path,
            "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message, failed_at, "
            "retry_count) VALUES (9, ?, CAST(? AS TEXT), ?, ?)",
            event_bytes,
            error,
            failed_at,
            count,
        )
    return path


def outside(conn: sqlite3.Connection, _event_id: int, _payload: bytes) -> None:
    """It gets a connection of its own, which only reads."""
    assert conn.execute("SELECT 'text' AS 'a [TEXT]'").fetchone() == ("text",)


def registry() -> EventHandlerRegistry:
    def handler(error: BaseException | None) -> Callable[[sqlite3.Connection, int, bytes], None]:
        def handle(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
            sqlite3.Cursor(conn).execute("INSERT INTO effects VALUES (?)", (event_id,))
            if error is not None:
                raise error

        return handle

    handlers = EventHandlerRegistry()
    for name, error in {
        "ok": None,
        "fails": ValueError("größe"),
        "parks": NonRetryable("no use"),
        "snoozes": Snooze(60),
        "later": RetryAfter(60),
    }.items():
        handlers.register(name, handler(error))
    handlers.register("outside", outside, transactional=False, needs_connection=True)
    return handlers


def everything(connection: sqlite3.Connection) -> list[Any]:
    """What every verb of the queue returns, and two drains between them."""
    queue = DeadLetterQueue(connection)
    replayer = DlqReplayer(queue, registry(), CONFIG, clock=lambda: NOW)
    kinds = [b"ok:", b"fails:", b"parks:", b"snoozes:", b"later:", b"nobody:", b"outside:"]
    results: list[Any] = [
        queue.add_many((n, kind, "late") for n, kind in enumerate(kinds)),
        last := queue.add(77, b"ok:" + bytes(20_000), ValueError("boom")),
        queue.mark_retry(last),
        queue.get(last),
        queue.letters(),
        look(queue.store, CONFIG, NOW),
        report(replayer.drain()),
        queue.count(),
        report(replayer.drain(now=True)),
        queue.letters(),
        queue.permanent_failures(),
        queue.permanent_failure_count(),
        queue.store.figures(5),
        [attempts(queue, letter.id) for letter in queue.letters()],
        [attempts(queue, failure.id, parked=True) for failure in queue.permanent_failures()],
        report(replayer.replay(last)),
        queue.find(LetterFilter(error="LATE", max_age=3600)),
        queue.find(LetterFilter(event_type="parks", parked=True)),
    ]
    assert not queue.find(LetterFilter(event_type="outside"))
    parked = [failure.id for failure in queue.permanent_failures()]
    results += [
        queue.requeue(parked[:2]),
        queue.letters(),
        queue.discard(parked, parked=True),
        queue.remove(last),
        queue.discard([2, 3, 4]),
        queue.clear_permanent_failures(),
        queue.clear(),
        queue.add(1, b"ok:", "boom"),
    ]
    return results


def attempts(queue: DeadLetterQueue, row_id: int, *, parked: bool = False) -> list[Any]:
    return [replace(attempt, duration=None) for attempt in queue.history(row_id, parked=parked)]


def report(report: Any) -> dict[str, Any]:
    return {name: value for name, value in asdict(report).items() if name != "duration"}


def stored(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        return [connection.execute(statement).fetchall() for statement in STORED]


@pytest.mark.parametrize("kind", KINDS)
def test_every_result_is_that_of_a_plain_connection(path: Path, kind: str) -> None:
    other = make(path.with_name("other.db"))
    with closing(KINDS[kind](str(path))) as connection, closing(sqlite3.connect(other)) as plain:
        names = ("isolation_level", "row_factory", "text_factory", "autocommit")
        before = {name: getattr(connection, name, None) for name in names}
        assert everything(connection) == everything(plain)
        assert not connection.in_transaction
        assert {name: getattr(connection, name, None) for name in names} == before
    assert stored(path) == stored(other)


@pytest.mark.parametrize("kind", KINDS)
def test_verbs_join_a_transaction_and_a_drain_refuses_it(path: Path, kind: str) -> None:
    before = stored(path)
    with closing(KINDS[kind](str(path))) as connection:
        sqlite3.Cursor(connection).execute("BEGIN")
        queue = DeadLetterQueue(connection)
        added = queue.add(1, b"ok:", "boom")
        queue.mark_retry(added)
        assert queue.discard([1, 2]) == 2
        with pytest.raises(InvalidStateError, match="a transaction is open"):
            DlqReplayer(queue, registry()).drain()
        assert connection.in_transaction
        assert queue.get(added) is not None
        sqlite3.Connection.rollback(connection)
    assert stored(path) == before


@pytest.mark.skipif(sys.version_info < (3, 12), reason="autocommit came with 3.12")
def test_verbs_leave_the_commit_to_an_owner_who_always_has_a_transaction(path: Path) -> None:
    before = stored(path)
    options: dict[str, Any] = {"autocommit": False}
    with closing(sqlite3.connect(path, **options)) as connection:
        queue = DeadLetterQueue(connection)
        queue.discard([1])
        queue.add(1, b"ok:", "boom")
        connection.rollback()
        assert stored(path) == before
        assert queue.clear() == 4
        connection.commit()
    assert stored(path)[0] == []


def test_a_connection_may_be_used_by_another_thread_where_its_owner_says_so(path: Path) -> None:
    other = make(path.with_name("other.db"))
    found: list[Any] = []
    with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        thread = threading.Thread(target=lambda: found.extend(everything(connection)))
        thread.start()
        thread.join()
    with closing(sqlite3.connect(other)) as plain:
        assert found == everything(plain)
    assert stored(path) == stored(other)


def test_a_queue_that_is_drained_refuses_the_verbs_of_another_thread(path: Path) -> None:
    """Else what they write would be undone together with a letter that fails."""
    with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        queue, beside = DeadLetterQueue(connection), DeadLetterQueue(connection)
        refused: list[str] = []

        def add(to: DeadLetterQueue) -> None:
            try:
                to.add(99, b"ok:", "boom")
            except InvalidStateError as error:
                refused.append(str(error))

        def handle(*_: object) -> None:
            for to in (queue, beside):
                thread = threading.Thread(target=add, args=(to,))
                thread.start()
                thread.join()
            raise ValueError("not today")

        handlers = EventHandlerRegistry()
        handlers.register("ok", handle)
        report = DlqReplayer(queue, handlers, clock=lambda: NOW).drain()
        left = queue.count()
        assert report.failed == left > 0
        assert len(refused) == 2 * left
        assert all("another thread drains" in told for told in refused)
        add(queue)
        assert queue.count() == left + 1


def test_a_queue_may_move_to_another_thread_after_it_was_made(path: Path) -> None:
    reports: list[Any] = []
    with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        queue = DeadLetterQueue(connection)
        replayer = DlqReplayer(queue, registry(), clock=lambda: NOW)
        thread = threading.Thread(target=lambda: reports.append(replayer.drain()))
        thread.start()
        thread.join()
        assert reports[0].succeeded == 2
        assert queue.count() == 0


def test_a_queue_in_an_attached_file_is_left_alone(path: Path, tmp_path: Path) -> None:
    attached = make(tmp_path / "attached.db")
    before = stored(attached)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ATTACH ? AS other", (str(attached),))
        everything(connection)
    assert stored(attached) == before


# Paths

NAMES = ["a b.db", "a?mode=ro.db", "a#b.db", "a%41.db", "größe 😀.db", "a'b\".db"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has fewer names")
@pytest.mark.parametrize("connect", [sqlite3.connect, by_uri])
@pytest.mark.parametrize("name", NAMES)
def test_a_drain_keeps_its_files_beside_the_database(
    tmp_path: Path, name: str, connect: Callable[[Any], sqlite3.Connection]
) -> None:
    path = make(tmp_path / name)
    with closing(connect(path)) as connection:
        assert DlqReplayer(DeadLetterQueue(connection), registry()).drain().succeeded == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == [name, f"{name}-azoth"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems want names in Unicode")
@pytest.mark.parametrize("connect", [sqlite3.connect, by_uri, None])
def test_a_path_need_not_be_utf8(tmp_path: Path, connect: Any) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/gr\xf6\xdfe"))
    folder.mkdir()
    path = make(folder / os.fsdecode(b"l\xe9.db"))
    connection = open_connection(path) if connect is None else connect(path)
    with closing(connection):
        queue = DeadLetterQueue(connection)
        assert DlqReplayer(queue, registry()).drain().succeeded == 2
        assert Path(f"{path}-azoth").stat().st_size > 0
        sqlite3.Cursor(connection).execute("PRAGMA query_only = ON")
        with pytest.raises(StorageError, match=r"gr\ufffd\ufffde/l\ufffd\.db cannot be written"):
            queue.add(1, b"ok:", "boom")
