"""Who drains the letters in memory, and which are in whose hands."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from functools import partial

from azoth_dlq.clock import to_datetime
from azoth_dlq.errors import InvalidStateError
from azoth_dlq.store.base import NOT_STARTED, Abandoned, DrainSettings, StorageFault
from azoth_dlq.store.settlement import Settlement
from azoth_dlq.types import Drainer
from tests.conformance.memory_database import Claim, MemoryConnection, MemoryDatabase, is_fault


class MemoryClaims:
    """One drain's, and what it sees of others'."""

    def __init__(self, connection: MemoryConnection) -> None:
        self._connection = connection
        self._enter(DrainSettings(0, ""))

    def _enter(self, settings: DrainSettings) -> None:
        self._settings = settings
        self._drain = object()
        self._reader: MemoryConnection | None = None
        self._is_outlived = False

    def _leave(self) -> None:
        """Having done what is to be done, unlike who died."""
        if not self._is_outlived:
            self._end(self._drain)

    def _end(self, drain: object) -> None:
        self._connection.database.alive.discard(drain)
        self._connection.database.ended.add(drain)

    def outlive(self) -> Callable[[], None]:
        self._is_outlived = True
        return partial(self._end, self._drain)

    def start_marks(self, slots: int) -> bytearray:
        return self._connection.database.marks.setdefault(self._drain, bytearray(slots))

    def _announce(self) -> None:
        """In a group of the drain."""
        tables = self._connection.tables
        alive = self._connection.database.alive
        alive.add(self._drain)
        tables.settings = self._settings.settings
        tables.drainers = {name: who for name, who in tables.drainers.items() if name in alive}
        since = to_datetime(self._settings.started_at)
        tables.drainers[self._drain] = Drainer(host=platform.node(), pid=os.getpid(), since=since)

    def claim(self, ids: Sequence[int], *, batch: bool, slots: Sequence[int] | None = None) -> None:
        if not self._of_others().keys().isdisjoint(ids):
            raise InvalidStateError("a letter is in the hands of another drain")
        claims = self._connection.tables.claims
        given = [None] * len(ids) if slots is None else slots
        pairs = zip(ids, given, strict=True)
        claims.update((letter_id, Claim(self._drain, batch, slot)) for letter_id, slot in pairs)

    def claimed(self) -> set[int]:
        return set(self._of_others())

    def abandoned(self) -> Abandoned:
        alive = self._connection.database.alive
        left = {i: c for i, c in sorted(self._of_others().items()) if c.drainer not in alive}
        for letter_id in left:
            del self._connection.tables.claims[letter_id]
        ended = self._connection.database.ended
        of_dead = {
            i: claim
            for i, claim in left.items()
            if claim.drainer not in ended and self._has_started(claim)
        }
        return Abandoned(
            [letter_id for letter_id, claim in of_dead.items() if not claim.batch],
            [letter_id for letter_id, claim in of_dead.items() if claim.batch],
        )

    def _has_started(self, claim: Claim) -> bool:
        if claim.slot is None:
            return True
        marks = self._connection.database.marks.get(claim.drainer, b"")
        return 0 <= claim.slot < len(marks) and marks[claim.slot] != 0

    def open_reader(self) -> MemoryReader:
        return MemoryReader(self._connection.database)

    def reader(self) -> MemoryConnection:
        if self._reader is None:
            self._reader = MemoryConnection(self._connection.database, reads_only=True)
        return self._reader

    def tidy(self, error: BaseException | None = None) -> str | None:
        left_open = self._connection.in_transaction
        self._connection.rollback()
        if is_fault(error):
            raise StorageFault(str(error))
        return "the handler left a transaction open" if left_open else None

    def _settle_drain(self, settlement: Settlement) -> None:
        tables = self._connection.tables
        if settlement.resumed:
            tables.stopped_at = None
        if tables.stopped_at is None:
            tables.stopped_at = settlement.stopped_at
        settled = {*settlement.ids(), *settlement.released}.difference(settlement.held)
        others = self._of_others()
        tables.claims = {
            i: claim for i, claim in tables.claims.items() if i in others or i not in settled
        }

        self.claim(settlement.held, batch=False, slots=[NOT_STARTED] * len(settlement.held))

    def _of_others(self) -> dict[int, Claim]:
        claims = self._connection.tables.claims
        return {i: claim for i, claim in claims.items() if claim.drainer is not self._drain}


class MemoryReader:
    """What one thread's handlers read through."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._connection = MemoryConnection(database, reads_only=True)

    def connection(self) -> MemoryConnection:
        return self._connection

    def tidy(self, error: BaseException | None = None) -> str | None:
        if is_fault(error):
            raise StorageFault(str(error))
        return None

    def close(self) -> None:
        """There is nothing to close."""
