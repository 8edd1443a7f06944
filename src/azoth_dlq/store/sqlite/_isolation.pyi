import sqlite3
from collections.abc import Callable
from typing import Self, final

from azoth_dlq.errors import InvalidStateError

@final
class Guard:
    active: bool
    strict: bool
    touched_queue: bool
    forked: bool
    violation: str | None
    def __new__(cls, *, strict: bool) -> Self: ...
    def rest(self) -> None: ...
    def abandon(self, connection: sqlite3.Connection) -> None: ...
    def refuse(self, what: str) -> InvalidStateError: ...
    def authorize(
        self,
        action: int,
        first: str | None,
        second: str | None,
        database: str | None,
        source: str | None,
    ) -> int: ...

@final
class Isolation:
    @property
    def guard(self) -> Guard: ...
    def __new__(
        cls,
        connection: sqlite3.Connection,
        cursor: sqlite3.Cursor,
        guard: Guard,
        slots: memoryview[int],
        *,
        lost: Callable[[str], Exception],
        left_open: Callable[[], Exception],
    ) -> Self: ...
    def open(self) -> None: ...
    def isolate(self, letter_id: int) -> None: ...
    def release(self) -> None: ...
    def holds(self, unless: int | None) -> bool: ...
    @property
    def letter(self) -> int: ...
    def leave(self) -> bool: ...
    def undone(self) -> None: ...
