"""What handlers call, up or down, and the replayers that its failures stop."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from azoth_dlq import (
    BackoffStrategy,
    DlqReplayer,
    EventDecodeError,
    NonRetryable,
    ReplayReport,
    Snooze,
)
from tests.conftest import Scene

AT_ONCE: dict[str, Any] = {"min_age": 0, "backoff": BackoffStrategy.fixed(0), "max_retries": 99}
SILENT = [NonRetryable("gone"), Snooze(3600), EventDecodeError("odd")]


class Downstream:
    """What the handler `sends` calls: up, or down; some letters have an outcome of their own."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.is_down = True
        self.outcomes: dict[int, BaseException] = {}
        self.calls: list[int] = []
        scene.registry.register("sends", self._send)

    def _send(self, conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        self.calls.append(event_id)
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        if event_id in self.outcomes:
            raise self.outcomes[event_id]
        if self.is_down:
            raise ConnectionError("nobody answers")

    def letters(self, *outcomes: BaseException | None) -> list[int]:
        letters = [self.scene.letter("sends") for _ in outcomes]
        self.outcomes |= {
            i: outcome for i, outcome in zip(letters, outcomes, strict=True) if outcome is not None
        }
        return letters

    def calls_of(self, drain: Callable[[], ReplayReport]) -> tuple[list[int], ReplayReport]:
        self.calls.clear()
        report = drain()
        return self.calls[:], report


def replayer_of(scene: Scene, most: int | None = 2, **settings: Any) -> DlqReplayer:
    return scene.replay(stop_on_consecutive_failures=most, **AT_ONCE, **settings)


def stopped_at(scene: Scene) -> int | None:
    return scene.queue.store.figures().stopped_at
