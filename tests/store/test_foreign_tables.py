"""Tables of another making: rows that no integer of SQLite's tells apart."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from azoth_dlq import DeadLetterQueue, DlqReplayer, EventHandlerRegistry, StorageError
from azoth_dlq.store.sqlite import SqliteStore, open_for_looking
from tests.store.conftest import execute

REST = (
    "event_id INTEGER NOT NULL, event_bytes BLOB NOT NULL, error_message TEXT NOT NULL, "
    "failed_at TEXT NOT NULL DEFAULT (datetime('now')), retry_count INTEGER NOT NULL DEFAULT 0, "
    "last_retry_at TEXT"
)
REFUSED = {
    f"(id TEXT PRIMARY KEY, {REST})": "it has `id TEXT PRIMARY KEY`",
    f"(id INTEGER, {REST})": "it has `id INTEGER`",
    f"(id, {REST})": "it has `id`",
    f"(id INT PRIMARY KEY, {REST})": "it has `id INT PRIMARY KEY`",
    f"(id INTEGER PRIMARY KEY DESC, {REST})": "no rowid",
    f"(id INTEGER PRIMARY KEY, {REST}) WITHOUT ROWID": "no rowid",
    f"(id INTEGER, {REST}, PRIMARY KEY (id, event_id))": "it has `id INTEGER PRIMARY KEY`",
    f"({REST})": "it has none of that name",
}
TAKEN = [
    f"(id INTEGER PRIMARY KEY, {REST})",
    f"(ID integer PRIMARY KEY AUTOINCREMENT, {REST})",
    f"(id INTEGER, {REST}, PRIMARY KEY (id))",
    f"(id INTEGER PRIMARY KEY, {REST}, UNIQUE (event_id))",
]


def make(path: Path, columns: str, table: str = "dead_letter_queue") -> None:
    execute(path, f"CREATE TABLE {table} {columns}")


@pytest.mark.parametrize("columns", REFUSED)
@pytest.mark.parametrize("table", ["dead_letter_queue", "permanent_failures"])
def test_a_table_without_a_rowid_of_ours_is_refused_when_it_is_opened(
    path: Path, columns: str, table: str
) -> None:
    make(path, columns, table)
    with pytest.raises(StorageError, match=f"{table} must have .*{REFUSED[columns]}"):
        DeadLetterQueue.open(path)
    with closing(open_for_looking(path)) as looking, pytest.raises(StorageError, match="rowid"):
        SqliteStore(looking).figures()
    with closing(sqlite3.connect(path)) as connection:
        queue = DeadLetterQueue(connection)
        with pytest.raises(StorageError, match="rowid"):
            queue.count()
        with pytest.raises(StorageError, match="rowid"):
            DlqReplayer(queue, EventHandlerRegistry()).drain()
    assert execute(path, "SELECT name FROM sqlite_master WHERE name LIKE 'azoth%'") == []


@pytest.mark.parametrize("columns", TAKEN)
def test_a_table_of_another_making_with_a_rowid_is_taken(path: Path, columns: str) -> None:
    make(path, columns)
    with DeadLetterQueue.open(path) as queue:
        letter = queue.add(1, b"ok:", "boom")
        assert queue.discard([letter]) == 1
