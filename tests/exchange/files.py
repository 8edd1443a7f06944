"""Queues with letters of every kind, and what is stored of them, whatever its type."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from azoth_dlq import (
    DeadLetterQueue,
    DlqReplayConfig,
    DlqReplayer,
    EventHandlerRegistry,
    NonRetryable,
    RetryAfter,
    Snooze,
)
from azoth_dlq.store.whole import COLUMNS, HISTORY_COLUMNS

LOOSE = """
    CREATE TABLE dead_letter_queue (id INTEGER PRIMARY KEY AUTOINCREMENT, event_id, event_bytes,
        error_message, failed_at, retry_count, last_retry_at);
    CREATE TABLE permanent_failures (id INTEGER PRIMARY KEY AUTOINCREMENT, event_id, event_bytes,
        error_message, failed_at, retry_count, marked_permanent_at);
"""
NEVER_STORED = ("id", "azoth_base", "azoth_base_of", "azoth_origin")


def make_loose(path: Path) -> None:
    """Tables of another making, which take whatever comes."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(LOOSE)


def fail_some(path: Path) -> None:
    """Letters that wait, failed, were put off, were parked, with histories."""
    registry = EventHandlerRegistry()

    def refuse(error: Exception) -> Any:
        def handle(*_: object) -> None:
            raise error

        return handle

    registry.register("fails", refuse(ValueError("no")))
    registry.register("later", refuse(RetryAfter(60, "busy")))
    registry.register("snoozes", refuse(Snooze(60, "busy")))
    registry.register("poison", refuse(NonRetryable("never")))
    with DeadLetterQueue.open(path) as queue:
        for kind in ("fails", "later", "snoozes", "poison", "fails"):
            queue.add(7, f"{kind}:\xff".encode(), "first error")
        replayer = DlqReplayer(queue, registry, DlqReplayConfig(max_retries=2))
        replayer.drain(now=True)
        queue.connection.execute(
            "UPDATE azoth_dlq_history SET outcome = 'edited', event_bytes = x'00ff' "
            "WHERE parked_id IS NOT NULL"
        )
        queue.add(8, b"waits:", "first error")
        replayer.replay(1)


def stored(path: Path) -> list[tuple[Any, ...]]:
    """All that is kept of letters: dead, parked, and their histories, value by value with its type;
    in the order of ids, but without these."""
    found: list[tuple[Any, ...]] = []
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        for parked, table, of in (
            (False, "dead_letter_queue", "letter_id"),
            (True, "permanent_failures", "parked_id"),
        ):
            names = COLUMNS[parked]
            rows = connection.execute(_typed(table, names)).fetchall()
            history = _typed("azoth_dlq_history", HISTORY_COLUMNS, f"WHERE {of} = ?")
            found += [
                (table, *row[1:], *(one[1:] for one in connection.execute(history, row[:1])))
                for row in rows
            ]
    return found


def _typed(table: str, names: Sequence[str], where: str = "") -> str:
    columns = ", ".join(f"typeof({name}), +{name}" for name in names)
    return f"SELECT id, {columns} FROM {table} {where} ORDER BY id"  # noqa: S608 -- own names


def export(path: Path, target: Path, **options: Any) -> Path:
    with DeadLetterQueue.open(path) as queue:
        queue.export_to(target, force=True, **options)
    return target


def take_in(path: Path, source: Path, **options: Any) -> Any:
    with DeadLetterQueue.open(path) as queue:
        return queue.import_from(source, **options)


def lines_of(file: Path) -> list[dict[str, Any]]:
    content = file.read_bytes()
    text = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    return [json.loads(line) for line in text.splitlines()]
