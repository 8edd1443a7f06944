"""Drains files with rogue handlers, each in a child of one process: `python -m
tests.crash.rogue_server`. An order is an `Order`; a child answers as `Ending` has it.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

from azoth_dlq import (
    BackoffStrategy,
    DeadLetterQueue,
    DlqReplayConfig,
    DlqReplayer,
    EventHandlerRegistry,
    ReplayReport,
)
from tests.crash.program import words_of
from tests.crash.rogue_errors import ROGUES
from tests.crash.server import serve

_PATIENCE_SECONDS = 60  # after which a child that hangs is killed
CONFIG = DlqReplayConfig(
    min_age=0, backoff=BackoffStrategy.fixed(0), stop_on_consecutive_failures=None
)


class Order(NamedTuple):
    """plain: on a connection that is no queue's own."""

    path: str
    name: str
    plain: bool


def registry(folder: Path, name: str | None) -> EventHandlerRegistry:
    """Handlers `ok` and `rogue`, which leave their effects; without a name the rogue does no more.
    An event's id is its letter's."""
    handlers = EventHandlerRegistry()

    @handlers.handler("ok")
    def ok(conn: sqlite3.Connection, event_id: int, _payload: bytes) -> None:
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))

    def act(conn: sqlite3.Connection, event_id: int, payload: bytes) -> object:
        ok(conn, event_id, payload)
        return None if name is None else ROGUES[name].act(conn, event_id, folder)

    handlers.register("rogue", act)
    return handlers


def _drain(order: Order) -> ReplayReport:
    path = Path(order.path)
    if order.plain:
        queue = DeadLetterQueue(sqlite3.connect(path, check_same_thread=False))
    else:
        queue = DeadLetterQueue.open(path)
    connection = queue.connection
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA foreign_keys = ON")
    level, told = connection.isolation_level, list[ReplayReport]()
    try:
        report = DlqReplayer(queue, registry(path.parent, order.name), CONFIG).drain(
            on_progress=told.append
        )
    except BaseException as interrupt:
        # What goes up has no report: the last one told.
        if not isinstance(interrupt, Exception):
            interrupt.report = told[-1]  # type: ignore[attr-defined]  # as drains do
        raise
    assert not connection.in_transaction
    assert connection.isolation_level == level
    return report


def _obey(members: list[Any]) -> dict[str, Any]:
    signal.alarm(_PATIENCE_SECONDS)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    return words_of(lambda: _drain(Order(*members)))


def main() -> None:
    with DeadLetterQueue.open(":memory:") as queue:  # so that all is imported
        DlqReplayer(queue, registry(Path(), None), CONFIG).drain()
    serve(_obey)


if __name__ == "__main__":
    main()
