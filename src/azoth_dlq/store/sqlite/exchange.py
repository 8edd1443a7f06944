"""Letters as a whole: read as they are stored, and written so that each origin comes in once."""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from azoth_dlq.errors import StorageError
from azoth_dlq.store.base import FIRST_ID
from azoth_dlq.store.sqlite import exchange_statements as sql
from azoth_dlq.store.sqlite import pragmas
from azoth_dlq.store.sqlite.faults import explained
from azoth_dlq.store.sqlite.raw import own_cursor, raw_text, read, snapshot, text_of
from azoth_dlq.store.sqlite.statements import GET_STATE
from azoth_dlq.store.whole import (
    COLUMNS,
    HISTORY_COLUMNS,
    NEEDED,
    NO_FILE,
    ORIGIN_BYTES,
    Origins,
    Taken,
    WholeLetter,
)

if TYPE_CHECKING:
    from azoth_dlq.store.sqlite.migrations import Schema

_TABLES: Final = {False: "dead_letter_queue", True: "permanent_failures"}
_HISTORY: Final = "azoth_dlq_history"
_IDS_A_STATEMENT: Final = 500
_LONGEST_IDENTITY: Final = 64
_EDITS_SINCE: Final = 5  # the step that keeps payloads of before an edit


class SqliteExchange:
    """The letters of a queue's connection."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        where: str,
        *,
        schema: Callable[[], Schema],
        writing: Callable[..., AbstractContextManager[None]],
    ) -> None:
        """`schema` and `writing`: what the queue's verbs share."""
        self._connection = connection
        self._where = where
        self._schema = schema
        self._writing = writing
        self._cursor = own_cursor(connection)

    @property
    def identity(self) -> bytes | None:
        if not self._schema().migrated:
            return None
        with explained(self._where):
            rows = read(self._connection, GET_STATE, ("identity",))
        value = rows[0][0] if rows else None
        is_one = isinstance(value, bytes) and 0 < len(value) <= _LONGEST_IDENTITY
        return value if is_one else None

    @property
    def reading_blocks(self) -> bool:
        with explained(self._where):
            mode = read(self._connection, pragmas.JOURNAL_MODE)
        return text_of(mode[0][0]) != "wal"

    @contextmanager
    def reading(self) -> Iterator[None]:
        self._schema()  # it checks who calls, too
        with explained(self._where), raw_text(self._connection), snapshot(self._connection):
            yield

    def letters(
        self, *, parked: bool, ids: Sequence[int] | None = None, first: int = FIRST_ID
    ) -> Generator[WholeLetter, None, None]:
        if not self._has(parked=parked):
            return
        schema = self._schema()
        history = self._histories(parked=parked, schema=schema)
        origins = Origins(self.identity)
        with closing(own_cursor(self._connection)) as cursor:
            for row in _rows(cursor, ids, first, parked=parked, migrated=schema.migrated):
                row_id, noted, origin = row[:3]
                values = row[3:]
                if not isinstance(origin, bytes) or not origin:
                    origin = origins.of(row_id, values, parked=parked)
                attempts = history(row_id) if noted else []
                yield WholeLetter(parked, row_id, origin, values, attempts)

    def _histories(self, *, parked: bool, schema: Schema) -> Callable[[int], list[tuple[Any, ...]]]:
        if not schema.has_history:
            return lambda _: []
        statement = sql.history(parked=parked, with_bytes=_EDITS_SINCE in schema.applied)
        return lambda row_id: self._cursor.execute(statement, (row_id,)).fetchall()

    def needed(self, *, parked: bool) -> frozenset[str]:
        with explained(self._where):
            rows = read(self._connection, sql.NEEDED, (_TABLES[parked],))
        if not self._has(parked=parked):  # it will be as the crate makes it
            return NEEDED[parked]
        return frozenset(text_of(name).lower() for (name,) in rows)

    def _has(self, *, parked: bool) -> bool:
        schema = self._schema()
        return schema.has_parked if parked else schema.has_queue

    def take_in(
        self,
        letters: Iterable[WholeLetter],
        *,
        again: bool = False,
        dry: bool = False,
    ) -> Taken:
        if dry:
            with self.reading():
                migrated = self._schema().migrated
                return self._take_in(letters, again=again, known=migrated, write=False)
        with self._writing(changes_letters=True), raw_text(self._connection):
            return self._take_in(letters, again=again, known=True, write=True)

    def _take_in(
        self, letters: Iterable[WholeLetter], *, again: bool, known: bool, write: bool
    ) -> Taken:
        origins = Origins(self.identity)
        names = self._names(origins) if known else None
        dead = parked = before = gone = 0
        for letter in letters:
            returns = None if names is None else self._returns(names(letter))
            if returns == 0 and not again:
                before += 1
            elif returns is None and origins.are_of(letter.origin) and not again:
                gone += 1
            else:
                parked += letter.parked
                dead += not letter.parked
                if write:
                    self._add(letter, is_own=origins.are_of(letter.origin))
        return Taken(dead, parked, before, gone)

    def _names(self, origins: Origins) -> Callable[[WholeLetter], tuple[bytes, bytes]]:
        """What a letter may be known by: its origin, and where any came from files without an
        identity, also the one that it had before its file got one."""
        nameless = (NO_FILE.ljust(ORIGIN_BYTES, b"\0"), NO_FILE.ljust(ORIGIN_BYTES, b"\xff"))
        if self._cursor.execute(sql.ANY_BETWEEN, nameless).fetchone():
            return lambda letter: (letter.origin, origins.without_file(letter))
        return lambda letter: (letter.origin, letter.origin)

    def _returns(self, names: tuple[bytes, bytes]) -> int | None:
        """0: it is not to come in again; 1: it may; None: nothing is known of it."""
        rows = self._cursor.execute(sql.KNOWN_ORIGINS, names).fetchall()
        return min((int(returns) for (returns,) in rows), default=None)

    def _add(self, letter: WholeLetter, *, is_own: bool) -> None:
        cursor, parked = self._cursor, letter.parked
        row_id: int | None = letter.id if is_own else None
        if row_id is not None and cursor.execute(sql.IS_THERE[parked], (row_id,)).fetchone():
            row_id = None
        values, broken = _bindable(letter.values, COLUMNS[parked])
        cursor.execute(sql.INSERT[parked], (row_id, letter.origin, *values))
        if cursor.rowcount != 1:
            raise StorageError(
                f"{self._where} does not take a row into {_TABLES[parked]}; nothing of these "
                "letters was written"
            )
        row_id = cursor.lastrowid or 0
        self._put_texts(_TABLES[parked], broken, row_id)
        for attempt in letter.history:
            values, broken = _bindable(attempt, HISTORY_COLUMNS)
            cursor.execute(sql.INSERT_HISTORY[parked], (row_id, *values))
            self._put_texts(_HISTORY, broken, cursor.lastrowid or 0)
        cursor.execute(sql.RECORD_ORIGIN, (letter.origin, 0))

    def _put_texts(self, table: str, texts: Iterable[tuple[str, bytes]], row_id: int) -> None:
        for column, content in texts:
            self._cursor.execute(sql.PUT_TEXT[table, column], (content, row_id))

    def let_return(self, ids: Sequence[int], *, parked: bool = False) -> None:
        with self._writing(), raw_text(self._connection):
            found = [letter.origin for letter in self.letters(parked=parked, ids=sorted(ids))]
            self._cursor.executemany(sql.RECORD_ORIGIN, ((origin, 1) for origin in found))


def _rows(
    cursor: sqlite3.Cursor,
    ids: Sequence[int] | None,
    first: int,
    *,
    parked: bool,
    migrated: bool,
) -> Iterator[tuple[Any, ...]]:
    if ids is None:
        return cursor.execute(sql.letters(None, parked=parked, migrated=migrated), (first,))
    starts = range(bisect_left(ids, first), len(ids), _IDS_A_STATEMENT)
    return chain.from_iterable(
        cursor.execute(sql.letters(len(some), parked=parked, migrated=migrated), some)
        for some in (ids[start : start + _IDS_A_STATEMENT] for start in starts)
    )


def _bindable(
    values: Sequence[Any], columns: Sequence[str]
) -> tuple[list[Any], list[tuple[str, bytes]]]:
    """The values as Python binds them, and the TEXTs that it binds none of, by column: those that
    are no UTF-8."""
    bound = list(values)
    broken = []
    for place, value in enumerate(values):
        if isinstance(value, bytearray):
            try:
                bound[place] = value.decode()
            except UnicodeDecodeError:
                bound[place] = ""
                broken.append((columns[place], bytes(value)))
    return bound, broken
