"""The file in which a drain marks which of its calls have started."""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq.errors import StorageError
from azoth_dlq.store.base import Abandoned
from azoth_dlq.store.sqlite import SqliteStore
from azoth_dlq.store.sqlite.starts import Started, Starts
from tests.store.conftest import execute
from tests.store.drainers import NAME, SETTINGS, drain


def started_files(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}-azoth-*-started"))


def test_a_drain_that_needs_none_makes_none(path: Path, store: SqliteStore) -> None:
    with store.draining(SETTINGS):
        store.begin()
        store.claim([1], batch=False)
        store.end(commit=True)
        assert started_files(path) == []


def test_it_is_there_as_long_as_the_drain(path: Path, store: SqliteStore) -> None:
    path.chmod(0o640)
    with store.draining(SETTINGS):
        store.begin()
        marks = store.start_marks(9)
        assert store.start_marks(9) is marks
        store.end(commit=True)
        [file] = started_files(path)
        assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (bytes(9), 0o640)
        marks[3] = 1
        assert file.read_bytes() == b"\0\0\0\1" + bytes(5)
    assert started_files(path) == []


def test_a_database_without_a_file_keeps_its_marks_to_itself() -> None:
    marks = Starts("", NAME).marks(3)
    marks[2] = 1
    assert bytes(marks) == b"\0\0\1"


def test_a_slot_counts_only_where_it_is_marked(tmp_path: Path) -> None:
    database = str(tmp_path / "letters.db")
    Path(database).touch()
    mine = Starts(database, NAME)
    mine.marks(4)[2] = 1
    started = Started(database, NAME)
    assert [slot in started for slot in (0, 1, 2, 3, 4, -1, -2, 2**63)] == [
        *(False, False, True, False, False, False, False, False)
    ]
    # A call without one is made as soon as it is claimed.
    assert None in started
    assert "2" not in started
    mine.close()
    assert 2 not in Started(database, NAME)
    assert None in Started(database, NAME)


def test_those_of_the_dead_are_removed_once_their_claims_are_settled(
    path: Path, store: SqliteStore
) -> None:
    drain(store)
    for suffix in ("", "-started"):
        Path(f"{path}-azoth-{NAME}{suffix}").touch()
    Path(f"{path}-azoth-{NAME}-started").write_bytes(b"\0\1")
    for letter, slot in ((7, 0), (8, 1), (9, 2), (10, None)):
        execute(path, "INSERT INTO azoth_dlq_claims VALUES (?, ?, 0, ?)", letter, NAME, slot)
    with store.draining(SETTINGS):
        store.begin()
        assert started_files(path) != []  # their claims stand
        assert store.abandoned() == Abandoned([8, 10], [])
        store.end(commit=True)
    drain(store)
    assert started_files(path) == []


def test_those_that_a_crash_left_alone_are_removed(path: Path, store: SqliteStore) -> None:
    left = Path(f"{path}-azoth-{NAME}-started")
    left.write_bytes(bytes(5))
    drain(store)
    assert not left.exists()


@pytest.mark.parametrize("name", [f"{NAME}-starte", f"{NAME}0-started", "precious-started"])
def test_other_files_stay(path: Path, store: SqliteStore, name: str) -> None:
    other = Path(f"{path}-azoth-{name}")
    other.write_text("precious")
    drain(store)
    assert other.read_text() == "precious"


def test_what_is_no_ordinary_file_is_neither_read_nor_removed(
    path: Path, store: SqliteStore, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"\1\1")
    link = Path(f"{path}-azoth-{NAME}-started")
    link.symlink_to(target)
    assert 0 not in Started(str(path), NAME)
    drain(store)
    assert target.exists()
    folder = Path(f"{path}-azoth-{'f' * 16}-started")
    folder.mkdir()
    assert 0 not in Started(str(path), "f" * 16)
    drain(store)
    assert folder.exists()


def test_a_file_that_cannot_be_made_is_told(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    drain(store)

    def refuse(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with store.draining(SETTINGS):
        store.begin()
        monkeypatch.setattr("azoth_dlq.store.sqlite.starts.os.write", refuse)
        with pytest.raises(StorageError, match=r"-started cannot be made \(No space") as caught:
            store.start_marks(4)
        assert caught.value.transient
        assert started_files(path) == []
        store.end(commit=False)
