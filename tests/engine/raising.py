"""A handler that raises, and the letter that it leaves."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from azoth_dlq import FailedEvent
from tests.conftest import Scene


def register_raising(scene: Scene, raises: Callable[[], BaseException]) -> None:
    """The handler `raises` writes its effect, and raises."""

    def handle(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        scene.calls.append(event_id)
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        raise raises()

    scene.registry.register("raises", handle)


def letter_of(scene: Scene, letter_id: int) -> FailedEvent:
    letter = scene.queue.get(letter_id)
    assert letter is not None
    return letter
