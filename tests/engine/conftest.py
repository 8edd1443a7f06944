"""What handlers of these tests call, and what they leave behind in a worker thread."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator

import pytest

from azoth_dlq import EventHandlerRegistry
from tests.conftest import Scene
from tests.engine.downstream import Downstream

PATIENCE = 10.0


class Calls:
    """What the handlers of a worker thread leave behind."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.connections: set[sqlite3.Connection] = set()
        self.began = threading.Event()
        self.over = threading.Event()


@pytest.fixture
def calls(scene: Scene) -> Iterator[Calls]:
    """`slow` takes 0.3 s and leaves an effect; `ok` leaves one."""
    calls = Calls()

    def note(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        calls.threads.add(threading.get_ident())
        calls.connections.add(conn)
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))

    def slow(conn: sqlite3.Connection, event_id: int, payload: bytes) -> None:
        calls.began.set()
        time.sleep(0.3)
        note(conn, event_id, payload)
        calls.over.set()

    scene.registry = EventHandlerRegistry()
    scene.registry.register("ok", note)
    scene.registry.register("slow", slow)
    before = threading.active_count()
    yield calls
    deadline = time.monotonic() + PATIENCE
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


@pytest.fixture
def downstream(scene: Scene) -> Downstream:
    return Downstream(scene)
