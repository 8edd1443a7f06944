"""The lock by which drains know of each other, and the connection that only reads."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest

from azoth_dlq import DeadLetterQueue, InvalidStateError, StorageError
from azoth_dlq.store.base import Abandoned, DrainSettings, Forked, NewLetter, Settlement
from azoth_dlq.store.sqlite import SqliteStore, open_connection, open_for_looking
from azoth_dlq.store.sqlite.connection import connect
from azoth_dlq.store.sqlite.presence import Presence, is_alive
from tests.store.conftest import as_nobody, execute

SETTINGS = DrainSettings(busy_timeout=0.2, settings="{}")
NEW = NewLetter(1, b"ok:", "boom", 0)
NAME = "0123456789abcdef"
POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes and links")
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "letters.db"
    DeadLetterQueue.open(path).close()
    return path


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with closing(open_connection(path)) as connection:
        yield SqliteStore(connection)


@contextmanager
def presence(path: Path) -> Iterator[Presence]:
    present = Presence(str(path))
    present.take()
    try:
        yield present
    finally:
        present.leave()


def drain(store: SqliteStore, *claims: int) -> None:
    """A drain with one group that leaves these claims."""
    with store.draining(SETTINGS):
        group(store, *claims)


def group(store: SqliteStore, *claims: int) -> None:
    store.begin()
    store.claim(claims, batch=False)
    store.end(commit=True)


def locks(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}-azoth-*"))


def names(path: Path) -> list[str]:
    return [str(name) for (name,) in execute(path, "SELECT name FROM azoth_dlq_drainers")]


def alive_in_another_process(path: Path, name: str) -> bool:
    code = (
        "import sys; from azoth_dlq.store.sqlite.presence import is_alive; "
        "print(is_alive(*sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, str(path), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.strip() == "True"


# The lock


def test_a_drain_is_alive_from_take_to_leave(path: Path) -> None:
    with presence(path) as present:
        assert locks(path) == [Path(f"{path}-azoth-{present.name}")]
        for _ in range(3):  # to ask frees nothing
            assert is_alive(str(path), present.name)
            assert alive_in_another_process(path, present.name)
    assert locks(path) == []
    assert not is_alive(str(path), present.name)
    assert not alive_in_another_process(path, present.name)


def test_a_lock_is_an_empty_file_and_writes_none_beside_it(path: Path) -> None:
    before = set(path.parent.iterdir())
    with presence(path) as present:
        (lock,) = set(path.parent.iterdir()) - before
        assert lock.stat().st_size == 0
        present.take()
        assert locks(path) == [lock]
    assert set(path.parent.iterdir()) == before


@POSIX
def test_a_drain_that_ends_never_looks_like_one_that_died(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is gone before its lock is."""
    files_when_freed: list[list[Path]] = []

    class Lock(sqlite3.Connection):
        def close(self) -> None:
            files_when_freed.append(locks(path))
            super().close()

    def connect_with_lock(file: Path, mode: str, **_: object) -> Lock:
        return connect(file, mode, factory=Lock)

    monkeypatch.setattr("azoth_dlq.store.sqlite.presence.connect", connect_with_lock)
    with presence(path):
        assert len(locks(path)) == 1
    assert files_when_freed == [[]]


def test_each_drain_has_a_lock_of_its_own(path: Path) -> None:
    with presence(path) as one:
        with presence(path) as two:
            assert is_alive(str(path), one.name)
            assert is_alive(str(path), two.name)
        assert is_alive(str(path), one.name)
        assert not is_alive(str(path), two.name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "0123456789ABCDEF",
        "0123456789abcde",
        "0123456789abcdef0",
        "0123456789abcdef\n",
        f"../{NAME}",
        b"\xff" * 16,
        None,
        17,
    ],
)
def test_what_is_no_name_is_nobodys(path: Path, name: object) -> None:
    text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
    planted = Path(f"{path}-azoth-{text}")
    with ExitStack() as locked:
        with suppress(OSError):  # some are no names of files, either
            planted.touch()
            locked.enter_context(lock(planted))
        assert not is_alive(str(path), name)


@contextmanager
def lock(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


def test_a_locked_file_that_is_not_empty_is_no_drain(path: Path) -> None:
    planted = Path(f"{path}-azoth-{NAME}")
    with closing(sqlite3.connect(planted)) as connection:
        connection.execute("CREATE TABLE precious (x)")
    with lock(planted):
        assert not is_alive(str(path), NAME)


@POSIX
def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.touch()
    Path(f"{path}-azoth-{NAME}").symlink_to(target)
    with lock(target):
        assert not is_alive(str(path), NAME)


@POSIX
def test_a_lock_has_the_mode_of_the_database(path: Path) -> None:
    path.chmod(0o660)
    with presence(path):
        assert stat.S_IMODE(locks(path)[0].stat().st_mode) == 0o660


@POSIX
def test_a_drain_that_may_not_be_asked_is_alive(open_folder: Path) -> None:
    path = open_folder / "letters.db"
    DeadLetterQueue.open(path).close()
    Path(f"{path}-azoth-{NAME}").touch(mode=0o600)
    code = f"from azoth_dlq.store.sqlite.presence import is_alive\nprint(is_alive(path, '{NAME}'))"
    Path(f"{path}-azoth-{NAME}").chmod(0)
    assert as_nobody(code, path) == "True"


@POSIX
def test_a_folder_that_takes_no_lock_is_told(open_folder: Path) -> None:
    path = open_folder / "letters.db"
    path.touch()
    path.chmod(0o666)
    code = "from azoth_dlq.store.sqlite.presence import Presence\nPresence(path).take()"
    open_folder.chmod(0o555)
    message = as_nobody(code, path)
    assert "azoth_dlq.errors.StorageError" in message
    assert "its folder must be writable" in message


def test_a_database_without_a_file_is_drained_by_this_process_alone() -> None:
    with closing(open_connection(":memory:")) as connection:
        store = SqliteStore(connection)
        with store.draining(SETTINGS):
            group(store, 1)
            assert len(store.figures().draining) == 1
            store.begin()
            assert (store.claimed(), store.abandoned()) == (set(), Abandoned([], []))
            store.end(commit=True)
        assert store.figures().draining == []
        with store.draining(SETTINGS):
            store.begin()
            assert (store.claimed(), store.abandoned()) == ({1}, Abandoned([], []))
            assert store.claimed() == set()


# Rows and files of drains that are over


def test_a_drain_without_a_group_leaves_nothing(path: Path, store: SqliteStore) -> None:
    with store.draining(SETTINGS):
        assert locks(path) == []
    assert names(path) == []


def test_a_row_stays_until_the_next_drain(path: Path, store: SqliteStore) -> None:
    drain(store)
    (first,) = names(path)
    with store.draining(SETTINGS):
        assert names(path) == [first]
        group(store)
        (second,) = names(path)
        assert second != first
        assert locks(path) == [Path(f"{path}-azoth-{second}")]
    assert locks(path) == []


def test_the_files_of_the_dead_are_removed_and_those_of_the_living_stay(
    path: Path, store: SqliteStore
) -> None:
    dead = Path(f"{path}-azoth-{NAME}")
    dead.touch()
    with presence(path) as living:
        drain(store)
        assert locks(path) == [Path(f"{path}-azoth-{living.name}")]
        assert is_alive(str(path), living.name)


def test_rows_of_the_living_stay(path: Path, store: SqliteStore) -> None:
    with closing(open_connection(path)) as connection:
        other = SqliteStore(connection)
        with other.draining(SETTINGS):
            group(other)
            drain(store)
            drain(store)
            assert len(names(path)) == 2
    drain(store)
    assert len(names(path)) == 1


@pytest.mark.parametrize("suffix", ["precious", "0123456789ABCDEF", f"{NAME}0", f"{NAME}-journal"])
def test_other_files_stay(path: Path, store: SqliteStore, suffix: str) -> None:
    """Also where a row names them."""
    other = Path(f"{path}-azoth-{suffix}")
    other.touch()
    drain(store)
    execute(path, "INSERT INTO azoth_dlq_drainers VALUES (?, 'host', 1, 1)", suffix)
    execute(path, "INSERT INTO azoth_dlq_claims VALUES (7, ?, 0)", suffix)
    assert store.figures().draining == []
    drain(store)
    assert other.exists()
    assert suffix not in names(path)


def test_files_of_that_name_that_are_not_empty_stay(path: Path, store: SqliteStore) -> None:
    other = Path(f"{path}-azoth-{NAME}")
    other.write_text("precious")
    drain(store)
    assert other.read_text() == "precious"


def test_a_row_cannot_have_another_file_opened_or_removed(
    path: Path, store: SqliteStore, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.touch()
    drain(store)
    name = "x/../victim"
    Path(f"{path}-azoth-x").mkdir()
    execute(path, "INSERT INTO azoth_dlq_drainers VALUES (?, 'host', 1, 1)", name)
    execute(path, "INSERT INTO azoth_dlq_claims VALUES (7, ?, 0)", name)
    with lock(victim), store.draining(SETTINGS):
        store.begin()
        assert store.abandoned() == Abandoned([], [])
        assert store.claimed() == set()
        store.end(commit=True)
    assert victim.exists()
    assert name not in names(path)


def test_files_removed_while_nothing_runs_are_not_missed(path: Path, store: SqliteStore) -> None:
    drain(store, 1)
    Path(f"{path}-azoth").unlink()
    with store.draining(SETTINGS):
        store.begin()
        assert (store.claimed(), store.abandoned()) == ({1}, Abandoned([], []))
        assert store.claimed() == set()


# Looking


def test_who_only_looks_sees_who_drains(path: Path, store: SqliteStore) -> None:
    with closing(open_for_looking(path)) as connection:
        looking = SqliteStore(connection)
        with store.draining(SETTINGS):
            group(store)
            (drainer,) = looking.figures().draining
            assert drainer.pid == os.getpid()
        assert looking.figures().draining == []


def test_figures_of_a_file_without_our_tables(crate_file: Path) -> None:
    with closing(open_for_looking(crate_file)) as connection:
        figures = SqliteStore(connection).figures()
        assert (figures.dead, figures.draining, figures.stopped_at) == (5000, [], None)


def test_figures_of_a_file_of_the_first_step(path: Path) -> None:
    for statement in (
        "DELETE FROM azoth_dlq_migrations WHERE number > 1",
        "DROP TABLE azoth_dlq_drainers",
        "DROP TABLE azoth_dlq_claims",
    ):
        execute(path, statement)
    with closing(open_for_looking(path)) as connection:
        figures = SqliteStore(connection).figures()
        assert (figures.dead, figures.draining, figures.stopped_at) == (0, [], None)


# What claims cost


def test_a_drain_without_claims_executes_nothing_for_them(store: SqliteStore) -> None:
    (letter_id,) = store.add([NEW])
    executed: list[str] = []
    with store.draining(SETTINGS):
        group(store)
        store.connection.set_trace_callback(executed.append)
        store.begin()
        store.settle(Settlement(acked=[letter_id]))
        store.end(commit=True)
        store.connection.set_trace_callback(None)
    assert any("dead_letter_queue" in statement for statement in executed)
    assert not any("azoth_dlq_claims" in s or "azoth_dlq_drainers" in s for s in executed)


def test_claims_are_not_kept_in_mind_once_they_ended(store: SqliteStore) -> None:
    executed: list[str] = []
    with store.draining(SETTINGS):
        group(store, 1)
        for committed in (False, True, True):
            store.begin()
            store.connection.set_trace_callback(executed.append)
            store.settle(Settlement(acked=[1]))
            store.connection.set_trace_callback(None)
            store.end(commit=committed)
    assert sum("azoth_dlq_claims" in statement for statement in executed) == 2


# The connection that only reads


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


# Tidying


def test_a_handler_that_closed_the_connection_ends_the_drain(store: SqliteStore) -> None:
    with store.draining(SETTINGS):
        group(store)
        sqlite3.Connection.close(store.connection)
        with pytest.raises(StorageError, match="the handler closed the queue's connection"):
            store.tidy()


def test_a_closed_connection_keeps_no_lock(path: Path, store: SqliteStore) -> None:
    with store.draining(SETTINGS):
        group(store)
        (name,) = names(path)
        sqlite3.Connection.close(store.connection)
    assert locks(path) == []
    assert not is_alive(str(path), name)


@FORKS
def test_a_child_can_neither_free_the_lock_nor_remove_it(path: Path, store: SqliteStore) -> None:
    with store.draining(SETTINGS):
        group(store)
        (name,) = names(path)
        child = os.fork()
        if child == 0:
            try:
                store.tidy()
            except Forked:
                os._exit(42)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
        assert locks(path) == [Path(f"{path}-azoth-{name}")]
        assert alive_in_another_process(path, name)
