"""Changes to files that fail, that kill their process, or that are written down.

A `Forker` is a process that has `shim/shim.c` preloaded; it forks a child for each drain that it is
asked for, so that a drain which is killed at its n-th change costs milliseconds.
"""

from __future__ import annotations

import errno
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from azoth_dlq import EventHandlerRegistry
from tests.crash.moods import Mood, Moods
from tests.crash.processes import Ending
from tests.crash.server import Server
from tests.sanitizers import preload

_SOURCE = Path(__file__).parent / "shim"
_HEAD = struct.Struct("=iiqq")  # kind, size of the path, offset or new length, size of the data


class Kind(IntEnum):
    """Of a change, as the shim numbers them."""

    WRITE = 1
    TRUNCATE = 2
    SYNC = 3
    UNLINK = 4
    RENAME = 5
    NOTE = 6


class Change(NamedTuple):
    """One that was written down. `offset` of a truncation is the new length; `data` of a renaming
    is the new path, of a note its text."""

    kind: Kind
    path: str
    offset: int
    data: bytes


class Fault(NamedTuple):
    """What becomes of the n-th change, counted from 1: `how` as the shim numbers it."""

    how: int
    at: int
    error: int = 0


def killed(at: int) -> Fault:
    return Fault(1, at)


def killed_halfway(at: int) -> Fault:
    """In the middle of a write."""
    return Fault(2, at)


def input_output_error(at: int) -> Fault:
    """This change alone fails."""
    return Fault(3, at, errno.EIO)


def dead_disk(at: int) -> Fault:
    """So does every one behind it."""
    return Fault(4, at, errno.EIO)


def full_disk(at: int) -> Fault:
    """No write succeeds any more."""
    return Fault(4, at, errno.ENOSPC)


def short_write(at: int) -> Fault:
    """Half of it is written, and then the disk is full."""
    return Fault(5, at, errno.ENOSPC)


class Journal(NamedTuple):
    """How the connection that drains keeps its journal, and when it waits for the disk."""

    mode: str
    synchronous: str = "OFF"


class Work(NamedTuple):
    """How the letters of a drain fare, in turn, and its settings."""

    moods: Sequence[Mood]
    settings: dict[str, Any]

    def registry(self, folder: Path) -> EventHandlerRegistry:
        return Moods(folder, [Mood(one) for one in self.moods]).registry()


class Outcome(NamedTuple):
    """Of a child: its exit status, negative where a signal killed it; how its drain ended, where it
    lived to say so; how many changes it had made by then."""

    status: int
    ending: Ending | None
    changes: int

    def report(self) -> dict[str, Any]:
        """Of a drain that returned."""
        assert self.ending is not None, self
        assert self.ending.report is not None, self
        assert self.ending.ended == "returned", self
        return self.ending.report


def build_shim(folder: Path) -> Path:
    """The shared library. Skips the test where it cannot be had."""
    cmake = shutil.which("cmake")
    if not sys.platform.startswith("linux") or cmake is None:
        pytest.skip("the shim needs Linux and CMake")
    for arguments in (["-S", str(_SOURCE), "-B", str(folder)], ["--build", str(folder)]):
        done = subprocess.run([cmake, *arguments], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "libshim.so"


class Forker(Server):
    """Drains files in children of one process."""

    def __init__(self, shim: Path, environment: Mapping[str, str] | None = None) -> None:
        super().__init__("forker", {**(environment or {}), **preload(shim)})

    def drain(
        self,
        path: Path,
        journal: Journal,
        *,
        fault: Fault | None = None,
        record: Path | None = None,
        work: Work | None = None,
    ) -> Outcome:
        """Open the file and drain it in a child. `record`: where its changes are written down."""
        self.start(path, journal, fault=fault, record=record, work=work)
        return self.outcome()

    def start(
        self,
        path: Path,
        journal: Journal,
        *,
        fault: Fault | None = None,
        record: Path | None = None,
        work: Work | None = None,
    ) -> None:
        """Have a child do that, whose `outcome` is to be asked for before the next."""
        order = {
            "path": str(path),
            "journal": journal,
            "fault": fault,
            "record": None if record is None else str(record),
            "work": work,
        }
        self.ask(order)

    def outcome(self) -> Outcome:
        status, words = self.answer()
        changes = words.pop("changes", 0)
        return Outcome(status, Ending(**words) if words else None, changes)


def read_record(path: Path) -> Iterator[Change]:
    with path.open("rb") as file:
        while head := file.read(_HEAD.size):
            kind, path_size, offset, size = _HEAD.unpack(head)
            yield Change(Kind(kind), os.fsdecode(file.read(path_size)), offset, file.read(size))
