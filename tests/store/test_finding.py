"""Finding letters in SQLite files: texts that are no UTF-8, other encodings, old files, memory."""

from __future__ import annotations

import sqlite3
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import ConfigError, DeadLetterQueue, LetterFilter, StorageError
from azoth_dlq.store.sqlite import SqliteStore, finding, open_for_looking
from tests.conftest import DATA

INSERT = (
    "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message) "
    "VALUES (1, CAST(? AS {event}), CAST(? AS {error}))"
)


def insert(queue: DeadLetterQueue, event_bytes: bytes, error: bytes, *, event: str = "BLOB") -> int:
    statement = INSERT.format(event=event, error="TEXT")
    return queue.connection.execute(statement, (event_bytes, error)).lastrowid or 0


def test_text_that_is_not_utf8_is_compared_by_its_bytes(queue: DeadLetterQueue) -> None:
    ids = [
        insert(queue, b"ok:\xff", b"\xff\x80Time\xc3out \xe9", event=event)
        for event in ("BLOB", "TEXT")
    ]
    assert list(queue.find(LetterFilter(error="time"))) == ids
    assert list(queue.find(LetterFilter(error="é"))) == []
    assert list(queue.find(LetterFilter(event_type="ok"))) == ids
    glued = insert(queue, b"ok:\x80\x80", b"boom", event="TEXT")
    assert list(queue.find(LetterFilter(event_type="ok", error="boom"))) == [glued]


def test_a_database_in_utf16_is_searched_alike(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "wide.db")) as connection:
        connection.execute("PRAGMA encoding = 'UTF-16'")
        queue = DeadLetterQueue(connection)
        letter_id = queue.add(1, b"ok:x", "GrÖße TIMEOUT")
        connection.execute("UPDATE dead_letter_queue SET failed_at = '2020-01-01 00:00:00'")
        as_text = connection.execute(
            "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message, failed_at) "
            "VALUES (1, 'ok:x', 'größe timeout', '2020-01-01 00:00:00')"
        ).lastrowid
        wanted = LetterFilter(event_type="ok", error="größe", min_age=1)
        assert list(queue.find(wanted)) == [as_text]
        assert list(queue.find(LetterFilter(event_type="ok", error="timeout"))) == [
            letter_id,
            as_text,
        ]


def _refuse(_value: bytes) -> Any:
    raise AssertionError("the factory of the connection's owner was asked")


@pytest.mark.parametrize(
    ("row_factory", "text_factory"), [(sqlite3.Row, bytes), (lambda *_: {}, _refuse)]
)
def test_the_owners_factories_are_not_asked_and_stay(
    tmp_path: Path, row_factory: Any, text_factory: Callable[[bytes], Any]
) -> None:
    DeadLetterQueue.open(tmp_path / "given.db").close()
    with closing(sqlite3.connect(tmp_path / "given.db")) as connection:
        queue = DeadLetterQueue(connection)
        letter_id = queue.add(1, b"ok:x", "boom")
        connection.row_factory, connection.text_factory = row_factory, text_factory
        assert list(queue.find(LetterFilter(max_age=3600))) == [letter_id]
        assert connection.row_factory is row_factory
        assert connection.text_factory is text_factory


def test_a_table_of_that_name_among_the_temporary_ones_hides_nothing(
    queue: DeadLetterQueue,
) -> None:
    letter_id = queue.add(1, b"ok:x", "boom")
    queue.connection.execute("CREATE TEMP TABLE dead_letter_queue (id)")
    assert list(queue.find(LetterFilter())) == [letter_id]


def test_the_crates_file_is_searched_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "crate.db"
    content = (DATA / "azoth-0.2.5.db").read_bytes()
    path.write_bytes(content)
    with closing(open_for_looking(path)) as connection:
        store = SqliteStore(connection)
        assert len(store.find(LetterFilter(), 0)) == 5000
        assert len(store.find(LetterFilter(min_retry_count=1), 0)) == 500
        assert list(store.find(LetterFilter(min_age=0, parked=True), 0)) == []
    assert path.read_bytes() == content


def test_a_file_without_the_tables_holds_no_letters() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        queue = DeadLetterQueue(connection)
        assert not queue.find(LetterFilter())
        assert not queue.find(LetterFilter(parked=True))


def test_a_table_with_other_columns_is_told() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE dead_letter_queue (id INTEGER PRIMARY KEY)")
        queue = DeadLetterQueue(connection)
        with pytest.raises(StorageError, match="no such column: error_message"):
            queue.find(LetterFilter(error="x"))


def test_a_number_in_an_untyped_table_is_no_error_text() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE dead_letter_queue (id INTEGER PRIMARY KEY, error_message)")
        connection.execute("INSERT INTO dead_letter_queue VALUES (1, 503), (2, '503'), (3, NULL)")
        assert list(DeadLetterQueue(connection).find(LetterFilter(error="503"))) == [2]


@pytest.mark.parametrize("wanted", [None, "timeout", {"error": "timeout"}])
def test_only_a_filter_says_what_is_wanted(queue: DeadLetterQueue, wanted: Any) -> None:
    with pytest.raises(ConfigError, match=r"^wanted=.*must be a LetterFilter"):
        queue.find(wanted)


def test_rows_are_not_held(queue: DeadLetterQueue) -> None:
    queue.connection.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) "
        "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message) "
        "SELECT i, 'ok:x', 'boom' FROM n"
    )
    tracemalloc.start()
    try:
        found = queue.store.find(LetterFilter(error="boom", max_age=3600), 0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 100_000
    assert peak < 24 * len(found)


def test_the_owners_converters_are_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "given.db"
    with DeadLetterQueue.open(path) as queue:
        letter_id = queue.add(1, b"ok:x", "boom")
    for kind in ("INTEGER", "TEXT"):
        monkeypatch.setitem(sqlite3.converters, kind, _refuse)
    types = sqlite3.PARSE_DECLTYPES | sqlite3.PARSE_COLNAMES
    with closing(sqlite3.connect(path, detect_types=types)) as connection:
        found = finding.find(connection, LetterFilter(max_age=3600), 0, migrated=True)
    assert list(found) == [letter_id]
