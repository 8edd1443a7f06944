"""The lock by which drains know of each other."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from azoth_dlq import DeadLetterQueue
from azoth_dlq.store.base import Abandoned, Forked
from azoth_dlq.store.sqlite import SqliteStore, open_connection
from azoth_dlq.store.sqlite.connection import connect
from azoth_dlq.store.sqlite.presence import is_alive
from tests.store.conftest import as_nobody, execute
from tests.store.drainers import NAME, SETTINGS, group, lock, locks, names, presence

POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes and links")
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture
def path(path: Path) -> Path:
    """Of a file with our tables."""
    DeadLetterQueue.open(path).close()
    return path


def alive_in_another_process(path: Path, name: str) -> bool:
    code = (
        "import sys; from azoth_dlq.store.sqlite.presence import is_alive; "
        "print(is_alive(*sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, str(path), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.strip() == "True"


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


def test_each_group_is_told_whether_other_drains_go_on(path: Path) -> None:
    with closing(open_connection(path)) as ours, closing(open_connection(path)) as theirs:
        store, another = SqliteStore(ours), SqliteStore(theirs)

        def has_others() -> bool:
            opened = store.begin()
            store.end(commit=True)
            return opened.others

        with store.draining(SETTINGS):
            assert not has_others()
            with another.draining(SETTINGS):
                group(another)
                assert has_others()
            # The rows of drains that ended, or died, are there until a drain begins.
            assert not has_others()
            Path(f"{path}-azoth-{NAME}").touch()
            execute(path, "INSERT INTO azoth_dlq_drainers VALUES (?, 'host', 1, 0)", NAME)
            assert not has_others()
            assert len(names(path)) == 3


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

    def connect_with_lock(file: str, mode: str, **_: object) -> Lock:
        return connect(file, mode, factory=Lock)

    monkeypatch.setattr("azoth_dlq.store.sqlite.presence.connect", connect_with_lock)
    with presence(path):
        assert len(locks(path)) == 1
    assert files_when_freed == [[]]


@POSIX
def test_a_drain_that_ends_while_it_is_asked_for_is_over(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file was there when it was looked for, and is gone when it is opened."""
    with presence(path) as present:

        def connect_too_late(file: str, mode: str, **_: object) -> sqlite3.Connection:
            present.leave()
            return connect(file, mode, factory=sqlite3.Connection)

        monkeypatch.setattr("azoth_dlq.store.sqlite.presence.connect", connect_too_late)
        assert not is_alive(str(path), present.name)


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
