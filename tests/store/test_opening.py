"""Opening files: to work on, or only to look at."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from azoth_dlq import DeadLetterQueue, StorageError
from azoth_dlq.store.base import Figures
from azoth_dlq.store.sqlite import SqliteStore, connection, open_for_looking
from tests.store.conftest import as_nobody, execute

POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has no modes that bind the owner")
COUNT = (
    "store = SqliteStore(open_for_looking(path)); "
    "print(store.figures().dead, store.figures().parked)"
)
ADD = "azoth_dlq.DeadLetterQueue.open(path).add(1, b'ok:x', 'boom')"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_BUSY_SECONDS", 0.05)


def make(path: Path, mode: str = "WAL") -> Path:
    """A file with one letter and nothing in a log."""
    with DeadLetterQueue.open(path) as queue:
        queue.add(1, b"ok:x", "boom")
    execute(path, f"PRAGMA journal_mode = {mode}")
    return path


# To work on


def test_a_missing_file_is_made_in_wal_mode(path: Path) -> None:
    DeadLetterQueue.open(path).close()
    assert execute(path, "PRAGMA journal_mode") == [("wal",)]
    assert execute(path, "SELECT count(*) FROM dead_letter_queue") == [(0,)]
    assert execute(path, "SELECT count(*) FROM permanent_failures") == [(0,)]


@pytest.mark.parametrize("name", ["a b.db", "a?mode=ro.db", "a#b.db", "a%41.db", "größe 😀.db"])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_gets_the_name_that_was_given(
    tmp_path: Path, name: str, kind: Callable[[Path], str | Path]
) -> None:
    with DeadLetterQueue.open(kind(tmp_path / name)) as queue:
        queue.add(1, b"ok:x", "boom")
    assert [file.name for file in tmp_path.iterdir()] == [name]
    with closing(open_for_looking(kind(tmp_path / name))) as looking:
        assert SqliteStore(looking).figures().dead == 1


def test_a_path_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    DeadLetterQueue.open("letters.db").close()
    assert [file.name for file in tmp_path.iterdir()] == ["letters.db"]


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no folder that a process works in")
def test_a_whole_path_needs_no_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with DeadLetterQueue.open(tmp_path / "letters.db") as queue:
        assert queue.add(1, b"ok:x", "boom") == 1


@pytest.mark.parametrize("mode", ["DELETE", "PERSIST", "WAL"])
def test_the_journal_mode_of_an_existing_file_is_left(path: Path, mode: str) -> None:
    make(path, mode)
    with DeadLetterQueue.open(path) as queue:
        queue.add(1, b"ok:x", "boom")
    lasting = "wal" if mode == "WAL" else "delete"
    assert execute(path, "PRAGMA journal_mode") == [(lasting,)]


@pytest.mark.parametrize("new", [True, False])
def test_synchronous_is_left(path: Path, new: bool) -> None:
    if not new:
        make(path)
    with closing(sqlite3.connect(path.with_name("other.db"))) as other:
        usual = other.execute("PRAGMA synchronous").fetchone()
    with DeadLetterQueue.open(path) as queue:
        assert queue.connection.execute("PRAGMA synchronous").fetchone() == usual


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_opening_and_reading_change_no_byte(path: Path, mode: str) -> None:
    before = make(path, mode).read_bytes()
    with DeadLetterQueue.open(path) as queue:
        assert queue.count() == 1
    assert path.read_bytes() == before


def test_an_empty_file_becomes_a_queue_with_the_first_write(path: Path) -> None:
    path.touch()
    with DeadLetterQueue.open(path) as queue:
        assert queue.count() == 0
        assert path.stat().st_size == 0
        assert queue.add(1, b"ok:x", "boom") == 1


def test_a_database_in_memory_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with DeadLetterQueue.open(":memory:") as queue:
        queue.add(1, b"ok:x", "boom")
        assert queue.count() == 1
    assert list(tmp_path.iterdir()) == []


OPENERS = [DeadLetterQueue.open, open_for_looking]


@pytest.mark.parametrize("opener", OPENERS, ids=["to work", "to look"])
def test_a_file_that_is_no_database_is_told_and_left(
    path: Path, opener: Callable[[Path], object]
) -> None:
    path.write_bytes(b"this is no database, however long it may be\n" * 200)
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"letters\.db is not an SQLite database"):
        opener(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("opener", OPENERS, ids=["to work", "to look"])
def test_a_folder_is_told(tmp_path: Path, opener: Callable[[Path], object]) -> None:
    with pytest.raises(StorageError, match="is a folder; give the path of an SQLite file"):
        opener(tmp_path)


@pytest.mark.parametrize("opener", OPENERS, ids=["to work", "to look"])
def test_a_missing_folder_is_told_and_not_made(
    tmp_path: Path, opener: Callable[[Path], object]
) -> None:
    with pytest.raises(StorageError, match=r"there is no (folder|file) .*missing"):
        opener(tmp_path / "missing" / "letters.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("opener", OPENERS, ids=["to work", "to look"])
def test_a_locked_file_is_told(path: Path, opener: Callable[[Path], object]) -> None:
    make(path, "DELETE")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageError, match=r"letters\.db is locked by another program"):
            opener(path)


def test_a_damaged_file_is_told(path: Path) -> None:
    content = bytearray(make(path, "DELETE").read_bytes())
    content[100:] = b"\x55" * (len(content) - 100)
    path.write_bytes(content)
    with closing(open_for_looking(path)) as looking:
        for read in (SqliteStore(looking).figures, lambda: DeadLetterQueue.open(path)):
            with pytest.raises(StorageError, match=r"letters\.db is damaged.*integrity_check"):
                read()


@POSIX
def test_a_file_that_may_not_be_written_opens_and_refuses_the_first_write(
    open_folder: Path,
) -> None:
    path = make(open_folder / "letters.db", "DELETE")
    path.chmod(0o444)
    code = "queue = azoth_dlq.DeadLetterQueue.open(path); print(queue.count())"
    assert as_nobody(code, path) == "1"
    assert "letters.db cannot be written; check its permissions" in as_nobody(ADD, path)
    assert execute(path, "SELECT count(*) FROM dead_letter_queue") == [(1,)]


@POSIX
def test_a_file_that_may_not_be_read_is_told(open_folder: Path) -> None:
    path = make(open_folder / "letters.db", "DELETE")
    path.chmod(0o000)
    assert "StorageError" in as_nobody(ADD, path)
    assert "letters.db cannot be read; check its permissions" in as_nobody(COUNT, path)


@POSIX
def test_a_file_in_a_folder_that_may_not_be_written_is_not_made(open_folder: Path) -> None:
    told = as_nobody(ADD, open_folder / "letters.db")
    assert "letters.db cannot be opened; check that its folder exists and its permissions" in told
    assert list(open_folder.iterdir()) == []


@POSIX
def test_a_folder_that_may_not_be_entered_is_told(open_folder: Path) -> None:
    path = make(open_folder / "letters.db")
    open_folder.chmod(0o000)
    assert "letters.db cannot be opened; check that its folder exists and" in as_nobody(ADD, path)


# To look at


def test_a_missing_file_is_told_and_not_made_for_looking(path: Path) -> None:
    with pytest.raises(StorageError, match=r"there is no file .*letters\.db; check the path"):
        open_for_looking(path)
    assert not path.exists()


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_a_file_that_is_looked_at_cannot_be_written(path: Path, mode: str) -> None:
    before = make(path, mode).read_bytes()
    with closing(open_for_looking(path)) as looking:
        store = SqliteStore(looking)
        with pytest.raises(StorageError, match=r"letters\.db cannot be written"):
            store.delete(None)
        assert store.figures().dead == 1
    assert path.read_bytes() == before


def test_what_is_still_in_the_log_is_seen(path: Path) -> None:
    with DeadLetterQueue.open(path) as queue, closing(open_for_looking(path)) as looking:
        store = SqliteStore(looking)
        for count in (1, 2):
            queue.add(1, b"ok:x", "boom")
            assert store.figures().dead == count


@POSIX
@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_a_file_in_a_folder_that_may_not_be_written_is_looked_at(
    open_folder: Path, mode: str
) -> None:
    path = make(open_folder / "letters.db", mode)
    path.chmod(0o444)
    open_folder.chmod(0o555)
    before = path.read_bytes()
    assert as_nobody(COUNT, path) == "1 0"
    assert path.read_bytes() == before
    assert list(open_folder.iterdir()) == [path]


@POSIX
def test_a_log_in_a_folder_that_may_not_be_written_is_no_reason_for_a_wrong_answer(
    open_folder: Path,
) -> None:
    made, path = open_folder / "made.db", open_folder / "letters.db"
    with DeadLetterQueue.open(made) as queue:
        queue.add(1, b"ok:x", "boom")
        for suffix in ("", "-wal"):
            shutil.copy(f"{made}{suffix}", f"{path}{suffix}")
    open_folder.chmod(0o555)
    told = as_nobody(COUNT, path)
    assert "write-ahead log letters.db-wal cannot be read" in told
    assert "copy both to a folder of your own" in told
    assert not Path(f"{path}-shm").exists()


def test_a_file_without_dead_letters_has_none(path: Path) -> None:
    execute(path, "CREATE TABLE orders (id)")
    with closing(open_for_looking(path)) as looking:
        store = SqliteStore(looking)
        assert (store.figures().dead, store.figures().parked, store.read()) == (0, 0, [])
        assert store.figures(5) == Figures(dead=0, parked=0, by_error=[], settings=None)
