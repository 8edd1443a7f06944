"""A disk without space: nothing is lost or charged, and the rest drains when there is space."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from azoth_dlq import DeadLetterQueue, StorageError
from azoth_dlq.store.sqlite.marker import Marker
from tests.crash.processes import DlqFile, Ending

PAYLOAD = 20_000
LETTERS = 60


class SmallDisk:
    """A file system of 600 kB."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def mount(self) -> None:
        mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(self.folder)]
        done = subprocess.run(mount, check=False, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"a small file system cannot be mounted: {done.stderr.strip()}")

    def fill(self, *, leaving: int = 0) -> None:
        with contextlib.suppress(OSError), (self.folder / "filler").open("wb", 0) as filler:
            while filler.write(b"x" * 4096):
                pass
        os.truncate(self.folder / "filler", (self.folder / "filler").stat().st_size - leaving)

    def grow(self) -> None:
        grow = ["mount", "-o", "remount,size=60m", str(self.folder)]
        subprocess.run(grow, check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.folder)], check=True)  # noqa: S607 -- where PATH says


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small file system")
    disk = SmallDisk(tmp_path / "small")
    disk.mount()
    yield disk
    disk.unmount()


def _assert_stopped_without_harm(file: DlqFile, letters: list[int], ending: Ending) -> None:
    assert ending.ended == "StorageError", ending
    assert ending.report is not None
    done = file.effects()
    assert done == letters[: len(done)]
    assert ending.report["succeeded"] == len(done) < len(letters)
    assert ending.report["failed"] == 0
    assert file.charges() == {}
    assert file.parked() == {}
    file.assert_whole(letters)


def _assert_the_rest_drains(file: DlqFile, letters: list[int]) -> None:
    file.drain()
    assert file.effects() == letters
    assert file.charges() == {}
    assert file.query("SELECT count(*), min(length(content)) FROM bulk") == [(LETTERS, PAYLOAD)]
    file.assert_whole(letters)


@pytest.mark.parametrize("journal_mode", ["wal", "delete"])
def test_a_full_disk_charges_nobody_and_loses_nothing(
    small_disk: SmallDisk, journal_mode: str
) -> None:
    file = DlqFile.make(small_disk.folder / "projection.db", journal_mode)
    letters = file.add(*[f"grows:{PAYLOAD}"] * LETTERS)
    ending = file.start().ending()
    assert "disk is full" in ending.message
    _assert_stopped_without_harm(file, letters, ending)
    # What there was space for was done.
    assert file.effects() != []
    small_disk.grow()
    _assert_the_rest_drains(file, letters)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not limit the size of files")
def test_a_write_that_fails_charges_nobody_and_loses_nothing(dlq_file: DlqFile) -> None:
    letters = dlq_file.add(*[f"grows:{PAYLOAD}"] * LETTERS)
    ending = dlq_file.start(largest_file=300_000).ending()
    _assert_stopped_without_harm(dlq_file, letters, ending)
    assert dlq_file.effects() != []
    _assert_the_rest_drains(dlq_file, letters)


def test_a_full_disk_is_told_before_the_letter_in_hand_is_mapped(small_disk: SmallDisk) -> None:
    """A store to a mapped page that the disk has no room for would kill the process."""
    database = small_disk.folder / "letters.db"
    database.touch()
    small_disk.fill()
    with pytest.raises(StorageError, match=r"No space left on device\); .* free some space"):
        Marker(str(database))


def test_a_full_disk_is_told_where_letters_are_only_looked_at(small_disk: SmallDisk) -> None:
    """SQLite needs a file for that, too."""
    file = DlqFile.make(small_disk.folder / "projection.db", "wal")
    small_disk.fill()
    with pytest.raises(StorageError, match=r"-shm file .* free some space"):
        DeadLetterQueue.open(file.path)


def test_a_log_that_a_full_disk_has_no_room_for_takes_nothing_back(small_disk: SmallDisk) -> None:
    """It fits into the file of the log, and not into the database."""
    file = DlqFile.make(small_disk.folder / "projection.db", "wal")
    letters = file.add("grows:100000", "ok:")
    small_disk.fill(leaving=280_000)
    ending = file.start().ending()
    assert "disk is full; free some space" in ending.message
    assert "All that was done is committed; the -wal file could not be copied" in ending.message
    assert ending.report is not None
    assert (ending.report["succeeded"], ending.report["remaining"]) == (2, 0)
    small_disk.grow()
    assert file.effects() == letters
    assert file.left() == []
