"""Letters in the hands of handlers that run outside any transaction.

A claim is committed before the call and ends in the group that settles its letter. It stands for as
long as the lock of its drain is held (see `presence`), and no longer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from azoth_dlq.errors import InvalidStateError
from azoth_dlq.store.base import NOT_STARTED, Abandoned
from azoth_dlq.store.settlement import Settlement
from azoth_dlq.store.sqlite import statements as sql
from azoth_dlq.store.sqlite.presence import has_died, is_alive
from azoth_dlq.store.sqlite.queue import chunks
from azoth_dlq.store.sqlite.raw import read, text_of
from azoth_dlq.store.sqlite.starts import Started


class _Claim(NamedTuple):
    letter_id: int
    batch: int
    slot: int | None
    drainer: str


class DrainClaims:
    """Those of one drain, and what it sees of others'; everything within a group."""

    def __init__(self, cursor: sqlite3.Cursor, database: str, drainer: str) -> None:
        self._connection = cursor.connection
        # A cursor of its own would share cached statements with that of the drain before, which
        # resets them when it is collected: CPython 3.11 does so also amid a use by another.
        self._cursor = cursor
        self._database = database
        self._drainer = drainer
        self._open: set[int] = set()  # all that may be there
        self._ended: set[int] = set()  # in the open group

    def claim(self, ids: Sequence[int], slots: Sequence[int | None], *, batch: bool) -> None:
        pairs = zip(ids, slots, strict=True)
        self._cursor.executemany(sql.CLAIM, ((i, self._drainer, batch, slot) for i, slot in pairs))
        if self._cursor.rowcount < len(ids):
            raise InvalidStateError(
                "a letter that another drain has in hand cannot be claimed; leave out those that "
                "are claimed"
            )
        self._open.update(ids)
        self._ended.difference_update(ids)

    def claimed_by_others(self) -> set[int]:
        return {claim.letter_id for claim in self._of_others()}

    def abandoned(self) -> Abandoned:
        """Those of drains that are over end here; those of drains that died are told."""
        claims = self._of_others()
        over = {d for d in {c.drainer for c in claims} if not is_alive(self._database, d)}
        started = {d: Started(self._database, d) for d in over if has_died(self._database, d)}
        for some in chunks([claim.letter_id for claim in claims if claim.drainer in over]):
            self._cursor.execute(sql.delete_claims(len(some), of_drainer=False), some)
        left = [c for c in claims if c.drainer in started and c.slot in started[c.drainer]]
        return Abandoned(
            single=[claim.letter_id for claim in left if not claim.batch],
            in_batch=[claim.letter_id for claim in left if claim.batch],
        )

    def settle(self, settlement: Settlement) -> None:
        """End our claims of its letters."""
        if not self._open:
            return
        settled = self._open.intersection([*settlement.ids(), *settlement.released])
        settled.difference_update(settlement.held)
        for some in chunks(sorted(settled)):
            statement = sql.delete_claims(len(some), of_drainer=True)
            self._cursor.execute(statement, (*some, self._drainer))
        self._ended |= settled
        if settlement.held:
            # Their outcome is written: no death charges them again.
            slots = [NOT_STARTED] * len(settlement.held)
            self.claim(settlement.held, slots, batch=False)

    def group_over(self, *, committed: bool) -> None:
        """What the group wrote is there, or is not."""
        if committed:
            self._open -= self._ended
        self._ended.clear()

    def _of_others(self) -> list[_Claim]:
        rows = read(self._connection, sql.CLAIMED_BY_OTHERS, (self._drainer,))
        return [_Claim(i, batch, slot, text_of(drainer)) for i, batch, slot, drainer in rows]
