"""Handlers that leave their event id in `effects`, and then do what may happen to a process.

An event is `name:argument`, and a name that of a function here; deposits and withdrawals are `ok`.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from azoth_dlq import EventHandlerRegistry, NonRetryable
from tests.crash import calls
from tests.crash.talk import die, limit_memory, say, wait_for

Act = Callable[[sqlite3.Connection, Path, str], None]


def registry(folder: Path, *, routed: bool) -> EventHandlerRegistry:
    """Every handler of this module; `folder` is where those that wait look for their file."""
    handlers = EventHandlerRegistry(route=route if routed else None)
    for act in ACTS:
        handlers.register(act.__name__, _leaving_an_effect(act, folder))
    calls.register(handlers, folder)
    for name in ("deposit", "withdraw"):
        handlers.register(name, _leaving_an_effect(ok, folder))
    return handlers


def route(event_bytes: bytes) -> tuple[str, bytes]:
    name, _, argument = event_bytes.partition(b":")
    if name == b"dies_in_route":
        die(argument.decode())
    return name.decode(), argument


def _leaving_an_effect(act: Act, folder: Path) -> Callable[[sqlite3.Connection, int, bytes], None]:
    def handle(conn: sqlite3.Connection, event_id: int, payload: bytes) -> None:
        conn.execute("INSERT INTO effects VALUES (?)", (event_id,))
        act(conn, folder, payload.decode())

    return handle


def ok(_conn: sqlite3.Connection, _folder: Path, _argument: str) -> None:
    pass


def takes(_conn: sqlite3.Connection, _folder: Path, milliseconds: str) -> None:
    time.sleep(int(milliseconds) / 1000)


def fails(_conn: sqlite3.Connection, _folder: Path, _argument: str) -> None:
    raise ValueError("not today")


def flaky(_conn: sqlite3.Connection, _folder: Path, _argument: str) -> None:
    if random.random() < 0.2:
        raise ValueError("not today")


def parks(_conn: sqlite3.Connection, _folder: Path, _argument: str) -> None:
    raise NonRetryable("never")


def grows(conn: sqlite3.Connection, _folder: Path, size: str) -> None:
    conn.execute("INSERT INTO bulk VALUES (randomblob(?))", (int(size),))


def waits(_conn: sqlite3.Connection, folder: Path, file: str) -> None:
    say("in hand")
    wait_for(folder / file)


def fails_after(conn: sqlite3.Connection, folder: Path, file: str) -> None:
    waits(conn, folder, file)
    raise ValueError("not today")


def hungers(conn: sqlite3.Connection, _folder: Path, for_what: str) -> None:
    """Needs more memory than the process may have from now on."""
    limit_memory(32 << 20)
    if for_what == "sqlite":
        conn.execute("INSERT INTO bulk VALUES (zeroblob(200000000))")
    else:
        bytearray(200_000_000)


def exits(_conn: sqlite3.Connection, _folder: Path, _argument: str) -> None:
    raise SystemExit(3)


def dies(_conn: sqlite3.Connection, _folder: Path, way: str) -> None:
    die(way)


def commits(conn: sqlite3.Connection, _folder: Path, _argument: str) -> None:
    conn.commit()


def commits_quietly(conn: sqlite3.Connection, _folder: Path, _argument: str) -> None:
    with contextlib.suppress(Exception):
        conn.commit()


def commits_unguarded(conn: sqlite3.Connection, _folder: Path, _argument: str) -> None:
    sqlite3.Connection.set_authorizer(conn, None)
    sqlite3.Connection.commit(conn)


def conflicts(conn: sqlite3.Connection, _folder: Path, _argument: str) -> None:
    """SQLite itself rolls back the whole transaction."""
    conn.execute("CREATE TABLE once (x UNIQUE)")
    conn.execute("INSERT INTO once VALUES (1)")
    conn.execute("INSERT OR ROLLBACK INTO once VALUES (1)")


def conflicts_and_waits(conn: sqlite3.Connection, folder: Path, file: str) -> None:
    with contextlib.suppress(sqlite3.IntegrityError):
        conflicts(conn, folder, file)
    waits(conn, folder, file)


def forks(_conn: sqlite3.Connection, _folder: Path, way: str) -> None:
    """The process goes on when its child has ended."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    elif way == "exit":
        os._exit(0)
    elif way == "sys_exit":
        raise SystemExit(0)


ACTS: tuple[Act, ...] = (
    ok,
    takes,
    fails,
    flaky,
    parks,
    grows,
    waits,
    fails_after,
    hungers,
    exits,
    dies,
    commits,
    commits_quietly,
    commits_unguarded,
    conflicts,
    conflicts_and_waits,
    forks,
)
