"""Letters that come in, written as rows: with all that is kept of them, as they were stored."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from azoth_dlq.errors import StorageError
from azoth_dlq.store.sqlite import exchange_statements as sql
from azoth_dlq.store.whole import COLUMNS, HISTORY_COLUMNS, Origins, WholeLetter

_TABLES: Final = {False: "dead_letter_queue", True: "permanent_failures"}
_HISTORY: Final = "azoth_dlq_history"


def write(
    cursor: sqlite3.Cursor, letters: Sequence[WholeLetter], origins: Origins, where: str
) -> None:
    """Add them in their order, and record their origins, within the caller's transaction; an own
    one of the file by its old id, where that is free. Errors: StorageError, sqlite3.Error."""
    rows = _Rows(cursor, where)
    for letter in letters:
        rows.add(letter, is_own=origins.are_of(letter.origin))
    rows.flush()
    cursor.executemany(sql.RECORD_ORIGIN, ((letter.origin, 0) for letter in letters))


class _Rows:
    """Most letters are rows of one table and nothing more: runs of them are one call."""

    def __init__(self, cursor: sqlite3.Cursor, where: str) -> None:
        self._cursor = cursor
        self._where = where
        self._run: list[tuple[Any, ...]] = []
        self._parked = False  # the table of the run

    def add(self, letter: WholeLetter, *, is_own: bool) -> None:
        values, broken = _bindable(letter.values, COLUMNS[letter.parked])
        if letter.parked is not self._parked:
            self.flush()
            self._parked = letter.parked
        if not (is_own or broken or letter.history):
            self._run.append((None, letter.origin, *values))
            return
        self.flush()
        row_id = self._insert((self._free_id(letter) if is_own else None, letter.origin, *values))
        self._put_texts(_TABLES[letter.parked], broken, row_id)
        for attempt in letter.history:
            values, broken = _bindable(attempt, HISTORY_COLUMNS)
            self._cursor.execute(sql.INSERT_HISTORY[letter.parked], (row_id, *values))
            self._put_texts(_HISTORY, broken, self._cursor.lastrowid or 0)

    def flush(self) -> None:
        if self._run:
            self._cursor.executemany(sql.INSERT[self._parked], self._run)
            self._check_written(len(self._run))
            self._run = []

    def _free_id(self, letter: WholeLetter) -> int | None:
        taken = self._cursor.execute(sql.IS_THERE[letter.parked], (letter.id,)).fetchone()
        return None if taken else letter.id

    def _insert(self, row: tuple[Any, ...]) -> int:
        self._cursor.execute(sql.INSERT[self._parked], row)
        self._check_written(1)
        return self._cursor.lastrowid or 0

    def _check_written(self, rows: int) -> None:
        """A trigger, or a constraint with ON CONFLICT IGNORE, may swallow rows in silence."""
        if self._cursor.rowcount != rows:
            raise StorageError(
                f"{self._where} does not take a row into {_TABLES[self._parked]}; nothing of "
                "these letters was written"
            )

    def _put_texts(self, table: str, texts: Iterable[tuple[str, bytes]], row_id: int) -> None:
        for column, content in texts:
            self._cursor.execute(sql.PUT_TEXT[table, column], (content, row_id))


def _bindable(
    values: Sequence[Any], columns: Sequence[str]
) -> tuple[list[Any], list[tuple[str, bytes]]]:
    """The values as Python binds them, and the TEXTs that it binds none of, by column: those that
    are no UTF-8."""
    bound = list(values)
    broken = []
    for place, value in enumerate(values):
        if type(value) is bytearray:
            try:
                bound[place] = value.decode()
            except UnicodeDecodeError:
                bound[place] = ""
                broken.append((columns[place], bytes(value)))
    return bound, broken
