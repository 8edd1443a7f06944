"""The SQLite store: the queue's verbs, and the group in which a drain works on letters."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from azoth_dlq.errors import InvalidStateError, StorageError
from azoth_dlq.store.base import (
    Busy,
    CommitRefused,
    DrainSettings,
    Forked,
    Opened,
    StorageFault,
    Suspects,
    TransactionLost,
)
from azoth_dlq.store.settlement import Settlement
from azoth_dlq.store.sqlite import history, left_open, pragmas, session, settling
from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite._isolation import Guard, Isolation
from azoth_dlq.store.sqlite._put_back import PutBack
from azoth_dlq.store.sqlite.checkpoint import Log
from azoth_dlq.store.sqlite.faults import (
    BUSY_CODES,
    as_fault,
    check_no_fault,
    explain,
    is_fault,
    primary_code,
    told_to_engine,
)
from azoth_dlq.store.sqlite.marker import Marker
from azoth_dlq.store.sqlite.migrations import inspect, migrate
from azoth_dlq.store.sqlite.outside import SqliteOutside
from azoth_dlq.store.sqlite.queue import SETTINGS, STOPPED, chunks
from azoth_dlq.store.sqlite.raw import is_closed, raw_text, snapshot
from azoth_dlq.store.sqlite.token import Token
from azoth_dlq.store.sqlite.waiting import Waiting, rows_of

_CHARGED = "charged"  # the nonce of the last death that was charged
_IDENTITY = "identity"  # of the database, among others that had its name


class SqliteStore(SqliteOutside):
    """Dead letters of one SQLite connection. One thread, one process; one drain at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._suspects_open_statement = False
        self._use(Guard(strict=True), Marker(""))
        self._waiting = Waiting(connection, self._cursor, self._lock)
        self._announcement: DrainSettings | None = None  # until it is committed
        self._history_limit = 0
        self._handlers_wait_ms = session.SHORT_WAIT_MS
        self._data_version = -1
        self._changes_at_rest = -1  # of our connection, after its last group
        self._unchanged = False  # since the candidates were read, but by handlers
        self._token = Token(connection, self._cursor)
        self._has_savepoint = False
        self._is_prepared = False
        self._isolation_level: str | None = None  # between groups: its owner's
        self._log = Log(self._cursor, "")
        self._enlarge_cache: str | None = None

    def draining(self, settings: DrainSettings) -> PutBack:
        self._check_caller()
        put_back = PutBack()
        try:
            self._start(settings, put_back)
            return put_back  # noqa: TRY300 -- an interrupt may come at this line, too
        except BaseException:
            put_back.now()
            raise

    def _start(self, settings: DrainSettings, put_back: PutBack) -> None:
        connection = self._connection
        put_back.later(setattr, connection, "text_factory", connection.text_factory)
        self._file = self._database_file()
        set_up = session.set_up(connection, self.where, settings, put_back)
        guard, self._enlarge_cache = set_up.guard, set_up.enlarge_cache
        is_wal = bool(self._file) and session.check_journal(connection, self.where)
        self._suspects_open_statement = False
        self._use(guard, Marker(""))
        self._enter(self._file, settings.busy_timeout)
        self._isolation_level = connection.isolation_level
        self._is_prepared = False
        self._announcement = settings
        self._history_limit = settings.history_limit
        self._handlers_wait_ms = min(int(settings.busy_timeout * 1000), 2**31 - 1)
        # Who switched automatic checkpoints off wants to make them alone.
        is_ours = is_wal and set_up.autocheckpoint > 0
        self._log = Log(self._cursor, self._file if is_ours else "")
        put_back.later(session.unless_forked, guard, self._leave)
        put_back.later(session.unless_forked, guard, self._reader.close)
        put_back.later(session.unless_forked, guard, self._leave_marker)
        put_back.later(session.unless_forked, guard, self._checkpoint_at_end)
        put_back.later(session.unless_forked, guard, partial(self.end, commit=False))
        session.put_back_limits(connection, guard, put_back)

    def _leave_marker(self) -> None:
        marker = self._marker
        self._use(Guard(strict=True), Marker(""))
        marker.close()

    def _checkpoint_at_end(self) -> None:
        if self._announcement is None:  # a group was committed
            self._check_caller()
            self._log.finish()

    def _use(self, guard: Guard, marker: Marker) -> None:
        self._guard = guard
        self._marker = marker
        self._isolation = Isolation(
            self._connection,
            self._cursor,
            guard,
            marker.slots,
            lost=self._lost,
            left_open=self._statement_left_open,
        )
        self.isolate = self._isolation.isolate
        self.join = self._isolation.join
        self.keep = self._isolation.leave
        if self._suspects_open_statement:
            self.keep = self._keep_if_finished

    @contextmanager
    def candidates(
        self,
        *,
        with_error: bool,
        with_type: bool = False,
        ids: Sequence[int] | None = None,
        suspects: Suspects | None = None,
    ) -> Iterator[Iterator[tuple[object, ...]]]:
        with told_to_engine(self.where), raw_text(self._connection):
            schema = self._schema_now()
            if not schema.has_queue:
                yield iter(())
                return
            with snapshot(self._connection):
                before, self._data_version = self._data_version, self._pragma(pragmas.DATA_VERSION)
                if suspects is not None:
                    suspects.others_wrote = before != self._data_version
                self._guard.touched_queue = False
                self._unchanged = True
                self._changes_at_rest = self._connection.total_changes
                if ids is not None:
                    yield rows_of(self._cursor, schema, ids, with_error=with_error)
                else:
                    columns = {"with_error": with_error, "with_type": with_type}
                    yield self._waiting.look(schema, suspects=suspects, **columns)

    def catch_up(self) -> bool:
        self._check_caller()
        self._check_at_rest()
        with told_to_engine(self.where), raw_text(self._connection):
            return self._waiting.catch_up()

    def is_as_seen(self) -> bool:
        self._check_caller()
        return self._waiting.is_as_seen()

    # A group

    def begin(self) -> Opened:
        self._check_caller()
        self._check_at_rest()
        with told_to_engine(self.where):
            self._lock()
            if not self._is_prepared:
                self._prepare_file()
            try:
                # Python begins a transaction of its own before a handler's stray write, which the
                # guard refuses; with None such a write would commit by itself.
                self._connection.isolation_level = ""  # type: ignore[assignment]  # stubs lack it
                return self._open_group()
            except BaseException:
                left_open.roll_back(self._connection)
                self._rest()
                raise

    def _check_at_rest(self) -> None:
        if self._connection.in_transaction:
            raise InvalidStateError(
                "a transaction was left open on the queue's connection between two groups (by "
                "on_progress, or a handler of the log); commit it there"
            )

    def _lock(self) -> None:
        left_open.lock(self._cursor)

    def _prepare_file(self) -> None:
        try:
            # Looked up anew, and under the lock: another program may have migrated the file since.
            if not inspect(self._connection).complete:
                # In a transaction of its own: it must outlive a group that is lost.
                migrate(self._connection)
                self._execute(sql.COMMIT)
                self._changes_at_rest = self._connection.total_changes
                self._lock()
            if self._file:
                with raw_text(self._connection):
                    identity = self._state(_IDENTITY)
                self._use(self._guard, Marker(self._file, identity))
            if self._enlarge_cache is not None:
                self._execute(self._enlarge_cache)
            self._presence.take()
        except BaseException:
            left_open.roll_back(self._connection)
            raise
        self._is_prepared = True

    def _open_group(self) -> Opened:
        # Other connections move data_version; our own, between groups, moves total_changes.
        self._unchanged = (
            self._unchanged
            and self._pragma(pragmas.DATA_VERSION) == self._data_version
            and self._connection.total_changes == self._changes_at_rest
        )
        unchanged = self._unchanged and not self._guard.touched_queue
        if self._announcement is not None:
            self._execute(sql.SET_STATE, (SETTINGS, self._announcement.settings))
            self._presence.announce(self._connection, self._announcement.started_at)
        self._token.set()
        left = self._marker.left_behind(self._state(_CHARGED))
        if left is not None:
            # Recorded in the transaction that charges the letter: both or neither.
            self._execute(sql.SET_STATE, (_CHARGED, left.nonce))
            return Opened(unchanged, left.letters, left.in_batch)
        self._guard.watch(self._connection)
        self._marker.start()
        self._execute(pragmas.set_busy_timeout(self._handlers_wait_ms))
        self._isolation.open()
        self._has_savepoint = True
        others = self._presence.has_others(self._connection)
        return Opened(unchanged, stopped=self._state(STOPPED) is not None, others=others)

    def fetch(
        self, ids: Sequence[int], *, inline: int | None, verify: bool
    ) -> list[tuple[Any, ...]]:
        with told_to_engine(self.where), raw_text(self._connection):
            self._marker.unmark()
            rows: list[tuple[Any, ...]] = []
            for some in chunks(ids):
                statement = sql.fetch(len(some), inline=inline, verify=verify)
                rows += self._execute(statement, some)
            return rows

    def _keep_if_finished(self) -> bool:
        """`keep`, once a handler has left a statement open."""
        touched = self._isolation.leave()
        self._check_open_statement()
        return touched

    def undo(self, error: BaseException | None = None, *, unless: int | None = None) -> str | None:
        self._guard.active = False
        check_no_fault(error, self.where, self._isolation.letter)
        left_open.check_not_closed(self._connection, self._isolation.letter)
        if self._guard.forked or not self._connection.in_transaction:
            raise self._lost("the handler's call ended the transaction")
        if not self._isolation.holds(unless):
            return None
        if not self._isolation.is_untouched():
            with told_to_engine(self.where):
                left_open.undo(self._cursor, finish=self._suspects_open_statement)
        self._isolation.undone()
        return self._guard.violation

    def settle(self, settlement: Settlement) -> None:
        self._guard.active = False
        # The calls are over: a death from here on is nobody's.
        self._marker.unmark()
        try:
            left_open.execute_uninterrupted(
                self._cursor, pragmas.set_busy_timeout(session.SHORT_WAIT_MS)
            )
            if self._has_savepoint:
                # While it is open, SQLite keeps each page that is written as it was.
                self._isolation.release()
                self._has_savepoint = False
            settling.write(self._cursor, settlement, self._history_limit)
            self._claims.settle(settlement)
            is_first = self._announcement is not None
            history.sweep(self._cursor, written=len(settlement.history), is_first=is_first)
        except (sqlite3.Error, MemoryError) as error:
            raise self._refused(error) from error

    def end(self, *, commit: bool) -> None:
        if self._guard.forked or is_closed(self._connection):
            return
        self._guard.active = False
        if not commit:
            self._marker.unmark()
            self._has_savepoint = False
            if self._connection.in_transaction:
                self._guard.watch(self._connection)  # a handler may have set an authorizer
                with told_to_engine(self.where):
                    left_open.roll_back(self._connection)
                self._changes_at_rest = self._connection.total_changes
            self._claims.group_over(committed=False)
            self._rest()
            return
        self._marker.unmark()
        try:
            self._execute(sql.COMMIT)
        except (sqlite3.Error, MemoryError) as error:
            if primary_code(error) in BUSY_CODES:
                raise Busy(str(explain(error, self.where))) from error
            raise self._refused(error) from error
        self._claims.group_over(committed=True)
        self._rest()
        self._announcement = None
        self._changes_at_rest = self._connection.total_changes

    def was_committed(self) -> bool:
        with suppress(Busy, StorageFault, StorageError), told_to_engine(self.where):
            return not self._guard.forked and self._token.has_moved()
        return False

    @contextmanager
    def _writing(self, *, changes_letters: bool = False) -> Iterator[None]:
        """Within a handler, the queue's own statements are not the handler's: the guard looks away,
        and is told what it needs to know."""
        guard = self._guard
        in_handler, guard.active = guard.active, False
        try:
            with super()._writing(changes_letters=changes_letters):
                yield
        finally:
            guard.active = in_handler
            if in_handler:
                guard.wrote = True
                guard.touched_queue = guard.touched_queue or changes_letters

    def _rest(self) -> None:
        """Between groups the connection is its owner's."""
        session.set_isolation_level(self._connection, self._isolation_level)

    def tidy(self, error: BaseException | None = None) -> str | None:
        if self._guard.forked:
            raise self._lost("")
        left_open.check_not_closed(self._connection)
        with told_to_engine(self.where):
            complaint = left_open.end_open_transaction(self._connection)
        self._reader.tidy(error)
        return complaint

    # What a group is made of

    def _refused(self, error: BaseException) -> Exception:
        if primary_code(error) == sqlite3.SQLITE_INTERRUPT:
            left_open.end_interrupts(self._connection, but=self._cursor)
        elif is_fault(error) or isinstance(error, MemoryError):
            if (used_up := self._used_up(error)) is not None:
                return StorageFault(str(used_up), transient=False)
            return as_fault(error, self.where)
        return CommitRefused(f"what is written cannot be committed: {explain(error, self.where)}")

    def _lost(self, message: str, *, by_letter_in_hand: bool = True) -> TransactionLost | Forked:
        """End what is left of the transaction; was it committed under our feet?"""
        if self._guard.forked:
            return Forked(
                "a handler forked and its child went on with the drain; end the child in the "
                "handler (os._exit), or start programs with subprocess"
            )
        self.end(commit=False)
        with told_to_engine(self.where):
            committed = self._token.is_committed()
        return TransactionLost(message, by_letter_in_hand=by_letter_in_hand, committed=committed)

    def _check_open_statement(self) -> None:
        with told_to_engine(self.where):
            self._guard.violation = left_open.end_half_read(self._connection, self._cursor)
        if self._guard.violation is not None:
            raise InvalidStateError(self._guard.violation)

    def _statement_left_open(self) -> TransactionLost | Forked:
        """Some handler since the last renewal left a writing statement half read: have the group
        done again, and look after each call."""
        self._suspects_open_statement = True
        self.keep = self._keep_if_finished
        left_open.finish_open_statements(self._connection, but=self._cursor)
        return self._lost("a handler left a statement half read", by_letter_in_hand=False)

    def checkpoint(self) -> None:
        self._check_caller()
        self._log.copy()
