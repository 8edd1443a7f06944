"""Handlers whose letters fare by a mood: each leaves an effect, and then does what it says.

The effects of `within` and `batch` are rows of `effects`, those of `outside`, whose handler is
called outside any transaction, lines of a file beside the database.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from azoth_dlq import EventHandlerRegistry, NonRetryable, RetryAfter, Snooze
from tests.crash.talk import die

KINDS = ("within", "outside", "batch")
OUTSIDE = "outside-effects"
HALF_HOUR = 1800
SNOOZE = 4  # half hours, as below
RETRY_AFTER = 6


class Mood(StrEnum):
    SUCCEEDS = "succeeds"
    FAILS = "fails"
    IS_HOPELESS = "is hopeless"
    SNOOZES = "snoozes"
    RETRIES_LATER = "retries later"
    INTERRUPTS = "interrupts"
    DIES = "dies"


def effects_outside(folder: Path) -> list[str]:
    """The event ids, of each call that came to its end."""
    file = folder / OUTSIDE
    return file.read_text().split() if file.exists() else []


class Moods:
    """Which letters fare how: `moods` in turn, by the event's id; they may be changed."""

    def __init__(self, folder: Path, moods: Sequence[Mood]) -> None:
        self.moods = moods
        self._outside = folder / OUTSIDE

    def of(self, event_id: int, kind: str) -> Mood:
        mood = self.moods[event_id % len(self.moods)]
        # With a batch, an interrupt would take back the letters before it.
        return Mood.FAILS if mood is Mood.INTERRUPTS and kind == "batch" else mood

    def registry(self) -> EventHandlerRegistry:
        registry = EventHandlerRegistry()
        registry.register("within", self._call_within)
        registry.register("outside", self._call_outside, transactional=False)
        registry.register("batch", self)
        return registry

    def handle_batch(self, conn: sqlite3.Connection, events: Sequence[Any]) -> None:
        for event in events:
            self.handle(conn, event.event_id, event.payload)

    def handle(self, conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        _act(self.of(event_id, "batch"))

    def _call_within(self, conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        _act(self.of(event_id, "within"))

    def _call_outside(self, _conn: None, event_id: int, _payload: bytes) -> None:
        _act(self.of(event_id, "outside"))
        descriptor = os.open(self._outside, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{event_id}\n".encode())
        os.close(descriptor)


def _act(mood: Mood) -> None:
    match mood:
        case Mood.FAILS:
            raise ValueError("not today")
        case Mood.IS_HOPELESS:
            raise NonRetryable("never")
        case Mood.SNOOZES:
            raise Snooze(SNOOZE * HALF_HOUR)
        case Mood.RETRIES_LATER:
            raise RetryAfter(RETRY_AFTER * HALF_HOUR)
        case Mood.INTERRUPTS:
            raise KeyboardInterrupt
        case Mood.DIES:
            die("killed")
