"""The SQLite adapter: dead letters in the tables that the Rust crate azoth 0.2.5 also uses."""

import sqlite3

if sqlite3.sqlite_version_info < (3, 35, 0):
    raise ImportError(
        f"azoth-dlq needs SQLite 3.35 or newer, and this Python has {sqlite3.sqlite_version}; "
        "use a Python built with a newer SQLite library"
    )

from azoth_dlq.store.sqlite.connection import open_connection, open_for_looking
from azoth_dlq.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore", "open_connection", "open_for_looking"]
