"""Folders and processes for tests of files: the crate's, and those that others may not touch."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from azoth_dlq import DeadLetterQueue
from azoth_dlq.store.sqlite import SqliteStore, open_connection
from tests.conftest import DATA
from tests.store.polls import Polls, polling

# Imports everything first: the folder of the interpreter may be closed to others.
AS_NOBODY = """
import os, pwd, sys
import encodings.ascii
import azoth_dlq
from azoth_dlq import *
from azoth_dlq.store.sqlite import SqliteStore, open_for_looking, values
if os.geteuid() == 0:
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)
path = sys.argv[1]
"""


@pytest.fixture
def crate_file(tmp_path: Path) -> Path:
    """A copy of a file that the Rust crate azoth 0.2.5 made: 5,000 letters, 500 retried once."""
    return Path(shutil.copy(DATA / "azoth-0.2.5.db", tmp_path / "crate.db"))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of the machine can reach."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


@pytest.fixture
def polls(tmp_path: Path) -> Iterator[Polls]:
    path = tmp_path / "letters.db"
    DeadLetterQueue.open(path).close()
    with polling(path) as polls:
        yield polls


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    """Over a file with our tables."""
    DeadLetterQueue.open(path).close()
    with closing(open_connection(path)) as connection:
        yield SqliteStore(connection)


def as_nobody(code: str, path: Path) -> str:
    """What `code` prints, or the error that it raises, run as somebody whom file modes bind."""
    if os.name == "nt":
        pytest.skip("Windows has no file modes that bind the owner")
    command = [sys.executable, "-c", AS_NOBODY + code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return (done.stdout or done.stderr.strip().splitlines()[-1]).strip()


def execute(path: Path, statement: str, *values: Any) -> list[Any]:
    """Run one statement as another program does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement, values).fetchall()
