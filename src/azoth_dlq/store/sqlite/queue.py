"""The verbs of the queue: each joins a transaction that is open, or commits by itself."""

from __future__ import annotations

import os
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, overload

from azoth_dlq.errors import InvalidStateError, StorageError
from azoth_dlq.event_type import EVENT_START
from azoth_dlq.kernels.eligibility import format_timestamp, parse_timestamp
from azoth_dlq.store.base import Figures, NewLetter
from azoth_dlq.store.sqlite import finding, history, pragmas, search_statements
from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite.faults import (
    explain,
    explained,
    ids_used_up,
    primary_code,
    shown_path,
)
from azoth_dlq.store.sqlite.inherited import check_none_inherited, watch
from azoth_dlq.store.sqlite.migrations import Schema, inspect, migrate
from azoth_dlq.store.sqlite.presence import drainers, is_alive
from azoth_dlq.store.sqlite.raw import (
    integer_or_none,
    own_cursor,
    raw_text,
    snapshot,
    text_of,
)
from azoth_dlq.store.sqlite.session import check_thread

if TYPE_CHECKING:
    from azoth_dlq.filters import LetterFilter
    from azoth_dlq.kernels.eligibility import Rules
    from azoth_dlq.store.sqlite.exchange import SqliteExchange
    from azoth_dlq.types import AttemptRecord, FailedEvent, PermanentFailure

IDS_A_STATEMENT = 500  # under SQLite's old limit of 999 variables
SETTINGS = "settings"
STOPPED = "stopped"
_NUMBERED_TABLES = ("dead_letter_queue", "permanent_failures")


def second_text(instant: int) -> str:
    """`YYYY-MM-DD HH:MM:SS`, the form that the crate orders by."""
    return format_timestamp(instant)[:19].replace("T", " ")


def chunks(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), IDS_A_STATEMENT):
        yield ids[start : start + IDS_A_STATEMENT]


class SqliteQueue:
    """Dead letters and permanent failures of one connection's `main` database."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._process = os.getpid()
        self._cursor = own_cursor(connection)
        self._schema: Schema | None = None
        self.where = "the connection"
        file = self._database_file()
        self.where = shown_path(file) or "the in-memory database"
        check_none_inherited(file)
        watch(self, connection, file)

    @property
    def connection(self) -> sqlite3.Connection:
        return self._connection

    @property
    def file(self) -> str | None:
        """The path of the database's file; None where it has none."""
        self._check_caller()
        return self._database_file() or None

    @property
    def exchange(self) -> SqliteExchange:
        """Letters as a whole, out of the queue and into it."""
        from azoth_dlq.store.sqlite.exchange import SqliteExchange  # noqa: PLC0415 -- few need it

        return SqliteExchange(
            self._connection, self.where, schema=self._known_schema, writing=self._writing
        )

    # The queue

    def add(self, letters: Iterable[NewLetter]) -> list[int]:
        ids: list[int] = []
        with self._writing():
            for letter in letters:
                failed_at = second_text(letter.failed_at)
                self._execute(sql.ADD, (*letter[:3], failed_at))
                self._check_written("dead_letter_queue")
                ids.append(self._cursor.lastrowid or 0)
        return ids

    @overload
    def read(
        self, *, parked: Literal[False] = False, ids: Sequence[int] | None = None, limit: int = -1
    ) -> list[FailedEvent]: ...
    @overload
    def read(
        self, *, parked: Literal[True], ids: Sequence[int] | None = None, limit: int = -1
    ) -> list[PermanentFailure]: ...
    def read(
        self, *, parked: bool = False, ids: Sequence[int] | None = None, limit: int = -1
    ) -> list[FailedEvent] | list[PermanentFailure]:
        from azoth_dlq.store.sqlite import values  # noqa: PLC0415 -- as is said there

        schema = self._known_schema()
        if not (schema.has_parked if parked else schema.has_queue):
            return []
        statement = sql.read_parked if parked else sql.read_letters
        if ids is None:
            rows = self._query(statement(None, migrated=schema.migrated), (limit,))
        else:
            rows = []
            for some in chunks(sorted(set(ids), reverse=True)):
                rows += self._query(statement(len(some), migrated=schema.migrated), (*some, -1))
            rows = rows if limit < 0 else rows[:limit]
        if parked:
            return [values.permanent_failure(row) for row in rows]
        return [values.letter(row) for row in rows]

    def find(self, wanted: LetterFilter, now: int, rules: Rules | None = None) -> array[int]:
        schema = self._known_schema()
        if not (schema.has_parked if wanted.parked else schema.has_queue):
            return array("q")
        with explained(self.where):
            return finding.find(
                self._connection, wanted, now, migrated=schema.migrated, rules=rules
            )

    @contextmanager
    def errors(
        self, ids: Sequence[int] | None = None, *, parked: bool = False
    ) -> Iterator[Iterator[tuple[Any, ...]]]:
        schema = self._known_schema()
        if not (schema.has_parked if parked else schema.has_queue):
            yield iter(())
            return
        connection = self._connection
        statement = partial(search_statements.errors, parked=parked, migrated=schema.migrated)
        with (
            explained(self.where),
            raw_text(connection),
            snapshot(connection),
            closing(own_cursor(connection)) as cursor,
        ):
            if ids is None:
                yield cursor.execute(statement(None), (EVENT_START,))
            else:
                yield chain.from_iterable(
                    cursor.execute(statement(len(some)), (EVENT_START, *some))
                    for some in chunks(ids)
                )

    def count(self, *, parked: bool = False) -> int:
        schema = self._known_schema()
        if not (schema.has_parked if parked else schema.has_queue):
            return 0
        return int(self._query(sql.COUNT[parked])[0][0])

    def history(self, row_id: int, *, parked: bool = False) -> list[AttemptRecord]:
        from azoth_dlq.store.sqlite import values  # noqa: PLC0415 -- as is said there

        if not self._known_schema().has_history:
            return []
        if not parked and not self._query(sql.HAS_ATTEMPTS, (row_id,)):
            return []
        rows = self._query(sql.read_history(parked=parked), (row_id,))
        return [values.attempt_record(row) for row in rows]

    def delete(self, ids: Sequence[int] | None, *, parked: bool = False) -> int:
        deleted = 0
        with self._writing(changes_letters=not parked):
            if ids is None:
                self._execute(sql.CLEAR[parked])
                deleted = self._cursor.rowcount
                history.delete(self._cursor, None, parked=parked)
                return deleted
            for some in chunks(ids):
                self._execute(sql.delete(len(some), parked=parked), some)
                deleted += self._cursor.rowcount
                history.delete(self._cursor, some, parked=parked)
        return deleted

    def in_hands(self) -> set[int]:
        claims = [(letter_id, text_of(name)) for letter_id, name in self._query(sql.CLAIMS)]
        running = {name for _, name in claims if is_alive(self._database_file(), name)}
        return {letter_id for letter_id, name in claims if name in running}

    def requeue(self, ids: Sequence[int], now: int) -> int:
        requeued = 0
        with self._writing():
            held = self.in_hands()
            for parked_id in ids:
                origin = self._query(sql.PARKED_ORIGIN, (parked_id,))
                if not origin:
                    continue
                old_id, failed_at = integer_or_none(origin[0][0]), origin[0][1]
                if old_id in held and self._query(sql.HAS_LETTER, (old_id,)):
                    continue  # under another id nothing would tell that a call of it goes on
                values = (old_id, old_id, _failed_at_or(now, failed_at), parked_id)
                self._execute(sql.REQUEUE, values)
                self._check_written("dead_letter_queue")
                history.requeue(self._cursor, parked_id, self._cursor.lastrowid or 0)
                self._execute(sql.delete(1, parked=True), (parked_id,))
                requeued += 1
        return requeued

    def mark_retry(self, letter_id: int, now: int) -> bool:
        with self._writing(changes_letters=True):
            self._execute(sql.MARK_RETRY, (format_timestamp(now), letter_id))
            return self._cursor.rowcount == 1

    def figures(self, errors: int = 0) -> Figures:
        schema = self._known_schema()
        by_error: list[tuple[str, int]] = []
        if schema.has_queue:
            rows = self._query(sql.by_error(migrated=schema.migrated), (errors,))
            by_error = [(text_of(text), count) for text, count in rows]
        counts = (self.count(), self.count(parked=True), by_error)
        if not schema.migrated:
            return Figures(*counts, settings=None)
        settings = self._query(sql.GET_STATE, (SETTINGS,))
        stopped = self._query(sql.GET_STATE, (STOPPED,))
        reasons = self._query(sql.BY_REASON, (errors,)) if errors and schema.has_parked else []
        with explained(self.where):
            draining = drainers(self._connection, self._database_file())
        return Figures(
            *counts,
            settings=text_of(settings[0][0]) if settings else None,
            draining=draining,
            stopped_at=integer_or_none(stopped[0][0]) if stopped else None,
            by_reason=[(text_of(text), count) for text, count in reasons],
        )

    def parked_failures(self) -> Iterator[tuple[object, bytes]]:
        if self._known_schema().has_parked:
            with explained(self.where), raw_text(self._connection):
                yield from own_cursor(self._connection).execute(sql.PARKED_FAILURES)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What the verbs do within is committed together, or not at all."""
        with self._writing(changes_letters=True):
            yield

    # What the verbs share

    def _check_written(self, table: str) -> None:
        """A trigger, or a constraint with ON CONFLICT IGNORE, may swallow a row in silence."""
        if self._cursor.rowcount != 1:
            raise StorageError(
                f"{self.where} does not take a row into {table}; nothing was written"
            )

    def _check_caller(self) -> None:
        if os.getpid() != self._process:
            raise InvalidStateError(
                f"this queue was opened by process {self._process} and SQLite connections do not "
                "survive fork(); open a queue of its own in each process"
            )
        check_thread(self._connection)

    def _execute(self, statement: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._cursor.execute(statement, parameters)

    def _state(self, key: str) -> Any:
        with raw_text(self._connection):
            row = self._execute(sql.GET_STATE, (key,)).fetchone()
        return None if row is None else row[0]

    def _pragma(self, statement: str) -> int:
        return int(self._execute(statement).fetchone()[0])

    def _query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with explained(self.where), raw_text(self._connection):
            return self._execute(statement, parameters).fetchall()

    def _known_schema(self) -> Schema:
        self._check_caller()
        with explained(self.where):
            return self._schema_now()

    def _schema_now(self) -> Schema:
        """What the file has. Only what is committed is remembered: an open transaction may yet be
        rolled back."""
        if self._schema is not None and self._schema.complete:
            return self._schema
        schema = inspect(self._connection)
        if not self._connection.in_transaction:
            self._schema = schema
        return schema

    @contextmanager
    def _writing(self, *, changes_letters: bool = False) -> Iterator[None]:  # noqa: ARG002 -- for drains
        """A transaction of our own, or a savepoint in the one that is open; whether what is written
        changes letters that there are (a drain may have planned them)."""
        complete = self._known_schema().complete
        joined = self._connection.in_transaction
        begin, commit, undo = (
            (sql.SAVEPOINT_VERB, sql.RELEASE_VERB, sql.UNDO_VERB)
            if joined
            else (sql.BEGIN, sql.COMMIT, sql.ROLLBACK)
        )
        try:
            self._execute(begin)
            try:
                if not complete:
                    migrate(self._connection)
                yield
                self._execute(commit)
            except BaseException as error:
                used_up = self._used_up(error)  # as long as what used them is there
                if self._connection.in_transaction:
                    self._execute(undo)
                    if joined:
                        self._execute(commit)
                if used_up is not None:
                    raise used_up from error
                raise
        except sqlite3.Error as error:
            raise explain(error, self.where) from error

    def _used_up(self, error: BaseException) -> StorageError | None:
        """The error of a full disk as what it is where a table has no more ids."""
        if primary_code(error) == sqlite3.SQLITE_FULL:
            with suppress(StorageError):  # there may be no such tables
                for (table,) in self._query(sql.WITHOUT_FREE_IDS, _NUMBERED_TABLES):
                    return ids_used_up(error, self.where, text_of(table))
        return None

    def _database_file(self) -> str:
        rows = self._query(pragmas.DATABASES)
        files = (bytes(file or b"") for _, name, file in rows if text_of(name) == "main")
        return os.fsdecode(next(files, b""))


def _failed_at_or(now: int, failed_at: object) -> str | None:
    """None where the text can be read: it is kept."""
    try:
        if isinstance(failed_at, bytearray):
            parse_timestamp(failed_at)
            return None
    except ValueError:
        pass
    return second_text(now)
