"""A store in plain Python: the port's second implementation, and the slow twin of the first."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal, overload

from azoth_dlq.errors import InvalidStateError
from azoth_dlq.filters import LetterFilter
from azoth_dlq.kernels.eligibility import Rules, format_timestamp
from azoth_dlq.store.base import (
    DrainSettings,
    Figures,
    NewLetter,
    Opened,
    StorageFault,
    Store,
    Suspects,
    TransactionLost,
)
from azoth_dlq.store.settlement import Attempted, Parking, Settlement
from azoth_dlq.types import AttemptRecord, Drainer, FailedEvent, PermanentFailure
from tests.conformance.fitting import Kept, fits
from tests.conformance.memory_database import (
    MemoryConnection,
    MemoryDatabase,
    ParkedRow,
    Row,
    Tables,
    is_fault,
)
from tests.conformance.memory_exchange import MemoryExchange
from tests.conformance.memory_rows import (
    attempt_record,
    commonest,
    error_row,
    failed_event,
    is_timestamp,
    microsecond_text,
    notes_of,
    permanent_failure,
    second_text,
    state_of,
    type_of,
)
from tests.conformance.memory_upkeep import MemoryUpkeep


class MemoryStore(MemoryUpkeep):
    """Dead letters of a database in memory; several stores may share one."""

    def __init__(self, database: MemoryDatabase | None = None) -> None:
        super().__init__(MemoryConnection(MemoryDatabase() if database is None else database))
        self._database = self._connection.database
        self._draining = False
        self._history_limit = 0
        self._foreign_commits = -1
        self._charging = False
        self._before_letter = Tables()
        self._group: object = None

    @property
    def connection(self) -> MemoryConnection:
        return self._connection

    @property
    def exchange(self) -> MemoryExchange:
        return MemoryExchange(
            self._database.identity, lambda: self._connection.tables, self._writing
        )

    # The queue

    def add(self, letters: Iterable[NewLetter]) -> list[int]:
        with self._writing() as tables:
            ids = []
            for letter in letters:
                letter_id = tables.next_id()
                failed_at = second_text(letter.failed_at)
                tables.letters[letter_id] = Row(*letter[:3], failed_at)
                ids.append(letter_id)
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
        tables = self._connection.tables
        known = tables.parked if parked else tables.letters
        found = sorted((i for i in known if ids is None or i in ids), reverse=True)
        shown = found if limit < 0 else found[:limit]
        if parked:
            return [permanent_failure(i, tables.parked[i]) for i in shown]
        return [failed_event(i, tables.letters[i]) for i in shown]

    def find(self, wanted: LetterFilter, now: int, rules: Rules | None = None) -> array[int]:
        tables = self._connection.tables
        if wanted.parked:
            parked = tables.parked.items()
            kept = [Kept(i, p.row, p.reason, p.marked_permanent_at) for i, p in parked]
        else:
            kept = [Kept(i, row) for i, row in tables.letters.items()]
        return array("q", sorted(one.id for one in kept if fits(one, wanted, now, rules)))

    @contextmanager
    def errors(
        self, ids: Sequence[int] | None = None, *, parked: bool = False
    ) -> Iterator[Iterator[tuple[Any, ...]]]:
        tables = self._connection.tables
        rows = {i: p.row for i, p in tables.parked.items()} if parked else tables.letters
        yield (error_row(i, row) for i, row in rows.items() if ids is None or i in ids)

    def history(self, row_id: int, *, parked: bool = False) -> list[AttemptRecord]:
        tables = self._connection.tables
        rows = {i: p.row for i, p in tables.parked.items()} if parked else tables.letters
        return [attempt_record(a) for a in rows[row_id].history] if row_id in rows else []

    def delete(self, ids: Sequence[int] | None, *, parked: bool = False) -> int:
        with self._writing() as tables:
            rows: dict[int, Any] = tables.parked if parked else tables.letters
            gone = [i for i in rows if ids is None or i in ids]
            for row_id in gone:
                del rows[row_id]
            return len(gone)

    def requeue(self, ids: Sequence[int], now: int) -> int:
        with self._writing() as tables:
            # Under another id nothing would tell that a call of it goes on.
            held = self.in_hands() & tables.letters.keys()
            found = [
                i
                for i in dict.fromkeys(ids)
                if i in tables.parked and tables.parked[i].dead_letter_id not in held
            ]
            for parked_id in found:
                parked = tables.parked.pop(parked_id)
                old_id = parked.dead_letter_id
                new_id = tables.next_id() if old_id in tables.letters else old_id
                failed_at = parked.row.failed_at
                tables.letters[new_id] = parked.row._replace(
                    failed_at=failed_at if is_timestamp(failed_at) else second_text(now),
                    retry_count=0,
                    last_retry_at=None,
                    not_before=None,
                    alone=False,
                )
            return len(found)

    def mark_retry(self, letter_id: int, now: int) -> bool:
        with self._writing() as tables:
            row = tables.letters.get(letter_id)
            if row is None:
                return False
            tables.letters[letter_id] = row._replace(
                retry_count=row.retry_count + 1, last_retry_at=format_timestamp(now)
            )
            return True

    def count(self, *, parked: bool = False) -> int:
        tables = self._connection.tables
        return len(tables.parked if parked else tables.letters)

    def figures(self, errors: int = 0) -> Figures:
        tables = self._connection.tables
        latest = (row.last_error or row.error_message for row in tables.letters.values())
        return Figures(
            self.count(),
            self.count(parked=True),
            commonest(latest, errors),
            tables.settings,
            self._who_drains(),
            tables.stopped_at,
            commonest((p.reason or "" for p in tables.parked.values()), errors),
        )

    def _who_drains(self) -> list[Drainer]:
        tables = self._connection.tables
        in_hand = Counter(claim.drainer for claim in tables.claims.values())
        return [
            replace(who, in_hand=in_hand[name])
            for name, who in tables.drainers.items()
            if name in self._database.alive
        ]

    def parked_failures(self) -> Iterator[tuple[object, bytes]]:
        for parked in self._connection.tables.parked.values():
            yield parked.row.failed_at, type_of(parked.row)

    # A drain

    @contextmanager
    def draining(self, settings: DrainSettings) -> Iterator[None]:
        if self._draining:
            raise InvalidStateError("a drain is running on this store")
        if self._connection.in_transaction:
            raise InvalidStateError("a transaction is open")
        self._draining = True
        self._history_limit = settings.history_limit
        self._enter(settings)
        try:
            yield
        finally:
            self.end(commit=False)
            self._leave()
            self._draining = False

    @contextmanager
    def candidates(
        self,
        *,
        with_error: bool,
        with_type: bool = False,
        ids: Sequence[int] | None = None,
        suspects: Suspects | None = None,
    ) -> Iterator[Iterator[tuple[object, ...]]]:
        self._foreign_commits = self._connection.foreign_commits
        self._connection.touched_queue = False
        if suspects is not None:
            suspects.next_due = None
        rows = self._connection.tables.letters.items()
        yield (
            (
                *(i, *state_of(row)),
                *([row.error_message] if with_error else []),
                *([type_of(row)] if with_type else []),
            )
            for i, row in rows
            if ids is None or i in ids
        )

    def catch_up(self) -> bool:
        """There is nothing to note: every look is at all letters."""
        if self._connection.in_transaction:
            raise InvalidStateError("a transaction is open")
        return True

    def is_as_seen(self) -> bool:
        return False

    def checkpoint(self) -> None:
        """What is committed is where it belongs."""

    def begin(self) -> Opened:
        self._connection.begin()
        self._announce()
        unchanged = (
            self._foreign_commits == self._connection.foreign_commits
            and not self._connection.touched_queue
        )
        self._group = self._connection.tables.group = object()
        self._charging = bool(self._database.in_hand)
        if self._charging:
            return Opened(unchanged, self._database.in_hand, self._database.in_batch)
        self._before_letter = self._connection.tables.copy()
        return Opened(unchanged, stopped=self._connection.tables.stopped_at is not None)

    def fetch(
        self, ids: Sequence[int], *, inline: int | None, verify: bool
    ) -> list[tuple[Any, ...]]:
        letters = self._connection.tables.letters
        rows = []
        for letter_id in ids:
            row = letters.get(letter_id)
            if row is None:
                continue
            long = inline is not None and len(row.event_bytes or b"") > inline
            event = (row.event_id, None if long else row.event_bytes)
            state = state_of(row) if verify else (row.retry_count,)
            rows.append((letter_id, *state, notes_of(row), *event))
        return rows

    def isolate(self, letter_id: int) -> None:
        self._before_letter = self._connection.tables.copy()
        self._database.in_hand, self._database.in_batch = (letter_id,), False
        self._connection.violation = None
        self._connection.guarded = True

    def join(self, letter_id: int) -> bool:
        before = self._database.in_hand if self._database.in_batch else ()
        self._database.in_hand, self._database.in_batch = (*before, letter_id), True
        return True

    def keep(self) -> bool:
        self._leave_handler()
        if self._connection.violation is not None:
            raise InvalidStateError(self._connection.violation)
        return self._connection.tables.letters != self._before_letter.letters

    def undo(self, error: BaseException | None = None, *, unless: int | None = None) -> str | None:
        if is_fault(error):
            self._connection.guarded = False
            raise StorageFault(str(error))
        self._leave_handler()
        if self._database.in_hand[-1:] in ((), (unless,)):
            return None
        self._connection.tables = self._before_letter
        self._database.in_hand = ()
        return self._connection.violation

    def settle(self, settlement: Settlement) -> None:
        tables = self._connection.tables
        for letter_id in settlement.acked:
            tables.letters.pop(letter_id, None)
        self._put_off(tables.letters, settlement)
        for letter_id in tables.letters.keys() & settlement.alone:
            tables.letters[letter_id] = tables.letters[letter_id]._replace(alone=True)
        for attempt in settlement.history:
            self._record(attempt)
        for parking in settlement.parked:
            self._park(parking, settlement.parked_as)
        self._settle_drain(settlement)

    def _put_off(self, letters: dict[int, Row], settlement: Settlement) -> None:
        for retry in settlement.retries:
            state = (retry.retry_count, microsecond_text(retry.last_retry_at))
            if retry.id in letters:
                letters[retry.id] = letters[retry.id]._replace(
                    retry_count=state[0],
                    last_retry_at=state[1],
                    last_error=retry.error,
                    not_before=retry.not_before,
                    not_before_of=state,
                )
        for snoozed in settlement.snoozed:
            row = letters.get(snoozed.id)
            if row is not None:
                state = (row.retry_count, row.last_retry_at)
                letters[snoozed.id] = row._replace(
                    not_before=snoozed.not_before, not_before_of=state
                )

    def end(self, *, commit: bool) -> None:
        self._connection.guarded = False
        if commit:
            self._connection.commit()
        else:
            self._connection.rollback()
        if commit or not self._charging:
            self._database.in_hand = ()
        self._charging = False

    def was_committed(self) -> bool:
        committed = self._database.committed.group is self._group
        return committed and not self._connection.in_transaction

    # What the verbs share

    @contextmanager
    def _writing(self) -> Iterator[Tables]:
        self._connection.touched_queue |= self._connection.guarded
        with self._connection.writing() as tables:
            yield tables

    def _leave_handler(self) -> None:
        self._connection.guarded = False
        if self._connection.in_transaction:
            return
        self._database.in_hand = ()
        committed = self.was_committed()
        raise TransactionLost("the handler's call ended the transaction", committed=committed)

    def _record(self, attempt: Attempted) -> None:
        letters = self._connection.tables.letters
        row = letters.get(attempt.letter_id)
        if row is not None:
            attempts = (*row.history, attempt)
            kept = attempts[max(0, len(attempts) - self._history_limit) :]
            letters[attempt.letter_id] = row._replace(history=kept)

    def _park(self, parking: Parking, parked_as: dict[int, int]) -> None:
        tables = self._connection.tables
        row = tables.letters.pop(parking.id, None)
        if row is None:
            return
        if parking.retry_count is not None:
            row = row._replace(retry_count=parking.retry_count)
        if parking.last_retry_at is not None:
            row = row._replace(last_retry_at=microsecond_text(parking.last_retry_at))
        if parking.error is not None:
            row = row._replace(last_error=parking.error)
        tables.last_parked_id += 1
        parked_as[parking.id] = tables.last_parked_id
        tables.parked[tables.last_parked_id] = ParkedRow(
            row, second_text(parking.parked_at), parking.id, parking.reason
        )


_: Store = MemoryStore()
