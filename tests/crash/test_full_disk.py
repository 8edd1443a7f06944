"""A disk without space: nothing is lost or charged, and the rest drains when there is space."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from azoth_dlq import StorageError
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
    with contextlib.suppress(OSError), (small_disk.folder / "filler").open("wb", 0) as filler:
        while filler.write(b"x" * 4096):
            pass
    with pytest.raises(StorageError, match="No space left"):
        Marker(str(database))
