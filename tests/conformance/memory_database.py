"""Dead letters in memory, shared by stores as a file is shared by processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from os import urandom
from typing import Any, NamedTuple

from azoth_dlq.errors import InvalidStateError, StorageError
from azoth_dlq.store.base import Busy, CommitRefused
from azoth_dlq.store.settlement import Attempted
from azoth_dlq.store.upkeep import NewAction
from azoth_dlq.types import Drainer


class Row(NamedTuple):
    """A dead letter; `not_before` counts while count and last retry are those of `not_before_of`.

    Another program may have left anything in any column.
    """

    event_id: Any
    event_bytes: Any
    error_message: Any
    failed_at: Any
    retry_count: Any = 0
    last_retry_at: Any = None
    last_error: str | None = None
    not_before: int | None = None
    not_before_of: tuple[Any, Any] | None = None
    history: tuple[Attempted, ...] = ()
    alone: bool = False
    origin: bytes | None = None  # where it came from another store
    original: Any = None  # the event before it was edited

    @property
    def valid_not_before(self) -> int | None:
        same = self.not_before_of == (self.retry_count, self.last_retry_at)
        return self.not_before if same else None


class ParkedRow(NamedTuple):
    """A permanent failure; `row` is the letter as it was parked."""

    row: Row
    marked_permanent_at: str
    dead_letter_id: int
    reason: str


class Claim(NamedTuple):
    """A letter in the hands of a handler outside a transaction."""

    drainer: object
    batch: bool
    slot: int | None = None


@dataclass
class Tables:
    """All that is committed together; rows are never changed in place."""

    letters: dict[int, Row] = field(default_factory=dict)
    parked: dict[int, ParkedRow] = field(default_factory=dict)
    effects: list[int] = field(default_factory=list)
    settings: str | None = None
    stopped_at: int | None = None
    claims: dict[int, Claim] = field(default_factory=dict)
    drainers: dict[object, Drainer] = field(default_factory=dict)
    origins: dict[bytes, bool] = field(default_factory=dict)  # whether each may come in again
    group: object = None  # the token of the last group
    actions: list[NewAction] = field(default_factory=list)
    last_id: int = 0
    last_parked_id: int = 0

    def copy(self) -> Tables:
        return replace(
            self,
            letters=dict(self.letters),
            parked=dict(self.parked),
            effects=list(self.effects),
            claims=dict(self.claims),
            drainers=dict(self.drainers),
            origins=dict(self.origins),
        )

    def next_id(self) -> int:
        self.last_id = max((self.last_id, *self.letters)) + 1
        return self.last_id


class MemoryFault(Exception):
    """The database itself failed."""


def is_fault(error: BaseException | None) -> bool:
    """Whether it is one of the database, or was raised from one."""
    return isinstance(error, MemoryFault) or isinstance(error and error.__cause__, MemoryFault)


class ReadOnly(Exception):
    """A connection for reading was written through."""


class MemoryDatabase:
    """The committed tables, a lock for one writer, and the letters in hand of its holder.

    The letters outlive the death of the holder, the lock does not.
    """

    def __init__(self) -> None:
        self.identity = urandom(16)
        self.committed = Tables()
        self.writer: object = None
        self.readers = 0  # no commit while there are any
        self.in_hand: tuple[int, ...] = ()
        self.in_batch = False
        self.commits = 0
        self.alive: set[object] = set()  # drains
        self.ended: set[object] = set()  # that did not die
        self.marks: dict[object, bytearray] = {}  # of started calls, by drain


class MemoryConnection:
    """What handlers write through; `guarded` while one runs."""

    def __init__(self, database: MemoryDatabase, *, reads_only: bool = False) -> None:
        self.database = database
        self.reads_only = reads_only
        self.guarded = False
        self.violation: str | None = None
        self.touched_queue = False
        self.uncommittable = False
        self.own_commits = 0
        self._work: Tables | None = None

    @property
    def in_transaction(self) -> bool:
        return self._work is not None

    @property
    def tables(self) -> Tables:
        """As this connection sees them."""
        return self.database.committed if self._work is None else self._work

    @tables.setter
    def tables(self, tables: Tables) -> None:
        self._work = tables

    @property
    def foreign_commits(self) -> int:
        return self.database.commits - self.own_commits

    def begin(self) -> None:
        self._refuse_handlers("begin a transaction")
        if self.reads_only:
            raise ReadOnly("this connection only reads")
        if self.database.writer not in (None, self):
            raise Busy("the database is locked by another program")
        self.database.writer = self
        self._work = self.database.committed.copy()
        self.uncommittable = False

    def commit(self) -> None:
        self._refuse_handlers("commit")
        self.commit_behind_the_guard()

    def commit_behind_the_guard(self) -> None:
        if self._work is None:
            return
        if self.database.readers:
            raise Busy("the database is being read")
        if self.uncommittable:
            raise CommitRefused("a constraint is violated")
        self.database.committed = self._work
        self.database.commits += 1
        self.own_commits += 1
        self.lose_transaction()

    def rollback(self) -> None:
        self._refuse_handlers("roll back")
        self.lose_transaction()

    def lose_transaction(self) -> None:
        if self._work is not None:
            self._work = None
            self.database.writer = None

    def write(self, value: int) -> None:
        """A handler's effect."""
        with self.writing():
            self.tables.effects.append(value)

    @contextmanager
    def writing(self) -> Iterator[Tables]:
        """A transaction of its own, or a part of the open one that is undone as a whole."""
        joined = self.in_transaction
        if not joined:
            self._begin_alone()
        before = self.tables.copy()
        try:
            yield self.tables
        except BaseException:
            self.tables = before
            if not joined:
                self.rollback()
            raise
        if not joined:
            self.commit()

    def _begin_alone(self) -> None:
        try:
            self.begin()
        except Busy as busy:
            raise StorageError(str(busy)) from busy

    def _refuse_handlers(self, what: str) -> None:
        if self.guarded:
            self.violation = f"the handler tried to {what}"
            raise InvalidStateError(self.violation)
