"""How handlers lose a group: by a conflict, at COMMIT, or by a fault of the database."""

from __future__ import annotations

import sqlite3

from tests.conftest import Scene


def roll_back_by_conflict(conn: sqlite3.Connection, *_args: object) -> None:
    """SQLite itself rolls back the whole transaction."""
    conn.execute("CREATE TABLE IF NOT EXISTS once (x UNIQUE)")
    conn.execute("INSERT INTO once VALUES (1)")
    conn.execute("INSERT OR ROLLBACK INTO once VALUES (1)")


def refuse_orphans(scene: Scene) -> None:
    """Make a table whose rows are refused at COMMIT: they have no parent."""
    scene.conn.execute("PRAGMA foreign_keys = ON")
    scene.conn.executescript(
        "CREATE TABLE parent (id INTEGER PRIMARY KEY);"
        "CREATE TABLE child (parent REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED)"
    )


def add_orphan(conn: sqlite3.Connection, *_args: object) -> None:
    conn.execute("INSERT INTO child VALUES (7)")


def fault(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorcode = code
    return error
