"""A handler that is called outside any transaction, and remembers its calls."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

from azoth_dlq._event import Event
from tests.conftest import Scene


class Outside:
    """Remembers `(connection, event_id, payload)` of its calls, then acts."""

    def __init__(self, acts: Callable[[Any, int], object] | None = None) -> None:
        self.calls: list[tuple[Any, int, bytes]] = []
        self._acts = acts

    def handle(self, conn: Any, event_id: int, payload: bytes) -> None:
        self.calls.append((conn, event_id, payload))
        if self._acts is not None:
            self._acts(conn, event_id)

    @property
    def called(self) -> list[int]:
        return [event_id for _, event_id, _ in self.calls]


class OutsideBatches(Outside):
    """The same in batches; what `acts_on_batch(events)` raises fails them."""

    def __init__(
        self,
        acts_on_batch: Callable[[list[Event]], object] | None = None,
        acts: Callable[[Any, int], object] | None = None,
    ) -> None:
        super().__init__(acts)
        self.batches: list[list[int]] = []
        self.connections: list[Any] = []
        self._acts_on_batch = acts_on_batch

    def handle_batch(self, conn: Any, events: list[Event]) -> None:
        self.batches.append([event.event_id for event in events])
        self.connections.append(conn)
        if self._acts_on_batch is not None:
            self._acts_on_batch(events)


def outside(
    scene: Scene,
    acts: Callable[[Any, int], object] | None = None,
    *,
    kind: str = "outside",
    needs_connection: bool = False,
) -> Outside:
    """Register a handler for calls outside transactions."""
    handler = Outside(acts)
    scene.registry.register(kind, handler, transactional=False, needs_connection=needs_connection)
    return handler


def outside_batches(scene: Scene, handler: OutsideBatches | None = None) -> OutsideBatches:
    handler = OutsideBatches() if handler is None else handler
    scene.registry.register("outside", handler, transactional=False)
    return handler


def amid_others(scene: Scene) -> list[int]:
    """A letter that is called outside, between two that are not."""
    return [scene.letter(kind) for kind in ("ok", "outside", "ok")]


def raises(error: BaseException) -> Callable[..., object]:
    def act(*_: object) -> None:
        raise error

    return act


def elsewhere(scene: Scene, statement: str, *parameters: Any) -> list[Any]:
    """What another program gets that waits for no lock."""
    with closing(sqlite3.connect(str(scene.path), timeout=0, isolation_level=None)) as other:
        return other.execute(statement, parameters).fetchall()


def claims(scene: Scene) -> list[int]:
    """The letters that are claimed, as another program sees it."""
    rows = elsewhere(scene, "SELECT letter_id FROM azoth_dlq_claims ORDER BY 1")
    return [letter_id for (letter_id,) in rows]


def retry_counts(scene: Scene) -> dict[int, int]:
    return dict(elsewhere(scene, "SELECT id, retry_count FROM dead_letter_queue"))
