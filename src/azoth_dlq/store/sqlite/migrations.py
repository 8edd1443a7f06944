"""The schema, and the numbered steps by which a file gets what we need beyond the crate's tables.

Each step runs in one transaction and is recorded in `azoth_dlq_migrations`. A step's `needs` is the
oldest step that a program must know to work on a file that has it: additions need nothing new
(`needs` stays), a change that older programs would get wrong raises it to its own number.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from azoth_dlq.errors import StorageError
from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite.raw import own_cursor, read, text_of

DEAD_LETTER_QUEUE = """CREATE TABLE IF NOT EXISTS main.dead_letter_queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id INTEGER NOT NULL,
    event_bytes BLOB NOT NULL,
    error_message TEXT NOT NULL,
    failed_at TEXT NOT NULL DEFAULT (datetime('now')),
    retry_count INTEGER NOT NULL DEFAULT 0,
    last_retry_at TEXT
)"""
EVENT_ID_INDEX = "CREATE INDEX IF NOT EXISTS main.idx_dlq_event_id ON dead_letter_queue(event_id)"
PERMANENT_FAILURES = """CREATE TABLE IF NOT EXISTS main.permanent_failures (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id INTEGER NOT NULL,
    event_bytes BLOB NOT NULL,
    error_message TEXT NOT NULL,
    failed_at TEXT NOT NULL,
    retry_count INTEGER NOT NULL,
    marked_permanent_at TEXT NOT NULL DEFAULT (datetime('now'))
)"""
MIGRATIONS = """CREATE TABLE IF NOT EXISTS main.azoth_dlq_migrations (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    needs INTEGER NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (datetime('now'))
)"""
STATE = """CREATE TABLE IF NOT EXISTS main.azoth_dlq_state (
    key TEXT PRIMARY KEY,
    value
) WITHOUT ROWID"""
# Tells the database from another that had its name: what is kept beside it is for it alone.
IDENTITY = (
    "INSERT OR IGNORE INTO main.azoth_dlq_state (key, value) VALUES ('identity', randomblob(16))"
)
# A row belongs to a dead letter or to a permanent failure; instants and durations in microseconds.
HISTORY = """CREATE TABLE IF NOT EXISTS main.azoth_dlq_history (
    id INTEGER PRIMARY KEY,
    letter_id INTEGER,
    parked_id INTEGER,
    at INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    error_type TEXT NOT NULL,
    message TEXT NOT NULL,
    traceback TEXT NOT NULL,
    duration INTEGER
)"""
HISTORY_OF_LETTERS = """CREATE INDEX IF NOT EXISTS main.azoth_dlq_history_letter
    ON azoth_dlq_history(letter_id) WHERE letter_id IS NOT NULL"""
HISTORY_OF_PARKED = """CREATE INDEX IF NOT EXISTS main.azoth_dlq_history_parked
    ON azoth_dlq_history(parked_id) WHERE parked_id IS NOT NULL"""
# Letters in the hands of handlers that run outside a transaction, who holds them, and where it is
# marked that their call has started (NULL: it has).
CLAIMS = """CREATE TABLE IF NOT EXISTS main.azoth_dlq_claims (
    letter_id INTEGER PRIMARY KEY,
    drainer TEXT NOT NULL,
    batch INTEGER NOT NULL,
    slot INTEGER
)"""
DRAINERS = """CREATE TABLE IF NOT EXISTS main.azoth_dlq_drainers (
    name TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    since INTEGER NOT NULL
) WITHOUT ROWID"""
# Letters that were seen to be not due, by retry count and the instant from which they wait, or by
# the instant until which they were put off. The expressions can fail for no value of any type: an
# index whose expression does would refuse other programs' writes.
WAITING = f"""CREATE INDEX IF NOT EXISTS main.azoth_dlq_waiting
    ON dead_letter_queue({sql.WAITING_COUNT}, azoth_base) WHERE {sql.IS_WAITING}"""
NOT_BEFORE = f"""CREATE INDEX IF NOT EXISTS main.azoth_dlq_not_before
    ON dead_letter_queue({sql.WAITING_UNTIL}) WHERE {sql.IS_PUT_OFF}"""
# What was done on purpose, by whom, and to which letters: by a filter (JSON) that so many matched.
# `details` is JSON, too.
AUDIT = """CREATE TABLE IF NOT EXISTS main.azoth_dlq_audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    filter TEXT NOT NULL,
    matched INTEGER NOT NULL,
    done INTEGER NOT NULL,
    details TEXT
)"""
# Letters that came from other files and are not to come again, and any that may (`returns`).
ORIGINS = """CREATE TABLE IF NOT EXISTS main.azoth_dlq_origins (
    origin BLOB PRIMARY KEY,
    returns INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID"""
RECORD = "INSERT INTO main.azoth_dlq_migrations (number, name, needs) VALUES (?, ?, ?)"
APPLIED = "SELECT +number, +name, +needs FROM main.azoth_dlq_migrations"


class Migration(NamedTuple):
    """Statements, and columns to add as (table, column, type) where the table lacks them."""

    number: int
    name: str
    needs: int
    statements: tuple[str, ...]
    columns: tuple[tuple[str, str, str], ...] = ()


STEPS = (
    Migration(
        number=1,
        name="latest error, not-before and the origin of permanent failures",
        needs=1,
        statements=(PERMANENT_FAILURES, STATE, IDENTITY),
        columns=(
            ("dead_letter_queue", "azoth_last_error", "TEXT"),
            ("dead_letter_queue", "azoth_not_before", "INTEGER"),
            ("dead_letter_queue", "azoth_not_before_count", "INTEGER"),
            ("dead_letter_queue", "azoth_not_before_retry_at", "TEXT"),
            ("permanent_failures", "azoth_dead_letter_id", "INTEGER"),
            ("permanent_failures", "azoth_last_retry_at", "TEXT"),
            ("permanent_failures", "azoth_last_error", "TEXT"),
            ("permanent_failures", "azoth_reason", "TEXT"),
        ),
    ),
    Migration(
        number=2,
        name="history, claims, drainers, letters kept out of batches, and since when they wait",
        needs=2,  # who knows no claims would call handlers twice
        statements=(HISTORY, HISTORY_OF_LETTERS, HISTORY_OF_PARKED, CLAIMS, DRAINERS),
        columns=(
            ("dead_letter_queue", "azoth_alone", "INTEGER"),
            ("dead_letter_queue", "azoth_base", "INTEGER"),
            ("dead_letter_queue", "azoth_base_of", "TEXT"),
        ),
    ),
    # To make an index shuts others out for a scan of the table, so each has a step of its own; they
    # are made when a run needs them first.
    Migration(number=3, name="index of waiting letters", needs=2, statements=(WAITING,)),
    Migration(number=4, name="index of letters put off", needs=2, statements=(NOT_BEFORE,)),
    Migration(
        number=5,
        name="audit, where letters came from, and payloads before they were edited",
        needs=2,
        statements=(AUDIT, ORIGINS),
        columns=(
            ("azoth_dlq_history", "event_bytes", "BLOB"),
            ("dead_letter_queue", "azoth_origin", "BLOB"),
            ("permanent_failures", "azoth_origin", "BLOB"),
        ),
    ),
)
LATEST = STEPS[-1].number
ALL = frozenset(step.number for step in STEPS)
REQUIRED = frozenset({1, 2, 5})  # for whatever but a run's polls
_READ = frozenset({1, 2, 5})  # taken together; of a later step each reader asks for itself
_HISTORY_SINCE = 2
_NUMBERED_TABLES = ("dead_letter_queue", "permanent_failures")


def _names(connection: sqlite3.Connection, statement: str, *parameters: str) -> set[str]:
    """In lower case: SQLite tells no `A` from `a` in a name."""
    return {text_of(name).lower() for (name,) in read(connection, statement, parameters)}


class Schema(NamedTuple):
    """Which of the tables a file has, and the numbers of the steps that it has seen."""

    has_queue: bool
    has_parked: bool
    applied: frozenset[int]

    @property
    def migrated(self) -> bool:
        """Whether it has what reads tell beyond the crate's columns."""
        return self.applied >= _READ

    @property
    def complete(self) -> bool:
        """Whether it has what writes need."""
        return self.applied >= REQUIRED

    @property
    def has_history(self) -> bool:
        return _HISTORY_SINCE in self.applied


def check_ids(connection: sqlite3.Connection) -> None:
    """Errors: StorageError where rows cannot be told apart by an integer that SQLite gives."""
    _check_ids(connection, _names(connection, sql.TABLES))


def _check_ids(connection: sqlite3.Connection, tables: set[str]) -> None:
    for table in sorted(tables.intersection(_NUMBERED_TABLES)):
        columns = read(connection, sql.ID_COLUMN, (table,))
        indexed = read(connection, sql.PRIMARY_KEY_INDEXES, (table,))
        found = [(text_of(kind).upper(), key) for kind, key in columns]
        if found != [("INTEGER", 1)] or indexed:
            kinds = [kind + " PRIMARY KEY" * bool(key) for kind, key in found]
            raise StorageError(
                f"the table {table} must have a column `id INTEGER PRIMARY KEY`, a rowid, by which "
                f"its rows are told apart; it has {_shown_column(kinds, indexed=bool(indexed))}. "
                "Copy its rows into a table that is made as DeadLetterQueue.open makes it"
            )


def _shown_column(kinds: list[str], *, indexed: bool) -> str:
    if not kinds:
        return "none of that name"
    shown = f"`{' '.join(['id', *filter(None, kinds)])}`"
    return (
        f"{shown} that is no rowid (WITHOUT ROWID, DESC, or a key of several columns)"
        if indexed
        else shown
    )


def inspect(connection: sqlite3.Connection) -> Schema:
    """What the file has; StorageError where we cannot work on it: a newer version has changed it,
    or its tables are of another making."""
    tables = _names(connection, sql.TABLES)
    steps: frozenset[int] = frozenset()
    if "azoth_dlq_migrations" in tables:
        applied = read(connection, APPLIED)
        if not all(type(number) is type(needed) is int for number, _, needed in applied):
            raise StorageError(
                "the table azoth_dlq_migrations holds something else than numbers; restore it from "
                "a backup: it tells which programs may use the file"
            )
        steps = frozenset(number for number, _, _ in applied)
        needs = max((needed for _, _, needed in applied), default=0)
        if needs > LATEST:
            raise StorageError(
                f"the file needs a newer azoth-dlq: it has schema {max(steps)}, which only "
                f"programs that know schema {needs} may use, and this one knows {LATEST}; upgrade "
                "azoth-dlq"
            )
    if not steps >= REQUIRED:  # later it has been looked at
        _check_ids(connection, tables)
    return Schema(
        has_queue="dead_letter_queue" in tables,
        has_parked="permanent_failures" in tables,
        applied=steps,
    )


def migrate(connection: sqlite3.Connection, numbers: frozenset[int] | None = None) -> None:
    """Make what is missing of these steps, or of the required, within the caller's transaction."""
    cursor = own_cursor(connection)
    if not inspect(connection).has_queue:
        cursor.execute(DEAD_LETTER_QUEUE)
        cursor.execute(EVENT_ID_INDEX)
    cursor.execute(MIGRATIONS)
    missing = (REQUIRED if numbers is None else numbers) - inspect(connection).applied
    for step in STEPS:
        if step.number not in missing:
            continue
        for statement in step.statements:
            cursor.execute(statement)
        for table, column, kind in step.columns:
            if column not in _names(connection, sql.COLUMNS, table):
                cursor.execute(f"ALTER TABLE main.{table} ADD COLUMN {column} {kind}")
        cursor.execute(RECORD, (step.number, step.name, step.needs))
