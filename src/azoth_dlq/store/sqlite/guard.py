"""Keeps a handler from taking the transaction away that its letter shares with others.

SQLite asks an authorizer while it prepares a statement. While a handler runs, ours refuses every
statement that would begin or end a transaction or touch our savepoint, also where the handler
swallows the error: the violation is kept. It also notices what `total_changes` does not count, so
that the letter's savepoint is renewed after every call from then on.
"""

from __future__ import annotations

import os
import sqlite3
import weakref
from types import TracebackType
from typing import Any, Literal

from azoth_dlq.errors import InvalidStateError
from azoth_dlq.store.sqlite import statements as sql

_TRANSACTION = 22
_SAVEPOINT = 32
_WRITES = frozenset({sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE})
# What `total_changes` counts, or what changes nothing.
_COUNTED = _WRITES | {
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
_WAY_OUT = (
    "its writes are committed together with the letter, by the drain: leave the transaction alone"
)

_guards: weakref.WeakSet[Guard] = weakref.WeakSet()


class Guard:
    """Watches one connection.

    active: a handler is running. violation: what the handler in hand tried, or None.
    strict: something was done that `total_changes` cannot show. touched_queue: a handler writes to
    `dead_letter_queue` itself. forked: this process is a child of the one that drains.
    """

    __slots__ = ("__weakref__", "active", "forked", "strict", "touched_queue", "violation")

    def __init__(self, *, strict: bool) -> None:
        self.active = False
        self.violation: str | None = None
        self.strict = strict
        self.touched_queue = False
        self.forked = False
        _guards.add(self)

    def refuse(self, what: str) -> InvalidStateError:
        """Note that the handler tried `what`; the error to raise."""
        self.violation = f"the handler tried to {what}; {_WAY_OUT}"
        return InvalidStateError(self.violation)

    def authorize(
        self, action: int, first: str | None, second: str | None, _db: str | None, _by: str | None
    ) -> int:
        if not self.active or (action in _COUNTED and action not in _WRITES):
            return sqlite3.SQLITE_OK
        if action in _WRITES:
            if first == "dead_letter_queue":
                self.touched_queue = True
            return sqlite3.SQLITE_OK
        self.strict = True
        if action == _TRANSACTION:
            self.refuse(f"end or begin the transaction ({first})")
            return sqlite3.SQLITE_DENY
        if action == _SAVEPOINT and str(second).lower() == sql.LETTER:
            self.refuse(f"use the drain's savepoint ({first} {second})")
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK


def _mark_forked() -> None:
    for guard in _guards:
        guard.forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mark_forked)


class QueueConnection(sqlite3.Connection):
    """The connection of `DeadLetterQueue.open`: a handler that would end the transaction gets an
    error that says so. A plain connection has the authorizer alone, which cannot see all of it."""

    guard: Guard | None = None

    def _forbid(self, what: str) -> None:
        if self.guard is not None and self.guard.active:
            raise self.guard.refuse(what)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._forbid("open the connection anew")
        super().__init__(*args, **kwargs)

    def commit(self) -> None:
        self._forbid("commit")
        super().commit()

    def rollback(self) -> None:
        self._forbid("roll back")
        super().rollback()

    def executescript(self, sql_script: str, /) -> sqlite3.Cursor:
        self._forbid("run executescript(), which commits first")
        return super().executescript(sql_script)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> Literal[False]:
        self._forbid("leave a `with conn:` block, which ends the transaction")
        return super().__exit__(kind, value, traceback)

    def close(self) -> None:
        self._forbid("close the connection")
        super().close()

    def set_authorizer(self, callback: Any) -> None:
        self._forbid("replace the authorizer")
        super().set_authorizer(callback)

    def blobopen(self, *args: Any, **kwargs: Any) -> sqlite3.Blob:
        if self.guard is not None:
            self.guard.strict = True
        return super().blobopen(*args, **kwargs)
