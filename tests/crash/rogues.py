"""Handlers that misuse the connection which they are given.

Each gets the connection, the id of its letter, and the folder of the file. What one keeps, it keeps
for good, as a module of handlers would.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

Act = Callable[[sqlite3.Connection, int, Path], object]


class Rogue(NamedTuple):
    """What it does, and what comes of it on a connection of the queue's own or a plain one.

    fails: its letter alone does. harmless: it is done as any other. either: one or the other, by
    its place. ends: a StorageError ends the drain. others: it is done, and others are changed.
    Else: the name of what goes up.
    """

    act: Act
    outcome: str
    plain: str


ROGUES: dict[str, Rogue] = {}
kept: list[Any] = []


def rogue(outcome: str, *, plain: str | None = None) -> Callable[[Act], Act]:
    def register(act: Act) -> Act:
        ROGUES[act.__name__.strip("_")] = Rogue(act, outcome, plain or outcome)
        return act

    return register


def executing(outcome: str, name: str, *statements: str, quietly: bool = False) -> None:
    """A rogue that executes these, `:letter` being its own; `quietly`: and swallows errors."""

    def act(conn: sqlite3.Connection, letter: int, _folder: Path) -> None:
        for statement in statements:
            with contextlib.suppress(*([sqlite3.Error] if quietly else [])):
                conn.execute(statement.replace(":letter", str(letter)))

    act.__name__ = name
    rogue(outcome)(act)


def refuse(*_arguments: object) -> NoReturn:
    raise LookupError("a callback of the handler's")


# The transaction

_CONFLICT = (
    "CREATE TABLE once (x UNIQUE)",
    "INSERT INTO once VALUES (1)",
    "INSERT OR ROLLBACK INTO once VALUES (1)",
    "INSERT INTO bulk VALUES (1)",
)
_TRIGGER = "TRIGGER t BEFORE {} BEGIN SELECT RAISE({}); END"
_ROLLING_BACK = _TRIGGER.format("INSERT ON bulk", "ROLLBACK, 'no'")
_WRITE = "INSERT INTO bulk VALUES (1)"

executing("fails", "begins", "BEGIN")
executing("fails", "begins_quietly", "BEGIN IMMEDIATE", quietly=True)
executing("fails", "ends", "END")
executing("fails", "commits_by_statement", "/* a comment */ COMMIT")
executing("fails", "rolls_back_by_statement", "ROLLBACK")
executing("fails", "releases_the_letter", "RELEASE azoth_dlq_letter")
executing("fails", "rolls_back_the_letter", "ROLLBACK TO AZOTH_DLQ_LETTER")
executing("fails", "nests_the_letter", "SAVEPOINT azoth_dlq_letter")
executing("harmless", "leaves_a_savepoint", "SAVEPOINT mine", _WRITE)
executing("harmless", "releases_a_savepoint", "SAVEPOINT mine", _WRITE, "RELEASE mine")
executing("harmless", "undoes_a_savepoint", "SAVEPOINT mine", _WRITE, "ROLLBACK TO mine")
executing("fails", "releases_nothing", "RELEASE nothing")
executing("harmless", "attaches", "ATTACH ':memory:' AS other")
executing("fails", "detaches", "ATTACH ':memory:' AS other", "DETACH main")
executing("fails", "conflicts", *_CONFLICT)
executing("fails", "conflicts_quietly", *_CONFLICT, quietly=True)
executing("fails", "rolls_back_by_trigger", f"CREATE {_ROLLING_BACK}", _WRITE)
executing("fails", "rolls_back_by_temp", f"CREATE TEMP {_ROLLING_BACK}", _WRITE, quietly=True)
executing("fails", "vacuums", "VACUUM")
executing("fails", "adds_an_orphan", "INSERT INTO child VALUES (7)")


@rogue("fails")
def commits(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    conn.commit()


@rogue("fails")
def commits_quietly(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    with contextlib.suppress(Exception):
        conn.commit()


@rogue("fails")
def rolls_back(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    conn.rollback()


@rogue("fails")
def uses_a_block(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    with conn:
        conn.execute(_WRITE)


@rogue("fails")
def runs_a_script(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    conn.executescript(_WRITE)


@rogue("fails")
def runs_a_script_behind_the_guard(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    sqlite3.Connection.executescript(conn, "")


@rogue("fails", plain="ends")
def closes(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    conn.close()


@rogue("ends")
def closes_behind_the_guard(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    sqlite3.Connection.close(conn)


@rogue("fails", plain="ends")
def opens_anew(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    type(conn).__init__(conn, ":memory:")


# What a connection keeps

for _name, _outcome in {
    "application_id": "harmless",
    "busy_timeout": "harmless",
    "count_changes": "harmless",
    "foreign_keys": "harmless",
    "hard_heap_limit": "fails",
    "journal_mode": "fails",
    "locking_mode": "fails",
    "max_page_count": "fails",
    "query_only": "fails",
    "recursive_triggers": "harmless",
    "schema_version": "harmless",
    "synchronous": "fails",
    "user_version": "harmless",
    "wal_autocheckpoint": "harmless",
    "writable_schema": "fails",
}.items():
    _value = "EXCLUSIVE" if _name == "locking_mode" else "1"
    executing(_outcome, f"sets_{_name}", f"PRAGMA {_name} = {_value}")
executing("fails", "forges_the_schema", "PRAGMA writable_schema=1", "DELETE FROM sqlite_master")


@rogue("fails")
def clears_isolation_level(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    conn.isolation_level = None


@rogue("fails")
def clears_isolation_level_quietly(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    with contextlib.suppress(Exception):
        conn.isolation_level = None
    with contextlib.suppress(Exception):
        conn.execute("COMMIT")


@rogue("harmless")
def sets_isolation_level(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    conn.isolation_level = "EXCLUSIVE"


if hasattr(sqlite3.Connection, "autocommit"):

    @rogue("fails")
    def sets_autocommit(conn: Any, _letter: int, _folder: Path) -> None:
        conn.autocommit = True

    @rogue("harmless")
    def clears_autocommit(conn: Any, _letter: int, _folder: Path) -> None:
        conn.autocommit = False

    @rogue("fails")
    def clears_autocommit_and_commits(conn: Any, _letter: int, _folder: Path) -> None:
        conn.autocommit = False
        sqlite3.Connection.commit(conn)


@rogue("harmless")
def sets_factories(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    conn.row_factory = conn.text_factory = refuse


@rogue("fails")
def denies_all(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    conn.set_authorizer(lambda *_: sqlite3.SQLITE_DENY)


@rogue("fails", plain="harmless")
def clears_the_authorizer(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    conn.set_authorizer(None)


@rogue("harmless")
def traces_statements(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    conn.set_trace_callback(refuse)


@rogue("either")
def aborts_by_progress(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    conn.set_progress_handler(lambda: 1, 1)


def _overriding(name: str) -> None:
    def act(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
        for arguments in (-1, 0, 1, 2, 3):
            conn.create_function(name, arguments, lambda *_: None)
        # Which has the letters behind it fetched anew.
        conn.execute("UPDATE dead_letter_queue SET error_message = 'other' WHERE id = 0")

    act.__name__ = f"overrides_{name}"
    rogue("harmless")(act)


for _name in ("coalesce", "count", "iif", "length", "lower", "max", "substr", "typeof"):
    _overriding(_name)


@rogue("harmless")
def overrides_equality(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    conn.create_collation("BINARY", lambda _a, _b: 0)


def _lowering(name: str, category: int, limit: int, *, plain: str = "ends") -> None:
    def act(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
        conn.setlimit(category, limit)

    act.__name__ = f"lowers_{name}"
    rogue("fails", plain=plain)(act)


_lowering("variables", sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 2)
_lowering("statements", sqlite3.SQLITE_LIMIT_SQL_LENGTH, 20)
_lowering("expressions", sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 1)
_lowering("rows", sqlite3.SQLITE_LIMIT_LENGTH, 10, plain="harmless")


@rogue("harmless")
def interrupts(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    conn.interrupt()


@rogue("either")
def interrupts_a_query(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    kept.append(conn.execute("SELECT 1 UNION SELECT 2"))
    conn.interrupt()


@rogue("either")
def interrupts_from_a_thread(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    def interrupt() -> None:
        for _ in range(10_000):
            conn.interrupt()

    thread = threading.Thread(target=interrupt)
    thread.start()
    kept.append(thread)


# Statements that are left open


@rogue("harmless")
def leaves_letters_half_read(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    cursor = conn.execute("SELECT * FROM dead_letter_queue")
    cursor.fetchone()
    kept.append(cursor)


@rogue("fails")
def leaves_an_insert_half_read(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    kept.append(conn.execute("INSERT INTO bulk VALUES (1), (2) RETURNING 1"))


@rogue("fails")
def leaves_its_delete_half_read(conn: sqlite3.Connection, letter: int, _folder: Path) -> None:
    delete = "DELETE FROM dead_letter_queue WHERE id = ? RETURNING 1"
    kept.append(conn.execute(delete, (letter,)))


@rogue("harmless")
def returns_an_insert_half_read(conn: sqlite3.Connection, _letter: int, _folder: Path) -> object:
    return conn.execute("INSERT INTO bulk VALUES (1), (2) RETURNING 1")


@rogue("fails")
def leaves_a_blob_open(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    row = conn.execute("INSERT INTO bulk VALUES (zeroblob(10))").lastrowid
    blob = conn.blobopen("bulk", "content", row or 0)
    blob.write(b"x")
    kept.append(blob)


@rogue("fails")
def leaves_a_blob_open_and_raises(conn: sqlite3.Connection, letter: int, folder: Path) -> None:
    leaves_a_blob_open(conn, letter, folder)
    raise ValueError("not today")


@rogue("fails")
def leaves_its_letter_open(conn: sqlite3.Connection, letter: int, _folder: Path) -> None:
    kept.append(conn.blobopen("dead_letter_queue", "event_bytes", letter))


# The queue's own tables

_ACKS = _TRIGGER.format("DELETE ON {}dead_letter_queue", "{}")

for _table in ("dead_letter_queue", "permanent_failures"):
    executing("fails", f"drops_{_table}", f"DROP TABLE {_table}")
for _table in ("state", "migrations", "history", "claims", "drainers"):
    executing("fails", f"drops_{_table}", f"DROP TABLE azoth_dlq_{_table}", quietly=True)
executing("harmless", "drops_the_index", "DROP INDEX idx_dlq_event_id")
executing("fails", "renames_the_queue", "ALTER TABLE dead_letter_queue RENAME TO other")
executing("fails", "renames_a_column", "ALTER TABLE dead_letter_queue RENAME retry_count TO other")
executing("fails", "drops_a_column", "ALTER TABLE dead_letter_queue DROP azoth_last_error")
executing("harmless", "makes_temp_queue", "CREATE TEMP TABLE dead_letter_queue (id, retry_count)")
executing(
    "harmless",
    "drops_temp_queue",
    "CREATE TEMP TABLE dead_letter_queue (x)",
    "ALTER TABLE temp.dead_letter_queue ADD y",
    "DROP TABLE temp.dead_letter_queue",
)
executing("fails", "swallows_acks", f"CREATE {_ACKS.format('', 'IGNORE')}")
executing("fails", "swallows_acks_by_temp", f"CREATE TEMP {_ACKS.format('main.', 'IGNORE')}")
executing("fails", "aborts_acks", f"CREATE {_ACKS.format('', 'ABORT, 0')}")
executing("fails", "fails_acks", f"CREATE {_ACKS.format('', 'FAIL, 0')}")
executing("fails", "rolls_back_acks", f"CREATE TEMP {_ACKS.format('main.', 'ROLLBACK, 0')}")
executing("fails", "changes_its_id", "UPDATE dead_letter_queue SET id = 99 WHERE id = :letter")
executing("fails", "changes_all_ids", "UPDATE dead_letter_queue SET ID = id + 99")
executing("fails", "changes_rowids", "UPDATE dead_letter_queue SET rowid = id + 99", quietly=True)
executing("harmless", "deletes_its_letter", "DELETE FROM dead_letter_queue WHERE id = :letter")
executing("harmless", "deletes_those_done", "DELETE FROM dead_letter_queue WHERE id < :letter")
executing(
    "harmless",
    "charges_itself",
    "UPDATE dead_letter_queue SET retry_count = -7 WHERE id <= :letter",
)


_QUEUE = "(event_id, event_bytes, error_message) VALUES (6, CAST('ok:' AS BLOB), 'boom')"
executing("others", "adds_a_letter", f"INSERT INTO dead_letter_queue {_QUEUE}")
executing("others", "deletes_those_behind", "DELETE FROM dead_letter_queue WHERE id > :letter")
executing("others", "deletes_all", "DELETE FROM dead_letter_queue")
for _name, _change in {
    "counts": "retry_count = 1",
    "times": "last_retry_at = '2000-01-01 00:00:00'",
    "bytes": "event_bytes = 5",
}.items():
    _update = f"UPDATE dead_letter_queue SET {_change} WHERE id <> :letter"  # noqa: S608 -- ours
    executing("others", f"changes_{_name}", _update)


@rogue("harmless")
def uses_it_from_a_thread(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    """Which only a connection that was made for it allows."""

    def use() -> None:
        for _ in range(100):
            with contextlib.suppress(sqlite3.Error):
                conn.execute("SELECT count(*) FROM bulk").fetchall()

    # Both at once may wait for each other in Python's sqlite3, where an authorizer is set.
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()


@rogue("fails")
def commits_in_what_it_leaves(conn: sqlite3.Connection, _letter: int, _folder: Path) -> None:
    """As a helper does that ends its transaction when it goes."""

    class Transaction:
        def __del__(self) -> None:
            conn.execute("INSERT INTO effects VALUES (-1)")
            conn.commit()

    _left = Transaction()
    raise ValueError("not today")
