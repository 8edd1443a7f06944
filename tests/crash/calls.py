"""Handlers that take batches, or that are called outside any transaction.

The argument of an event says what happens to its letter, in a batch or alone: a way to die,
`fails`, a number of milliseconds, `waits` (for the file `go`), `forks` (a child that waits for the
file `enough`); anything else is good.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from azoth_dlq import EventHandlerRegistry
from tests.crash.talk import die, say, wait_for

_LOG = "calls"


class Call(NamedTuple):
    """What a handler outside wrote: a call of a letter by a process begins or ends."""

    what: str
    letter: int
    pid: int


def made(folder: Path) -> list[Call]:
    """Those of the database in the folder."""
    log = folder / _LOG
    lines = log.read_text().splitlines() if log.exists() else []
    return [Call(what, int(letter), int(pid)) for what, letter, pid in map(str.split, lines)]


def begun(folder: Path) -> Counter[int]:
    """How often each letter was called."""
    return Counter(call.letter for call in made(folder) if call.what == "begin")


def register(registry: EventHandlerRegistry, folder: Path) -> None:
    registry.register("batch", Batch(folder))
    registry.register("outside", Outside(folder), transactional=False)
    registry.register("outside_batch", OutsideBatch(folder), transactional=False)


def _act(folder: Path, payload: bytes) -> None:
    argument = payload.decode()
    if argument.isdigit():
        time.sleep(int(argument) / 1000)
    match argument:
        case "fails":
            raise ValueError("not today")
        case "waits":
            say("in hand")
            wait_for(folder / "go")
        case "forks":
            _fork(folder)
        case way:
            die(way)


def _fork(folder: Path) -> None:
    if os.fork() == 0:
        try:
            # The test reads the parent's words to their end.
            os.closerange(0, 3)
            wait_for(folder / "enough")
        finally:
            os._exit(0)


class Batch:
    """Leaves event ids in `effects`, and says how many there are in a batch."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def handle_batch(self, conn: sqlite3.Connection, events: list[Any]) -> None:
        say(f"batch of {len(events)}")
        for event in events:
            self.handle(conn, event.event_id, event.payload)

    def handle(self, conn: sqlite3.Connection, event_id: int, payload: bytes) -> None:
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        _act(self._folder, payload)


class Outside:
    """Writes when a call begins and ends into a file beside the database."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / _LOG

    def handle(self, _conn: None, event_id: int, payload: bytes) -> None:
        self._note("begin", event_id)
        _act(self._folder, payload)
        self._note("end", event_id)

    def _note(self, what: str, event_id: int) -> None:
        # One write of a few bytes to the end of a file is whole.
        descriptor = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{what} {event_id} {os.getpid()}\n".encode())
        os.close(descriptor)


class OutsideBatch(Outside):
    def handle_batch(self, conn: None, events: list[Any]) -> None:
        say(f"batch of {len(events)}")
        for event in events:
            self.handle(conn, event.event_id, event.payload)
