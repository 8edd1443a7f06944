"""Files of dead letters as after a day of trouble, and the programs that drain them."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from azoth_dlq import DeadLetterQueue

LETTERS = 100_000
KINDS = [
    f"Projection error: {what} talking to service-{n} of the ledger cluster"
    for n, what in enumerate(["timeout", "connection_error", "HTTP 503", "deadlock"] * 5)
]
LIMIT_SOURCE = Path(__file__).parent / "limit" / "limit.c"
LIMIT_GROUP = 50_000


def _text(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%d %H:%M:%S")


def make_outage(path: Path, *, in_order: bool, letters: int = LETTERS) -> None:
    """A WAL file of letters of 128 bytes, 20 kinds of error, retry counts 0 to 4, all due."""
    chance = random.Random(7)
    start = datetime.now(UTC) - timedelta(days=3)
    DeadLetterQueue.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)")
    connection.executemany("INSERT INTO accounts VALUES (?, 0)", ((n,) for n in range(1000)))
    for n in range(letters):
        seconds = n * 86400 // letters if in_order else chance.randrange(86400)
        failed_at = start + timedelta(seconds=seconds)
        retries = chance.randrange(5)
        connection.execute(
            "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message, failed_at, "
            "retry_count, last_retry_at) VALUES (?, ?, ?, ?, ?, ?)",
            (
                n,
                b"deposit:%d:%s" % (n % 1000, b"x" * 110),
                chance.choice(KINDS),
                _text(failed_at),
                retries,
                _text(failed_at + timedelta(days=1)) if retries else None,
            ),
        )
    connection.commit()
    connection.close()


@pytest.fixture(scope="session", params=["in order", "at random"])
def outage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose ids follow the order of failure, and one whose ids don't."""
    path = tmp_path_factory.mktemp("outage") / "outage.db"
    make_outage(path, in_order=request.param == "in order")
    return path


@pytest.fixture
def fresh(outage: Path, tmp_path: Path) -> Callable[[], Path]:
    """Makes a new copy of the file at each call."""
    numbers = itertools.count()

    def copy() -> Path:
        for old in tmp_path.glob("copy*"):
            old.unlink()
        target = tmp_path / f"copy{next(numbers)}.db"
        shutil.copyfile(outage, target)
        return target

    return copy


@pytest.fixture(scope="session")
def limit(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., float]:
    """Seconds that the C loop needs for a file; skips where it cannot be built, or would use
    another SQLite than Python does."""
    program = tmp_path_factory.mktemp("limit") / "limit"
    try:
        subprocess.run(
            ["cc", "-O2", "-o", program, LIMIT_SOURCE, "-lsqlite3"],  # noqa: S607 -- the user's compiler
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"the C limit needs cc, sqlite3.h and libsqlite3: {error}")
    ((ours,),) = sqlite3.connect(":memory:").execute("SELECT sqlite_source_id()").fetchall()

    def seconds(path: Path, *mode: str) -> float:
        command = [str(program), str(path), str(LIMIT_GROUP), *mode]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        told = json.loads(done.stdout)
        if told["source_id"] != ours:
            pytest.skip(f"cc links SQLite {told['source_id']}, and Python has {ours}")
        assert told["letters"] == LETTERS
        return float(told["seconds"])

    return seconds
