"""Databases as nobody makes them, and files that are none."""

from __future__ import annotations

import os
import random
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from azoth_dlq import (
    BackoffStrategy,
    DeadLetterQueue,
    DlqReplayConfig,
    DlqReplayer,
    EventHandlerRegistry,
)

Make = Callable[[Path], object]

# What a column may hold; the first of a pair is of the type TEXT, whatever its bytes.
VALUES: list[Any] = [
    *(None, 0, -1, 1, 7, 2**63 - 1, -(2**63), 2**62),
    *(1.5, float("inf"), float("-inf"), float("nan"), 1e308),
    *("", "NaN", "7", " 7", "1e3", "never", "2026-01-01 00:00:00", "9999-12-31T23:59:59Z"),
    *("0001-01-01 00:00:00", "a\0b", "\u202e\x1b[31m", "x" * 100_000),
    *(b"", b"\0\xff", b"ok:x", b"7"),
    *((b"\xff\xfe",), (b"ok:\xff",), (b"a\0b\xff",)),
]
COLUMNS = {
    "dead_letter_queue": "event_id event_bytes error_message failed_at retry_count last_retry_at "
    "azoth_last_error azoth_not_before azoth_not_before_count azoth_not_before_retry_at "
    "azoth_alone azoth_base azoth_base_of",
    "permanent_failures": "event_id event_bytes error_message failed_at retry_count "
    "marked_permanent_at azoth_dead_letter_id azoth_last_retry_at azoth_last_error azoth_reason",
    "azoth_dlq_history": "letter_id parked_id at outcome error_type message traceback duration",
    "azoth_dlq_claims": "drainer batch",
    "azoth_dlq_drainers": "host pid since",
}
LETTER = (
    "INSERT INTO dead_letter_queue (event_id, event_bytes, error_message) VALUES (?, ?, 'boom')"
)
_ROWS = {
    "dead_letter_queue": LETTER.replace("?, ?", "10, x'6f6b3a'"),
    "permanent_failures": "INSERT INTO permanent_failures (event_id, event_bytes, error_message, "
    "failed_at, retry_count) VALUES (10, x'6f6b3a', 'boom', '2026-01-01 00:00:00', 1)",
    "azoth_dlq_history": "INSERT INTO azoth_dlq_history (letter_id, parked_id, at, outcome, "
    "error_type, message, traceback) VALUES (NULL, 1, 5, 'failed', 'x', 'y', 'z')",
    "azoth_dlq_claims": "INSERT INTO azoth_dlq_claims (drainer, batch) VALUES ('x', 0)",
    "azoth_dlq_drainers": "INSERT INTO azoth_dlq_drainers VALUES (?, 'host', 1, 1)",
}
_LOOSEN = (
    "UPDATE sqlite_master SET sql = replace(sql, 'NOT NULL', '') WHERE type = 'table' "
    "AND name IN ('dead_letter_queue', 'permanent_failures', 'azoth_dlq_history')"
)


def bound(value: Any) -> tuple[str, Any]:
    """An expression, and what to bind to it."""
    return ("CAST(? AS TEXT)", value[0]) if isinstance(value, tuple) else ("?", value)


def make_queue(path: Path, letters: int = 0) -> None:
    """A file that was drained before, with an effects table and letters that are good."""
    with DeadLetterQueue.open(path) as queue:
        queue.connection.execute("PRAGMA journal_mode = DELETE").fetchall()
        queue.connection.execute("PRAGMA synchronous = OFF")
        queue.connection.execute("CREATE TABLE effects (event_id INTEGER)")
        registry, now = EventHandlerRegistry(), BackoffStrategy.fixed(0)
        registry.register("fails", lambda *_: 1 / 0)
        queue.add(1, b"fails:", "boom")
        for most in (5, 1):
            config = DlqReplayConfig(min_age=0, backoff=now, max_retries=most)
            DlqReplayer(queue, registry, config).drain()
        queue.add_many((n, b"ok:" + bytes(50), "boom") for n in range(1001, 1001 + letters))


def fill_column(path: Path, table: str, column: str) -> int:
    """Between two good letters: rows with each of VALUES in a column; how many were taken."""
    make_queue(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"PRAGMA writable_schema = ON; {_LOOSEN}")
    taken = 0
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(LETTER, (1001, b"ok:"))
        for number, value in enumerate(VALUES):
            name = [str(number)] if "?" in _ROWS[table] else []
            row = connection.execute(_ROWS[table], name).lastrowid
            where, what = ("name = ?", name[0]) if name else ("rowid = ?", row)
            expression, bindable = bound(value)
            update = f"UPDATE OR IGNORE {table} SET {column} = {expression} WHERE {where}"  # noqa: S608 -- ours
            taken += connection.execute(update, (bindable, what)).rowcount
        connection.execute(LETTER, (1002, b"ok:"))
    return taken


# Schemas

Q = (
    "id INTEGER PRIMARY KEY AUTOINCREMENT, event_id INTEGER NOT NULL, event_bytes BLOB NOT NULL, "
    "error_message TEXT NOT NULL, failed_at TEXT NOT NULL DEFAULT (datetime('now')), "
    "retry_count INTEGER NOT NULL DEFAULT 0, last_retry_at TEXT"
)
P = (
    "id INTEGER PRIMARY KEY AUTOINCREMENT, event_id INTEGER NOT NULL, event_bytes BLOB NOT NULL, "
    "error_message TEXT NOT NULL, failed_at TEXT NOT NULL, retry_count INTEGER NOT NULL, "
    "marked_permanent_at TEXT NOT NULL DEFAULT (datetime('now'))"
)


def tables(queue: str = Q, parked: str = P, *more: str, options: str = "") -> list[str]:
    queue = f"CREATE TABLE dead_letter_queue ({queue}) {options}"
    return [queue, f"CREATE TABLE permanent_failures ({parked}) {options}", *more]


_VIEW = "CREATE VIEW {} AS SELECT * FROM other"
_FTS = "CREATE VIRTUAL TABLE dead_letter_queue USING fts5({})"
DRAINED = {
    "as the crate makes it": tables(),
    "no parked": tables()[:1],
    "more columns": tables(f"{Q}, more TEXT NOT NULL DEFAULT 'x'", f"{P}, more TEXT"),
    "other order": tables(", ".join(reversed(Q.replace("AUTOINCREMENT", "").split(", ")))),
    "generated": tables(f"{Q}, long INTEGER AS (length(event_bytes)) STORED", f"{P}, g AS (1)"),
    "strict": tables(options="STRICT"),
    "upper case": tables(Q.upper().replace("'NOW'", "'now'"), P.upper()),
    "collated": tables(Q.replace("TEXT", "TEXT COLLATE NOCASE")),
    "vacuuming": ["PRAGMA auto_vacuum = FULL", *tables()],
    "small pages": ["PRAGMA page_size = 512", *tables()],
    "large pages": ["PRAGMA page_size = 65536", *tables()],
    "UTF-16": ["PRAGMA encoding = 'UTF-16le'", *tables()],
    "another's ids": ["PRAGMA application_id = 7", "PRAGMA user_version = 12", *tables()],
    "unique parked": tables(Q, f"{P}, UNIQUE (event_id)"),
    "our columns": tables(f"{Q}, azoth_alone DEFAULT 1, azoth_last_error INTEGER DEFAULT 5"),
}
# What is said of them by all commands, or by the drain alone.
REFUSED = {
    "view": ([f"CREATE TABLE other ({Q})", _VIEW.format("dead_letter_queue")], "must have"),
    "view parked": (
        [tables()[0], f"CREATE TABLE other ({P})", _VIEW.format("permanent_failures")],
        "must have",
    ),
    "virtual": ([_FTS.format("id, event_id, event_bytes, error_message, failed_at")], "must have"),
    "no rowid": (tables(Q, P.replace("AUTOINCREMENT", "") + ") WITHOUT ROWID --"), "must have"),
    "no time": (tables(Q.replace(", last_retry_at TEXT", "")), "no such column"),
    "generated count": (tables(Q.replace("INTEGER NOT NULL DEFAULT 0", "AS (0)")), "generated"),
    "state of others": (tables(Q, P, "CREATE TABLE azoth_dlq_state (x)"), "azoth_dlq_state"),
    "view of ours": (
        tables(Q, P, "CREATE VIEW azoth_dlq_state AS SELECT 1 AS key"),
        "azoth_dlq_state",
    ),
    "claims of others": (tables(Q, P, "CREATE TABLE azoth_dlq_claims (x)"), "letter_id"),
}
EVENTS = (b"ok:", b"ok:", b"fails:", b"ok:", b"nobody:", b"ok:")
UNREADABLE = len(EVENTS) + 1
GOOD = [n for n, event in enumerate(EVENTS, 1) if event == b"ok:"]


def make_schema(path: Path, statements: list[str]) -> None:
    """With letters of EVENTS, whose event ids are 1 and up, and one that cannot be read."""
    before = [s for s in statements if "TRIGGER" not in s]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in (*before, "CREATE TABLE effects (event_id)", "CREATE TABLE app (x)"):
            connection.execute(statement)
        connection.execute("INSERT INTO app VALUES ('kept')")
        try:
            for event_id, event in enumerate((*EVENTS, b"ok:"), 1):
                connection.execute(LETTER, (event_id, event))
            unreadable = "UPDATE dead_letter_queue SET failed_at = 'never' WHERE event_id = ?"
            connection.execute(unreadable, (UNREADABLE,))
        except sqlite3.OperationalError:  # a view, or a table that lacks columns
            pass
        for statement in statements:
            if "TRIGGER" in statement:
                connection.execute(statement)


# Files


def _good(path: Path) -> None:
    make_queue(path, letters=200)


def _overwritten(at: int, data: bytes) -> Make:
    def make(path: Path) -> None:
        _good(path)
        with path.open("r+b") as file:
            file.seek(at)
            file.write(data)

    return make


def _cut(size: float) -> Make:
    def make(path: Path) -> None:
        _good(path)
        os.truncate(path, int(path.stat().st_size * size))

    return make


def scattered(seed: int) -> Make:
    """Thirty bytes anywhere behind the header are others."""

    def make(path: Path) -> None:
        _good(path)
        chance = random.Random(seed)
        content = bytearray(path.read_bytes())
        for _ in range(30):
            content[chance.randrange(100, len(content))] = chance.randrange(256)
        path.write_bytes(content)

    return make


def _listen(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's path is short
        try:
            listener.bind(path.name)
        finally:
            os.chdir(here)


def _beside(suffix: str, make: Make, mode: str = "DELETE") -> Make:
    """A good file, and something in the place of one that SQLite, or a drain, has beside it."""

    def make_both(path: Path) -> None:
        _good(path)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA journal_mode = {mode}")
        beside = path.with_name(path.name + suffix)
        beside.unlink(missing_ok=True)
        make(beside)

    return make_both


def make_hot_journal(path: Path) -> None:
    """As a process leaves it that dies amid a transaction."""
    _good(path)
    journal = path.with_name(f"{path.name}-journal")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE bulk (x)")
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) "
            "INSERT INTO bulk SELECT zeroblob(4000) FROM n"
        )
        half_written = path.read_bytes(), journal.read_bytes()
    path.write_bytes(half_written[0])
    journal.write_bytes(half_written[1])


def _link(target: str) -> Make:
    return lambda path: path.symlink_to(target)


def _linked(path: Path) -> None:
    _good(path.with_name("other"))
    path.symlink_to("other")


_GARBAGE: Make = lambda path: path.write_bytes(b"garbage!" * 1000)  # noqa: E731 -- one of many
# What is said by a drain, which may be another thing for each kind of damage.
NO_DATABASES: dict[str, tuple[Make, str]] = {
    "half": (_cut(0.5), "is damaged"),
    "a tenth": (_cut(0.1), "is damaged"),
    "fifty bytes": (_cut(0.001), "is damaged|is not an"),
    "no header": (_overwritten(0, bytes(100)), "is not an SQLite database"),
    "odd page size": (_overwritten(16, b"\0\7"), "is not an SQLite database"),
    "new format": (_overwritten(18, b"\x09\x09"), "is not an SQLite database"),
    "new schema format": (_overwritten(44, b"\0\0\0\x09"), "unsupported file format"),
    "no schema": (_overwritten(100, b"\xff" * 500), "is damaged"),
    "zeroed page": (_overwritten(4096, bytes(4096)), "is damaged"),
    "garbage": (_GARBAGE, "is not an SQLite database"),
    "empty": (Path.touch, "has no table dead_letter_queue"),
    "folder": (Path.mkdir, "is a folder"),
    "pipe": (os.mkfifo, "is no ordinary file"),
    "socket": (_listen, "is no ordinary file"),
    "/dev/null": (_link("/dev/null"), "is no ordinary file"),
    "/dev/zero": (_link("/dev/zero"), "is no ordinary file"),
    "/dev/full": (_link("/dev/full"), "is no ordinary file"),
    "dangling": (_link("nowhere"), "there is no file"),
    "loop": (_link("projection.db"), "cannot be opened: Too many levels"),
    "journal is a pipe": (_beside("-journal", os.mkfifo), "-journal is no ordinary file"),
    "journal is a folder": (_beside("-journal", Path.mkdir), "-journal is no ordinary file"),
    "log is a pipe": (_beside("-wal", os.mkfifo, "WAL"), "-wal is no ordinary file"),
    "log is a folder": (_beside("-wal", Path.mkdir, "WAL"), "-wal is no ordinary file"),
    "index is a pipe": (_beside("-shm", os.mkfifo, "WAL"), "-shm is no ordinary file"),
    "marker is a folder": (_beside("-azoth", Path.mkdir), "-azoth cannot be opened"),
    "marker is a pipe": (_beside("-azoth", os.mkfifo), "-azoth is not an ordinary file"),
    "marker is a socket": (_beside("-azoth", _listen), "-azoth cannot be opened"),
    "marker is a link": (_beside("-azoth", _link("precious")), "-azoth cannot be opened"),
    "marker dangles": (_beside("-azoth", _link("nowhere")), "-azoth cannot be opened"),
    "marker is another's": (_beside("-azoth", _GARBAGE), "-azoth holds something else"),
}
# Such files are as good as others.
SOUND: dict[str, Make] = {
    "hot journal": make_hot_journal,
    "garbage as log": _beside("-wal", _GARBAGE, "WAL"),
    "garbage as index": _beside("-shm", _GARBAGE, "WAL"),
    "empty marker": _beside("-azoth", Path.touch),
    "link": _linked,
}
