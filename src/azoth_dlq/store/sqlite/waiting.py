"""Letters seen waiting, which a poll need not read again before they may be due.

Every row up to a high-water mark is in one of two partial indexes: by its retry count and the
instant from which it waits, or by the instant until which it was put off. Where anybody has changed
the row since, the indexed expression is -1, so that no write of another program hides a letter.
Newer rows are found by their ids, which AUTOINCREMENT never gives twice; those that another program
inserts below the mark, under ids of its own choice, by a look at all rows alone. A letter that is
to be parked is found at once, but where it was put off, or where its `failed_at` alone was made
unreadable after an attempt: then when its time comes, or by a look at all rows.

The mark is this store's own. The indexes are everybody's: whatever takes a row out of the one puts
it into the other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain, starmap
from time import monotonic
from typing import Any, NamedTuple

from azoth_dlq.kernels.eligibility import parse_timestamp
from azoth_dlq.store.base import Suspects
from azoth_dlq.store.sqlite import pragmas
from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite.faults import primary_code
from azoth_dlq.store.sqlite.migrations import ALL, Schema, inspect, migrate
from azoth_dlq.store.sqlite.queue import chunks
from azoth_dlq.store.sqlite.raw import text_of

NOTED_AT_ONCE = 4096
# Rows of large payloads are written anew as a whole: a transaction is bounded by time, too.
LONGEST_HOLD = 0.05  # seconds
_BELOW_ALL_IDS = -(2**63)
_LOOK = -1  # in place of an instant: look at the row
_LATEST = 2**63 - 1

_Query = tuple[str, tuple[int, ...]]


class _Note(NamedTuple):
    """An instant and its text; without a text where one cannot be read."""

    base: int
    text: str | None
    id: int


class _Refused(Exception):
    """Letters of the table are kept from being updated, by a trigger that raises nothing."""


class Waiting:
    """What one store knows of the letters of its file that are not due."""

    def __init__(
        self, connection: sqlite3.Connection, cursor: sqlite3.Cursor, lock: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._cursor = cursor
        self._lock = lock
        self._has_indexes = False  # as far as is known
        self._mark: int | None = None  # rows up to this id are in an index
        self._seen: int | None = None  # the highest id of the last look
        self._state = (-1, -1)  # what others and this connection had written by then

    def look(
        self,
        schema: Schema,
        *,
        with_error: bool,
        with_type: bool = False,
        suspects: Suspects | None,
    ) -> Iterator[tuple[object, ...]]:
        """The rows that may be due, within a snapshot: all of them, where it is not known which.
        Text comes as the connection gives it. Errors: sqlite3.Error."""
        statement = partial(
            sql.candidates, migrated=schema.migrated, with_error=with_error, with_type=with_type
        )
        self._seen = self._value(sql.HIGHEST_ID)
        self._state = self._state_now()
        if suspects is None or self._mark is None or self._mark > self._last_given_id():
            self._mark = None
            if suspects is not None:
                suspects.next_due = None
            return self._cursor.execute(statement())
        queries = [
            (statement(among=among), values)
            for among, values in self._narrowed(suspects, self._mark)
        ]
        return chain.from_iterable(starmap(self._cursor.execute, queries))

    def _narrowed(self, suspects: Suspects, mark: int) -> list[_Query]:
        """The clauses that hold the suspects, and `suspects.next_due` of the other rows."""
        now = max(suspects.now, _LOOK)
        queries: list[_Query] = [
            (sql.AMONG_NEWER, (mark,)),
            (sql.AMONG_CHANGED, (mark,)),
            (sql.AMONG_PUT_OFF, (now, mark)),
        ]
        dues = [self._value(sql.NEXT_PUT_OFF, (now,))]
        count = self._value(sql.NEXT_COUNT, (_LOOK,))
        while count is not None:
            least = suspects.least_wait(count)
            limit = _LATEST if least is None else max(suspects.now - least, _LOOK)
            queries.append((sql.AMONG_COUNT, (count, limit, mark)))
            base = self._value(sql.NEXT_BASE, (count, limit))
            dues.append(None if base is None or least is None else base + least)
            count = self._value(sql.NEXT_COUNT, (count,))
        suspects.next_due = min((due for due in dues if due is not None), default=None)
        return queries

    def is_as_seen(self) -> bool:
        """Whether certainly nobody has written since the last look, but `catch_up`."""
        with suppress(sqlite3.Error):
            return not self._connection.in_transaction and self._state_now() == self._state
        return False

    def _state_now(self) -> tuple[int, int]:
        return self._value(pragmas.DATA_VERSION), self._connection.total_changes

    def catch_up(self) -> bool:
        """Put some of the rows of the last look into an index, in one transaction; whether all of
        them are. Errors: sqlite3.Error."""
        if self._seen is None:
            return True
        top = min(self._seen, self._last_given_id())
        if top == _BELOW_ALL_IDS:
            return True
        if self._makes_index():
            return False
        mark = _BELOW_ALL_IDS if self._mark is None else self._mark
        changed = self._read(sql.NOT_NOTED_CHANGED) or self._read(sql.NOT_NOTED_PUT_OFF)
        notes = changed or self._read(sql.NOT_NOTED_NEWER, mark, top)
        if not notes:
            self._mark = max(mark, top)
            return True
        noted = self._write(notes)
        if not noted:
            # Rows that no index can tell of are all read, at every look.
            self._mark = self._seen = None
            return True
        if not changed:
            self._mark = notes[noted - 1].id
        return False

    def _makes_index(self) -> bool:
        """Make the next index that the file lacks; whether it lacked one."""
        if self._has_indexes:
            return False
        missing = ALL - inspect(self._connection).applied
        self._has_indexes = not missing
        if self._has_indexes:
            return False
        with self._transaction():
            migrate(self._connection, frozenset({min(missing)}))
        return True

    def _read(self, statement: str, *values: int) -> list[_Note]:
        rows = self._cursor.execute(statement, (*values, NOTED_AT_ONCE)).fetchall()
        return [_note(*row) for row in rows]

    def _write(self, notes: Sequence[_Note]) -> int:
        """How many of them, from the first on; 0 where the table refuses some.

        They were read before the lock was held. A row whose text has changed since does not fit the
        text noted, and is looked at; one that was put off since is left alone.
        """
        try:
            with self._transaction():
                until = monotonic() + LONGEST_HOLD
                written = done = 0
                for note in notes:
                    written += self._cursor.execute(sql.NOTE, note).rowcount
                    done += 1
                    if monotonic() >= until:
                        break
                if written < done:
                    self._check_noted([note.id for note in notes[:done]])
        except _Refused:
            return 0
        except sqlite3.Error as error:
            # A trigger may raise, or call a function that only its own program has.
            if primary_code(error) not in (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_ERROR):
                raise
            return 0
        return done

    def _check_noted(self, ids: Sequence[int]) -> None:
        for some in chunks(ids):
            if self._value(sql.not_noted(len(some)), some):
                raise _Refused

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        was_as_seen = self.is_as_seen()
        self._lock()
        try:
            yield
            self._cursor.execute(sql.COMMIT)
        except BaseException:
            if self._connection.in_transaction:
                self._cursor.execute(sql.ROLLBACK)
            raise
        if was_as_seen:
            self._state = self._state[0], self._connection.total_changes

    def _last_given_id(self) -> int:
        """No row comes to this id or one below it but by another program's choice; lower than all
        ids where AUTOINCREMENT does not see to that."""
        if self._value(sql.HAS_SEQUENCES) is None:
            return _BELOW_ALL_IDS
        sequence = self._value(sql.SEQUENCE, ("dead_letter_queue",))
        return sequence if isinstance(sequence, int) else _BELOW_ALL_IDS

    def _value(self, statement: str, values: Sequence[object] = ()) -> Any:
        row = self._cursor.execute(statement, values).fetchone()
        return None if row is None else row[0]


def rows_of(
    cursor: sqlite3.Cursor, schema: Schema, ids: Sequence[int], *, with_error: bool
) -> Iterator[tuple[object, ...]]:
    """The rows of these ids that are there, whether they may be due or not."""
    statement = partial(sql.candidates, migrated=schema.migrated, with_error=with_error)
    return chain.from_iterable(
        cursor.execute(statement(among=sql.among_ids(len(some))), some)
        for some in chunks(sorted(set(ids)))
    )


def _note(letter_id: int, failed_at: object, last_retry_at: object) -> _Note:
    base = _instant(failed_at)
    text = failed_at
    if base is not None and last_retry_at is not None:
        base = _instant(last_retry_at)
        text = last_retry_at
    if base is None:
        return _Note(_LOOK, None, letter_id)
    return _Note(base, text_of(text), letter_id)


def _instant(value: object) -> int | None:
    """Text comes as `bytearray`: `bytes` are no text."""
    try:
        return parse_timestamp(value) if isinstance(value, bytearray) else None
    except ValueError:
        return None
