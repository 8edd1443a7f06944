"""Letters as a whole: read as they are stored, and written so that each origin comes in once."""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from azoth_dlq.store.sqlite import exchange_statements as sql
from azoth_dlq.store.sqlite import pragmas
from azoth_dlq.store.sqlite.faults import explained
from azoth_dlq.store.sqlite.raw import own_cursor, raw_text, read, snapshot, text_of
from azoth_dlq.store.sqlite.statements import GET_STATE
from azoth_dlq.store.sqlite.whole_rows import write
from azoth_dlq.store.upkeep import FIRST_ID
from azoth_dlq.store.whole import (
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
        dry_run: bool = False,
    ) -> Taken:
        chosen = list(letters)
        if dry_run:
            with self.reading():
                return self._choose(chosen, again=again, known=self._schema().migrated)[1]
        with self._writing(changes_letters=True), raw_text(self._connection):
            wanted, taken = self._choose(chosen, again=again, known=True)
            write(self._cursor, wanted, Origins(self.identity), self._where)
            return taken

    def _choose(
        self, letters: Sequence[WholeLetter], *, again: bool, known: bool
    ) -> tuple[list[WholeLetter], Taken]:
        """Those that are to come in, and what becomes of all."""
        origins = Origins(self.identity)
        returns = self._known(letters, origins) if known else {}
        wanted: list[WholeLetter] = []
        before = gone = 0
        for letter in letters:
            may_return = returns.get(letter.origin)
            if may_return is False and not again:
                before += 1
            elif may_return is None and origins.are_of(letter.origin) and not again:
                gone += 1
            else:
                wanted.append(letter)
                returns[letter.origin] = False
        parked = sum(letter.parked for letter in wanted)
        return wanted, Taken(len(wanted) - parked, parked, before, gone)

    def _known(self, letters: Sequence[WholeLetter], origins: Origins) -> dict[bytes, bool]:
        """Of the letters that came in or were let return: whether they may come in, by origin.

        Where any came from files without an identity, a letter is also known by the origin that it
        had before its file got one.
        """
        returns = self._recorded([letter.origin for letter in letters])
        nameless = (NO_FILE.ljust(ORIGIN_BYTES, b"\0"), NO_FILE.ljust(ORIGIN_BYTES, b"\xff"))
        if self._cursor.execute(sql.ANY_BETWEEN, nameless).fetchone():
            earlier = {letter.origin: origins.without_file(letter) for letter in letters}
            recorded = self._recorded(list(earlier.values()))
            for origin, name in earlier.items():
                if name in recorded:
                    returns[origin] = recorded[name] and returns.get(origin, True)
        return returns

    def _recorded(self, origins: Sequence[bytes]) -> dict[bytes, bool]:
        found: dict[bytes, bool] = {}
        for start in range(0, len(origins), _IDS_A_STATEMENT):
            some = origins[start : start + _IDS_A_STATEMENT]
            rows = self._cursor.execute(sql.known_origins(len(some)), some)
            found |= {origin: bool(returns) for origin, returns in rows}
        return found

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
