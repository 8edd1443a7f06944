"""Files that cannot be drained or looked at: one clear line, nothing changed."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from azoth_dlq import DeadLetterQueue
from tests.cli.conftest import Workplace, error_line

COMMANDS = {
    "drain": ("drain", "{}", "--handlers", "handlers:registry"),
    "status": ("status", "{}"),
    "list": ("list", "{}", "--error", "x"),
    "show": ("show", "{}", "1"),
    "requeue": ("requeue", "{}", "1"),
    "discard": ("discard", "{}", "1"),
    "discard --all": ("discard", "{}", "--all", "--yes"),
}


@pytest.fixture(params=COMMANDS)
def command(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(
    workplace: Workplace, command: str, path: str, *more: str
) -> subprocess.CompletedProcess[str]:
    return workplace.run(*(word.format(path) for word in COMMANDS[command]), *more)


def refused(workplace: Workplace, command: str, path: str, *more: str) -> str:
    before = sorted(workplace.folder.iterdir())
    content = workplace.database.read_bytes() if workplace.database.is_file() else b""
    line = error_line(run(workplace, command, path, *more), 1)
    left = [file for file in sorted(workplace.folder.iterdir()) if not _is_helper(file)]
    assert left == [file for file in before if not _is_helper(file)]
    assert content == (workplace.database.read_bytes() if workplace.database.is_file() else b"")
    return line


def _is_helper(file: Path) -> bool:
    """Whether Python, SQLite or a drain makes the file beside others, and nothing needs it."""
    return file.name == "__pycache__" or file.name.endswith(("-wal", "-shm", "-azoth"))


@pytest.mark.parametrize("path", ["none.db", "no/folder/x.db", "handlers.py/x.db", ":memory:", ""])
def test_a_missing_file_is_told_and_not_made(workplace: Workplace, command: str, path: str) -> None:
    assert f"there is no file {path!r}; check the path" in refused(workplace, command, path)


def test_a_name_that_is_too_long_is_told(workplace: Workplace, command: str) -> None:
    assert "cannot be opened: File name too long" in refused(workplace, command, "x" * 5000)


def test_a_folder_is_refused(workplace: Workplace, command: str) -> None:
    assert "is a folder" in refused(workplace, command, ".")


def test_a_file_that_is_no_database_is_refused(workplace: Workplace, command: str) -> None:
    workplace.database.write_bytes(b"no database at all, but long enough to look at\n" * 100)
    assert "projection.db is not an SQLite database" in refused(workplace, command, "projection.db")


def test_an_empty_file_is_refused_and_stays_empty(workplace: Workplace, command: str) -> None:
    workplace.database.touch()
    assert "has no table dead_letter_queue" in refused(workplace, command, "projection.db")


def test_a_database_without_dead_letters_is_refused(workplace: Workplace, command: str) -> None:
    workplace.execute("CREATE TABLE other (x)")
    assert "has no table dead_letter_queue" in refused(workplace, command, "projection.db")


def test_a_table_with_other_columns_is_refused(workplace: Workplace, command: str) -> None:
    workplace.execute("CREATE TABLE dead_letter_queue (id INTEGER PRIMARY KEY, x)")
    assert "no such column" in refused(workplace, command, "projection.db")


def test_a_damaged_file_is_told(workplace: Workplace, command: str) -> None:
    workplace.make(*["ok"] * 500)
    workplace.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(workplace.database.read_bytes())
    content[4096:] = b"\x55" * (len(content) - 4096)
    workplace.database.write_bytes(content)
    assert "projection.db is damaged" in refused(workplace, command, "projection.db")


def test_a_locked_file_is_waited_for_and_told(workplace: Workplace, command: str) -> None:
    workplace.make("ok")
    workplace.execute("PRAGMA journal_mode=DELETE")
    more = ["--busy-timeout", "0.2"] if command == "drain" else []
    with closing(sqlite3.connect(workplace.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        done = run(workplace, command, "projection.db", *more)
    assert done.returncode == 1
    assert "projection.db is locked by another program" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert workplace.count("dead_letter_queue") == 1


def test_a_file_that_nobody_can_read_is_waited_for_as_long_as_asked(workplace: Workplace) -> None:
    """Not only while it is drained, but when it is opened, too."""
    workplace.make("ok")
    workplace.execute("PRAGMA journal_mode=DELETE")
    with closing(sqlite3.connect(workplace.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        command = ("drain", "projection.db", "--handlers", "handlers:registry")
        with workplace.start(*command, "--busy-timeout", "30") as process:
            time.sleep(7)  # SQLite's connections wait for 5 s by themselves
            other.execute("ROLLBACK")
            _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr
    assert workplace.count("dead_letter_queue") == 0


def test_a_file_of_a_newer_incompatible_version_is_refused(
    workplace: Workplace, command: str
) -> None:
    workplace.make("ok")
    workplace.execute("INSERT INTO azoth_dlq_migrations VALUES (99, 'far', 99, 'now')")
    workplace.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    line = refused(workplace, command, "projection.db")
    assert "needs a newer azoth-dlq" in line
    assert "upgrade azoth-dlq" in line


# As an ordinary user: root ignores modes.


@pytest.fixture
def shared(open_workplace: Workplace) -> Workplace:
    open_workplace.make("ok")
    return open_workplace


def test_a_file_that_may_not_be_written_is_not_drained(shared: Workplace) -> None:
    shared.execute("PRAGMA journal_mode=DELETE")
    shared.database.chmod(0o444)
    shared.folder.chmod(0o777)
    line = error_line_of_user(shared, "drain", "projection.db", "--handlers", "handlers:registry")
    assert "projection.db cannot be written; check its permissions" in line
    assert shared.count("dead_letter_queue") == 1


def test_a_folder_that_may_not_be_written_holds_no_drain(shared: Workplace) -> None:
    line = error_line_of_user(shared, "drain", "projection.db", "--handlers", "handlers:registry")
    assert "projection.db cannot be written" in line
    assert shared.count("dead_letter_queue") == 1


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_a_file_that_may_not_be_written_can_be_looked_at(shared: Workplace, mode: str) -> None:
    shared.execute(f"PRAGMA journal_mode={mode}")
    shared.database.chmod(0o444)
    shared.folder.chmod(0o555)
    done = shared.as_user("status", "projection.db")
    assert done.returncode == 0, done.stderr
    assert "dead letters" in done.stdout


def test_a_file_that_may_not_be_read_is_told(shared: Workplace) -> None:
    shared.database.chmod(0o000)
    assert "cannot be" in error_line_of_user(shared, "status", "projection.db")


def test_a_folder_that_may_not_be_entered_is_told(shared: Workplace) -> None:
    closed = shared.folder / "closed"
    closed.mkdir()
    closed.chmod(0o000)
    line = error_line_of_user(shared, "status", "closed/x.db")
    assert "closed/x.db cannot be opened: Permission denied" in line


def test_a_write_ahead_log_that_cannot_be_read_is_told(shared: Workplace) -> None:
    with DeadLetterQueue.open(shared.database) as queue:
        queue.add(1, b"ok:x", "boom")
        log = shared.database.read_bytes(), Path(f"{shared.database}-wal").read_bytes()
    shared.database.write_bytes(log[0])
    Path(f"{shared.database}-wal").write_bytes(log[1])
    Path(f"{shared.database}-shm").unlink(missing_ok=True)
    shared.folder.chmod(0o555)
    line = error_line_of_user(shared, "status", "projection.db")
    assert "write-ahead log" in line
    assert "copy both" in line


def error_line_of_user(workplace: Workplace, *arguments: str) -> str:
    return error_line(workplace.as_user(*arguments), 1)


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot rename an open file")
def test_a_rollback_journal_of_a_crash_is_no_obstacle_to_a_drain(workplace: Workplace) -> None:
    workplace.make("ok", "ok")
    workplace.execute("PRAGMA journal_mode=DELETE")
    with closing(sqlite3.connect(workplace.database, isolation_level=None)) as other:
        other.execute("PRAGMA cache_size=1")
        other.execute("BEGIN IMMEDIATE")
        other.execute("CREATE TABLE bulk (x)")
        other.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) "
            "INSERT INTO bulk SELECT zeroblob(4000) FROM n"
        )
        half_written = workplace.database.read_bytes()
        journal = Path(f"{workplace.database}-journal").read_bytes()
    workplace.database.write_bytes(half_written)
    Path(f"{workplace.database}-journal").write_bytes(journal)
    assert workplace.report()["succeeded"] == 2
