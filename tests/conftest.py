"""Fixtures that the suites share: a file of dead letters, handlers that leave effects, a clock."""

from __future__ import annotations

import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from azoth_dlq import (
    DeadLetterQueue,
    DlqReplayConfig,
    DlqReplayer,
    EventHandlerRegistry,
    ReplayReport,
)
from tests import attacks

# Machines are shared: how long an example takes says nothing.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DATA = Path(__file__).parent / "data"


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.register(attacks)


@contextmanager
def heeding_interrupts() -> Iterator[None]:
    """Processes that are started here heed SIGINT and SIGHUP, also where pytest was told to ignore
    them, as jobs in the background of a shell are, or what nohup starts."""
    numbers = [signal.SIGINT, *([signal.SIGHUP] if sys.platform != "win32" else [])]
    ignored = [number for number in numbers if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, lambda *_: None)  # a program that is started has none of it
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)


class Clock:
    """A wall clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = (NOW - EPOCH) // timedelta(microseconds=1)

    def __call__(self) -> int:
        return self.now

    def move(self, **duration: float) -> None:
        self.now += timedelta(**duration) // timedelta(microseconds=1)


class Scene:
    """A file with an `effects` table beside the letters, and a replayer over it.

    The handler `ok` writes its event id into `effects`; `fails` does so, too, and raises. Others
    are registered by the test.
    """

    def __init__(self, queue: DeadLetterQueue, path: Path | None) -> None:
        self.queue = queue
        self.path = path
        self.clock = Clock()
        self.calls: list[int] = []
        self.slept: list[float] = []
        self.registry = EventHandlerRegistry()
        self.registry.register("ok", self._ok)
        self.registry.register("fails", self._fails)
        # Nothing here outlives a loss of power, and thousands of small commits take their time.
        self.conn.execute("PRAGMA synchronous = OFF")
        self.conn.execute("CREATE TABLE effects (event_id INTEGER NOT NULL)")
        if self.conn.in_transaction:
            self.conn.commit()
        self.replayer: DlqReplayer | None = None

    @property
    def conn(self) -> sqlite3.Connection:
        return self.queue.connection

    def _ok(self, conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        self.calls.append(event_id)
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))

    def _fails(self, conn: sqlite3.Connection, event_id: int, payload: bytes) -> None:
        self._ok(conn, event_id, payload)
        raise ValueError(f"event {event_id} failed")

    def letter(  # noqa: PLR0913 -- a column each
        self,
        kind: str = "ok",
        *,
        event_id: int | None = None,
        failed_at: Any = "2026-11-24 10:00:00",
        retry_count: Any = 0,
        last_retry_at: Any = None,
        error: Any = "boom",
        event_bytes: Any = None,
        id: int | None = None,  # noqa: A002 -- it is the column's name
    ) -> int:
        """Insert a letter as another program would; its id, which is its event id by default."""
        cursor = self.conn.execute(
            "INSERT INTO dead_letter_queue (id, event_id, event_bytes, error_message, failed_at, "
            "retry_count, last_retry_at) VALUES (?, 0, ?, ?, ?, ?, ?)",
            (
                id,
                f"{kind}:payload".encode() if event_bytes is None else event_bytes,
                error,
                failed_at,
                retry_count,
                last_retry_at,
            ),
        )
        letter_id = cursor.lastrowid
        assert letter_id is not None
        self.conn.execute(
            "UPDATE dead_letter_queue SET event_id = ? WHERE id = ?",
            (letter_id if event_id is None else event_id, letter_id),
        )
        if self.conn.in_transaction:
            self.conn.commit()
        return letter_id

    def replay(self, **settings: Any) -> DlqReplayer:
        settings.setdefault("stop_on_consecutive_failures", None)
        return DlqReplayer(
            self.queue,
            self.registry,
            DlqReplayConfig(**settings),
            clock=self.clock,
            sleep=self.slept.append,
        )

    def drain(self, *, now: bool = False, **settings: Any) -> ReplayReport:
        return self.replay(**settings).drain(now=now)

    def effects(self) -> list[int]:
        return sorted(e for (e,) in self.conn.execute("SELECT event_id FROM effects"))

    def left(self) -> list[int]:
        return sorted(i for (i,) in self.conn.execute("SELECT id FROM dead_letter_queue"))

    def parked(self) -> dict[int, str]:
        """Reason by the id that the letter had."""
        rows = self.queue.permanent_failures(10**6)
        return {row.dead_letter_id or 0: row.reason or "" for row in rows}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a file that is not there yet."""
    return tmp_path / "letters.db"


@pytest.fixture
def queue(path: Path) -> Iterator[DeadLetterQueue]:
    """Over a file of its own."""
    with DeadLetterQueue.open(path) as opened:
        yield opened


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    path = tmp_path / "projection.db"
    with DeadLetterQueue.open(path) as queue:
        yield Scene(queue, path)


@pytest.fixture
def plain_scene(tmp_path: Path) -> Iterator[Scene]:
    """The same over a plain connection of the user's."""
    path = tmp_path / "plain.db"
    DeadLetterQueue.open(path).close()
    connection = sqlite3.connect(path)
    try:
        yield Scene(DeadLetterQueue(connection), path)
    finally:
        connection.close()


@pytest.fixture(params=["opened", "plain"])
def any_scene(request: pytest.FixtureRequest) -> Scene:
    """Both kinds of connection."""
    name = "scene" if request.param == "opened" else "plain_scene"
    scene: Scene = request.getfixturevalue(name)
    return scene
