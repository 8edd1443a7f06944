"""A handler that takes batches, and remembers what it was called with."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from azoth_dlq import BatchConfig
from azoth_dlq._event import Event
from tests.conftest import Scene

BAD = b"bad"


class Batching:
    """Writes event ids into `effects`, in batches or singly.

    A letter whose payload is `BAD` fails, alone or with its batch. `acts(conn, events)` runs behind
    the writes of a batch, `acts_singly(conn, event_id)` behind those of a letter.
    """

    def __init__(
        self,
        acts: Callable[[Any, list[Event]], object] | None = None,
        acts_singly: Callable[[Any, int], object] | None = None,
    ) -> None:
        self.batches: list[list[int]] = []
        self.singly: list[int] = []
        self.payloads: list[bytes] = []
        self._acts = acts
        self._acts_singly = acts_singly

    def handle_batch(self, conn: sqlite3.Connection, events: list[Event]) -> None:
        self.batches.append([event.event_id for event in events])
        self.payloads += [event.payload for event in events]
        conn.executemany("INSERT INTO effects VALUES (?)", ((e.event_id,) for e in events))
        if self._acts is not None:
            self._acts(conn, events)
        if any(event.payload == BAD for event in events):
            raise ValueError("a batch with a bad one")

    def handle(self, conn: sqlite3.Connection, event_id: int, payload: bytes) -> None:
        self.singly.append(event_id)
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        if self._acts_singly is not None:
            self._acts_singly(conn, event_id)
        if payload == BAD:
            raise ValueError("a bad one")


class Validating(Batching):
    """The same, where a payload that is `BAD` is found before any call."""

    def validate(self, payload: bytes) -> None:
        if payload == BAD:
            raise ValueError("invalid")


def takes_batches(
    scene: Scene, handler: Batching | None = None, *, kind: str = "batch", most: int | None = None
) -> Batching:
    """Register a handler of batches, of at most `most` letters each."""
    handler = Batching() if handler is None else handler
    scene.registry.register(kind, handler)
    if most is not None:
        scene.registry.batch = BatchConfig(most)
    return handler


def bad_letter(scene: Scene, kind: str = "batch") -> int:
    return scene.letter(event_bytes=f"{kind}:".encode() + BAD)
