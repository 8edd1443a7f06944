"""The connection that only reads, and what handlers leave of it and of the queue's own."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from azoth_dlq import InvalidStateError, StorageError
from azoth_dlq.store.settlement import Settlement
from azoth_dlq.store.sqlite import SqliteStore, open_connection
from tests.store.drainers import NEW, SETTINGS, group


def test_the_reader_is_closed_with_its_drain(store: SqliteStore) -> None:
    with store.draining(SETTINGS):
        reader = store.reader()
        assert reader.execute("SELECT count(*) FROM dead_letter_queue").fetchall() == [(0,)]
    with pytest.raises(sqlite3.ProgrammingError):
        reader.execute("SELECT 1")


def test_a_reader_that_a_handler_closed_is_opened_anew(store: SqliteStore) -> None:
    with store.draining(SETTINGS):
        store.reader().close()
        assert store.tidy() is None
        assert store.reader().execute("SELECT 1").fetchall() == [(1,)]


def test_a_handler_cannot_make_the_reader_write(store: SqliteStore) -> None:
    with store.draining(SETTINGS):
        reader = store.reader()
        reader.execute("PRAGMA query_only = OFF")
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM dead_letter_queue")


def test_a_reader_of_a_database_without_a_file_is_refused() -> None:
    with closing(open_connection(":memory:")) as connection:
        store = SqliteStore(connection)
        with store.draining(SETTINGS), pytest.raises(InvalidStateError, match="without a file"):
            store.reader()


@pytest.mark.parametrize("left", ["half a SELECT", "a transaction"])
@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_what_is_left_open_on_the_reader_ends_with_the_call(
    store: SqliteStore, left: str, mode: str
) -> None:
    """Else the next handler would read the past, and a rollback journal admit no commit."""
    store.connection.execute(f"PRAGMA journal_mode = {mode}")
    with store.draining(SETTINGS):
        store.add([NEW] * 3)
        reader = store.reader()
        if left == "a transaction":
            reader.execute("BEGIN")
        rows = reader.execute("SELECT id FROM dead_letter_queue")
        assert rows.fetchone() == (1,)
        store.tidy()
        store.begin()
        store.settle(Settlement(acked=[2]))
        store.end(commit=True)
        count = store.reader().execute("SELECT count(*) FROM dead_letter_queue").fetchall()
        assert count == [(2,)]


def test_a_handler_that_closed_the_connection_ends_the_drain(store: SqliteStore) -> None:
    with store.draining(SETTINGS):
        group(store)
        sqlite3.Connection.close(store.connection)
        with pytest.raises(StorageError, match="the handler closed the queue's connection"):
            store.tidy()
