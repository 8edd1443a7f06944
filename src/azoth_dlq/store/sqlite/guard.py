"""What the guard of a drain needs beyond SQLite's authorizer: a connection of our own."""

from __future__ import annotations

import sqlite3
from types import TracebackType
from typing import Any, Literal

from azoth_dlq.errors import InvalidStateError
from azoth_dlq.store.sqlite._isolation import Guard


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
        if self.guard is not None:
            if self.guard.forked:
                return
            raise InvalidStateError(
                "a drain is running on this connection; close it when the drain is done"
            )
        super().close()

    def set_authorizer(self, callback: Any) -> None:
        self._forbid("replace the authorizer")
        super().set_authorizer(callback)

    def setlimit(self, category: int, limit: int, /) -> int:
        self._forbid("set a limit of the connection")
        return super().setlimit(category, limit)

    def blobopen(self, *args: Any, **kwargs: Any) -> sqlite3.Blob:
        if self.guard is not None:
            self.guard.strict = True
        return super().blobopen(*args, **kwargs)
